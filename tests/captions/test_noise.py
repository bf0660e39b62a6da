"""Nothing is written where nobody speaks, and a single word is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from captions.captioner import Captioner, Due
from captions.draft import Draft
from captions.types import SAMPLE_RATE, PcmChunk
from captions.vad import FRAME, VoiceActivity
from tests.noises import KINDS, noise
from tests.recordings import ROOT, normalized, read_manifest

CHUNK = SAMPLE_RATE // 50


class Everything:
    """A voice activity that takes all for speech."""

    def reset(self) -> None:
        pass

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return np.full(len(frames) // FRAME, 0.9, np.float32)


def captioned(recognizer, pcm: np.ndarray, activity) -> list[Draft]:
    """Every revision with text that a track of `pcm` is given; the recognizer takes no time."""
    numbers = itertools.count()
    captioner = Captioner(activity, lambda: f"u-{next(numbers)}", language="en")
    drafts: list[Draft] = []

    def answer(due: list[Due]) -> None:
        for item in due:
            window = item.window() if item.known is None else None
            hypothesis = item.known or (recognizer.recognize(window) if window else None)
            drafts.extend(captioner.heard(item, hypothesis))

    for start in range(0, len(pcm) - CHUNK + 1, CHUNK):
        answer(captioner.feed(PcmChunk(start, pcm[start : start + CHUNK].copy())))
    answer(captioner.flush())
    return [draft for draft in drafts if draft.text]


@pytest.mark.parametrize("kind", KINDS)
def test_a_minute_of_what_is_no_speech_is_left_blank(recognizer, kind):
    assert captioned(recognizer, noise(kind, 60.0), VoiceActivity()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_s_own_doubt_keeps_it_blank_where_voice_activity_is_deceived(recognizer, kind):
    for second in range(0, 12, 4):
        pcm = noise(kind, 16.0)[second * SAMPLE_RATE : (second + 4) * SAMPLE_RATE]
        finals = [d for d in captioned(recognizer, pcm, Everything()) if d.final]
        assert finals == []


def lone_words():
    return read_manifest(ROOT / "tests" / "voices" / "lone")


def test_every_lone_word_is_kept(recognizer):
    heard = {}
    for recording in lone_words():
        quiet = np.random.default_rng(1).normal(0, 8, SAMPLE_RATE * 5 // 2).astype(np.int16)
        pcm = np.concatenate([quiet[:SAMPLE_RATE], recording.pcm(SAMPLE_RATE), quiet[SAMPLE_RATE:]])
        finals = [d.text for d in captioned(recognizer, pcm, VoiceActivity()) if d.final]
        heard[recording.path.stem] = normalized(" ".join(finals)).replace("ok", "okay")
    assert [name for name, text in heard.items() if not text] == []
    right = [
        name for name, text in heard.items() if text.replace("okayay", "okay") == name.split("-")[0]
    ]
    assert len(right) >= 0.85 * len(heard), heard
