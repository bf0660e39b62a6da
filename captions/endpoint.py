"""Where speech begins and ends: a pure state machine over probabilities of speech.

An utterance opens when a few frames in a short run are likely speech, and reaches back
by a lead-in so that the first word is whole. It closes after a pause; the longer it has
grown, the shorter a pause will do, so that long speech parts where the speaker breathes.
A stretch without any pause is cut at its least speech-like place once it reaches
`longest_frames`; the captioner splits at a word boundary well before that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from captions.vad import FRAME


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """All lengths are frames of 32 ms, all thresholds probabilities of speech.

    At `longest_frames` a gap of `gap_frames` will do for a pause; it is longer than any
    closure within a word. Without one, the cut falls into the last `cut_window_frames`.
    """

    open_at: float = 0.45
    close_below: float = 0.3
    onset_frames: int = 3
    onset_window: int = 6
    lead_in_frames: int = 14
    pause_frames: int = 18
    long_frames: int = 250
    long_pause_frames: int = 9
    longest_frames: int = 560
    cut_window_frames: int = 90
    gap_frames: int = 4

    def pause_after(self, frames: int) -> int:
        """How long a pause ends an utterance that is `frames` long."""
        return self.pause_frames if frames < self.long_frames else self.long_pause_frames


@dataclass(frozen=True, slots=True)
class Opened:
    """Speech began; the utterance starts at this sample, lead-in included."""

    start: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Speech ended: the utterance ends before sample `end`.

    `speech_end` is the last sample that was likely speech. `cut` says that there was no
    pause: speech goes on, and the next utterance opens at `end` without a lead-in.
    """

    end: int
    speech_end: int
    cut: bool = False


class Endpointer:
    """Opens and closes utterances of one track, fed frame after frame."""

    def __init__(self, rules: EndpointRules | None = None, start: int = 0) -> None:
        self.rules = rules or EndpointRules()
        self._now = start
        self._earliest = start
        self._onset: deque[bool] = deque(maxlen=self.rules.onset_window)
        self._opened_at: int | None = None
        self._speech_end = start
        self._since_open: list[float] = []

    @property
    def now(self) -> int:
        """The sample up to which frames have been fed."""
        return self._now

    @property
    def is_open(self) -> bool:
        """Whether an utterance is open."""
        return self._opened_at is not None

    @property
    def silent_samples(self) -> int:
        """Samples since the last frame that was likely speech."""
        return self._now - self._speech_end

    @property
    def lead_start(self) -> int:
        """The sample before which audio will never be asked for while nothing is open."""
        reach = (self.rules.lead_in_frames + self.rules.onset_window) * FRAME
        return max(self._earliest, self._now - reach)

    def feed(self, probability: float) -> Opened | Closed | None:
        """Judge the next frame."""
        self._now += FRAME
        if self._opened_at is None:
            return self._while_silent(probability)
        return self._while_open(probability)

    def flush(self) -> Closed | None:
        """Close what is open, as when a track ends or pauses."""
        if self._opened_at is None:
            return None
        return self._close(self._now)

    def split(self, at: int) -> None:
        """Let the open utterance begin anew at sample `at`: what was before is done with."""
        if self._opened_at is None:
            raise ValueError("nothing is open")
        self._since_open = self._since_open[max(0, at - self._opened_at) // FRAME :]
        self._opened_at = self._earliest = at

    def skip(self, now: int) -> None:
        """Go on at sample `now` after a gap; only while nothing is open."""
        if self._opened_at is not None:
            raise ValueError("flush first: an utterance is open")
        self._now = self._earliest = self._speech_end = now
        self._onset.clear()

    def _while_silent(self, probability: float) -> Opened | None:
        rules = self.rules
        self._onset.append(probability >= rules.open_at)
        if sum(self._onset) < rules.onset_frames:
            return None
        first = self._now - (len(self._onset) - list(self._onset).index(True)) * FRAME
        self._opened_at = max(self._earliest, first - rules.lead_in_frames * FRAME)
        self._since_open = [1.0] * ((self._now - self._opened_at) // FRAME)
        self._speech_end = self._now
        return Opened(self._opened_at)

    def _while_open(self, probability: float) -> Closed | None:
        rules = self.rules
        self._since_open.append(probability)
        if probability >= rules.close_below:
            self._speech_end = self._now
        if self.silent_samples >= rules.pause_after(len(self._since_open)) * FRAME:
            return self._close(self._now)
        if len(self._since_open) >= rules.longest_frames:
            return self._cut()
        return None

    def _close(self, end: int) -> Closed:
        # Behind a cut or a split there may have been no speech at all.
        closed = Closed(end, min(max(self._speech_end, self._opened_at or 0), end))
        self._opened_at = None
        self._since_open = []
        self._onset.clear()
        self._earliest = end
        return closed

    def _cut(self) -> Closed:
        if self.silent_samples >= self.rules.gap_frames * FRAME:
            return self._close(self._now)  # between two words: nothing goes on behind a cut
        recent = self._since_open[-self.rules.cut_window_frames :]
        quietest = min(range(1, len(recent)), key=lambda n: (recent[n], -n))
        end = self._now - (len(recent) - quietest) * FRAME
        self._since_open = recent[quietest:]
        self._opened_at = self._earliest = end
        return Closed(end, end, cut=True)
