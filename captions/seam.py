"""Where long speech is parted, and how much of it is heard again behind that place. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from captions.types import SAMPLE_RATE, HeardWord, to_samples

_ENDS_SENTENCE: Final = tuple(".?!。？！")
_ENDS_CLAUSE: Final = tuple(",;:、，；：")
_NATURAL: Final = 0.3
_OVERLAP_WORDS: Final = 3
_OVERLAP_LONGEST: Final = to_samples(3)


def best_seam(words: tuple[HeardWord, ...], places: Sequence[int], *, forced: bool) -> int | None:
    """The most natural of `places`, each a number of words before it.

    None where none is natural enough, unless it is `forced`, or where there is none.
    """
    best = max(places, key=lambda place: _naturalness(words, place), default=None)
    if best is None or forced or _naturalness(words, best) >= _NATURAL:
        return best
    return None


def overlap_start(words: tuple[HeardWord, ...], seam: int) -> int:
    """The first of the few words before the seam that are heard again behind it."""
    start = seam
    while (
        start > 0
        and seam - start < _OVERLAP_WORDS
        and words[seam - 1].end - words[start - 1].start < _OVERLAP_LONGEST
    ):
        start -= 1
    return start


def _naturalness(words: tuple[HeardWord, ...], place: int) -> float:
    """Seconds of pause, and as much as a mark is worth."""
    gap = (words[place].start - words[place - 1].end) / SAMPLE_RATE
    text = words[place - 1].text
    if text.endswith(_ENDS_SENTENCE):
        return gap + 2.0
    return gap + 0.8 if text.endswith(_ENDS_CLAUSE) else gap
