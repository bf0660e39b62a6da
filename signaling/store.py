"""Where calls and finals are kept. One Protocol; a file each implements it.

Whatever passes `tests/signaling/store_contract.py` may stand in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from captions.types import SPOKEN, Caption
from signaling.api_keys.keys import ApiKeys
from signaling.usage.ledger import Ledger
from signaling.webhooks.delivery import Deliveries

ERASED: Final = "erased"
"""Whose the finals of people are who were erased."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call as it is remembered. Times are milliseconds since the Unix epoch."""

    call: str
    started_at_ms: int
    ended_at_ms: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParticipantRecord:
    """Somebody who was in a call. `name` is the one that captions show.

    `first_seen_ms` and `last_seen_ms` are milliseconds since the Unix epoch.
    """

    id: str
    name: str
    first_seen_ms: int
    last_seen_ms: int


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for in spoken finals; all that is set must match.

    All words of `text`; `since_ms` and `until_ms` are milliseconds since the Unix epoch;
    `cursor` is the one of the page before.
    """

    text: str = ""
    call: str | None = None
    participant: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int = 50
    cursor: int | None = None


class TranscriptStore(Protocol):
    """Keeps each final once, by (call, feed, utterance)."""

    @property
    def deliveries(self) -> Deliveries:
        """What webhooks are still to be told."""

    @property
    def ledger(self) -> Ledger:
        """How much was said; what is erased stays in it, since it holds no words."""

    @property
    def api_keys(self) -> ApiKeys:
        """By which servers are known."""

    async def save_call(self, record: CallRecord) -> None:
        """Remember a call or what changed of it."""

    async def call(self, call: str) -> CallRecord | None:
        """The call, None where it was never seen."""

    async def calls(self, limit: int = 100) -> list[CallRecord]:
        """The newest calls first."""

    async def ended_before(self, ms: int, limit: int) -> list[CallRecord]:
        """Calls that ended before `ms` since the Unix epoch, those that ended last first."""

    async def save_participants(self, call: str, participants: Sequence[ParticipantRecord]) -> None:
        """Remember who was in a call.

        Who is there already was seen from the earliest `first_seen_ms` to the latest
        `last_seen_ms`, and keeps the name of the record that was seen last.
        """

    async def participants(self, call: str) -> list[ParticipantRecord]:
        """Who was in a call, in order of `first_seen_ms`."""

    async def save_captions(self, captions: Sequence[Caption]) -> None:
        """Keep finals. One that is there already, or was erased, changes nothing."""

    async def captions(self, call: str, feed: str = SPOKEN, since: int = 0) -> list[Caption]:
        """Finals of a feed after `since`, in order of `seq`."""

    async def final(self, call: str, feed: str, utterance: str) -> Caption | None:
        """One final; None of one that is erased, or was never there."""

    async def has_all(self, call: str, numbers: Mapping[str, int]) -> bool:
        """Whether each final up to the `seq` in `numbers` (by feed) is there, or was erased."""

    async def last_seq(self, call: str) -> dict[str, int]:
        """The newest `seq` ever kept by feed, erased ones included."""

    async def erase(self, call: str, up_to: Mapping[str, int]) -> int:
        """Erase the finals and the participants of a call; how many finals there were.

        Nor do webhooks hear of them any more.

        Finals up to the `seq` in `up_to` (by feed) that a late writer still brings are
        not taken: an erasure is final.
        """

    async def attendances(self, participant: str) -> list[tuple[str, ParticipantRecord]]:
        """The calls that somebody was seen in, in order of `first_seen_ms`."""

    async def calls_of(self, participant: str) -> set[str]:
        """The calls that somebody was seen in, or has finals in."""

    async def erase_participant(self, participant: str, calls: Collection[str]) -> int:
        """Empty somebody's finals in these calls, in all feeds; how many there were.

        See `signaling.personal.emptied`. That they were there is forgotten, too.
        """

    async def expire(self, now_ms: int) -> int:
        """Delete the calls whose retention is over, with all that is kept of them; how many.

        `now_ms` is in milliseconds since the Unix epoch, `signaling.retention` has the
        rule. A call that was neither ended nor shows a sign of life (a final, somebody
        seen) for as long as it may be kept is over as well. Deliveries that were settled long
        ago go, too (`signaling.webhooks.delivery`), and old rows of the ledger.
        """

    async def search(self, search: Search) -> tuple[list[Caption], int | None]:
        """Finals that match, newest first, and the cursor of the next page."""
