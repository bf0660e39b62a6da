"""One utterance: its audio, what is agreed of its text, and its revisions.

Pure: windows to recognize go out, hypotheses come in, captions come of it. An utterance
that grew long is split at a word: the words before become its final, and the next
utterance begins with the audio of the last few of them and with those words forced, so
that no word is lost or doubled at the seam.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from captions.agreement import Agreement
from captions.draft import Draft, placed
from captions.screen import Screen
from captions.seam import best_seam, overlap_start
from captions.types import (
    HeardWord,
    Hypothesis,
    Samples,
    join,
    to_samples,
)
from captions.window import Window

SHORTEST_PARTIAL: Final = to_samples(0.5)
"""Less audio than this is not worth a partial."""

SETTLING: Final = to_samples(0.16)
"""This much silence behind the speech, and a hypothesis of it is as good as the final's."""

_NO_SPEECH: Final = 0.6
_NO_SPEECH_IN_MANY_WORDS: Final = 0.4
_FEW_WORDS: Final = 3
_UNLIKELY: Final = -1.0
_SURE: Final = -0.4
_LIKELY_LANGUAGE: Final = 0.6
_SURE_LANGUAGE: Final = 0.8
"""Where nothing is expected: names sound like any language for a second or two."""
_MARKS: Final = ".,;:!?…。，、；：！？"


@dataclass(frozen=True, slots=True)
class UtteranceRules:
    """What depends on an utterance's length, in samples.

    A detected language is taken from `sure_length` on where it is likely, from
    `any_length` on in any case; before that nothing is shown. One that is not expected takes
    `switch_length`: an "ok", or a first word like one of another language, switches nothing.
    Nothing is committed before `first_commit`: the first words are often misheard until more
    of them are there.
    Without a pause it is split, from `from_length` on at the end of a sentence or clause,
    from `at_length` on between any two words; the part before keeps at least `shortest`.
    """

    from_length: int = to_samples(10)
    at_length: int = to_samples(12.5)
    shortest: int = to_samples(5)
    first_commit: int = to_samples(2.4)
    sure_length: int = to_samples(1.5)
    switch_length: int = to_samples(2.0)
    any_length: int = to_samples(3.0)


