"""faster-whisper itself on the same recordings: what live captions are compared with.

Three ways to call it. By its default (beam of 5), whose text is what the model has to give;
greedy; and greedily on the beginnings of recordings as somebody would who has no better way
to make a partial: each padded to 30 s, at no second try, which is the cheapest that a plain
call can be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel

from captions import models
from captions.cuda import load_cublas
from surtitle.settings import cache_folder
from tests.bench.figures import Reference
from tests.bench.judge import word_error_rate
from tests.recordings import Recording

RATE = 16_000
BEGINNINGS = (1 / 3, 2 / 3, 1.0)
"""Of each recording: a partial sees, on average, half of its utterance."""


def measure(model: str, device: str, recordings: Sequence[Recording]) -> Reference:
    """On one thread: what is compared is CPU, not haste, and more threads cost more of it."""
    if device == "cuda":
        load_cublas()
    whisper = WhisperModel(
        str(weights(model)),
        device=device,
        compute_type="default" if device == "cuda" else "int8",
        cpu_threads=1,
        local_files_only=True,
    )
    audio = [recording.pcm(RATE).astype(np.float32) / 32768 for recording in recordings]

    def text(samples: np.ndarray, **options: Any) -> str:
        segments, _ = whisper.transcribe(samples, language="en", **options)
        return " ".join(segment.text.strip() for segment in segments)

    def window(samples: np.ndarray) -> str:
        return text(
            samples,
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )

    window(audio[0])  # the first call makes buffers and threads
    beginnings = [clip[: int(len(clip) * share)] for clip in audio for share in BEGINNINGS]
    default, default_cpu, _ = timed(lambda: [text(clip) for clip in audio])
    greedy, greedy_cpu, _ = timed(lambda: [text(clip, beam_size=1) for clip in audio])
    _, window_cpu, window_seconds = timed(lambda: [window(clip) for clip in beginnings])
    said = " ".join(recording.text for recording in recordings)
    return Reference(
        model=model,
        speech_seconds=round(sum(len(clip) for clip in audio) / RATE, 1),
        wer=round(word_error_rate([said], [" ".join(default)]) or 0.0, 4),
        wer_greedy=round(word_error_rate([said], [" ".join(greedy)]) or 0.0, 4),
        cpu_seconds=round(default_cpu, 2),
        cpu_seconds_greedy=round(greedy_cpu, 2),
        window_cpu_seconds=round(window_cpu / len(beginnings), 4),
        window_seconds=round(window_seconds / len(beginnings), 4),
        text=" ".join(default),
    )


def weights(model: str) -> Path:
    return models.locate(model, cache_folder() / "models")


def timed(work: Callable[[], list[str]]) -> tuple[list[str], float, float]:
    """What it gave, the CPU seconds of all threads, and the seconds by the clock."""
    cpu, clock = time.process_time(), time.monotonic()
    result = work()
    return result, time.process_time() - cpu, time.monotonic() - clock
