"""One speaker: PCM in, windows to recognize out, hypotheses in, drafts of captions out.

Pure: no clock, no tasks. Whoever drives it (`media.speaker`) feeds chunks as they come,
hands what `due` names to the scheduler, and gives the answers back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from captions.draft import Draft
from captions.endpoint import Closed, Endpointer, EndpointRules, Opened
from captions.types import Hypothesis, PcmChunk, Samples, to_samples
from captions.utterance import SHORTEST_PARTIAL, Utterance, UtteranceRules
from captions.vad import FRAME
from captions.window import Window


class SpeechDetector(Protocol):
    """What judges frames; `captions.vad.VoiceActivity` is the real one."""

    def __call__(self, frames: Samples) -> npt.NDArray[np.float32]:
        """Probability of speech of each 32 ms frame."""

    def reset(self) -> None:
        """Forget what was heard."""


@dataclass(frozen=True, slots=True)
class CaptionerRules:
    """How a speaker's audio becomes utterances and partials.

    `beat` is the time between partials, times the captioner's `beat_factor`. After
    `settle_after` of silence one more is made at once: unless speech goes on, it becomes the
    final without another decode. A gap in the audio up to `longest_gap` is filled with
    silence, a longer one ends the utterance. All in samples.
    """

    beat: int = to_samples(0.4)
    settle_after: int = to_samples(0.2)
    longest_gap: int = to_samples(0.5)
    endpoint: EndpointRules = EndpointRules()
    utterance: UtteranceRules = UtteranceRules()


@dataclass(frozen=True, slots=True)
class Due:
    """An utterance whose turn it is: its final, or a partial of what there is.

    `known` is the answer of a final that needs no recognition.
    """

    utterance: Utterance
    final: bool
    known: Hypothesis | None = None

    def window(self) -> Window | None:
        """The newest audio of it, None where its time has passed."""
        if self.utterance.done or self.final is not self.utterance.closed:
            return None
        return self.utterance.window()


class Captioner:
    """The captions of one track, from its first sample to its last."""

    def __init__(
        self,
        detector: SpeechDetector,
        name_utterance: Callable[[], str],
        language: str | None = None,
        *,
        tentative: bool = False,
        rules: CaptionerRules | None = None,
    ) -> None:
        """`language` is a Whisper code, None to detect it for each utterance.

        `tentative` says that another model makes the finals.
        """
        self.language = language
        self.beat_factor = 1.0
        self._tentative = tentative
        self._parted: list[Due] = []  # finals of splits, due with the next audio
        self._rules = rules or CaptionerRules()
        self._detector = detector
        self._name_utterance = name_utterance
        self._endpointer = Endpointer(self._rules.endpoint)
        self._waiting: list[Samples] = []  # audio behind the last whole frame
        self._waiting_length = 0
        self._past: list[Samples] = []  # audio for the lead-in, ends at the endpointer's now
        self._past_length = 0
        self._open: Utterance | None = None
        self._next_partial = 0
        self._started = False
        self._last_language: str | None = None

    @property
    def speaking(self) -> bool:
        """Whether an utterance is open."""
        return self._open is not None

    def feed(self, chunk: PcmChunk) -> list[Due]:
        """Take the next audio; what is to be recognized now, in this order."""
        due = self._take_parted()
        if not self._started:
            self._started = True
            self._endpointer.skip(chunk.start)
        expected = self._endpointer.now + self._waiting_length
        samples = chunk.samples
        if chunk.start < expected:  # late or doubled: what was heard stays
            samples = samples[expected - chunk.start :]
        elif chunk.start - expected > self._rules.longest_gap:
            due += self.flush()
            self._go_on_at(chunk.start)
        elif chunk.start > expected:
            self._wait(np.zeros(chunk.start - expected, np.int16))
        self._wait(samples)
        return due + self._judge()

    def flush(self) -> list[Due]:
        """No more audio for now: close what is open, as when a track pauses or ends."""
        due = self._take_parted()
        closed = self._endpointer.flush()
        if closed:
            self._grow_open()
            due.append(self._close(closed))
        return due

    def heard(self, due: Due, hypothesis: Hypothesis | None) -> list[Draft]:
        """The answer to `due`; None where the recognizer could not take it."""
        drafts = self._drafts(due, hypothesis)
        if drafts:
            self._last_language = drafts[-1].language
        return drafts

    def _drafts(self, due: Due, hypothesis: Hypothesis | None) -> list[Draft]:
        utterance = due.utterance
        if due.final:
            draft = utterance.final(hypothesis)
            return [draft] if draft else []
        if hypothesis is None:
            return []
        parted = utterance.split(hypothesis, self._name_utterance)
        if parted is None:
            draft = utterance.partial(hypothesis)
            return [draft] if draft else []
        draft, follower = parted
        if self._open is utterance:
            self._open = follower
            self._endpointer.split(follower.start)
        if draft:
            return [draft]
        self._parted.append(Due(utterance, final=True))
        return []

    def _take_parted(self) -> list[Due]:
        parted, self._parted = self._parted, []
        return parted

    def _wait(self, samples: Samples) -> None:
        if len(samples):
            self._waiting.append(samples)
            self._waiting_length += len(samples)

    def _go_on_at(self, start: int) -> None:
        self._waiting, self._waiting_length = [], 0
        self._past, self._past_length = [], 0
        self._detector.reset()
        self._endpointer.skip(start)

    def _judge(self) -> list[Due]:
        count = self._waiting_length // FRAME
        if not count:
            return []
        waiting = np.concatenate(self._waiting)
        frames, rest = waiting[: count * FRAME], waiting[count * FRAME :]
        self._waiting, self._waiting_length = [rest], len(rest)
        due: list[Due] = []
        for n, probability in enumerate(self._detector(frames)):
            self._remember(frames[n * FRAME : (n + 1) * FRAME])
            event = self._endpointer.feed(float(probability))
            if isinstance(event, Opened):
                self._open_at(event.start)
            elif isinstance(event, Closed):
                self._grow_open()
                due.append(self._close(event))
        self._grow_open()
        self._forget()
        if self._open and self._partial_is_due(self._open):
            self._next_partial = self._endpointer.now + round(self._rules.beat * self.beat_factor)
            due.append(Due(self._open, final=False))
        return due

    def _partial_is_due(self, utterance: Utterance) -> bool:
        was_pausing = utterance.pausing
        utterance.pausing = self._endpointer.silent_samples >= self._rules.settle_after
        if utterance.length < SHORTEST_PARTIAL:
            return False
        if utterance.pausing:
            return not was_pausing
        return self._endpointer.now >= self._next_partial

    def _remember(self, samples: Samples) -> None:
        self._past.append(samples)
        self._past_length += len(samples)

    def _forget(self) -> None:
        """Keep only the past that a lead-in may still reach."""
        keep = self._endpointer.now - self._endpointer.lead_start
        while self._past and self._past_length - len(self._past[0]) >= keep:
            self._past_length -= len(self._past.pop(0))

    def _open_at(self, start: int) -> None:
        past = np.concatenate(self._past)
        begin = self._endpointer.now - len(past)
        self._past, self._past_length = [past[max(0, start - begin) :]], 0
        self._open = Utterance(
            self._name_utterance(),
            max(start, begin),
            language=self.language,
            expected=self._last_language,
            tentative=self._tentative,
            rules=self._rules.utterance,
        )
        self._next_partial = 0

    def _grow_open(self) -> None:
        if self._open:
            for samples in self._past:
                self._open.grow(samples)
            self._past, self._past_length = [], 0

    def _close(self, closed: Closed) -> Due:
        utterance = self._open
        if utterance is None:
            raise RuntimeError("the endpointer closed an utterance that nobody opened")
        rest = utterance.close(closed.end, closed.speech_end)
        self._open = None
        if closed.cut:
            self._open = Utterance(
                self._name_utterance(),
                closed.end,
                language=self.language or utterance.language,
                tentative=self._tentative,
                rules=self._rules.utterance,
            )
            self._open.grow(rest)
        return Due(utterance, final=True, known=utterance.settled(closed.speech_end))
