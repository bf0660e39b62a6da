"""Somebody who goes on speaking until told to stop, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import time
from functools import cache

import av
import numpy as np

from tests.peer import FRAME, RATE, Microphone, frame_at
from tests.recordings import our_voices

_LATE_SECONDS = 0.5


@cache
def clips(speaker: str) -> tuple[np.ndarray, ...]:
    return tuple(clip.pcm() for clip in our_voices() if clip.speaker == speaker)


class Voice(Microphone):
    """A speaker's clips again and again in real time, a pause behind each.

    Like a microphone it does not catch up: what nobody took in time is gone.
    """

    def __init__(self, speaker: str, pause_seconds: float) -> None:
        super().__init__(*clips(speaker), gap_seconds=pause_seconds)
        pause = int(pause_seconds * RATE)
        behind = RATE // 2 + np.cumsum([len(clip) + pause for clip in clips(speaker)])
        self._pauses = [range(int(end) - pause, int(end)) for end in behind]
        self._sent = 0
        self._finishing = False

    def finish(self) -> None:
        """Fall silent behind the sentence that is being said; `ended` is set then."""
        self._finishing = True

    async def recv(self) -> av.AudioFrame:
        self.started = self.started or time.monotonic()
        late = time.monotonic() - self.started - self._sent / RATE
        if late > _LATE_SECONDS:
            lost = int(late * RATE) // FRAME * FRAME
            self._sent, self._at = self._sent + lost, self._at + lost
        await asyncio.sleep(max(0, -late))
        at = self._at % len(self._pcm)
        if self._finishing and any(at in pause for pause in self._pauses):
            self.ended.set()
        frame, _ = frame_at(self._pcm[:0] if self.ended.is_set() else self._pcm, at)
        frame.pts = self._sent
        self._sent, self._at = self._sent + FRAME, self._at + FRAME
        return frame
