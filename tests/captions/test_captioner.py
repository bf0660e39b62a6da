"""One speaker from PCM to drafts, with a detector and a recognizer that follow a script.

In these tests a sample's value says what is heard there: 0 is silence, v > 0 the word
number v - 1. So audio that is lost, doubled or moved shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count, groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captions.captioner import Captioner, CaptionerRules, Due
from captions.draft import Draft
from captions.endpoint import EndpointRules
from captions.types import HeardWord, Hypothesis, PcmChunk, Samples, join, to_samples
from captions.utterance import SHORTEST_PARTIAL, UtteranceRules
from captions.vad import FRAME
from captions.window import Window

FAST = CaptionerRules(
    beat=to_samples(0.1),
    longest_gap=to_samples(0.2),
    endpoint=EndpointRules(
        pause_frames=8,
        long_frames=60,
        long_pause_frames=5,
        longest_frames=120,
        cut_window_frames=30,
    ),
    utterance=UtteranceRules(to_samples(2), to_samples(2.5), to_samples(1)),
)
"""The same machine at a quicker pace, so that short tracks see all of it."""


class ScriptedDetector:
    """Speech is where words are: the share of the frame's samples that are not 0."""

    def __init__(self) -> None:
        self.resets = 0

    def __call__(self, frames: Samples) -> npt.NDArray[np.float32]:
        assert len(frames) % FRAME == 0
        spoken: npt.NDArray[np.float32] = (
            (frames.reshape(-1, FRAME) != 0).mean(axis=1).astype(np.float32)
        )
        return spoken

    def reset(self) -> None:
        self.resets += 1


Recognize = Callable[[Window], Hypothesis | None]


@dataclass
class Driver:
    """Does what `media.speaker` and the scheduler do: one window at a time, finals first."""

    recognize: Recognize
    rules: CaptionerRules | None = None
    language: str | None = "en"
    turns: Callable[[], bool] = lambda: True
    tentative: bool = False
    drafts: list[Draft] = field(default_factory=list)
    windows: list[tuple[int, Window]] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = count(1)
        self.detector = ScriptedDetector()
        self.captioner = Captioner(
            self.detector,
            lambda: f"u-{next(names)}",
            self.language,
            tentative=self.tentative,
            rules=self.rules,
        )
        self._finals: list[Due] = []
        self._partial: Due | None = None
        self._asked: tuple[Due, Hypothesis | None] | None = None

    def feed(self, chunk: PcmChunk) -> None:
        self._submit(self.captioner.feed(chunk))
        if self.turns():
            self._turn()

    def end(self) -> None:
        self._submit(self.captioner.flush())
        while self._finals or self._partial or self._asked:
            self._turn()

    def _submit(self, due: list[Due]) -> None:
        for item in due:
            if item.final:
                self._finals.append(item)
                self._partial = None
            else:
                self._partial = item

    def _turn(self) -> None:
        """Answer the window asked for at the turn before, then make the next one."""
        if self._asked:
            asked, self._asked = self._asked, None
            self.drafts += self.captioner.heard(*asked)
        due, self._partial = (
            (self._finals.pop(0), self._partial) if self._finals else (self._partial, None)
        )
        if due is None:
            return
        window = due.window()
        if window is not None:
            self.windows.append((due.utterance.start, window))
            self._asked = (due, self.recognize(window))
        elif due.final:
            self.drafts += self.captioner.heard(due, None)

    @property
    def finals(self) -> list[Draft]:
        return [draft for draft in self.drafts if draft.final]


def track(spans: list[tuple[float, float]], lead: float = 0.5, tail: float = 1.0) -> Samples:
    """Words of so many seconds, each with so many seconds of silence behind it."""
    parts = [np.zeros(to_samples(lead), np.int16)]
    for n, (said, pause) in enumerate(spans):
        parts.append(np.full(to_samples(said), n + 1, np.int16))
        parts.append(np.zeros(to_samples(pause), np.int16))
    return np.concatenate([*parts, np.zeros(to_samples(tail), np.int16)])


def chunks(samples: Samples, size: int = 320, start: int = 0) -> list[PcmChunk]:
    return [PcmChunk(start + n, samples[n : n + size].copy()) for n in range(0, len(samples), size)]


