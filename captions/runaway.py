"""Tell text that ran away from the audio: repetitions and words nobody had time to say.

Whisper repeats itself over windows shorter than it was trained on. Pure functions.
"""

from __future__ import annotations

import zlib
from typing import Final

from captions.agreement import spoken_form
from captions.types import SAMPLE_RATE, HeardWord, join

MOST_COMPRESSIBLE: Final = 2.4
"""Whisper's own threshold of the ratio of text to zlib-compressed text."""

WORDS_PER_SECOND: Final = 7.0
"""More than the fastest sustained speech has; a margin for short windows is added."""

_LONGEST_PHRASE: Final = 12
_SUSPICIOUS_TWICE: Final = 5


def first_loop(words: tuple[HeardWord, ...]) -> int | None:
    """Where a phrase begins to repeat itself, or None.

    A phrase of up to three words counts as a loop from its fourth time in a row, a
    longer one from its third: people do say "no, no, no". The index returned is behind
    the phrase's first time.
    """
    said = [spoken_form(word.text) for word in words]
    for length in range(1, min(_LONGEST_PHRASE, len(said) // 3) + 1):
        times_needed = 4 if length <= 3 else 3
        for start in range(len(said) - length * times_needed + 1):
            phrase = said[start : start + length]
            times = 1
            while said[start + times * length : start + (times + 1) * length] == phrase:
                times += 1
            if times >= times_needed:
                return start + length
    return None


def said_twice(words: tuple[HeardWord, ...]) -> bool:
    """Whether a phrase of five words or more comes twice in a row.

    People rarely do that, and the short window does: worth another look, not a cut.
    """
    said = [spoken_form(word.text) for word in words]
    return any(
        said[start : start + length] == said[start + length : start + 2 * length]
        for length in range(_SUSPICIOUS_TWICE, len(said) // 2 + 1)
        for start in range(len(said) - 2 * length + 1)
    )


def ran_away(words: tuple[HeardWord, ...], samples: int) -> bool:
    """Whether these words are hardly what was said in `samples` of audio."""
    text = join(words)
    if len(words) > WORDS_PER_SECOND * samples / SAMPLE_RATE + 4 and " " in text:
        return True
    raw = text.encode()
    if len(raw) > 40 and len(raw) / len(zlib.compress(raw)) > MOST_COMPRESSIBLE:
        return True
    return first_loop(words) is not None or said_twice(words)


def cut_loop(words: tuple[HeardWord, ...], keep: int) -> tuple[HeardWord, ...]:
    """The words up to the end of a loop's first time, but never fewer than `keep`."""
    loop = first_loop(words)
    return words if loop is None else words[: max(loop, keep)]
