"""One call as a gateway knows it: who is in it, who watches, how it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from signaling.messages import CallRef, Participant, State
from signaling.sources import AnySource, Direct, shown
from signaling.store import CallRecord


@dataclass(slots=True)
class Seat:
    """A socket in a call; a watcher's has no participant."""

    socket: str
    call: str
    feed: str
    participant: str | None = None


@dataclass(slots=True)
class Room:
    """The state of one call. `ref` and `node` are None until it has been placed.

    `reason` says why it is not live. `created` says that its settings were chosen, by
    `POST /api/calls`. `guests` are in the call without a socket of their own: by an SFU, or by
    WHIP. `source_details` is what the node said of the source, such as the port to send to.
    """

    record: CallRecord
    ref: CallRef | None = None
    node: str | None = None
    state: State = "live"
    reason: str | None = None
    participants: dict[str, Participant] = field(default_factory=dict)
    seats: dict[str, Seat] = field(default_factory=dict)
    created: bool = False
    guests: set[str] = field(default_factory=set)
    source: AnySource = field(default_factory=Direct)
    source_details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def call(self) -> str:
        """Its id."""
        return self.record.call

    @property
    def captioning(self) -> bool:
        """Whether anybody's speech is being captioned."""
        return any(p.publishing and p.captioned for p in self.participants.values())

    @property
    def empty(self) -> bool:
        """Whether nobody is in it, watches it, or can be expected to come by its SFU."""
        return not self.seats and not self.participants and self.source.kind == "direct"

    def seat_of(self, participant: str) -> Seat | None:
        """The socket of a participant."""
        return next((s for s in self.seats.values() if s.participant == participant), None)

    def roster(self) -> list[dict[str, Any]]:
        """The participants of the public contract."""
        return [participant.to_wire() for participant in self.participants.values()]


def call_to_wire(record: CallRecord, room: Room | None, seq: int) -> dict[str, Any]:
    """A call as `GET /api/calls/{call}` shows it."""
    settings = dict(record.settings)
    return {
        "call": record.call,
        "state": room.state if room else "ended",
        "source": _source(settings, room),
        "participants": room.roster() if room else [],
        "language": settings.get("language", "auto"),
        "seq": seq,
        "started_at": _time(record.started_at_ms),
        "ended_at": None if record.ended_at_ms is None else _time(record.ended_at_ms),
        "node": room.node if room else None,
    }


def _source(settings: Mapping[str, Any], room: Room | None) -> dict[str, Any]:
    if room:
        return {**shown(room.source), **room.source_details}
    return dict(settings.get("source", {"kind": "direct"}))


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
