"""Noise is taken out of speech, and the speech stays where it was."""

from __future__ import annotations

import itertools

import numpy as np

from captions.noise import FRAME, NoiseReducer
from captions.types import SAMPLE_RATE, PcmChunk
from tests.recordings import our_voices


def hiss(seconds: float, loudness: float = 500.0) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, loudness, round(seconds * SAMPLE_RATE))
    return noise.astype(np.int16)


def reduced(reducer: NoiseReducer, pcm: np.ndarray, size: int, start: int = 0) -> list[PcmChunk]:
    return [
        reducer.reduce(PcmChunk(start + at, pcm[at : at + size].copy()))
        for at in range(0, len(pcm), size)
    ]


def loudness(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


def test_hiss_becomes_quieter_and_a_voice_does_not():
    noise = hiss(4.0)
    quiet = np.concatenate([c.samples for c in reduced(NoiseReducer(), noise, 320)])
    assert loudness(quiet[SAMPLE_RATE:]) < 0.7 * loudness(noise[SAMPLE_RATE:])
    voice = our_voices()[0].pcm(SAMPLE_RATE)
    heard = np.concatenate([c.samples for c in reduced(NoiseReducer(), voice, 320)])
    assert loudness(heard) > 0.7 * loudness(voice)


def test_no_sample_is_lost_or_moved_whatever_size_the_chunks_have():
    pcm = hiss(1.0)
    for size in (100, 160, 331, 1600):
        chunks = reduced(NoiseReducer(), pcm, size)
        assert all(a.end == b.start for a, b in itertools.pairwise(chunks))
        assert chunks[0].start == 0
        assert chunks[-1].end == len(pcm) // FRAME * FRAME


def test_behind_a_gap_it_begins_where_the_audio_does():
    reducer = NoiseReducer()
    reduced(reducer, hiss(0.105), 1680)
    [later] = reduced(reducer, hiss(0.1), 1600, start=48_000)
    assert (later.start, later.end) == (48_000, 49_600)
