"""A track's own time: RTP timestamps (RFC 3550, 5.1) to sample indices at 16 kHz.

Within one run of the sender's clock the timestamp alone counts, so that loss, mute and
discontinuous transmission leave gaps of their true length. Where the clock starts anew
(another SSRC, a jump) the time of arrival says how long nothing came.
"""

from __future__ import annotations

from typing import Final

from captions.types import SAMPLE_RATE
from media.reorder import signed
from signaling.opus_packet import RTP_CLOCK_RATE

TICKS: Final = RTP_CLOCK_RATE // SAMPLE_RATE
"""RTP ticks of one sample."""

MOST_AHEAD_SECONDS: Final = 5.0
"""Steps of the clock that are longer than the wait for them by more than this are a jump."""

FASTEST: Final = 1.001
"""So many seconds of a sender's clock in one of ours are drift; RFC 3550 expects far less."""

SHORTEST_GAP: Final = SAMPLE_RATE // 10
"""Where a clock starts anew, arrivals closer than this are jitter: no gap is made of it."""


class TrackClock:
    """Places packets, handed over in order, on the track's time. It never goes back."""

    def __init__(self) -> None:
        self._anew = True
        self._timestamp: int | None = None  # of the packet before, as is and unwrapped
        self._unwrapped = 0
        self._zero = 0  # the unwrapped timestamp of sample 0
        self._start = 0
        self._arrival_seconds = 0.0
        self._ahead_seconds = 0.0

    def restart(self) -> None:
        """The next timestamp has nothing to do with those before."""
        self._anew = True

    def place(self, timestamp: int, arrival_seconds: float, end: int) -> int:
        """Index of the packet's first sample, not before `end` of what there is."""
        if self._timestamp is None:
            self._zero = self._unwrapped = timestamp
            start = 0
        else:
            step = signed(timestamp - self._timestamp, 32)
            waited = max(0.0, arrival_seconds - self._arrival_seconds)
            self._unwrapped += step
            start = (self._unwrapped - self._zero) // TICKS
            earned = self._ahead_seconds - waited * FASTEST
            ahead_seconds = max(0.0, earned + step / RTP_CLOCK_RATE)
            ahead = ahead_seconds > MOST_AHEAD_SECONDS
            self._ahead_seconds = max(0.0, earned) if ahead else ahead_seconds
            if self._anew or ahead or start < end:
                by_arrival = self._start + int(waited * SAMPLE_RATE)
                start = by_arrival if by_arrival - end > SHORTEST_GAP else end
                self._zero = self._unwrapped - start * TICKS
        self._anew = False
        self._timestamp = timestamp
        self._start = start
        self._arrival_seconds = arrival_seconds
        return start


class Pace:
    """Bounds how much audio is taken in how much time, whatever its timestamps say."""

    def __init__(self, most_ahead_seconds: float) -> None:
        """So much may come at once, as behind a stall of the network."""
        self._most_ahead_seconds = most_ahead_seconds
        self._ahead_seconds = 0.0
        self._arrival_seconds: float | None = None

    def takes(self, seconds: float, arrival_seconds: float) -> bool:
        """Whether there has been time for this much more audio."""
        if self._arrival_seconds is not None:
            waited = max(0.0, arrival_seconds - self._arrival_seconds)
            self._ahead_seconds = max(0.0, self._ahead_seconds - waited * FASTEST)
        self._arrival_seconds = arrival_seconds
        if self._ahead_seconds + seconds > self._most_ahead_seconds:
            return False
        self._ahead_seconds += seconds
        return True
