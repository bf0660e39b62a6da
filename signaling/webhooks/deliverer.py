"""Sends what is due until it is taken or given up. Every gateway does, each delivery by one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from signaling.errors import told
from signaling.metrics import Reading
from signaling.shared_call import now_ms
from signaling.store import TranscriptStore
from signaling.webhooks.announcer import Announcer
from signaling.webhooks.bodies import Bodies, Erased, TooSoon
from signaling.webhooks.delivery import Delivery
from signaling.webhooks.post import Outcome, post
from signaling.webhooks.targets import Targets

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 32
_AT_ONCE_TO_ONE: Final = 4
"""Attempts at the same time, in all and to one target: a slow one must not hold up the others."""

_LAST_SECONDS: Final = 2.0
"""What attempts are given that are under way when a gateway stops."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How long an event is tried: ten attempts are some 20 hours.

    The wait behind attempt n is `first_seconds` times `factor` to the power of n - 1, at most
    `longest_seconds`, more or less a third. What a gateway claimed that died is due again after
    `claim_seconds`. `sweep_seconds`: how often the store is looked at where nothing is due.
    """

    attempts: int = 10
    first_seconds: float = 5.0
    factor: float = 4.0
    longest_seconds: float = 6 * 3600.0
    timeout_seconds: float = 15.0
    claim_seconds: float = 60.0
    sweep_seconds: float = 5.0


class Deliverer:
    """`run` sends until cancelled; its attempts belong to the owner's TaskGroup."""

    def __init__(
        self,
        *,
        store: TranscriptStore,
        targets: Targets,
        tasks: asyncio.TaskGroup,
        rules: Rules | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`clock` tells milliseconds since the Unix epoch."""
        self.announcer = Announcer(store, targets, self.stir)
        self._store = store
        self._deliveries = store.deliveries
        self._bodies = Bodies(store, clock)
        self._targets = targets
        self._tasks = tasks
        self._rules = rules or Rules()
        self._clock = clock
        self._stirred = asyncio.Event()
        self._busy: Counter[str] = Counter()  # attempts by target
        self._attempts: set[asyncio.Task[None]] = set()
        self._sent = self._failed = self._died = 0
        self._waiting = self._dead = 0

    def stir(self) -> None:
        """There is something to send."""
        self._stirred.set()

    async def run(self) -> None:
        """Send what is due, again and again."""
        while True:
            self._stirred.clear()
            wait_seconds = self._rules.sweep_seconds
            try:
                wait_seconds = await self._look()
            except OSError as error:
                log.info("webhooks not sent: the store is away", error=told(error))
            except Exception:  # whatever it is, the others' events need somebody who sends them
                log.exception("webhooks not sent")
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._stirred.wait()
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Give what is being sent a moment, once `run` is cancelled; it is due again later."""
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=_LAST_SECONDS)
        for attempt in self._attempts:
            attempt.cancel()
        if self._attempts:
            await asyncio.wait(self._attempts)

    def readings(self) -> Iterable[Reading]:
        """For `/metrics`; what waits and what is dead as it was at the last look."""
        yield "webhooks_sent_total", "Events that a webhook took from here.", self._sent
        yield "webhook_failures_total", "Attempts that failed, from here.", self._failed
        yield "webhooks_dead_total", "Events given up here.", self._died
        yield "webhooks_waiting", "Events that wait, of all gateways.", self._waiting
        yield "webhooks_dead", "Events given up that are kept, of all gateways.", self._dead

    async def _look(self) -> float:
        """Begin what is due; seconds until there may be more."""
        await self.announcer.keep()
        count = await self._deliveries.count()
        self._waiting, self._dead = count.get("waiting", 0), count.get("dead", 0)
        if not self._waiting:
            return self._rules.sweep_seconds
        now = self._clock()
        until = now + round(self._rules.claim_seconds * 1000)
        for target in await self._deliveries.due(now):
            free = min(_AT_ONCE - self._busy.total(), _AT_ONCE_TO_ONE - self._busy[target])
            if free > 0:
                for delivery in await self._deliveries.claim(target, now, until, free):
                    self._begin(delivery)
        # What is due and not begun waits for an attempt to end, which stirs.
        next_ms = await self._deliveries.next_due_ms(now)
        if next_ms is None:
            return self._rules.sweep_seconds
        return min(self._rules.sweep_seconds, max(0.0, (next_ms - self._clock()) / 1000))

    def _begin(self, delivery: Delivery) -> None:
        self._busy[delivery.target] += 1
        attempt = self._tasks.create_task(self._attempt(delivery))
        self._attempts.add(attempt)

        def done(_: asyncio.Task[None]) -> None:
            self._attempts.discard(attempt)
            self._busy[delivery.target] -= 1
            self.stir()

        attempt.add_done_callback(done)

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            await self._deliver(delivery)
        except OSError as error:
            log.info("webhook not settled: the store is away", error=told(error))
        except Exception:  # one event's fault must not be another's
            log.exception("webhook not sent")

    async def _deliver(self, delivery: Delivery) -> None:
        record = await self._store.call(delivery.call)
        target = self._targets.find(delivery.target, record)
        if target is None:
            await self._bury(delivery, Outcome(error="the webhook is not named any more"))
            return
        try:
            body = await self._bodies.of(delivery)
        except Erased:
            await self._deliveries.forget(delivery.id)
            return
        except TooSoon as soon:
            due = self._clock() + round(soon.seconds * 1000)
            waits = replace(delivery, due_at_ms=due, attempts=delivery.attempts - 1)
            await self._deliveries.settle(waits)
            return
        outcome = await post(
            target,
            delivery.id,
            body,
            allow=self._targets.allow,
            timeout_seconds=self._rules.timeout_seconds,
        )
        await self._settle(delivery, outcome)

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        now = self._clock()
        delivery = replace(delivery, status=outcome.status, error=outcome.error)
        if outcome.error is None:
            self._sent += 1
            await self._deliveries.settle(replace(delivery, state="sent", settled_at_ms=now))
            return
        self._failed += 1
        if outcome.gone:
            await self._deliveries.disable(delivery.target, now, "answered 410: gone")
        if outcome.gone or delivery.attempts >= self._rules.attempts:
            await self._bury(delivery, outcome)
            return
        seconds = max(self._backoff_seconds(delivery.attempts), outcome.retry_after_seconds)
        await self._deliveries.settle(replace(delivery, due_at_ms=now + round(seconds * 1000)))

    async def _bury(self, delivery: Delivery, outcome: Outcome) -> None:
        self._died += 1
        log.warning(
            "webhook given up", event_name=delivery.event, status=outcome.status, why=outcome.error
        )
        await self._deliveries.settle(
            replace(
                delivery,
                state="dead",
                status=outcome.status,
                error=outcome.error,
                settled_at_ms=self._clock(),
            )
        )

    def _backoff_seconds(self, attempts: int) -> float:
        rules = self._rules
        seconds = min(rules.first_seconds * rules.factor ** (attempts - 1), rules.longest_seconds)
        return seconds * random.uniform(2 / 3, 4 / 3)  # noqa: S311 - nobody's secret
