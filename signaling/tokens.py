"""Who may do what: JSON Web Tokens (RFC 7519), HS256 with a shared secret."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Protocol

import jwt
from pydantic import BaseModel, StringConstraints, ValidationError

from signaling.errors import ContractError
from signaling.messages import Id, Name

AUDIENCE: Final = "surtitle"

Grant = Literal["join", "watch", "publish", "read", "manage"]
GRANTS: Final[tuple[Grant, ...]] = ("join", "watch", "publish", "read", "manage")


Tenant = Annotated[str, StringConstraints(max_length=256)]
"""Who issued a token (`iss`), and so pays for what is said by who holds it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a caller is. `subject` None: unknown; `call` `*`: any call.

    `tenant` is empty where the token names no issuer.
    """

    subject: str | None
    name: str | None
    call: str
    grants: frozenset[str]
    tenant: str = ""

    def require(self, grant: Grant, call: str | None = None) -> None:
        """Raise `ContractError` `forbidden` without this grant (for this call)."""
        if grant not in self.grants:
            raise ContractError("forbidden", f"the token does not grant {grant!r}")
        if call is not None and self.call not in ("*", call):
            raise ContractError("forbidden", "the token is for another call")


class Authority(Protocol):
    """Turns tokens into identities."""

    def identify(self, token: str | None) -> Identity:
        """Who holds this token; `ContractError` `unauthorized` where it is not good."""


class Everybody:
    """Without a secret everybody may do everything; the server then listens on loopback."""

    def identify(self, token: str | None) -> Identity:  # noqa: ARG002 - the protocol's
        """Anybody."""
        return Identity(None, None, "*", frozenset(GRANTS))


class SharedSecret:
    """HS256 with one secret. `leeway_seconds` forgives clocks that differ."""

    def __init__(self, secret: str, leeway_seconds: float = 5.0) -> None:
        self._secret = secret
        self._leeway_seconds = leeway_seconds

    def identify(self, token: str | None) -> Identity:
        """See `Authority`."""
        if not token:
            raise ContractError("unauthorized", "a token is needed")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                audience=AUDIENCE,
                leeway=self._leeway_seconds,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise ContractError("unauthorized", f"the token is not good: {error}") from None
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            # What PyJWT lets through of odd input, such as a lone surrogate.
            raise ContractError("unauthorized", "the token is not good") from None
        return _identity(claims)

    def issue(
        self, subject: str, call: str, grants: tuple[Grant, ...], name: str | None, seconds: int
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
        return jwt.encode(claims, self._secret, algorithm="HS256")


class _Claims(BaseModel):
    sub: Id
    call: Id | Literal["*"]
    grants: list[str]
    name: Name | None = None
    iss: Tenant = ""


def _identity(claims: dict[str, object]) -> Identity:
    try:
        good = _Claims.model_validate(claims)
    except ValidationError as error:
        where = error.errors()[0]["loc"][0]
        raise ContractError("unauthorized", f"the token's claim {where!r} is off") from None
    return Identity(good.sub, good.name, good.call, frozenset(good.grants), good.iss)
