"""Where calls and finals are kept. One Protocol; a file each implements it.

Whatever passes `tests/signaling/store_contract.py` may stand in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from captions.types import SPOKEN, Caption


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call as it is remembered. Times are milliseconds since the Unix epoch."""

    call: str
    started_at_ms: int
    ended_at_ms: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


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

    async def save_call(self, record: CallRecord) -> None:
        """Remember a call or what changed of it."""

    async def call(self, call: str) -> CallRecord | None:
        """The call, None where it was never seen."""

    async def calls(self, limit: int = 100) -> list[CallRecord]:
        """The newest calls first."""

    async def save_captions(self, captions: Sequence[Caption]) -> None:
        """Keep finals. One that is there already, or was erased, changes nothing."""

    async def captions(self, call: str, feed: str = SPOKEN, since: int = 0) -> list[Caption]:
        """Finals of a feed after `since`, in order of `seq`."""

    async def last_seq(self, call: str) -> dict[str, int]:
        """The newest `seq` ever kept by feed, erased ones included."""

    async def erase(self, call: str, up_to: Mapping[str, int]) -> int:
        """Erase the finals of a call; how many there were.

        Finals up to the `seq` in `up_to` (by feed) that a late writer still brings are
        not taken: an erasure is final.
        """

    async def search(self, search: Search) -> tuple[list[Caption], int | None]:
        """Finals that match, newest first, and the cursor of the next page."""
