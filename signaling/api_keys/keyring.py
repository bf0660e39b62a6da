"""Who holds an API key: what the store says, remembered for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from signaling.api_keys.keys import ApiKey, ApiKeys, digest_of
from signaling.errors import ContractError
from signaling.tokens import Identity

log = structlog.get_logger(__name__)

REMEMBERED_SECONDS: Final = 5.0
"""So long after it was revoked a key may still be good, on any gateway."""

STALE_SECONDS: Final = 600.0
"""So long a key that was good stays so while the store cannot be asked."""

MOST_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class _Seen:
    key: ApiKey | None
    at: float


class Keyring:
    """Keys of one gateway."""

    def __init__(
        self,
        keys: ApiKeys,
        remembered_seconds: float = REMEMBERED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._remembered_seconds = remembered_seconds
        self._clock = clock
        self._seen: dict[str, _Seen] = {}  # the one asked for longest ago first

    async def identify(self, secret: str) -> Identity:
        """Who holds it: `unauthorized` of one that is not known, or revoked.

        `unavailable` where the store cannot be asked.
        """
        digest = digest_of(secret)
        seen = self._seen.get(digest)
        if seen is None or self._clock() - seen.at >= self._remembered_seconds:
            seen = await self._look(digest, seen)
        key = seen.key
        if key is None or key.revoked_at_ms is not None:
            raise ContractError("unauthorized", "the API key is not known, or revoked")
        scope = key.scope
        return Identity(
            key.id,
            None,
            scope.call,
            frozenset(scope.grants),
            scope.tenant,
            good_until=time.time() + self._remembered_seconds,
            renews=True,
        )

    async def _look(self, digest: str, before: _Seen | None) -> _Seen:
        try:
            seen = _Seen(await self._keys.find(digest), self._clock())
        except OSError as error:
            if before and before.key and self._clock() - before.at < STALE_SECONDS:
                return before
            log.warning("API keys cannot be looked up", error=type(error).__name__)
            raise ContractError("unavailable", "API keys cannot be looked up now", 2000) from None
        self._seen.pop(digest, None)
        self._seen[digest] = seen
        if len(self._seen) > MOST_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return seen
