"""The real models over real voices; the pieces around them without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest

from captions.captioner import Captioner, Due
from captions.draft import Draft
from captions.recognizer import OutOfMemory, Recognizer, windows_seconds
from captions.types import SAMPLE_RATE, HeardWord, Hypothesis, PcmChunk, Samples, join, to_samples
from captions.utterance import nothing_said
from captions.vad import VoiceActivity
from captions.window import Window
from captions.words import merge_punctuation


def normalized(text: str) -> str:
    plain = re.sub(r"[^\w\s]", "", text.replace("-", " ").replace("Mr.", "mister"))
    return " ".join(plain.lower().split())


def word_errors(truth: str, text: str) -> int:
    result = jiwer.process_words(normalized(truth), normalized(text))
    return result.substitutions + result.deletions + result.insertions


def samples_like(kind: str) -> Samples:
    random = np.random.default_rng(1)
    time = np.arange(to_samples(3))
    return {
        "silence": np.zeros(len(time)),
        "hiss": random.standard_normal(len(time)) * 100,
        "noise": random.standard_normal(len(time)) * 3000,
        "tone": np.sin(time * 2 * np.pi * 440 / SAMPLE_RATE) * 8000,
    }[kind].astype(np.int16)


# --- the smallest model over every recording -------------------------------------------------


@pytest.fixture(scope="session")
def hear(recognizer: Recognizer) -> Callable[[Any], Hypothesis]:
    """The hypothesis for a whole recording, with times; made once for all tests."""
    return cache(lambda recording: recognizer.recognize(Window(recording.samples, timed=True)))


def test_a_recording_is_heard_as_it_was_said(hear: Callable[[Any], Hypothesis], recording: Any):
    hypothesis = hear(recording)
    # Two words at most: the smallest model mishears a rare one in human recordings.
    assert word_errors(recording.text, hypothesis.text) <= 2
    assert hypothesis.language == "en"
    assert hypothesis.timed
    assert not nothing_said(hypothesis)


def test_words_have_times_in_order_within_the_audio(
    hear: Callable[[Any], Hypothesis], recording: Any
):
    words = hear(recording).words
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= len(recording.samples)
    assert all(0 < word.confidence <= 1 for word in words)


def test_words_end_when_they_were_said_to_end(hear: Callable[[Any], Hypothesis], recording: Any):
    words = hear(recording).words
    if len(words) != len(recording.word_ends):
        assert word_errors(recording.text, join(words)) > 0
        return
    late = np.array([word.end for word in words]) / SAMPLE_RATE - np.array(recording.word_ends)
    assert np.median(np.abs(late)) < 0.25


def test_a_window_of_half_a_recording_is_heard_as_its_beginning(
    recognizer: Recognizer, recording: Any
):
    """Partials of a growing utterance do not run away."""
    samples = recording.samples[: len(recording.samples) // 2]
    said = sum(end <= recording.seconds / 2 for end in recording.word_ends)
    words = normalized(recognizer.recognize(Window(samples)).text).split()
    assert said - 3 <= len(words) <= said + 4


# --- forced words ----------------------------------------------------------------------------


def test_the_text_begins_with_the_forced_words(recognizer: Recognizer, voices: dict[str, Any]):
    samples = voices["ada-2"].samples
    words = recognizer.recognize(Window(samples)).words
    # The newest two are never committed, so never forced.
    for forced in (1, 5, len(words) - 2):
        prefix = tuple(word.tokens for word in words[:forced])
        again = recognizer.recognize(Window(samples, prefix=prefix, timed=True))
        assert [word.tokens for word in again.words[: forced - 1]] == list(prefix[: forced - 1])
        assert again.text.startswith(join(words[:forced]).rstrip(".,"))
        assert word_errors(voices["ada-2"].text, again.text) == 0


def test_words_that_are_not_in_the_audio_can_be_forced_all_the_same(
    recognizer: Recognizer, voices: dict[str, Any]
):
    other = recognizer.recognize(Window(voices["joe-1"].samples)).words[:3]
    prefix = tuple(word.tokens for word in other)
    words = recognizer.recognize(Window(voices["ada-2"].samples, prefix=prefix, timed=True)).words
    assert join(words).startswith(join(other).rstrip(".,"))


# --- audio that is no speech, or hardly any --------------------------------------------------


@pytest.mark.parametrize("kind", ["silence", "hiss", "noise", "tone"])
@pytest.mark.parametrize("timed", [False, True])
def test_nothing_is_said_where_nobody_speaks(recognizer: Recognizer, kind: str, timed: bool):
    assert nothing_said(recognizer.recognize(Window(samples_like(kind), timed=timed)))


@pytest.mark.parametrize("length", [0, 1, 159, 160, 320, 8000, to_samples(30), to_samples(31)])
@pytest.mark.parametrize("timed", [False, True])
def test_a_window_of_any_length_has_an_answer(recognizer: Recognizer, length: int, timed: bool):
    window = Window(np.zeros(length, np.int16), timed=timed)
    words = recognizer.recognize(window).words
    assert all(0 <= word.start <= word.end <= length for word in words)


# --- runaway text ----------------------------------------------------------------------------


def looping(count: int) -> Hypothesis:
    return Hypothesis(tuple(HeardWord(" no", (n,)) for n in range(count)), "en")


@pytest.mark.parametrize(("final", "tried"), [(True, [8.0, 16.0, 30.0]), (False, [8.0, 16.0])])
def test_text_that_runs_away_in_a_short_window_is_decoded_again_over_more(
    recognizer: Recognizer,
    monkeypatch: pytest.MonkeyPatch,
    final: bool,
    tried: list[float],
):
    windows: list[float] = []

    def decode(many: list[Window], seconds: float) -> list[Hypothesis]:
        windows.append(seconds)
        return [looping(9 if seconds < tried[-1] else 2) for _ in many]

    monkeypatch.setattr(recognizer, "_decode", decode)
    heard = recognizer.recognize(Window(np.zeros(to_samples(2), np.int16), final=final))
    assert windows == tried
    assert heard.text == "no no"


def test_a_loop_that_stays_is_cut_but_not_within_the_forced_words(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recognizer, "_decode", lambda many, _: [looping(9) for _ in many])
    samples = np.zeros(to_samples(9), np.int16)
    assert recognizer.recognize(Window(samples)).text == "no"
    forced = recognizer.recognize(Window(samples, prefix=((0,), (1,), (2,))))
    assert forced.text == "no no no"


def test_a_window_is_as_long_as_its_audio_and_a_margin_but_never_short():
    def seconds(of_audio: float) -> float:
        return windows_seconds(Window(np.zeros(to_samples(of_audio), np.int16), final=True))[0]

    assert [seconds(s) for s in (0.5, 7, 7.1, 10, 29.5, 40)] == [8, 8, 10, 12, 30, 30]


# --- batches ---------------------------------------------------------------------------------


def test_a_window_is_heard_in_a_batch_as_it_is_alone(
    recognizer: Recognizer, voices: dict[str, Any]
):
    ada, joe = voices["ada-1"].samples, voices["joe-1"].samples
    prefix = tuple(word.tokens for word in recognizer.recognize(Window(ada)).words[:2])
    windows = [
        Window(ada, prefix=prefix, timed=True, final=True),
        Window(joe[: to_samples(2)]),
        Window(joe, timed=True),
        Window(np.zeros(to_samples(1), np.int16), timed=True),
        Window(ada[: to_samples(1.5)]),
        Window(np.tile(joe, 4)[: to_samples(13)], timed=True),
    ]
    together = recognizer.recognize_batch(windows)
    for window, batched in zip(windows, together, strict=True):
        alone = recognizer.recognize(window)
        assert batched.text == alone.text
        assert [(w.text, w.tokens, w.start, w.end) for w in batched.words] == [
            (w.text, w.tokens, w.start, w.end) for w in alone.words
        ]
        assert [w.confidence for w in batched.words] == pytest.approx(
            [w.confidence for w in alone.words], abs=0.02
        )
        assert batched.no_speech == pytest.approx(alone.no_speech, abs=0.02)


def test_languages_of_a_batch_are_found_one_by_one(base: Recognizer, voices: dict[str, Any]):
    samples = voices["joe-1"].samples
    told = Window(samples, language="de")
    found, kept = base.recognize_batch([Window(samples), told])
    assert (found.language, kept.language) == ("en", "de")
    assert (found.language_confidence < 1, kept.language_confidence) == (True, 1.0)


def test_several_threads_are_answered_at_once_each_with_its_own(
    tiny_en: Path, voices: dict[str, Any]
):
    recognizer = Recognizer(tiny_en, device="cpu", workers=2)
    names = ["ada-1", "joe-1", "ada-3", "joe-2"]
    with ThreadPoolExecutor(2) as pool:
        heard = pool.map(lambda name: recognizer.recognize(Window(voices[name].samples)), names)
        for name, hypothesis in zip(names, heard, strict=True):
            assert word_errors(voices[name].text, hypothesis.text) <= 1


class SmallDevice:
    """A model whose device has memory for a batch of so many windows."""

    def __init__(self, model: Any, windows: int) -> None:
        self._model = model
        self._windows = windows
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, features: Any) -> Any:
        self.batches.append(features.shape[0])
        if features.shape[0] > self._windows:
            raise RuntimeError("CUDA failed with error out of memory")
        return self._model.encode(features)


def test_where_memory_is_short_batches_are_smaller(
    recognizer: Recognizer, voices: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    small = SmallDevice(recognizer._model, windows=2)
    monkeypatch.setattr(recognizer, "_model", small)
    windows = [Window(voices[name].samples[: to_samples(3)]) for name in ("ada-1", "joe-1")] * 3
    heard = recognizer.recognize_batch(windows)
    assert small.batches == [6, 3, 1, 2, 3, 1, 2]
    assert [h.text for h in heard] == [heard[0].text, heard[1].text] * 3


def test_where_memory_is_too_short_for_one_window_the_error_says_so(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recognizer, "_model", SmallDevice(recognizer._model, windows=0))
    with pytest.raises(OutOfMemory, match="no memory left for 8 s of audio: choose a smaller"):
        recognizer.recognize(Window(np.zeros(to_samples(1), np.int16)))


# --- languages -------------------------------------------------------------------------------


def test_an_english_model_hears_english_whatever_is_asked_of_it(
    recognizer: Recognizer, voices: dict[str, Any]
):
    assert recognizer.languages == ("en",)
    assert recognizer.device == "cpu"
    for language in (None, "de", "en"):
        heard = recognizer.recognize(Window(voices["ada-1"].samples, language=language))
        assert (heard.language, heard.language_confidence) == ("en", 1.0)
        assert word_errors(voices["ada-1"].text, heard.text) == 0


def test_a_multilingual_model_detects_the_language_and_can_be_told_it(
    base: Recognizer, voices: dict[str, Any]
):
    assert {"en", "de", "es", "zh"} <= set(base.languages)
    samples = voices["joe-1"].samples
    detected = base.recognize(Window(samples, timed=True))
    assert detected.language == "en"
    assert 0.5 < detected.language_confidence <= 1
    assert word_errors(voices["joe-1"].text, detected.text) <= 1
    told = base.recognize(Window(samples, language="en"))
    assert (told.language, told.language_confidence) == ("en", 1.0)


def test_a_language_that_the_model_does_not_know_is_detected(
    base: Recognizer, voices: dict[str, Any]
):
    heard = base.recognize(Window(voices["joe-1"].samples, language="tlh"))
    assert heard.language == "en"


# --- words -----------------------------------------------------------------------------------


def word(
    text: str, token: int = 0, start: int = 0, end: int = 0, confidence: float = 1
) -> HeardWord:
    return HeardWord(text, (token,), start, end, confidence)


def test_punctuation_joins_the_word_before_it_and_leaves_its_time_and_confidence():
    merged = merge_punctuation([word(" yes", 1, 0, 10, 0.9), word(",", 2, 10, 30, 0.1)])
    assert merged == [HeardWord(" yes,", (1, 2), 0, 10, 0.9)]


@pytest.mark.parametrize("tail", ["-made", "'s", "’ll"])
def test_a_tail_joins_its_word_and_lengthens_it(tail: str):
    merged = merge_punctuation([word(" self", 1, 0, 10, 0.9), word(tail, 2, 10, 30, 0.4)])
    assert merged == [HeardWord(f" self{tail}", (1, 2), 0, 30, 0.4)]


def test_what_begins_with_a_space_or_begins_the_text_stays_a_word():
    words = [word("-"), word(" –"), word(" yes"), word("好")]
    assert merge_punctuation(words) == words
    assert merge_punctuation([]) == []


# --- from audio to captions, nothing scripted ------------------------------------------------


def captions_of(samples: Samples, recognizer: Recognizer, every: int) -> list[Draft]:
    """Feed 20 ms a time and answer at once, of the partials only every so many."""
    names, turns = count(1), count()
    captioner = Captioner(VoiceActivity(), lambda: f"u-{next(names)}", "en")
    drafts: list[Draft] = []

    def answer(dues: list[Due]) -> None:
        for due in dues:
            if due.final or next(turns) % every == 0:
                window = due.window()
                drafts.extend(captioner.heard(due, window and recognizer.recognize(window)))

    for start in range(0, len(samples), 320):
        answer(captioner.feed(PcmChunk(start, samples[start : start + 320].copy())))
    answer(captioner.flush())
    return drafts


def test_a_meeting_is_captioned_word_for_word(recognizer: Recognizer, voices: dict[str, Any]):
    names = ("joe-1", "ada-1", "sam-1")
    pause = np.zeros(to_samples(1), np.int16)
    samples = np.concatenate([part for name in names for part in (pause, voices[name].samples)])
    drafts = captions_of(np.concatenate([samples, pause]), recognizer, every=2)
    said = " ".join(draft.text for draft in drafts if draft.final)
    assert word_errors(" ".join(voices[name].text for name in names), said) <= 1
    assert any(not draft.final for draft in drafts)


def test_speech_without_a_pause_is_split_and_still_captioned_word_for_word(
    recognizer: Recognizer, voices: dict[str, Any]
):
    """Three recordings with the silence at their ends cut away, so that nothing pauses."""
    names = ("ada-2", "ada-1", "ada-3")
    parts = []
    for name in names:
        voice = voices[name]
        parts.append(voice.samples[to_samples(0.05) : to_samples(voice.word_ends[-1] + 0.05)])
    drafts = captions_of(np.concatenate(parts), recognizer, every=2)
    finals = [draft for draft in drafts if draft.final]
    assert len(finals) >= 2
    said = " ".join(draft.text for draft in finals)
    assert word_errors(" ".join(voices[name].text for name in names), said) <= 2
