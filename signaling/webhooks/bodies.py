"""What a delivery says, made when it is sent: text comes from the store, where erasure finds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from signaling.store import TranscriptStore
from signaling.webhooks.delivery import Delivery

LONGEST_WAIT_SECONDS: Final = 3600.0
"""How long `transcript.ready` waits for finals before it says that some are missing."""

_SHORTEST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 30.0


class Erased(Exception):
    """What it tells of is not in the store any more."""


class TooSoon(Exception):
    """It is not true yet; ask again in `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("not yet")
        self.seconds = seconds


class Bodies:
    """JSON as Standard Webhooks has it: `type`, `timestamp` of the event, `data`."""

    def __init__(self, store: TranscriptStore, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def of(self, delivery: Delivery) -> str:
        """In ASCII. Raises `Erased` or `TooSoon`."""
        match delivery.event:
            case "call.ended":
                data = _ended(delivery)
            case "transcript.ready":
                data = await self._ready(delivery)
            case "caption.final":
                data = await self._final(delivery)
        body = {
            "type": delivery.event,
            "timestamp": time_of(delivery.created_at_ms),
            "data": data,
        }
        return json.dumps(body, separators=(",", ":"))

    async def _ready(self, delivery: Delivery) -> dict[str, Any]:
        numbers: Mapping[str, int] = delivery.about["numbers"]
        complete = await self._store.has_all(delivery.call, numbers)
        waited_seconds = (self._clock() - delivery.created_at_ms) / 1000
        if not complete and waited_seconds < LONGEST_WAIT_SECONDS:
            raise TooSoon(min(max(_SHORTEST_SECONDS, waited_seconds / 2), _LONGEST_SECONDS))
        return {"call": delivery.call, "seq": dict(numbers), "complete": complete}

    async def _final(self, delivery: Delivery) -> dict[str, Any]:
        about = delivery.about
        final = await self._store.final(delivery.call, about["feed"], about["utterance"])
        if final is None:
            raise Erased
        return final.to_wire()


def _ended(delivery: Delivery) -> dict[str, Any]:
    about = delivery.about
    return {
        "call": delivery.call,
        "started_at": time_of(about["started_at_ms"]),
        "ended_at": time_of(about["ended_at_ms"]),
    }


def time_of(epoch_ms: int) -> str:
    """Milliseconds since the Unix epoch in ISO 8601."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
