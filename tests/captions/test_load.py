"""Overload in declared steps: when each begins, and when it is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captions.load import Level, Load, LoadRules, Waits

RULES = LoadRules(
    slower=0.4,
    finals_only=1.5,
    saturated=3.0,
    backlog=0.5,
    patience=5.0,
    relief=0.5,
    calm=2.0,
    memory=3.0,
    beat=0.4,
    unnoticed=0.1,
    longest_factor=4.0,
    slackening=0.25,
)


class Day:
    """A load and a clock that goes a second at a time."""

    def __init__(self) -> None:
        self.load = Load(RULES)
        self.now = 100.0

    def second(self, *, final: float = 0.0, partial: float = 0.0, backlog: float = 0.0) -> Level:
        """A second in which this was waited for."""
        self.now += 1
        self.load.final_waited(self.now, final)
        for _ in range(3):
            self.load.partial_waited(self.now, partial)
        return self.load.look(self.now, Waits(backlog=backlog))

    def calm(self, seconds: int) -> list[Level]:
        """Seconds in which nobody says a thing."""
        levels = []
        for _ in range(seconds):
            self.now += 1
            levels.append(self.load.look(self.now, Waits()))
        return levels


@pytest.fixture
def day() -> Day:
    return Day()


def test_nobody_who_waits_is_normal(day: Day):
    assert day.second() is Level.NORMAL
    assert day.load.beat_factor == 1


@pytest.mark.parametrize(
    ("waited", "level"),
    [
        ({"partial": 0.4}, Level.NORMAL),
        ({"partial": 0.41}, Level.SLOWER),
        ({"partial": 60}, Level.SLOWER),
        ({"final": 1.5}, Level.NORMAL),
        ({"final": 1.6}, Level.FINALS_ONLY),
        ({"final": 3.1}, Level.SATURATED),
        ({"backlog": 0.5}, Level.NORMAL),
        ({"backlog": 0.51}, Level.SATURATED),
        ({"final": 1.6, "partial": 60}, Level.FINALS_ONLY),
    ],
)
def test_a_step_is_taken_at_once(day: Day, waited: dict[str, float], level: Level):
    assert day.second(**waited) is level


def test_what_still_waits_counts_as_what_has_waited(day: Day):
    assert day.load.look(100, Waits(partials=(0.5, 0.6, 0.0))) is Level.SLOWER
    assert day.load.look(100, Waits(oldest_final=1.6)) is Level.FINALS_ONLY
    assert day.load.look(100, Waits(oldest_final=3.1)) is Level.SATURATED


def test_one_partial_that_waited_among_many_that_did_not_is_nothing(day: Day):
    for wait in (0.0, 0.0, 9.0):
        day.load.partial_waited(100, wait)
    assert day.load.look(100, Waits()) is Level.NORMAL


def test_finals_only_that_does_not_help_for_long_is_saturation(day: Day):
    levels = [day.second(final=1.6) for _ in range(7)]
    assert levels == [Level.FINALS_ONLY] * 6 + [Level.SATURATED]
    assert day.second(final=1.0) is Level.SATURATED


def test_it_gets_better_a_step_at_a_time_each_after_some_calm(day: Day):
    day.second(final=3.1)
    levels = day.calm(12)
    assert levels == sorted(levels, reverse=True)
    assert set(levels) == set(Level)
    # What was waited for is remembered for 3 s, and 2 s of calm lie before each step.
    assert [levels.count(level) for level in reversed(Level)] == [4, 2, 2, 4]


def test_a_step_is_not_left_while_what_reached_it_is_not_clearly_over(day: Day):
    day.second(partial=0.5)
    assert [day.second(partial=0.3) for _ in range(20)] == [Level.SLOWER] * 20
    assert Level.NORMAL in [day.second(partial=0.1) for _ in range(10)]


def test_a_moment_of_calm_is_not_enough(day: Day):
    day.second(partial=0.5)
    for _ in range(5):
        day.calm(3)
        assert day.second(partial=0.5) is Level.SLOWER


def test_the_beat_is_stretched_by_what_partials_wait_for(day: Day):
    day.second(partial=0.5)
    assert day.load.beat_factor == pytest.approx(2.0)
    day.second(partial=60)
    day.second(partial=60)
    assert day.load.beat_factor == 4


def test_the_beat_comes_back_slowly(day: Day):
    day.second(partial=0.5)
    day.calm(4)
    before = day.load.beat_factor
    assert before > 1
    day.calm(1)
    assert day.load.beat_factor == pytest.approx(max(1.0, before - 0.25))
    day.calm(10)
    assert day.load.beat_factor == 1


def test_partials_begin_again_at_the_slowest_beat(day: Day):
    day.second(final=1.6)
    assert day.load.beat_factor == 4
    while day.calm(1) != [Level.SLOWER]:
        assert day.load.beat_factor == 4
    assert day.load.beat_factor == pytest.approx(3.75)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 2),
            st.floats(0, 10),
            st.floats(0, 10),
            st.lists(st.floats(0, 10), max_size=3),
        ),
        max_size=60,
    )
)
def test_whatever_happens_the_level_is_one_and_calm_ends_it(
    events: list[tuple[float, float, float, list[float]]],
):
    load, now = Load(), 0.0
    for passed, final, partial, waiting in events:
        now += passed
        load.final_waited(now, final)
        load.partial_waited(now, partial)
        level = load.look(now, Waits(tuple(waiting), final))
        assert level in Level
        assert 1 <= load.beat_factor <= 4
    for _ in range(30):
        now += 1
        load.look(now, Waits())
    assert (load.level, load.beat_factor) == (Level.NORMAL, 1.0)


def test_what_is_remembered_is_bounded(day: Day):
    for _ in range(10_000):
        day.load.partial_waited(100, 1)
        day.load.final_waited(100, 1)
    assert len(day.load._partials) + len(day.load._finals) <= 512
