"""A key as it is made, and as it is kept.

Whatever passes `tests/signaling/api_keys_contract.py` may stand in as `ApiKeys`.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Protocol

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from signaling.messages import Id, Name
from signaling.tokens import Grant, Tenant

PREFIX: Final = "sk_"
"""By which a key is told from a JWT, and found by who looks for leaked secrets."""

_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 8


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Scope:
    """What a key is for. pydantic's ValidationError for what cannot be meant."""

    name: Name
    grants: Annotated[tuple[Grant, ...], Field(min_length=1)]
    call: Id | Literal["*"] = "*"
    tenant: Tenant = ""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `id` is also the subject of who uses it.

    Milliseconds since the Unix epoch.
    """

    id: str
    scope: Scope
    created_at_ms: int
    revoked_at_ms: int | None = None


class ApiKeys(Protocol):
    """Keys of all gateways, by the hash of their secret."""

    async def add(self, digest: str, key: ApiKey) -> None:
        """Keep a new one."""

    async def find(self, digest: str) -> ApiKey | None:
        """The key whose secret has this hash, also one that is revoked."""

    async def listed(self) -> list[ApiKey]:
        """All, the newest first."""

    async def revoke(self, key_id: str, now_ms: int) -> bool:
        """Let it be good no longer; False where there is no such key. Idempotent."""


def new_key(scope: Scope, now_ms: int) -> tuple[str, ApiKey]:
    """The secret, which is shown once and never kept, and the key."""
    secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    return secret, ApiKey(f"key-{secrets.token_hex(_ID_BYTES)}", scope, now_ms)


def digest_of(secret: str) -> str:
    """The hash that is kept.

    SHA-256, and neither salt nor a slow hash: those are for secrets that can be guessed, and
    nobody guesses 256 random bits.
    """
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


_SCOPE: Final = TypeAdapter(Scope)


def scope_of(name: str, grants: object, call: str, tenant: str) -> Scope:
    """ValueError, in words, where it cannot be meant."""
    wire = {"name": name, "grants": grants, "call": call, "tenant": tenant}
    try:
        return _SCOPE.validate_python(wire)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{first['loc'][0] if first['loc'] else 'key'}: {first['msg']}") from None
