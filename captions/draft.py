"""A revision of an utterance before it becomes a caption of a call. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from captions.types import HeardWord


@dataclass(frozen=True, slots=True)
class Draft:
    """A revision of an utterance before it becomes a caption of a call.

    `start` and `end` are sample indices of the track, the times of `words` count from
    `start`. It is not before the end of the utterance before, though the audio of this one
    may begin there. `stable` counts characters of `text`; `words` and `confidence` are
    there on finals.
    """

    utterance: str
    revision: int
    language: str
    text: str
    stable: int
    final: bool
    start: int
    end: int
    words: tuple[HeardWord, ...] = ()
    confidence: float | None = None


def placed(words: tuple[HeardWord, ...], shift: int, length: int) -> tuple[HeardWord, ...]:
    """Words with their times moved by `shift` samples and kept within `length`.

    Words without times (the last hypothesis was lost or refused) are spread by length.
    """
    if any(word.end for word in words):
        bounds = [(word.start + shift, word.end + shift) for word in words]
    else:
        ends = list(accumulate(len(word.text) for word in words))
        whole = max(ends, default=0) or 1
        bounds = list(pairwise(length * end // whole for end in (0, *ends)))
    return tuple(
        replace(word, start=min(max(start, 0), length), end=min(max(end, 0), length))
        for word, (start, end) in zip(words, bounds, strict=True)
    )