def listen(window: Window) -> Hypothesis:
    """A recognizer without fault: the prefix, then every word behind it in the audio.

    The word that the window ends in is heard as something else, as happens.
    """
    words = [
        HeardWord(f" {text}", tokens) for tokens in window.prefix for text in [f"w{tokens[0]}"]
    ]
    last = window.prefix[-1][0] if window.prefix else -1
    at = 0
    for value, run in groupby(window.samples.tolist()):
        end = at + len(list(run))
        if value > 0:
            half = end == len(window.samples)
            word = HeardWord(f" w{value - 1}{'?' * half}", (value - 1,), at, end, 0.9)
            known = next((n for n, w in enumerate(words) if w.tokens == word.tokens), None)
            if known is not None:
                words[known] = HeardWord(words[known].text, word.tokens, at, end, 0.9)
            elif value - 1 > last:
                words.append(HeardWord(f"{word.text}{'half' * half}", word.tokens, at, end, 0.9))
        at = end
    return Hypothesis(tuple(words), "en", timed=window.timed)


def check_revisions(drafts: list[Draft]) -> None:
    """What the contract promises of every utterance."""
    by_utterance: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        by_utterance[draft.utterance].append(draft)
    for revisions in by_utterance.values():
        assert [r.revision for r in revisions] == list(range(1, len(revisions) + 1))
        assert [r.final for r in revisions] == [False] * (len(revisions) - 1) + [True]
        assert len({(r.language, r.start) for r in revisions}) == 1
        for before, after in pairwise(revisions):
            assert after.stable >= before.stable
            assert after.text[: before.stable] == before.text[: before.stable]
        final = revisions[-1]
        assert final.stable == len(final.text)
        assert final.text == join(final.words)
        assert final.confidence is not None
        for word in final.words:
            assert 0 <= word.start <= word.end <= final.end - final.start
    finals = [draft for draft in drafts if draft.final]
    for before, after in pairwise(finals):
        assert before.start <= before.end <= after.start


# --- what is recognized ----------------------------------------------------------------


def test_words_and_pauses_become_partials_and_finals():
    driver = Driver(listen)
    for chunk in chunks(track([(0.4, 0.05)] * 4 + [(0.4, 1.0)] + [(0.4, 0.05)] * 3)):
        driver.feed(chunk)
    driver.end()
    assert [final.text for final in driver.finals] == ["w0 w1 w2 w3 w4", "w5 w6 w7"]
    assert any(not draft.final for draft in driver.drafts)
    check_revisions(driver.drafts)


def test_silence_is_never_recognized():
    driver = Driver(listen)
    for chunk in chunks(np.zeros(to_samples(30), np.int16)):
        driver.feed(chunk)
    driver.end()
    assert driver.windows == []
    assert driver.drafts == []


def test_the_first_word_of_a_track_is_whole_wherever_the_track_begins():
    driver = Driver(listen)
    for chunk in chunks(track([(0.4, 0.1)] * 3, lead=0), start=123_457):
        driver.feed(chunk)
    driver.end()
    (final,) = driver.finals
    assert (final.text, final.start) == ("w0 w1 w2", 123_457)
    assert next((w.start, w.end) for w in final.words) == (0, to_samples(0.4))


def test_partials_come_at_the_beat_and_not_before_there_is_half_a_second():
    captioner = Captioner(ScriptedDetector(), lambda: "u-1")
    begun: list[int] = []
    for chunk in chunks(track([(3.0, 0)], lead=0)):
        if chunk.end <= to_samples(3.0):
            begun += [chunk.end for due in captioner.feed(chunk) if not due.final]
    assert begun[0] >= SHORTEST_PARTIAL
    assert min(b - a for a, b in pairwise(begun)) >= to_samples(0.4) - FRAME


def silence_is_asked_about_once(captioner: Captioner, seconds: float) -> list[Due]:
    """The partials that become due in the pause behind speech of `seconds`."""
    asked: list[Due] = []
    for chunk in chunks(track([(seconds, 1)], lead=0)):
        due = captioner.feed(chunk)
        if chunk.end >= to_samples(seconds + 0.2):
            asked += [item for item in due if not item.final]
    return asked


def test_in_a_pause_one_partial_is_made_and_no_more_until_speech_goes_on():
    captioner = Captioner(ScriptedDetector(), lambda: "u-1")
    assert len(silence_is_asked_about_once(captioner, 2.0)) == 1


