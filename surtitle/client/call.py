"""A call, who is in it, and how it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from surtitle.client.wire import known

State = Literal["live", "degraded", "recovering", "ended"]
Profanity = Literal["keep", "mask"]


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in a call. `publishing`: their audio arrives at the captioner."""

    id: str
    name: str
    language: str
    captioned: bool
    publishing: bool


@dataclass(frozen=True, slots=True)
class CallState:
    """How a call is. `captioning`: somebody's speech is being captioned, so people are told."""

    state: State
    captioning: bool
    reason: str | None = None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> CallState:
        """Of `call:state`, or of an acknowledgement that has its fields."""
        return cls(**known(cls, wire))


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it is, or was.

    `source` is where its audio comes from: what `create` was given, less its secrets, and of an
    RTP source the `address` and `port` to send to. `seq` is that of the newest final of the spoken
    feed; `node` is None while no media node has the call.
    """

    call: str
    state: State
    source: Mapping[str, Any]
    participants: tuple[Participant, ...]
    language: str
    seq: int
    started_at: datetime
    ended_at: datetime | None
    node: str | None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Call:
        """Of the JSON object of the contract; TypeError or ValueError where that is none."""
        ended_at = wire["ended_at"]
        special = {
            "participants": tuple(
                Participant(**known(Participant, who)) for who in wire["participants"]
            ),
            "started_at": datetime.fromisoformat(wire["started_at"]),
            "ended_at": datetime.fromisoformat(ended_at) if ended_at else None,
        }
        return cls(**known(cls, wire) | special)
