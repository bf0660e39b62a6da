"""A row for each final: whose, when and how long, and nothing of what was said.

Whatever passes `tests/signaling/usage_contract.py` may stand in as `Ledger`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

KEPT_MS: Final = 400 * 86_400_000
"""How long rows are kept: a year, and time to look back on it."""

Grouping = Literal["day", "tenant", "call"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One final, by (call, feed, utterance); `feed` is a language where it is a translation.

    `tenant` is empty where nobody's token names one. `speech_ms` counts for what was spoken only;
    `said_at_ms` is when that began, in milliseconds since the Unix epoch.
    """

    call: str
    feed: str
    utterance: str
    tenant: str
    said_at_ms: int
    speech_ms: int


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which rows to add up; all that is set must match. `by` what, None for one sum of all.

    Milliseconds since the Unix epoch, `until_ms` excluded. `limit` of sums.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    tenant: str | None = None
    call: str | None = None
    by: Grouping | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Usage:
    """A sum. `key` is the day (UTC, `2026-11-28`), tenant or call, empty for one of all.

    `captions` were spoken; `translated` counts translations by language.
    """

    key: str = ""
    speech_ms: int = 0
    captions: int = 0
    translated: Mapping[str, int] = field(default_factory=dict)


class Ledger(Protocol):
    """Rows of all gateways."""

    async def record(self, entries: Sequence[Entry]) -> None:
        """Keep them; of one that is there already the first stands."""

    async def usage(self, query: UsageQuery) -> list[Usage]:
        """The sums in order of `key`, at most `limit` of them; none of nothing."""


Part = tuple[str, str, int, int]
"""Key, feed, milliseconds and number of the rows of one feed."""


def summed(parts: Sequence[Part], spoken: str) -> list[Usage]:
    """The sums of these, in order of key; `spoken` is the feed of what was said."""
    sums: dict[str, Usage] = {}
    for key, feed, speech_ms, number in sorted(parts):
        before = sums.get(key, Usage(key))
        if feed == spoken:
            sums[key] = Usage(
                key, before.speech_ms + speech_ms, before.captions + number, before.translated
            )
        else:
            translated = {**before.translated, feed: before.translated.get(feed, 0) + number}
            sums[key] = Usage(key, before.speech_ms, before.captions, translated)
    return list(sums.values())
