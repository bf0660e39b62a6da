"""Public keys of who issues tokens, by URL: a JSON Web Key Set (RFC 7517), fetched and kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from signaling.allowlist import AllowList
from signaling.errors import ContractError

log = structlog.get_logger(__name__)

ALGORITHMS: Final = {"RS256": ("RSA", None), "EdDSA": ("OKP", "Ed25519")}
"""Those that are taken, each with the type and curve of its keys (RFC 7518, RFC 8037).

None is symmetric: what everybody may read must not be taken for a secret.
"""

LIFETIME_SECONDS: Final = 300.0
"""How old keys become before they are asked for again: a key that is withdrawn is good so long."""

AGAIN_SECONDS: Final = 5.0
"""Between two requests, whatever tokens come: of a key that is unknown, anybody can name one."""

MOST_KEYS: Final = 32
LARGEST_BYTES: Final = 64 * 1024
FETCH_SECONDS: Final = 3.0

_RSA_BITS: Final = range(2048, 8193)
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class _Key:
    id: str | None
    algorithm: str
    key: Any


class Jwks:
    """The keys. The URL leads by https to a public host, or to loopback, or where `allow` says.

    `ContractError` or ValueError where it does not, or `allow` is no prefix (see `AllowList`).
    """

    def __init__(
        self,
        url: str,
        *,
        allow: Sequence[str] = (),
        lifetime_seconds: float = LIFETIME_SECONDS,
        again_seconds: float = AGAIN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        own = _LOOPBACK if _is_loopback(url) else ()
        self._allow = AllowList(("https://", *own, *allow), field="jwks", option="--jwks-allow")
        self._allow.check(url)
        self._url = url
        self._lifetime_seconds = lifetime_seconds
        self._again_seconds = again_seconds
        self._clock = clock
        self._keys: tuple[_Key, ...] = ()
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def key(self, key_id: str | None, algorithm: str) -> Any:
        """The one key that may have signed so; `ContractError` `unauthorized` without one.

        Without `key_id` it is the only one of its algorithm. `unavailable` where the URL never
        answered.
        """
        found = self._find(key_id, algorithm)
        if found is None or self._is_old:
            await self._refresh(known=found is not None)
            found = self._find(key_id, algorithm)
        if found is None and not self._keys:
            raise ContractError("unavailable", "the keys of tokens cannot be had", 2000)
        if found is None:
            raise ContractError("unauthorized", "the token is signed with no key that is known")
        return found.key

    @property
    def _is_old(self) -> bool:
        return self._clock() - self._fetched_at >= self._lifetime_seconds

    @property
    def _may_ask(self) -> bool:
        return self._clock() - self._tried_at >= self._again_seconds

    def _find(self, key_id: str | None, algorithm: str) -> _Key | None:
        fitting = [
            key
            for key in self._keys
            if key.algorithm == algorithm and (key_id is None or key.id == key_id)
        ]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self, *, known: bool) -> None:
        """Fetch, where it is time; whose key is known does not wait for another's request."""
        if known and self._fetching.locked():
            return
        async with self._fetching:
            if not self._may_ask:
                return
            self._tried_at = self._clock()
            try:
                self._keys = _read(await self._fetch())
            except (aiohttp.ClientError, OSError, ValueError, ContractError) as error:
                # Those that were there stay: whoever issues tokens may just be restarting.
                log.warning("keys of tokens not fetched", error=type(error).__name__)
                return
            self._fetched_at = self._clock()

    async def _fetch(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        headers = {"Accept": "application/jwk-set+json, application/json", "User-Agent": "Surtitle"}
        async with (
            self._allow.session(self._url) as session,
            session.get(
                self._url,
                headers={**headers, "Accept-Encoding": "identity"},
                timeout=timeout,
                allow_redirects=False,
            ) as reply,
        ):
            if reply.status != 200:
                raise ValueError(f"answered {reply.status}")
            body = b""
            while chunk := await reply.content.read(LARGEST_BYTES):
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise ValueError("too large")
            return body


def _read(body: bytes) -> tuple[_Key, ...]:
    """The keys that may sign tokens; ValueError where there is none."""
    try:
        wire = json.loads(body)
    except RecursionError:
        raise ValueError("too deep") from None
    listed = wire.get("keys") if isinstance(wire, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise ValueError("no key set")
    keys = tuple(key for each in listed if (key := _key(each)))
    if not keys:
        raise ValueError("no key that could sign a token")
    return keys


def _key(wire: object) -> _Key | None:
    """One of a set; None of what is for other purposes, or too weak."""
    if not isinstance(wire, dict) or wire.get("use", "sig") != "sig":
        return None
    key_id = wire.get("kid")
    for algorithm, (key_type, curve) in ALGORITHMS.items():
        fits = wire.get("kty") == key_type and wire.get("crv") == curve
        if not fits or wire.get("alg", algorithm) != algorithm:
            continue
        if key_id is not None and not isinstance(key_id, str):
            return None
        public = {name: value for name, value in wire.items() if name in _PUBLIC}
        try:
            key = jwt.PyJWK(public, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        if isinstance(key, RSAPublicKey) and key.key_size not in _RSA_BITS:
            return None
        return _Key(key_id, algorithm, key)
    return None


_PUBLIC: Final = ("kty", "crv", "n", "e", "x")
"""Members of a public key: with a private one's nobody is to verify anything."""


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:  # as of brackets that hold no address
        return False
