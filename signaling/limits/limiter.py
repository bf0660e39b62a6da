"""Applies the limits: this gateway's own at once, then those that it shares with the others.

Where what is shared is out of reach, or slow, its own are all there is: nobody is refused for it,
and nobody waits.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Final, TypeVar

import structlog
from prometheus_client.core import CounterMetricFamily

from signaling.errors import ContractError, Unreachable
from signaling.limits.rules import NAMES, Limits
from signaling.limits.store import LEASE_SECONDS, LimitStore, MemoryLimits
from signaling.tokens import Identity

log = structlog.get_logger(__name__)

T = TypeVar("T")

ANSWER_SECONDS: Final = 0.5
"""How long anybody waits for what is shared."""

AWAY_SECONDS: Final = 5.0
"""For how long it is not asked again once it did not answer."""


def holder(who: Identity) -> str | None:
    """Whose token it is, as limits count them: each tenant has subjects of its own."""
    return None if who.subject is None else f"{who.tenant}/{who.subject}"


class Lease:
    """Something open that counts. `release` gives it back: at once, and once."""

    def __init__(self, limiter: Limiter, keys: Collection[str]) -> None:
        self.id = secrets.token_hex(8)
        self.keys = keys
        self._limiter = limiter

    def release(self) -> None:
        """See the class."""
        self._limiter.let_go(self)


class Limiter:
    """All limits of a gateway. `run` it in a task: it keeps what is open, and gives back."""

    def __init__(
        self,
        limits: Limits | None = None,
        shared: LimitStore | None = None,
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shared` is what all gateways have together, None where this is the only one."""
        self.limits = limits or Limits()
        self.id = secrets.token_hex(8)
        """Of this gateway, for what is limited on each by itself."""
        self.hits: Counter[str] = Counter(dict.fromkeys(NAMES, 0))
        """How often somebody was refused, by limit."""
        self._own = MemoryLimits(math.inf, clock)
        self._shared = shared
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._away_until = -math.inf
        self._away = False
        self._leases: dict[str, Lease] = {}
        self._let_go: dict[str, Lease] = {}
        self._to_do = asyncio.Event()

    def families(self) -> Iterator[CounterMetricFamily]:
        """For `Metrics`."""
        hits = CounterMetricFamily(
            "surtitle_limits_hit_total", "Requests past a limit.", labels=["limit"]
        )
        for limit, count in self.hits.items():
            hits.add_metric([limit], count)
        yield hits

    def refusal(self, limit: str, retry_seconds: float | None = None) -> ContractError:
        """What to raise where a limit is hit; counted."""
        self.hits[limit] += 1
        return self.limits.refusal(limit, retry_seconds)

    def admit_here(self, limit: str, key: str | None) -> None:
        """One more of a rate, by this gateway's own count; `ContractError` where it is too many.

        `key` None: whoever asks is not limited.
        """
        rate = self.limits.rate(limit)
        if rate and key is not None:
            wait_seconds = self._own.take_now(f"{limit}:{key}", rate)
            if wait_seconds:
                raise self.refusal(limit, wait_seconds)

    async def admit(self, limit: str, key: str | None) -> None:
        """Likewise by all gateways' count."""
        self.admit_here(limit, key)
        rate = self.limits.rate(limit)
        if self._shared and rate and key is not None:
            wait_seconds = await self._ask(self._shared.take(f"{limit}:{key}", rate), 0.0)
            if wait_seconds:
                raise self.refusal(limit, wait_seconds)

    async def hold(self, by_limit: Mapping[str, str | None]) -> Lease:
        """Something opens that counts by these limits, each with its key (None: not by that one).

        `ContractError` where one of them is full. To be released.
        """
        most = {
            f"{limit}:{key}": self.limits.most(limit)
            for limit, key in by_limit.items()
            if key is not None and self.limits.most(limit)
        }
        lease = Lease(self, tuple(most))
        if not most:
            return lease
        full = await self._own.hold(lease.id, most)
        if full is None and self._shared:
            try:
                full = await self._ask(self._shared.hold(lease.id, most), None)
            except BaseException:
                self._leases[lease.id] = lease  # it may be held there
                lease.release()
                raise
            if full:
                await self._own.release(lease.id, lease.keys)
        if full:
            raise self.refusal(full.partition(":")[0])
        self._leases[lease.id] = lease
        return lease

    def let_go(self, lease: Lease) -> None:
        """See `Lease.release`."""
        if self._leases.pop(lease.id, None):
            self._let_go[lease.id] = lease
            self._own.release_now(lease.id, lease.keys)
            self._to_do.set()

    async def run(self) -> None:
        """Tell the others what is still open here, and what is not."""
        renewed_at = self._clock()
        while True:
            try:
                async with asyncio.timeout(self._lease_seconds / 3):
                    await self._to_do.wait()
            except TimeoutError:
                log.debug("time to renew leases")
            self._to_do.clear()
            await self._give_back()
            if self._clock() - renewed_at >= self._lease_seconds / 3:
                renewed_at = self._clock()
                await self._renew()

    async def _give_back(self) -> None:
        gone, self._let_go = self._let_go, {}
        for lease in gone.values() if self._shared else ():
            assert self._shared
            await self._ask(self._shared.release(lease.id, lease.keys), None)

    async def _renew(self) -> None:
        if self._shared is None:
            return
        held: defaultdict[str, list[str]] = defaultdict(list)
        for lease in self._leases.values():
            for key in lease.keys:
                held[key].append(lease.id)
        await self._ask(self._shared.renew(held), None)

    async def _ask(self, answer: Awaitable[T], otherwise: T) -> T:
        """What is shared says, or `otherwise` where it does not answer."""
        if self._clock() < self._away_until:
            if asyncio.iscoroutine(answer):
                answer.close()
            return otherwise
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                told = await answer
        except (Unreachable, TimeoutError):
            self._lost("limits are each gateway's own: what is shared is out of reach")
        except Exception:
            log.exception("limits cannot be shared")
            self._lost("limits are each gateway's own")
        else:
            if self._away:
                self._away = False
                log.info("limits are shared again")
            return told
        return otherwise

    def _lost(self, why: str) -> None:
        self._away_until = self._clock() + AWAY_SECONDS
        if not self._away:
            self._away = True
            log.warning(why)
