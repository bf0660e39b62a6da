"""How gateways and nodes know each other: by the servers' own secret.

A gateway's orders carry a short-lived token for the one node that they go to, so that no node can
use it for another. A node signs where it is to be reached, and gateways go nowhere else: whoever
can write to the registry gets neither orders, which hold the tokens of SFUs, nor audio.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Final

import jwt

from signaling.errors import ContractError

_AUDIENCE: Final = "surtitle-node"
_GOOD_FOR_SECONDS: Final = 60
_LEEWAY_SECONDS: Final = 30


def issue_node_token(secret: str, node: str) -> str:
    """A token by which a node takes orders for a minute (JWT, HS256)."""
    claims = {"aud": _AUDIENCE, "sub": node, "exp": int(time.time()) + _GOOD_FOR_SECONDS}
    return jwt.encode(claims, secret, algorithm="HS256")


def node_headers(secret: str, node: str) -> dict[str, str]:
    """What a gateway's requests to a node carry; nothing without a secret."""
    return {"Authorization": f"Bearer {issue_node_token(secret, node)}"} if secret else {}


def check_node_token(secret: str, token: str | None, node: str, previous: str = "") -> None:
    """Raise `ContractError` `unauthorized` for any but a gateway's token for this node.

    One by the secret before is taken, too. Of a server without a secret, which listens on
    loopback only, everybody is a gateway.
    """
    if not secret:
        return
    for known in filter(None, (secret, previous)):
        try:
            jwt.decode(
                token or "",
                known,
                algorithms=["HS256"],
                audience=_AUDIENCE,
                subject=node,
                options={"require": ["exp", "aud", "sub"]},
                leeway=_LEEWAY_SECONDS,
            )
        except jwt.InvalidTokenError:
            continue
        return
    raise ContractError("unauthorized", "a gateway's token is needed")


def prove_node(secret: str, node: str, url: str) -> str:
    """What a node says beside its `url`; empty without a secret."""
    if not secret:
        return ""
    said = f"surtitle-node\n{node}\n{url}".encode()
    return hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()


def is_proven(secret: str, node: str, url: str, proof: str, previous: str = "") -> bool:
    """Whether a server that has the secret, or the one before it, said so."""
    if not secret:
        return True
    return any(
        hmac.compare_digest(prove_node(known, node, url).encode(), proof.encode())
        for known in filter(None, (secret, previous))
    )
