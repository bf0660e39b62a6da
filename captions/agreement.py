"""What successive hypotheses of a growing utterance agree on (LocalAgreement-n).

Words are committed when `agreeing` successive hypotheses agree on them, less the newest
`hold_back` of those, which are often half heard. The recognizer is forced to begin with
the committed words, so what was committed stays; what is shown behind them is the screen's
to say. Pure. After Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech
Recognition and Translation by Partial Hypothesis Selection", Interspeech 2020.
"""

from __future__ import annotations

from collections import deque
from difflib import SequenceMatcher

from captions.types import HeardWord, join


def spoken_form(text: str) -> str:
    """A word without case and punctuation: what two hypotheses are compared by."""
    return "".join(c for c in text.casefold() if c.isalnum()) or text.strip()


def agreeing_words(one: tuple[HeardWord, ...], other: tuple[HeardWord, ...]) -> int:
    """How many leading words two hypotheses have in common."""
    same = 0
    for a, b in zip(one, other, strict=False):
        if spoken_form(a.text) != spoken_form(b.text):
            break
        same += 1
    return same


def aligned(one: tuple[HeardWord, ...], other: tuple[HeardWord, ...]) -> SequenceMatcher[str]:
    """Which words two texts have in common, wherever they stand."""
    a, b = ([spoken_form(word.text) for word in words] for words in (one, other))
    return SequenceMatcher(None, a, b, autojunk=False)


class Agreement:
    """The state of agreement over one utterance."""

    def __init__(self, agreeing: int = 3, hold_back: int = 2) -> None:
        self._hold_back = hold_back
        self._before: deque[tuple[HeardWord, ...]] = deque(maxlen=agreeing - 1)
        self.committed: tuple[HeardWord, ...] = ()

    @property
    def stable_text(self) -> str:
        """The text that no later hypothesis changes."""
        return join(self.committed)

    @property
    def newest(self) -> tuple[HeardWord, ...]:
        """All of the newest hypothesis that kept the stable text."""
        return self._before[-1] if self._before else ()

    def accepts(self, words: tuple[HeardWord, ...]) -> bool:
        """Whether `words` keeps the stable text."""
        return join(words).startswith(self.stable_text)

    def agreed(self, words: tuple[HeardWord, ...]) -> int:
        """How many leading words of this hypothesis would now be committed."""
        if len(self._before) < (self._before.maxlen or 0):
            return len(self.committed)
        same = min(agreeing_words(before, words) for before in self._before)
        return max(len(self.committed), same - self._hold_back)

    def update(self, words: tuple[HeardWord, ...], limit: int | None = None) -> bool:
        """Take the next hypothesis; commit at most `limit` words of it.

        False, and nothing changed, where it does not keep the stable text.
        """
        if not self.accepts(words):
            return False
        count = self.agreed(words)
        if limit is not None:
            count = max(len(self.committed), min(count, limit))
        candidate = words[:count]
        # A word may have grown since it was committed ("self" to "self-made"): then the
        # count no longer reaches as far as the stable text, and what was stable stays.
        if join(candidate).startswith(self.stable_text):
            self.committed = candidate
        self._before.append(words)
        return True