class Utterance:
    """One stretch of one speaker's speech, open or closed."""

    def __init__(
        self,
        name: str,
        start: int,
        *,
        carried: tuple[HeardWord, ...] = (),
        first: tuple[HeardWord, ...] = (),
        shown_from: int | None = None,
        language: str | None = None,
        expected: str | None = None,
        tentative: bool = False,
        rules: UtteranceRules | None = None,
    ) -> None:
        """Open at sample `start`.

        `carried` are words before a split, heard again but not shown; `first` what was
        already heard behind them; `shown_from` the sample where those begin; `language` a
        Whisper code once it is known, `expected` the one that is likely. `tentative` says
        that another model makes the final: then nothing of a partial is promised.
        """
        self.name = name
        self.start = start
        self._shown_from = start if shown_from is None else shown_from
        self.language = language
        self._expected = expected
        self._tentative = tentative
        self._rules = rules or UtteranceRules()
        self._carried = carried
        self._agreement = Agreement()
        self._screen = Screen()
        if first:
            self._agreement.update(first)
        self._parts: list[Samples] = []
        self._length = 0
        self._revision = 0
        self._shown: str | None = None
        self._shown_stable = 0
        self._speech_end: int | None = None
        self._asked_until = start
        self._newest: tuple[int, Hypothesis | None] = (start, None)
        self.pausing = False
        self.done = False

    @property
    def end(self) -> int:
        """The sample up to which audio is there."""
        return self.start + self._length

    @property
    def length(self) -> int:
        """Samples of audio."""
        return self._length

    @property
    def _heard_length(self) -> int:
        """Samples that the newest hypothesis is of: it may have been long under way."""
        return self._asked_until - self.start

    @property
    def closed(self) -> bool:
        """Whether all of its audio is there."""
        return self._speech_end is not None

    @property
    def samples(self) -> Samples:
        """All of its audio so far, int16, shape (length,)."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0] if self._parts else np.zeros(0, np.int16)

    def grow(self, samples: Samples) -> None:
        """Append audio that follows what is there."""
        if self.closed:
            raise ValueError("the utterance is closed")
        if len(samples):
            self._parts.append(samples)
            self._length += len(samples)

    def close(self, end: int, speech_end: int) -> Samples:
        """All audio is there; returns what was behind sample `end`."""
        samples = self.samples
        keep = max(0, end - self.start)
        self._parts = [samples[:keep]]
        self._length = len(self._parts[0])
        self._speech_end = min(speech_end, self.end)
        return samples[keep:]

    def settled(self, speech_end: int) -> Hypothesis | None:
        """The newest hypothesis, where it is sure and heard all of the speech."""
        heard_until, hypothesis = self._newest
        if self._tentative or hypothesis is None or heard_until < speech_end + SETTLING:
            return None
        if not self._knows_language(hypothesis):
            return None
        return hypothesis if hypothesis.log_probability >= _SURE else None

    def window(self) -> Window:
        """What to recognize now: all audio there is, the agreed words forced."""
        self._asked_until = self.end
        forced = self._carried + self._agreement.committed
        language = self.language
        if self.closed and self._length < self._rules.switch_length:
            language = language or self._expected
        return Window(
            samples=self.samples,
            language=language,
            expected=self._expected,
            prefix=tuple(word.tokens for word in forced),
            shown=self._carried + self._screen.words,
            timed=self.closed or self.pausing or self._length >= self._rules.from_length,
            final=self.closed,
        )

    def partial(self, hypothesis: Hypothesis) -> Draft | None:
        """Take a hypothesis of the open utterance; None where nothing new is to be shown."""
        if hypothesis.timed:
            self._newest = (self._asked_until, hypothesis)
        words = self._behind_carried(hypothesis)
        # Once closed, the hypothesis may be of audio that a cut gave to the next utterance.
        if self.closed or words is None or nothing_said(hypothesis):
            return None
        if not self._knows_language(hypothesis):
            return None
        young = self._heard_length < self._rules.first_commit
        if not self._agreement.update(words, limit=0 if young else None):
            return None
        stable = len(self._agreement.stable_text)
        shown = join(self._screen.update(self._agreement.committed, words))
        # A mark behind the newest word only says where the audio ended; it would flicker.
        shown = shown[:stable] + shown[stable:].rstrip(_MARKS)
        if not shown or (shown == self._shown and stable == self._shown_stable):
            return None
        self._adopt(hypothesis)
        return self._draft(shown, stable, self.end)

    def final(self, hypothesis: Hypothesis | None) -> Draft | None:
        """Take the last hypothesis; None where nothing was said and nothing was shown.

        Without a hypothesis (none could be made) the final is what was heard before, which
        may be more than was shown.
        """
        if self.done:
            return None
        words = self._agreement.newest
        if hypothesis is not None:
            heard = self._behind_carried(hypothesis)
            if nothing_said(hypothesis):
                words = self._agreement.committed
            elif self._tentative:
                words = self._behind_seam(hypothesis) if heard is None else heard
            elif heard is not None and self._agreement.accepts(heard):
                words = heard
            self._adopt(hypothesis)
        return self._finish(words, self.end if self._speech_end is None else self._speech_end)

    def split(
        self, hypothesis: Hypothesis, name_utterance: Callable[[], str]
    ) -> tuple[Draft | None, Utterance] | None:
        """Part a long utterance in two at a word that is agreed on, if it is time.

        To be asked before `partial`, with a timed hypothesis. The draft is this
        utterance's final, None where another model is to make it; the new utterance goes on
        with the audio behind it.
        """
        words = self._behind_carried(hypothesis)
        if self.closed or not hypothesis.timed or words is None or nothing_said(hypothesis):
            return None
        if self._length < self._rules.from_length or not self._agreement.accepts(words):
            return None
        at = self._seam(words)
        if at is None:
            return None
        overlap = overlap_start(words, at)
        samples = self.samples
        seam = (words[at - 1].end + words[at].start) // 2
        begin = min(words[overlap].start, seam)
        follower = Utterance(
            name_utterance(),
            self.start + begin,
            carried=words[overlap:at],
            first=tuple(
                replace(word, start=max(0, word.start - begin), end=max(0, word.end - begin))
                for word in words[at:]
            ),
            shown_from=self.start + seam,
            language=self.language or hypothesis.language,
            tentative=self._tentative,
            rules=self._rules,
        )
        follower.grow(samples[begin:])
        self.close(self.start + seam, self.start + seam)
        self._adopt(hypothesis)
        if self._tentative:
            return None, follower
        draft = self._finish(words[:at], self.start + seam)
        if draft is None:
            raise RuntimeError("a split at a word made an empty final")
        return draft, follower

    def _seam(self, words: tuple[HeardWord, ...]) -> int | None:
        """The number of words before the best place to split, None where there is none yet."""
        rules = self._rules
        agreed = min(self._agreement.agreed(words), len(words) - 1)
        committed = len(self._agreement.committed)
        places = [
            n
            for n in range(max(1, committed), agreed + 1)
            if words[n - 1].end >= rules.shortest
            and join(words[:n]).startswith(self._agreement.stable_text)
            and join(words[:n])
        ]
        return best_seam(words, places, forced=self._length >= rules.at_length)

    def _behind_carried(self, hypothesis: Hypothesis) -> tuple[HeardWord, ...] | None:
        count = len(self._carried)
        # Punctuation may have been added to the last carried word; words may not.
        if not join(hypothesis.words[:count]).startswith(join(self._carried)):
            return None
        return hypothesis.words[count:]

    def _behind_seam(self, hypothesis: Hypothesis) -> tuple[HeardWord, ...]:
        """Words of another model, which was not forced to begin with the carried ones."""
        seam = self._shown_from - self.start
        return tuple(word for word in hypothesis.words if (word.start + word.end) // 2 >= seam)

    def _knows_language(self, hypothesis: Hypothesis) -> bool:
        """Whether a caption may be shown: its language is part of its key and stays."""
        if self.language is not None or hypothesis.language == self._expected:
            return True
        least = _LIKELY_LANGUAGE if self._expected else _SURE_LANGUAGE
        sure = hypothesis.language_confidence >= least
        rules = self._rules
        if not sure:
            return self._heard_length >= rules.any_length
        enough = rules.switch_length if self._expected else rules.sure_length
        return self._heard_length >= enough

    def _adopt(self, hypothesis: Hypothesis) -> None:
        if self.language is None:
            self.language = hypothesis.language

    def _finish(self, words: tuple[HeardWord, ...], end: int) -> Draft | None:
        self.done = True
        text = join(words)
        if not text and self._shown is None:
            return None
        confidence = float(np.mean([word.confidence for word in words])) if words else 0.0
        return self._draft(text, len(text), end, words, round(confidence, 3))

    def _draft(
        self,
        text: str,
        stable: int,
        end: int,
        words: tuple[HeardWord, ...] = (),
        confidence: float | None = None,
    ) -> Draft:
        self._revision += 1
        self._shown, self._shown_stable = text, stable
        start = self._shown_from
        end = max(start, end)
        return Draft(
            utterance=self.name,
            revision=self._revision,
            language=self.language or "en",
            text=text,
            stable=0 if self._tentative and not self.done else stable,
            final=self.done,
            start=start,
            end=end,
            words=placed(words, self.start - start, end - start),
            confidence=confidence,
        )


def nothing_said(hypothesis: Hypothesis) -> bool:
    """Whether the decoder itself doubts that anybody spoke (Whisper's two gates).

    A few words may be hard to hear and said all the same. Many of them that are unlikely are made
    up: of real speech none had a `no_speech` above 0.22, of babble 0.5.
    """
    limit = _NO_SPEECH if len(hypothesis.words) <= _FEW_WORDS else _NO_SPEECH_IN_MANY_WORDS
    return hypothesis.no_speech > limit and hypothesis.log_probability < _UNLIKELY
