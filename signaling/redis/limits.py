"""Limits on Redis, by its clock. See `signaling.limits.store.LimitStore`."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Final

from signaling.limits.rules import Rate
from signaling.limits.store import LEASE_SECONDS
from signaling.redis.keys import limit
from signaling.redis.link import Link, Script

_TAKE: Final = Script.named("take_rate")
_HOLD: Final = Script.named("hold")
_RENEW: Final = Script.named("renew")

_AT_ONCE: Final = 200
"""Leases that one script renews: others are to have their turn, here and on Redis."""


class RedisLimits:
    """Its keys are of one shard: who comes is few beside captions. All lapse by themselves."""

    def __init__(self, link: Link, lease_seconds: float = LEASE_SECONDS) -> None:
        self._link = link
        self._lease_ms = round(lease_seconds * 1000)

    async def take(self, key: str, rate: Rate) -> float:
        """See `LimitStore`."""
        interval_us = max(1, round(rate.interval_seconds * 1e6))
        wait_us = await self._link.run(_TAKE, [limit(key)], [interval_us, rate.burst])
        return int(wait_us) / 1e6

    async def hold(self, lease: str, most: Mapping[str, int]) -> str | None:
        """See `LimitStore`."""
        keys = list(most)
        full = await self._link.run(
            _HOLD, [limit(key) for key in keys], [lease, self._lease_ms, *most.values()]
        )
        return keys[int(full) - 1] if full else None

    async def renew(self, held: Mapping[str, Collection[str]]) -> None:
        """See `LimitStore`."""
        pairs = ((limit(key), lease) for key, leases in held.items() for lease in leases)
        while some := list(itertools.islice(pairs, _AT_ONCE)):
            keys, leases = zip(*some, strict=True)
            await self._link.run(_RENEW, keys, [self._lease_ms, *leases])

    async def release(self, lease: str, keys: Collection[str]) -> None:
        """See `LimitStore`."""
        await self._link.do_all([("ZREM", limit(key), lease) for key in keys])
