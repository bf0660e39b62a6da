"""Who asked for how much, and what is open: one Protocol, and its in-process implementation.

Whatever passes `tests/signaling/limits_contract.py` may stand in for it. The library `limits` was
looked at: it has no leases, brings a connection of its own that cannot be that of `redis/link.py`
(and wants redis-py before 8), and goes by the clocks of the gateways.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from signaling.limits.rules import Rate

LEASE_SECONDS: Final = 60.0
"""How long what is open counts where its gateway no longer says so."""

MOST_KEYS: Final = 100_000
"""Of rates, within one process; those asked for longest ago are forgotten first."""


class LimitStore(Protocol):
    """Every method raises `Unreachable` where what is shared is out of reach just now."""

    async def take(self, key: str, rate: Rate) -> float:
        """Ask for one more: 0.0 where it was taken, else the seconds until it can be."""

    async def hold(self, lease: str, most: Mapping[str, int]) -> str | None:
        """Hold one of each key, which has at most so many; the key that is full, else None.

        All or nothing. It lapses unless it is renewed.
        """

    async def renew(self, held: Mapping[str, Collection[str]]) -> None:
        """The leases by key are still held, also where that was forgotten."""

    async def release(self, lease: str, keys: Collection[str]) -> None:
        """Give back what was held. Idempotent."""


def conform(due: float, now: float, rate: Rate) -> tuple[float, float]:
    """The generic cell rate algorithm (ITU-T I.371): when the next is due, and how long to wait.

    Both are in seconds; `due` is what this returned last, or the past. Who is to wait took nothing.
    """
    due = max(due, now)
    wait = due + rate.interval_seconds - now - rate.burst * rate.interval_seconds
    return (due, wait) if wait > 1e-9 else (due + rate.interval_seconds, 0.0)


class MemoryLimits:
    """The limits of one process."""

    def __init__(
        self, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`lease_seconds` infinite: what is held is so until it is released."""
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()  # who asked longest ago first
        self._held: dict[str, dict[str, float]] = {}

    async def take(self, key: str, rate: Rate) -> float:
        """See `LimitStore`."""
        return self.take_now(key, rate)

    def take_now(self, key: str, rate: Rate) -> float:
        """Likewise, without waiting for anything."""
        now = self._clock()
        self._due[key], wait = conform(self._due.pop(key, now), now, rate)
        # Two for one that may be new, so that those who ask no more are soon gone.
        for _ in range(2):
            oldest, due = next(iter(self._due.items()))
            if due > now and len(self._due) <= MOST_KEYS:
                break
            if oldest == key:
                break
            del self._due[oldest]
        return wait

    async def hold(self, lease: str, most: Mapping[str, int]) -> str | None:
        """See `LimitStore`."""
        now = self._clock()
        for key, count in most.items():
            held = self._held.get(key, {})
            for lapsed in [one for one, until in held.items() if until <= now]:
                del held[lapsed]
            if len(held) >= count and lease not in held:
                return key
        for key in most:
            self._held.setdefault(key, {})[lease] = now + self._lease_seconds
        return None

    async def renew(self, held: Mapping[str, Collection[str]]) -> None:
        """See `LimitStore`."""
        until = self._clock() + self._lease_seconds
        for key, leases in held.items():
            self._held.setdefault(key, {}).update(dict.fromkeys(leases, until))

    async def release(self, lease: str, keys: Collection[str]) -> None:
        """See `LimitStore`."""
        self.release_now(lease, keys)

    def release_now(self, lease: str, keys: Collection[str]) -> None:
        """Likewise, without waiting for anything."""
        for key in keys:
            held = self._held.get(key)
            if held:
                held.pop(lease, None)
            if not held:
                self._held.pop(key, None)
