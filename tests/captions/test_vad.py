"""What Silero takes for speech, over real voices and what is none."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from captions.endpoint import EndpointRules
from captions.types import Samples, to_samples
from captions.vad import FRAME, VoiceActivity
from tests.recordings import ROOT

RULES = EndpointRules()


def whole_frames(samples: Samples) -> Samples:
    return samples[: len(samples) // FRAME * FRAME]


def test_most_of_a_recording_of_speech_is_likely_speech(recording: Any):
    probabilities = VoiceActivity()(whole_frames(recording.samples))
    assert np.mean(probabilities >= RULES.open_at) > 0.5


def test_every_word_of_a_recording_lies_where_speech_is_likely(recording: Any):
    """Half a second around a word's end there is speech, whatever pauses there are."""
    probabilities = VoiceActivity()(whole_frames(recording.samples))
    for end in recording.word_ends:
        at = to_samples(end) // FRAME
        assert probabilities[max(0, at - 12) : at + 4].max() >= RULES.open_at


@pytest.mark.parametrize("kind", ["silence", "hiss", "loud noise", "tone", "clicks"])
def test_what_is_not_speech_opens_nothing(kind: str):
    random = np.random.default_rng(1)
    time = np.arange(to_samples(10))
    samples = {
        "silence": np.zeros(len(time)),
        "hiss": random.standard_normal(len(time)) * 50,
        "loud noise": random.standard_normal(len(time)) * 3000,
        "tone": np.sin(time * 2 * np.pi * 440 / 16_000) * 8000,
        "clicks": np.where(time % 8000 < 40, 12_000, 0),
    }[kind].astype(np.int16)
    assert VoiceActivity()(whole_frames(samples)).max() < RULES.open_at


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_the_pieces_that_audio_comes_in_make_no_difference(voices: dict[str, Any], frames: int):
    samples = whole_frames(voices["joe-1"].samples)
    pieces = VoiceActivity()
    heard = [
        pieces(samples[n : n + frames * FRAME]) for n in range(0, len(samples), frames * FRAME)
    ]
    np.testing.assert_allclose(np.concatenate(heard), VoiceActivity()(samples), atol=1e-4)


def test_after_a_reset_nothing_is_remembered(voices: dict[str, Any]):
    samples = whole_frames(voices["ada-1"].samples)
    detector = VoiceActivity()
    first = detector(samples)
    detector.reset()
    np.testing.assert_array_equal(detector(samples), first)


def test_two_tracks_do_not_hear_each_other(voices: dict[str, Any]):
    joe, ada = (whole_frames(voices[name].samples)[: 100 * FRAME] for name in ("joe-1", "ada-1"))
    one, other = VoiceActivity(), VoiceActivity()
    mixed = []
    for n in range(0, len(joe), FRAME):
        mixed.append(one(joe[n : n + FRAME]))
        other(ada[n : n + FRAME])
    np.testing.assert_allclose(np.concatenate(mixed), VoiceActivity()(joe), atol=1e-4)


def test_nothing_is_kept_or_told_of_the_machine_that_it_runs_on(tmp_path):
    """ONNX Runtime keeps what it will send to its maker, unless it is told not to."""
    done = subprocess.run(
        [sys.executable, "-c", "from captions.vad import VoiceActivity; VoiceActivity()"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