def test_what_was_heard_of_all_the_speech_becomes_the_final_without_another_decode():
    captioner = Captioner(ScriptedDetector(), lambda: "u-1", "en")
    finals: list[Due] = []
    for chunk in chunks(track([(2.0, 1)], lead=0)):
        for due in captioner.feed(chunk):
            if due.final:
                finals.append(due)
                continue
            window = due.window()
            assert window
            captioner.heard(due, listen(window))
    (final,) = finals
    assert final.known
    (draft,) = captioner.heard(final, final.known)
    assert draft.final
    assert draft.text == "w0"


def test_a_pause_that_nobody_answered_about_is_decoded_at_its_end():
    captioner = Captioner(ScriptedDetector(), lambda: "u-1", "en")
    finals = [
        due
        for chunk in chunks(track([(2.0, 1)], lead=0))
        for due in captioner.feed(chunk)
        if due.final
    ]
    assert [final.known for final in finals] == [None]


def test_a_partial_whose_turn_comes_after_the_end_is_not_made_any_more():
    captioner = Captioner(ScriptedDetector(), lambda: "u-1")
    dues = [due for c in chunks(track([(2.0, 0)])) for due in captioner.feed(c)]
    partial, final = dues[0], dues[-1]
    assert (partial.final, final.final) == (False, True)
    assert partial.window() is None
    window = final.window()
    assert window is not None
    captioner.heard(final, listen(window))
    assert final.window() is None


def test_a_partial_without_an_answer_changes_nothing():
    driver = Driver(lambda _: None)
    for chunk in chunks(track([(2.0, 0)])):
        driver.feed(chunk)
    driver.end()
    assert driver.drafts == []


def test_flushing_closes_what_is_open_and_speech_may_go_on_behind_it():
    driver = Driver(listen)
    samples = track([(0.4, 0.05)] * 6, tail=0)
    half = 320 * 50
    for chunk in chunks(samples[:half]):
        driver.feed(chunk)
    assert driver.captioner.speaking
    (due,) = driver.captioner.flush()
    assert due.final
    assert not driver.captioner.speaking
    assert driver.captioner.flush() == []
    for chunk in chunks(samples[half:], start=half):
        driver.feed(chunk)
    assert driver.captioner.speaking


def test_a_language_set_while_speaking_is_that_of_the_next_utterance():
    driver = Driver(listen, language=None)
    samples = track([(1.6, 1.0), (1.6, 1.0)])
    for chunk in chunks(samples):
        if chunk.start > to_samples(1.0):
            driver.captioner.language = "de"
        driver.feed(chunk)
    driver.end()
    languages = {start: window.language for start, window in driver.windows}
    assert list(languages.values()) == ["en", "de"]


# --- audio that comes late, twice, in odd pieces or not at all --------------------------


