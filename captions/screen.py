"""What a viewer sees of an utterance while it is spoken: steady, never shorter without need.

A hypothesis that contradicts what is shown has to come again before the screen follows it,
the more often the more of the text is at stake; until then only what it adds behind the
place in doubt is shown. Where just the newest word is at stake, which was half heard, the
newest hypothesis is right at once. Newest words that the model itself doubts wait for the
next hypothesis. Pure.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Final

from captions.agreement import agreeing_words, aligned
from captions.types import HeardWord, join

DOUBTFUL: Final = 0.5
"""Measured: of newest words less probable than this one in five is right, else five in six."""

_SHORT: Final = 20
_LONG: Final = 40
"""Characters at stake from which on a contradiction must come a third, a fourth time."""

Words = tuple[HeardWord, ...]


class Screen:
    """The words of one utterance that are on the screen."""

    def __init__(self, look_ahead: int = 8) -> None:
        """At most `look_ahead` words are shown behind the committed ones."""
        self._look_ahead = look_ahead
        self._newest_first: list[Words] = []
        self.words: Words = ()

    def update(self, committed: Words, words: Words) -> Words:
        """Take a hypothesis, which begins with `committed`; what is to be seen now."""
        old = self.words
        if agreeing_words(committed, old) < len(committed):
            old = committed
        seen = self._steadied(old, words)
        self.words = committed + seen[len(committed) : len(committed) + self._look_ahead]
        self._newest_first = [words, *self._newest_first[:2]]
        return self.words

    @property
    def _before(self) -> Words:
        return self._newest_first[0] if self._newest_first else ()

    def _steadied(self, old: Words, words: Words) -> Words:
        same = agreeing_words(old, words)
        kept = tuple(self._form(n, old[n], words[n], newest=n == len(old) - 1) for n in range(same))
        at_stake = old[same:]
        if same == len(words):
            return kept + at_stake
        new = self._trusted(words)[same:]
        if self._times_heard(words, same) < _times_needed(at_stake):
            return kept + _continued(at_stake, new)
        return kept + (new or at_stake)

    def _form(self, n: int, old: HeardWord, new: HeardWord, *, newest: bool) -> HeardWord:
        """Capitals and marks change only where two hypotheses in a row want it.

        A mark behind the newest word is no more than the place where the audio ended.
        """
        confirmed = n < len(self._before) and self._before[n].text == new.text
        return new if newest or confirmed else old

    def _times_heard(self, words: Words, place: int) -> int:
        """How many hypotheses in a row, this one included, agree up to this place and on it."""
        agreed = takewhile(lambda before: agreeing_words(before, words) > place, self._newest_first)
        return 1 + sum(1 for _ in agreed)

    def _trusted(self, words: Words) -> Words:
        heard_before = agreeing_words(self._before, words)
        count = len(words)
        while count > heard_before and words[count - 1].confidence < DOUBTFUL:
            count -= 1
        return words[:count]


def _times_needed(at_stake: Words) -> int:
    if len(at_stake) <= 1:
        return 1
    characters = len(join(at_stake))
    return 2 + (characters > _SHORT) + (characters > _LONG)


def _continued(old: Words, new: Words) -> Words:
    """`old`, and what `new` adds behind the last words that both have in common.

    Nothing is added where they have none near the end of `old`: the place in doubt is
    then not behind us.
    """
    common = [block for block in aligned(old, new).get_matching_blocks() if block.size]
    if not common:
        return old
    end, behind = (common[-1].a + common[-1].size, common[-1].b + common[-1].size)
    added = new[behind:]
    if not added or end < len(old) - 1:
        return old
    return (*old[: end - 1], new[behind - 1], *added)
