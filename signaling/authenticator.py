"""Who a caller is, by whatever a server takes: shared secrets, a JWKS URL, API keys."""

from __future__ import annotations

from collections.abc import Sequence

import jwt

from signaling.api_keys.keyring import Keyring
from signaling.api_keys.keys import PREFIX
from signaling.errors import ContractError
from signaling.jwks import ALGORITHMS, Jwks
from signaling.tokens import Identity, SharedSecret, verified


class Authenticator:
    """See `Authority`. What a token's `alg` says chooses the key, never the other way round.

    The secret verifies HS256 only, and a key of the URL only the algorithm of its type.
    """

    def __init__(
        self,
        *,
        secret: SharedSecret | None = None,
        jwks: Jwks | None = None,
        keyring: Keyring | None = None,
        issuers: Sequence[str] = (),
    ) -> None:
        """`issuers` are the `iss` that tokens of the URL may have, any without them."""
        self._secret = secret
        self._jwks = jwks
        self._keyring = keyring
        self._issuers = tuple(issuers)

    async def authenticate(self, token: str | None) -> Identity:
        """See `Authority`."""
        if not token:
            raise ContractError("unauthorized", "a token is needed")
        if self._keyring and token.startswith(PREFIX):
            return await self._keyring.identify(token)
        algorithm, key_id = _header(token)
        if algorithm == "HS256" and self._secret:
            return self._secret.identify(token)
        if algorithm in ALGORITHMS and self._jwks:
            key = await self._jwks.key(key_id, algorithm)
            return verified(token, key, algorithm, issuers=self._issuers)
        raise ContractError("unauthorized", "tokens of this algorithm are not taken")


def _header(token: str) -> tuple[str, str | None]:
    """The algorithm and the key's id; `ContractError` `unauthorized` of what is no token."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError):
        raise ContractError("unauthorized", "the token is not good") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
        raise ContractError("unauthorized", "the token is not good")
    return algorithm, key_id