@settings(max_examples=60)
@given(
    pieces=st.lists(
        st.tuples(
            st.sampled_from(["next", "next", "next", "lost", "gone", "again", "early"]),
            st.integers(0, 3000),
        ),
        max_size=60,
    ),
    start=st.sampled_from([0, 1, 511, 987_654_321]),
    words=st.lists(
        st.tuples(st.floats(0.05, 1.0), st.sampled_from([0.02, 0.1, 0.5])), min_size=5, max_size=40
    ),
)
def test_every_window_holds_the_track_as_it_came_with_silence_in_its_gaps(
    pieces: list[tuple[str, int]], start: int, words: list[tuple[float, float]]
):
    samples = track(words)
    arrived = np.zeros(len(samples), np.int16)
    driver = Driver(listen, FAST)
    at = came = 0
    for kind, size in pieces:
        if kind == "lost":  # up to the longest gap, and a little more
            at += size
            continue
        if kind == "gone":
            at += size + to_samples(0.2)
            continue
        begin = max(0, at - size // 2) if kind in ("again", "early") else at
        end = min(len(samples), begin + size)
        if begin >= len(samples):
            break
        driver.feed(PcmChunk(start + begin, samples[begin:end].copy()))
        if size:
            fresh = max(came, begin)
            arrived[fresh:end] = samples[fresh:end]
            came = max(came, end)
        at = max(at, end)
    driver.end()
    for begin, window in driver.windows:
        heard = window.samples
        expected = arrived[begin - start : begin - start + len(heard)]
        assert np.array_equal(heard, expected)
    check_revisions(driver.drafts)


def test_a_short_gap_is_silence_and_a_long_one_ends_the_utterance():
    samples = track([(3.0, 0)], lead=0, tail=0)
    for gap, utterances in ((to_samples(0.4), 1), (to_samples(0.6), 2)):
        driver = Driver(listen)
        for chunk in chunks(samples):
            if not to_samples(1) <= chunk.start < to_samples(1) + gap:
                driver.feed(chunk)
        driver.end()
        assert len({start for start, _ in driver.windows}) == utterances
        assert driver.detector.resets == utterances - 1


def test_audio_that_comes_twice_is_heard_once():
    driver = Driver(listen)
    for chunk in chunks(track([(0.4, 0.05)] * 5)):
        driver.feed(chunk)
        driver.feed(PcmChunk(max(0, chunk.start - 700), np.full(800, 9, np.int16)))
    driver.end()
    assert [final.text for final in driver.finals] == ["w0 w1 w2 w3 w4"]


def test_empty_chunks_and_single_samples_are_audio_too():
    samples = track([(0.3, 0.05)] * 3, lead=0.1, tail=0.7)
    whole, single = Driver(listen), Driver(listen)
    for chunk in chunks(samples, size=len(samples)):
        whole.feed(chunk)
    whole.end()
    for chunk in chunks(samples, size=1):
        single.captioner.feed(PcmChunk(chunk.start, np.zeros(0, np.int16)))
        single.feed(chunk)
    single.end()
    assert [f.text for f in single.finals] == [f.text for f in whole.finals] == ["w0 w1 w2"]
    assert single.finals[0].words == whole.finals[0].words


# --- long speech -------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    words=st.lists(
        st.tuples(st.floats(0.1, 0.4), st.sampled_from([0.0, 0.03, 0.1, 0.1, 1.0])),
        min_size=1,
        max_size=80,
    ),
    size=st.sampled_from([160, 320, 333, 960]),
)
def test_long_speech_is_split_without_losing_or_doubling_a_word(
    words: list[tuple[float, float]], size: int
):
    driver = Driver(listen, FAST)
    for chunk in chunks(track(words), size):
        driver.feed(chunk)
    driver.end()
    said = " ".join(final.text for final in driver.finals)
    assert said == " ".join(f"w{n}" for n in range(len(words)))
    check_revisions(driver.drafts)


def test_a_minute_without_a_pause_is_many_captions_that_meet():
    driver = Driver(listen)
    spans = [(0.4, 0.0)] * 150
    for chunk in chunks(track(spans)):
        driver.feed(chunk)
    driver.end()
    finals = driver.finals
    assert " ".join(final.text for final in finals) == " ".join(f"w{n}" for n in range(150))
    assert len(finals) >= 4
    assert all(final.end - final.start <= to_samples(18) for final in finals)
    assert all(a.end == b.start for a, b in pairwise(finals))
    check_revisions(driver.drafts)
    # The words' times are those of the track, carried audio or not.
    lead = to_samples(0.5)
    for n, word in enumerate((f.start + w.start, w) for f in finals for w in f.words):
        start, heard = word
        assert abs(start - lead - n * to_samples(0.4)) <= FRAME, heard


def test_a_recognizer_that_never_answers_costs_no_audio():
    """Without hypotheses there is no split; the endpointer cuts, and finals have it all."""
    driver = Driver(listen, turns=lambda: False)
    samples = track([(0.35, 0.05)] * 150)
    for chunk in chunks(samples):
        driver.feed(chunk)
    driver.end()
    finals = [(start, window.samples) for start, window in driver.windows]
    assert len(finals) >= 3
    for start, heard in finals:
        assert np.array_equal(heard, samples[start : start + len(heard)])
    assert all(start + len(heard) == after for (start, heard), (after, _) in pairwise(finals))
    assert all(window.timed and not window.prefix for _, window in driver.windows)
    check_revisions(driver.drafts)


TEXTS = st.sampled_from([" ask", " not", " what.", " your", "-made", ",", " a", " "])


