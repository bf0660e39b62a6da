"""A participant's track as PCM: 16 kHz, mono, by RTP timestamp."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler

from captions.types import SAMPLE_RATE, PcmChunk


async def pcm_of(track: MediaStreamTrack) -> AsyncIterator[PcmChunk]:
    """Chunks until the track ends. Indices count from the track's first packet."""
    first: int | None = None
    resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    expected: int | None = None
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        if not isinstance(frame, AudioFrame) or frame.pts is None:
            continue
        if first is None:
            first = frame.pts
        if expected is not None and frame.pts != expected:
            # The resampler counts samples; over a gap its timestamps would be wrong.
            resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        expected = frame.pts + frame.samples
        start = (frame.pts - first) * SAMPLE_RATE // frame.sample_rate
        for resampled in resampler.resample(frame):
            samples = resampled.to_ndarray()[0].copy()
            if len(samples):
                yield PcmChunk(start, samples)
                start += len(samples)
