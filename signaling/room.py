"""One call as this gateway has it: the newest version it knows, and its own sockets in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from captions.types import SPOKEN
from signaling.messages import Participant
from signaling.shared_call import SharedCall
from signaling.sources import shown
from signaling.store import CallRecord


@dataclass(slots=True, eq=False)
class Seat:
    """A socket in a call; a watcher's has no participant.

    `masked`: it reads without swear words, whatever the call keeps. `transcripts_from_ms`: it also
    reads `transcript`s, as older clients do, of a call that started then (Unix epoch). `taken` says
    that everybody knows of it, `offered` that its participant sent a `media:offer`.
    """

    socket: str
    call: str
    feed: str
    participant: str | None = None
    masked: bool = False
    transcripts_from_ms: int | None = None
    taken: bool = False
    offered: bool = False


@dataclass(slots=True, eq=False)
class Room:
    """`kept`: followed also without a seat here, by who created it or sends to it here."""

    shared: SharedCall
    seats: dict[str, Seat] = field(default_factory=dict)
    kept: bool = False
    taking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def call(self) -> str:
        """Its id."""
        return self.shared.call

    @property
    def participants(self) -> dict[str, Participant]:
        """Who is in the call, by id."""
        return self.shared.participants

    def seat_of(self, participant: str) -> Seat | None:
        """The socket of a participant, where it is one of this gateway's."""
        return next((s for s in self.seats.values() if s.participant == participant), None)

    @property
    def feeds(self) -> frozenset[str]:
        """What the sockets here read beside what is spoken."""
        return frozenset(seat.feed for seat in self.seats.values() if seat.taken) - {SPOKEN}

    @property
    def has_watchers(self) -> bool:
        """Whether somebody here watches without being a participant."""
        return any(seat.participant is None for seat in self.seats.values())


def call_to_wire(record: CallRecord, shared: SharedCall | None, seq: int) -> dict[str, Any]:
    """A call as `GET /api/calls/{call}` shows it; `shared` is None where it is over."""
    settings = dict(record.settings)
    return {
        "call": record.call,
        "state": shared.state if shared else "ended",
        "source": _source(settings, shared),
        "participants": (
            [who.to_outside() for who in shared.participants.values()] if shared else []
        ),
        "language": settings.get("language", "auto"),
        "seq": seq,
        "started_at": _time(record.started_at_ms),
        "ended_at": None if record.ended_at_ms is None else _time(record.ended_at_ms),
        "node": shared.node if shared else None,
    }


def _source(settings: Mapping[str, Any], shared: SharedCall | None) -> dict[str, Any]:
    if shared:
        return {**shown(shared.source), **shared.source_details}
    return dict(settings.get("source", {"kind": "direct"}))


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
