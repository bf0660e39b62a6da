"""`CallSource`, the one door for SFUs: whatever a call's audio comes through.

A source says who is in the call and gives their tracks; it knows nothing of captions, rooms
or the bus. `docs/adding-an-sfu.md` is the guide; `tests/media/source_contract.py` is what
every source passes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from captions.types import Caption
from media.track import Track

_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_LONGEST_NAME: Final = 128


@dataclass(frozen=True, slots=True)
class Connected:
    """The source is in the call; the first event. `details` is for who created the call."""

    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody is in the call; told again where their name changes.

    `participant` and `name` are as `participant_id` and `display_name` make them. `language`
    is a BCP 47 tag, None for the call's own.
    """

    participant: str
    name: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """Somebody is no longer in the call; all their tracks have ended."""

    participant: str


@dataclass(frozen=True, slots=True)
class TrackStarted:
    """A participant's audio begins to arrive."""

    participant: str
    track: Track


@dataclass(frozen=True, slots=True)
class TrackEnded:
    """The participant's audio will not go on: closed, left, or their connection died."""

    participant: str
    track: Track


@dataclass(frozen=True, slots=True)
class Lost:
    """The way to the SFU is lost and the source tries to find it again.

    What participants and tracks there are remains to be told: they may still be there, or
    have ended or left, once it has `Recovered`. `reason` is for people.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """The source is in the call again; behind it comes what has changed meanwhile."""


SourceEvent = Connected | Joined | Left | TrackStarted | TrackEnded | Lost | Recovered

Tell = Callable[[SourceEvent], None]
"""Takes an event at once, without waiting; never raises."""


class CallSource(Protocol):
    """One call's audio. Used once: `run`, at some time `close`."""

    async def run(self, tell: Tell) -> None:
        """Be in the call until `close`, or until it is over there.

        Tells `Connected` first. `Joined` comes before a participant's first `TrackStarted`;
        each `TrackStarted` has its `TrackEnded`, then each `Joined` its `Left`, however this
        ends. A lost connection is the source's own to mend, with growing pauses. Raises
        `ContractError` where the call cannot be joined (`unavailable` where trying again
        later may help), or is refused for good after a loss.
        """

    async def send(self, caption: Caption) -> None:
        """Carry a caption to the SFU's participants, where it can and is asked to.

        May wait; partials that come meanwhile are replaced by newer ones.
        """

    async def close(self) -> None:
        """Leave the call; `run` returns. Idempotent."""


def participant_id(raw: str) -> str:
    """An SFU's id for somebody as an identifier of the contract: the same, or a hash of it."""
    if _ID.fullmatch(raw):
        return raw
    return f"x-{hashlib.sha256(raw.encode(errors='replace')).hexdigest()[:24]}"


def display_name(raw: object, fallback: str) -> str:
    """A name that an SFU gives, as it can be shown: one line, without control characters."""
    text = raw if isinstance(raw, str) else ""
    kept = "".join(
        " " if char.isspace() else char
        for char in text[: 8 * _LONGEST_NAME]
        if char.isspace() or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    return " ".join(kept.split())[:_LONGEST_NAME].strip() or fallback
