"""Where utterances begin and end, over every course that speech may take."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captions.endpoint import Closed, Endpointer, EndpointRules, Opened
from captions.vad import FRAME

RULES = EndpointRules()
SPEECH, SILENCE = 0.9, 0.02

# Speech comes in runs, and some of it is neither clearly speech nor clearly none.
COURSES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.02, 0.2, 0.35, 0.5, 0.9, 1.0]), st.integers(1, 60)),
    max_size=40,
).map(lambda runs: [level for level, frames in runs for _ in range(frames)])
SMALL_RULES = st.builds(
    EndpointRules,
    onset_frames=st.integers(1, 4),
    onset_window=st.integers(4, 8),
    lead_in_frames=st.integers(0, 10),
    pause_frames=st.integers(5, 20),
    long_frames=st.integers(10, 60),
    long_pause_frames=st.integers(2, 5),
    longest_frames=st.integers(20, 90),
    cut_window_frames=st.integers(2, 40),
    gap_frames=st.integers(1, 6),
)


@dataclass
class Heard:
    """An utterance in frames since the start of the course."""

    opened_when: int
    start: int
    end: int
    cut: bool
    after_cut: bool


def endpoint(course: list[float], rules: EndpointRules, start: int = 0) -> list[Heard]:
    """Feed the course to its end; checks that opening and closing alternate."""
    endpointer = Endpointer(rules, start)
    heard: list[Heard] = []
    opened: tuple[int, int, bool] | None = None
    for n, probability in enumerate(course):
        event = endpointer.feed(probability)
        assert endpointer.now == start + (n + 1) * FRAME
        if isinstance(event, Opened):
            assert opened is None
            opened = (n, event.start, False)
        elif isinstance(event, Closed):
            heard.append(closed_as(event, opened, start))
            opened = (n, event.end, True) if event.cut else None
        assert endpointer.is_open is (opened is not None)
    last = endpointer.flush()
    assert (last is not None) is (opened is not None)
    if last:
        heard.append(closed_as(last, opened, start))
    return heard


def closed_as(event: Closed, opened: tuple[int, int, bool] | None, zero: int) -> Heard:
    assert opened is not None
    when, begin, after_cut = opened
    assert begin <= event.speech_end <= event.end
    return Heard(when, (begin - zero) // FRAME, (event.end - zero) // FRAME, event.cut, after_cut)


@given(COURSES, st.just(RULES) | SMALL_RULES)
def test_utterances_are_in_order_and_never_overlap(course: list[float], rules: EndpointRules):
    before = 0
    for utterance in endpoint(course, rules):
        assert before <= utterance.start < utterance.end <= len(course)
        before = utterance.end


@given(COURSES, st.just(RULES) | SMALL_RULES)
def test_every_frame_of_likely_speech_lies_inside_an_utterance(
    course: list[float], rules: EndpointRules
):
    """Between utterances there is nowhere enough of it to have opened one."""
    heard = endpoint(course, rules)
    bounds = [0, *(edge for u in heard for edge in (u.start, u.end)), len(course)]
    for start, end in zip(bounds[::2], bounds[1::2], strict=True):
        likely = [probability >= rules.open_at for probability in course[start:end]]
        for n in range(len(likely)):
            assert sum(likely[n : n + rules.onset_window]) < rules.onset_frames


@given(COURSES, st.just(RULES) | SMALL_RULES)
def test_the_lead_in_reaches_back_in_full_unless_another_utterance_or_the_start_is_there(
    course: list[float], rules: EndpointRules
):
    earliest = 0
    for utterance in endpoint(course, rules):
        if not utterance.after_cut:
            window = range(
                max(earliest, utterance.opened_when + 1 - rules.onset_window),
                utterance.opened_when + 1,
            )
            first = next(n for n in window if course[n] >= rules.open_at)
            assert utterance.start == max(earliest, first - rules.lead_in_frames)
        earliest = utterance.end


@given(COURSES, st.just(RULES) | SMALL_RULES)
def test_no_utterance_is_longer_than_the_rules_allow(course: list[float], rules: EndpointRules):
    # An utterance that opens in the middle of speech has its lead-in from the start.
    longest = max(rules.longest_frames, rules.lead_in_frames + rules.onset_window + 1)
    for utterance in endpoint(course, rules):
        assert utterance.end - utterance.start <= longest


@given(st.lists(st.floats(0, RULES.open_at, exclude_max=True), max_size=300))
def test_silence_opens_nothing(course: list[float]):
    assert endpoint(course, RULES) == []


@given(st.lists(st.integers(RULES.onset_window // 2, 20), max_size=20))
def test_lone_clicks_open_nothing(pauses: list[int]):
    """Two frames in any run of six are no onset."""
    course = [level for pause in pauses for level in [SPEECH, *[SILENCE] * pause]]
    assert endpoint(course, RULES) == []


def test_two_words_with_a_pause_between_are_two_utterances():
    course = [SILENCE] * 40 + [SPEECH] * 20 + [SILENCE] * 40 + [SPEECH] * 20 + [SILENCE] * 40
    assert [(u.start, u.end) for u in endpoint(course, RULES)] == [(26, 78), (86, 138)]


def test_one_frame_less_than_the_pause_keeps_an_utterance_together():
    course = [SPEECH] * 20 + [SILENCE] * (RULES.pause_frames - 1) + [SPEECH] * 20
    assert len(endpoint(course, RULES)) == 1


def test_a_long_utterance_ends_at_a_shorter_pause():
    pause = [SILENCE] * RULES.long_pause_frames
    short = endpoint([SPEECH] * 100 + pause + [SPEECH] * 50, RULES)
    long = endpoint([SPEECH] * RULES.long_frames + pause + [SPEECH] * 50, RULES)
    assert len(short) == 1
    assert len(long) == 2


def test_the_end_of_speech_is_reported_apart_from_the_end_of_the_pause():
    endpointer = Endpointer()
    events = [endpointer.feed(p) for p in [SPEECH] * 20 + [SILENCE] * RULES.pause_frames]
    assert events[-1] == Closed(end=38 * FRAME, speech_end=20 * FRAME)


def test_speech_without_a_pause_is_cut_at_its_least_speech_like_place():
    course = [SPEECH] * 600
    course[520] = 0.4
    first, second = endpoint(course, RULES)
    assert first.cut
    assert (first.end, second.start, second.end) == (520, 520, 600)


def test_speech_without_any_pause_is_cut_again_and_again():
    course = [0.5 if n % 100 == 99 else SPEECH for n in range(3000)]
    heard = endpoint(course, RULES)
    assert len(heard) == 6
    for utterance in heard[:-1]:
        assert utterance.cut
        assert utterance.end % 100 == 99
        assert utterance.end - utterance.start <= RULES.longest_frames


def test_speech_that_pauses_where_it_must_be_cut_is_closed_and_nothing_opens_behind_it():
    course = [SPEECH] * (RULES.longest_frames - RULES.gap_frames) + [SILENCE] * 100
    (only,) = endpoint(course, RULES)
    assert (only.end, only.cut) == (RULES.longest_frames, False)


def test_an_utterance_that_turns_out_silent_behind_a_cut_does_not_end_before_it_starts():
    course = [SPEECH] * (RULES.longest_frames - 1) + [SILENCE] * 100
    endpointer = Endpointer()
    cut, closed = (event for p in course if isinstance(event := endpointer.feed(p), Closed))
    assert cut.cut
    assert cut.end <= closed.speech_end <= closed.end


def test_flushing_closes_what_is_open_and_otherwise_does_nothing():
    endpointer = Endpointer()
    assert endpointer.flush() is None
    for _ in range(10):
        endpointer.feed(SPEECH)
    assert endpointer.flush() == Closed(10 * FRAME, 10 * FRAME)
    assert endpointer.flush() is None
    assert not endpointer.is_open


def test_after_a_gap_no_utterance_reaches_back_across_it():
    endpointer = Endpointer()
    for _ in range(30):
        endpointer.feed(SILENCE)
    endpointer.feed(SPEECH)
    endpointer.skip(1_000_000)
    events = [endpointer.feed(SPEECH) for _ in range(3)]
    assert events == [None, None, Opened(1_000_000)]


def test_a_gap_or_a_split_at_the_wrong_time_is_an_error():
    endpointer = Endpointer()
    with pytest.raises(ValueError, match="nothing is open"):
        endpointer.split(0)
    for _ in range(3):
        endpointer.feed(SPEECH)
    with pytest.raises(ValueError, match="flush first"):
        endpointer.skip(1_000_000)


def test_a_split_utterance_has_all_of_its_length_before_it_again():
    endpointer = Endpointer()
    for _ in range(500):
        assert not isinstance(endpointer.feed(SPEECH), Closed)
    endpointer.split(450 * FRAME + 17)
    for _ in range(500):
        assert endpointer.feed(SPEECH) is None
    assert endpointer.flush() == Closed(1000 * FRAME, 1000 * FRAME)


def test_audio_that_a_lead_in_may_still_reach_is_asked_to_be_kept():
    endpointer = Endpointer()
    for n in range(200):
        kept = endpointer.lead_start
        event = endpointer.feed(SPEECH if n >= 150 else SILENCE)
        if isinstance(event, Opened):
            assert event.start >= kept
            return
    raise AssertionError("nothing opened")
