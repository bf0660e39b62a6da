"""How gateways and nodes know each other: short-lived tokens of the servers' own secret."""

from __future__ import annotations

import time
from typing import Final

import jwt

from signaling.errors import ContractError

_AUDIENCE: Final = "surtitle-node"
_GOOD_FOR_SECONDS: Final = 60
_LEEWAY_SECONDS: Final = 30


def issue_node_token(secret: str) -> str:
    """A token by which a node takes orders for a minute (JWT, HS256)."""
    claims = {"aud": _AUDIENCE, "exp": int(time.time()) + _GOOD_FOR_SECONDS}
    return jwt.encode(claims, secret, algorithm="HS256")


def check_node_token(secret: str, token: str | None) -> None:
    """Raise `ContractError` `unauthorized` for any but a gateway's token.

    Of a server without a secret, which listens on loopback only, everybody is one.
    """
    if not secret:
        return
    try:
        jwt.decode(
            token or "",
            secret,
            algorithms=["HS256"],
            audience=_AUDIENCE,
            options={"require": ["exp", "aud"]},
            leeway=_LEEWAY_SECONDS,
        )
    except jwt.InvalidTokenError:
        raise ContractError("unauthorized", "a gateway's token is needed") from None
