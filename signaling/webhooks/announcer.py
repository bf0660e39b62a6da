"""What happens in calls, made deliveries: kept before whoever caused it goes on.

The same event has the same id, so that what is done again after a crash is told once.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog

from captions.types import Caption
from signaling.errors import told
from signaling.messages import WebhookEvent
from signaling.shared_call import now_ms
from signaling.store import CallRecord, TranscriptStore
from signaling.webhooks.delivery import Delivery, message_id
from signaling.webhooks.targets import Target, Targets

log = structlog.get_logger(__name__)

_MOST_UNKEPT: Final = 10_000
"""Ends of calls that wait for a store that is away before the oldest is forgotten."""


class Announcer:
    """`added` is called when there is something to send."""

    def __init__(
        self, store: TranscriptStore, targets: Targets, added: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._targets = targets
        self._added = added
        self._unkept: deque[list[Delivery]] = deque(maxlen=_MOST_UNKEPT)

    async def call_ended(self, record: CallRecord, epoch: int, numbers: Mapping[str, int]) -> None:
        """A call is over, of which this was the last `epoch`; nothing more is said in it.

        `numbers` are its newest `seq` by feed. While the store is away this waits in memory.
        """
        ended = {"started_at_ms": record.started_at_ms, "ended_at_ms": record.ended_at_ms}
        told: list[tuple[WebhookEvent, dict[str, Any]]] = [
            ("call.ended", ended),
            ("transcript.ready", {"numbers": dict(numbers)}),
        ]
        deliveries = [
            _delivery(target, event, record.call, about, epoch)
            for event, about in told
            for target in self._targets.of(record)
            if event in target.events
        ]
        if deliveries:
            self._unkept.append(deliveries)
            await self.keep()

    async def keep(self) -> None:
        """Keep what the store could not take before; what it still cannot waits on."""
        while self._unkept:
            deliveries = self._unkept[0]
            try:
                await self._add(deliveries)
            except Exception as error:  # whatever the store's driver raises
                log.info("ends of calls not told yet", error=told(error))
                return
            if self._unkept and self._unkept[0] is deliveries:
                self._unkept.popleft()

    async def finals_written(
        self, finals: Sequence[Caption], records: Mapping[str, CallRecord]
    ) -> None:
        """These are in the store, of calls that it knows as `records`."""
        deliveries = [
            _delivery(target, "caption.final", call, _about(final), final.feed, final.utterance)
            for call, said in _by_call(finals)
            for target in self._targets.of(records.get(call))
            if "caption.final" in target.events
            for final in said
        ]
        if deliveries:
            await self._add(deliveries)

    async def _add(self, deliveries: Sequence[Delivery]) -> None:
        gone = await self._store.deliveries.disabled({each.target for each in deliveries})
        await self._store.deliveries.add(_standing(deliveries, gone))
        self._added()


def _standing(deliveries: Sequence[Delivery], gone: Collection[str]) -> list[Delivery]:
    return [delivery for delivery in deliveries if delivery.target not in gone]


def _about(final: Caption) -> dict[str, Any]:
    return {"feed": final.feed, "utterance": final.utterance}


def _by_call(finals: Sequence[Caption]) -> Iterator[tuple[str, list[Caption]]]:
    calls: defaultdict[str, list[Caption]] = defaultdict(list)
    for final in finals:
        calls[final.call].append(final)
    yield from calls.items()


def _delivery(
    target: Target, event: WebhookEvent, call: str, about: Mapping[str, Any], *named: object
) -> Delivery:
    now = now_ms()
    return Delivery(
        id=message_id(target.id, event, call, *named),
        event=event,
        call=call,
        target=target.id,
        origin=target.origin,
        created_at_ms=now,
        due_at_ms=now,
        about=about,
    )
