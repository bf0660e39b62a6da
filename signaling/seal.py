"""What calls are told in confidence, as it is kept where others may look: sealed."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

SOURCES: Final = "sources of calls"
WEBHOOKS: Final = "webhooks of calls"


class Seal:
    """Closes text so that only who has the servers' secret can read it.

    Without a secret, which is for tests on one machine, everybody can. What was closed for one
    purpose is none of another's. What `previous`, the secret before, has closed is opened too.
    """

    def __init__(self, secret: str, purpose: str = SOURCES, previous: str = "") -> None:
        secrets = [secret, previous] if previous else [secret]
        self._fernet = MultiFernet([_fernet(each, purpose) for each in secrets])

    def close(self, text: str) -> str:
        """Encrypted and authenticated (Fernet)."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """What was closed; ValueError where another secret closed it."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise ValueError("this was sealed with another secret") from None


def _fernet(secret: str, purpose: str) -> Fernet:
    digest = hashlib.sha256(f"surtitle: {purpose}\n".encode() + secret.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
