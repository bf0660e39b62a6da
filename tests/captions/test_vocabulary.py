"""Words and names that may well be said: they win names, and make up none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captions.recognizer import LONGEST_PROMPT, Recognizer
from captions.types import to_samples
from captions.window import Window
from media.speaker import VOCABULARY_SECONDS
from tests.captions.conftest import Recording
from tests.captions.test_recognizer import samples_like

FOLDER = Path(__file__).parents[1] / "voices" / "names"
SAID = json.loads((FOLDER / "manifest.json").read_text("utf-8"))
NAMES = tuple(entry["name"] for entry in SAID)
CLIPS = {
    entry["name"]: Recording(FOLDER / entry["file"], "en", entry["text"], entry["seconds"], ())
    for entry in SAID
}


def recalled(recognizer: Recognizer, vocabulary: tuple[str, ...]) -> list[str]:
    """The names that are heard where they are said."""
    found = []
    for name, clip in CLIPS.items():
        window = Window(clip.samples, timed=True, final=True, vocabulary=vocabulary)
        if name.lower() in recognizer.recognize(window).text.lower():
            found.append(name)
    return found


def invented(text: str) -> list[str]:
    return [name for name in NAMES if name.lower() in text.lower()]


def test_most_of_ten_rare_names_are_heard_with_them_as_vocabulary_and_few_without(
    recognizer: Recognizer,
):
    without = recalled(recognizer, ())
    assert len(without) <= 4
    assert len(recalled(recognizer, NAMES)) >= max(6, 1.5 * len(without))


def test_no_name_is_made_up_where_none_is_said(recognizer: Recognizer, recording: Any):
    window = Window(recording.samples, timed=True, final=True, vocabulary=NAMES)
    assert invented(recognizer.recognize(window).text) == []
    least = to_samples(VOCABULARY_SECONDS)
    for end in (least, 2 * least):
        window = Window(recording.samples[:end], vocabulary=NAMES)
        assert invented(recognizer.recognize(window).text) == []


@pytest.mark.parametrize("kind", ["silence", "hiss", "noise", "tone"])
def test_no_name_is_made_up_of_noise(recognizer: Recognizer, kind: str):
    for seconds in (1, 2, 3):
        samples = samples_like(kind)[: to_samples(seconds)]
        window = Window(samples, timed=True, final=True, vocabulary=NAMES)
        assert invented(recognizer.recognize(window).text) == []


def test_windows_with_other_vocabularies_are_heard_together_as_by_themselves(
    recognizer: Recognizer,
):
    vocabularies = [NAMES, (), NAMES[:3], NAMES, ()]
    windows = [
        Window(clip.samples, vocabulary=vocabulary)
        for clip, vocabulary in zip(CLIPS.values(), vocabularies, strict=False)
    ]
    together = [heard.text for heard in recognizer.recognize_batch(windows)]
    assert together == [recognizer.recognize(window).text for window in windows]


def test_more_vocabulary_than_counts_is_cut(recognizer: Recognizer):
    many = NAMES + tuple(f"{name}{n}" for n in range(20) for name in NAMES)
    clip = CLIPS["Marchetti"]
    heard = recognizer.recognize(Window(clip.samples, timed=True, vocabulary=many))
    assert "answer" in heard.text
    assert len(recognizer._prompt(many)) == LONGEST_PROMPT + 1


def test_vocabulary_goes_with_words_that_are_forced(recognizer: Recognizer):
    clip = CLIPS["Ravindran"]
    heard = recognizer.recognize(Window(clip.samples, vocabulary=NAMES))
    prefix = tuple(word.tokens for word in heard.words[:2])
    window = Window(clip.samples, prefix=prefix, timed=True, vocabulary=NAMES)
    again = recognizer.recognize(window)
    assert again.text == heard.text
    assert np.all(np.diff([word.start for word in again.words]) >= 0)
