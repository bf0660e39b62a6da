"""Time-limited TURN credentials, as coturn's `use-auth-secret` checks them.

Source: draft-uberti-behave-turn-rest-00.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any, Final

LIFETIME_SECONDS: Final = 12 * 3600
"""As long as `surtitle token` makes tokens good for: who is moved late in a call connects anew."""


@dataclass(frozen=True, slots=True)
class TurnServers:
    """Which STUN and TURN servers clients are told of, and the secret shared with coturn.

    `urls` are `stun:`, `turn:` or `turns:` URLs; `lifetime_seconds` is how long a
    credential is good for.
    """

    urls: tuple[str, ...] = ()
    secret: str = ""
    lifetime_seconds: int = LIFETIME_SECONDS

    def ice_servers(self, user: str, now: float | None = None) -> list[dict[str, Any]]:
        """`RTCIceServer` objects for `user`; empty where no server is set."""
        stun = [url for url in self.urls if url.startswith("stun")]
        turn = [url for url in self.urls if url.startswith("turn")]
        servers: list[dict[str, Any]] = [{"urls": stun}] if stun else []
        if turn:
            expiry = int((time.time() if now is None else now) + self.lifetime_seconds)
            username = f"{expiry}:{user}"
            digest = hmac.new(self.secret.encode(), username.encode(), hashlib.sha1).digest()
            credential = base64.b64encode(digest).decode()
            servers.append({"urls": turn, "username": username, "credential": credential})
        return servers