@settings(max_examples=80)
@given(
    words=st.lists(
        st.tuples(st.floats(0.1, 1.5), st.sampled_from([0.0, 0.05, 0.3, 1.0])),
        min_size=1,
        max_size=15,
    ),
    data=st.data(),
)
def test_whatever_the_recognizer_says_revisions_keep_the_contract(
    words: list[tuple[float, float]], data: st.DataObject
):
    tokens = count()

    def anything(window: Window) -> Hypothesis | None:
        draw: Any = data.draw
        if draw(st.integers(0, 9)) == 0:
            return None
        forced = [known[t] for t in window.prefix]
        if forced and draw(st.booleans()):  # the last forced word may grow
            forced[-1] = f"{forced[-1]}{draw(st.sampled_from([',', '.', 's']))}"
        said = [*zip(forced, window.prefix, strict=True)]
        for text in draw(st.lists(TEXTS, max_size=6)):
            token = (next(tokens),)
            known[token] = text
            said.append((text, token))
        if draw(st.integers(0, 3)) == 0 and previous and not window.prefix:
            said = previous[-1]
        previous.append(said)
        edges = np.linspace(0, len(window.samples), len(said) + 1).astype(int).tolist()
        heard = tuple(
            HeardWord(text, token, *(edges[n : n + 2] if window.timed else (0, 0)))
            for n, (text, token) in enumerate(said)
        )
        doubts = draw(st.integers(0, 9)) == 0
        return Hypothesis(
            heard,
            draw(st.sampled_from(["en", "de"])),
            1.0,
            0.9 * doubts,
            -2.0 * doubts,
            window.timed,
        )

    known: dict[tuple[int, ...], str] = {}
    previous: list[list[tuple[str, tuple[int, ...]]]] = []
    busy = data.draw(st.lists(st.booleans(), min_size=1, max_size=20))
    turn = count()
    driver = Driver(anything, FAST, language=None, turns=lambda: busy[next(turn) % len(busy)])
    for chunk in chunks(track(words), 1600):
        driver.feed(chunk)
    driver.end()
    check_revisions(driver.drafts)


@pytest.mark.parametrize("seed", range(20))
def test_a_recognizer_that_often_errs_at_the_end_of_what_it_hears_keeps_the_contract(seed: int):
    """Words settle as more is heard, so that agreement, splits and forced words are in play."""
    random = np.random.default_rng(seed)

    def settling(window: Window) -> Hypothesis:
        truth = listen(window)
        sure = max(len(window.prefix), len(truth.words) - int(random.integers(0, 4)))
        words = [
            w if n < sure else HeardWord(f" x{random.integers(3)}", w.tokens, w.start, w.end)
            for n, w in enumerate(truth.words)
        ]
        return Hypothesis(tuple(words), "en", timed=window.timed)

    def listen_again(window: Window) -> Hypothesis:
        # By the end of an utterance everything is heard as it was said.
        return listen(window) if window.samples[-1] == 0 else settling(window)

    driver = Driver(listen_again, FAST)
    spans = [(random.uniform(0.1, 0.4), random.choice([0, 0.05, 0.5])) for _ in range(60)]
    for chunk in chunks(track(spans)):
        driver.feed(chunk)
    driver.end()
    check_revisions(driver.drafts)
    assert len(driver.finals) > 3


# --- where another model makes the finals ------------------------------------------------


def better(window: Window) -> Hypothesis:
    """Another model: it hears capitals, has other tokens, and its words are as they come."""
    words = listen(replace(window, prefix=(), shown=())).words
    return Hypothesis(
        tuple(replace(word, text=word.text.upper(), tokens=(0,)) for word in words),
        "en",
        timed=window.timed,
    )


def two_models(window: Window) -> Hypothesis:
    return better(window) if window.final else listen(window)


def test_nothing_is_promised_of_partials_whose_final_another_model_makes():
    driver = Driver(two_models, tentative=True)
    for chunk in chunks(track([(0.4, 0.05)] * 9)):
        driver.feed(chunk)
    driver.end()
    assert [draft.text for draft in driver.finals] == [" ".join(f"W{n}" for n in range(9))]
    partials = [draft for draft in driver.drafts if not draft.final]
    assert len(partials) > 3
    assert {draft.stable for draft in partials} == {0}
    check_revisions(driver.drafts)


def test_long_speech_is_split_for_the_other_model_without_losing_or_doubling_a_word():
    driver = Driver(two_models, tentative=True)
    for chunk in chunks(track([(0.4, 0.0)] * 90)):
        driver.feed(chunk)
    driver.end()
    assert len(driver.finals) >= 2
    said = " ".join(final.text for final in driver.finals).replace("?HALF", "")
    assert said == " ".join(f"W{n}" for n in range(90))
    check_revisions(driver.drafts)


def test_a_longer_beat_makes_fewer_partials():
    def partials(factor: float) -> int:
        driver = Driver(listen)
        driver.captioner.beat_factor = factor
        for chunk in chunks(track([(0.4, 0.05)] * 20)):
            driver.feed(chunk)
        driver.end()
        assert [f.text for f in driver.finals][-1].endswith("w19")
        return sum(not window.final for _, window in driver.windows)

    assert partials(4.0) < partials(1.0) / 2
