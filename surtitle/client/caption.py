"""A caption, as the public contract has it.

`captions.types.Caption` is the server's: it comes with numpy, and takes no field that it does
not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from surtitle.client.wire import known

SPOKEN: Final = "spoken"
"""The feed that has every utterance in the language it was spoken in."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a caption: milliseconds since the call started, confidence 0 to 1."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Caption:
    """One revision of one utterance in one language.

    A higher `revision` replaces the whole text of its `key`; exactly one is `final`, the highest,
    and it never changes. `stable` counts the leading characters of `text` that no later revision
    changes. `seq` numbers the finals of a call's feed from 1 without holes, and is None on
    partials. Times are milliseconds since the call started. `confidence` (0 to 1) and `words` are
    on every final in the spoken language; `source_text` is what a translation is of. `gap_ms` is
    how long, before this, the speech was not captioned because the captioner failed.
    """

    call: str
    utterance: str
    revision: int
    participant: str
    speaker: str
    language: str
    source_language: str
    text: str
    stable: int
    final: bool
    feed: str
    seq: int | None
    start_ms: int
    end_ms: int
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    gap_ms: int | None = None
    source_text: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What revisions of one caption share."""
        return (self.call, self.utterance, self.language)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Caption:
        """Of the JSON object of the contract; TypeError where that is none."""
        words = tuple(Word(**known(Word, word)) for word in wire.get("words") or ())
        return cls(**known(cls, wire) | {"words": words})
