"""Who may do what: JSON Web Tokens (RFC 7519), and those of HS256 with a shared secret."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Protocol

import jwt
from pydantic import BaseModel, StringConstraints, ValidationError

from signaling.errors import ContractError
from signaling.messages import Id, Name

AUDIENCE: Final = "surtitle"

Grant = Literal["join", "watch", "publish", "read", "manage"]
GRANTS: Final[tuple[Grant, ...]] = ("join", "watch", "publish", "read", "manage")

LEEWAY_SECONDS: Final = 5.0
"""By which clocks may differ."""


Tenant = Annotated[str, StringConstraints(max_length=256)]
"""Who issued a token (`iss`), and so pays for what is said by who holds it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a caller is. `subject` None: unknown; `call` `*`: any call.

    `tenant` is empty where the token names no issuer. `good_until` is when whoever stays
    connected is to be identified anew, in seconds since the Unix epoch; None: never. `renews`:
    that will do then, unless somebody has revoked it.
    """

    subject: str | None
    name: str | None
    call: str
    grants: frozenset[str]
    tenant: str = ""
    good_until: float | None = field(default=None, compare=False)
    renews: bool = field(default=False, compare=False)

    def require(self, grant: Grant, call: str | None = None) -> None:
        """Raise `ContractError` `forbidden` without this grant (for this call)."""
        if grant not in self.grants:
            raise ContractError("forbidden", f"the token does not grant {grant!r}")
        if not self.may(grant, call):
            raise ContractError("forbidden", "the token is for another call")

    def may(self, grant: Grant, call: str | None = None) -> bool:
        """Whether they have this grant (for this call)."""
        return grant in self.grants and (call is None or self.call in ("*", call))


class Authority(Protocol):
    """Turns tokens into identities."""

    async def authenticate(self, token: str | None) -> Identity:
        """Who holds this token; `ContractError` `unauthorized` where it is not good.

        `unavailable` where that cannot be told now.
        """


class Everybody:
    """Without a secret everybody may do everything; the server then listens on loopback."""

    def identify(self, token: str | None) -> Identity:  # noqa: ARG002 - the protocol's
        """Anybody."""
        return Identity(None, None, "*", frozenset(GRANTS))

    async def authenticate(self, token: str | None) -> Identity:
        """See `Authority`."""
        return self.identify(token)


class SharedSecret:
    """HS256 with a secret. `issuers` are the `iss` that are taken, any without them.

    Tokens of `previous`, the secret before it, are taken too. `leeway_seconds` forgives clocks
    that differ.
    """

    def __init__(
        self,
        secret: str,
        leeway_seconds: float = LEEWAY_SECONDS,
        *,
        previous: str = "",
        issuers: Sequence[str] = (),
    ) -> None:
        self._secret = secret
        self._previous = previous
        self._leeway_seconds = leeway_seconds
        self._issuers = tuple(issuers)

    async def authenticate(self, token: str | None) -> Identity:
        """See `Authority`."""
        return self.identify(token)

    def identify(self, token: str | None) -> Identity:
        """As `authenticate`, without waiting for anything."""
        try:
            return self._identify(token, self._secret)
        except ContractError:
            if not self._previous:
                raise
            return self._identify(token, self._previous)

    def _identify(self, token: str | None, secret: str) -> Identity:
        return verified(
            token,
            secret,
            "HS256",
            issuers=self._issuers,
            leeway_seconds=self._leeway_seconds,
        )

    def issue(
        self,
        subject: str,
        call: str,
        grants: tuple[Grant, ...],
        name: str | None,
        seconds: int,
        *,
        issuer: str = "",
    ) -> str:
        """A token that expires in `seconds`."""
        claims = {
            "aud": AUDIENCE,
            "sub": subject,
            "call": call,
            "grants": list(grants),
            "exp": int(time.time()) + seconds,
        }
        if name:
            claims["name"] = name
        if issuer:
            claims["iss"] = issuer
        return jwt.encode(claims, self._secret, algorithm="HS256")


def verified(
    token: str | None,
    key: Any,
    algorithm: str,
    *,
    issuers: Sequence[str] = (),
    leeway_seconds: float = LEEWAY_SECONDS,
) -> Identity:
    """Who holds a token that `key`, of this one algorithm, has signed.

    `ContractError` `unauthorized` of any other.
    """
    if not token:
        raise ContractError("unauthorized", "a token is needed")
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=AUDIENCE,
            issuer=issuers or None,
            leeway=leeway_seconds,
            options={"require": ["exp", "aud", "sub"]},
        )
    except jwt.PyJWTError as error:
        raise ContractError("unauthorized", f"the token is not good: {error}") from None
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        # What PyJWT lets through of odd input, such as a lone surrogate.
        raise ContractError("unauthorized", "the token is not good") from None
    return _identity(claims, leeway_seconds)


_LATEST: Final = 2**53


class _Claims(BaseModel):
    sub: Id
    call: Id | Literal["*"]
    grants: list[str]
    name: Name | None = None
    iss: Tenant = ""


def _identity(claims: dict[str, Any], leeway_seconds: float) -> Identity:
    try:
        good = _Claims.model_validate(claims)
    except ValidationError as error:
        where = error.errors()[0]["loc"][0]
        raise ContractError("unauthorized", f"the token's claim {where!r} is off") from None
    grants = frozenset(good.grants)
    good_until = min(int(claims["exp"]), _LATEST) + leeway_seconds  # PyJWT has read it so
    return Identity(good.sub, good.name, good.call, grants, good.iss, good_until)
