"""Steady noise taken out of speech, by WebRTC's own suppressor (libwebrtc's `ns`)."""

from __future__ import annotations

from typing import Final

import numpy as np
import webrtc_noise_gain

from captions.types import SAMPLE_RATE, PcmChunk, Samples

FRAME: Final = SAMPLE_RATE // 100
"""10 ms, what the suppressor works on."""

LEVEL: Final = 1
"""Of 4. More of it takes words with it (docs/benchmarks.md)."""


class NoiseReducer:
    """One track's. What is not a whole frame yet waits for the next chunk, up to 10 ms."""

    def __init__(self, level: int = LEVEL) -> None:
        """`level` 1 to 4, mild to strong."""
        self._processor = webrtc_noise_gain.AudioProcessor(0, level)
        self._waiting = np.zeros(0, np.int16)
        self._end: int | None = None  # of the audio taken

    def reduce(self, chunk: PcmChunk) -> PcmChunk:
        """The chunk without noise, possibly empty; its time is that of its first sample.

        Behind a gap it begins anew, and what waited is gone with it.
        """
        if chunk.start != self._end:
            self._waiting = np.zeros(0, np.int16)
        self._end = chunk.end
        start = chunk.start - len(self._waiting)
        samples = np.concatenate([self._waiting, chunk.samples])
        whole = len(samples) // FRAME * FRAME
        self._waiting = samples[whole:]
        return PcmChunk(start, self._reduced(samples[:whole]))

    def _reduced(self, samples: Samples) -> Samples:
        frames = [
            self._processor.Process10ms(samples[at : at + FRAME].tobytes()).audio
            for at in range(0, len(samples), FRAME)
        ]
        return np.frombuffer(b"".join(frames), np.int16).copy()
