"""A track's time: by RTP timestamp, forward only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media.clock import Pace, TrackClock

SECOND = 48_000


def test_timestamps_count_from_the_first_and_through_wraparound():
    clock = TrackClock()
    first = 2**32 - 3 * SECOND
    for n in range(10):
        timestamp = (first + n * SECOND) & 0xFFFFFFFF
        assert clock.place(timestamp, float(n), n * 16_000) == n * 16_000


def test_a_gap_in_the_timestamps_is_a_gap_however_late_it_comes():
    clock = TrackClock()
    assert clock.place(0, 0.0, 0) == 0
    assert clock.place(4 * SECOND, 0.02, 320) == 64_000
    assert clock.place(3600 * SECOND, 3592.0, 64_320) == 3600 * 16_000


def test_a_jump_ahead_goes_on_where_the_arrival_says():
    clock = TrackClock()
    clock.place(0, 100.0, 0)
    assert clock.place(900 * SECOND, 100.02, 320) == 320
    assert clock.place(900 * SECOND + 960, 100.04, 640) == 640, "and counts on from there"


def test_a_jump_back_goes_on_where_the_arrival_says():
    clock = TrackClock()
    clock.place(900 * SECOND, 100.0, 0)
    assert clock.place(0, 102.0, 320) == 32_000
    assert clock.place(960, 102.02, 32_320) == 32_320


def test_jitter_makes_no_gap_where_the_clock_starts_anew():
    clock = TrackClock()
    clock.place(0, 0.0, 0)
    clock.restart()
    assert clock.place(7_777_777, 0.09, 320) == 320
    clock.restart()
    assert clock.place(5, 5.0, 640) == 320 + int(4.91 * 16_000)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**32 - 1),
            st.floats(-10, 1e6),
            st.integers(0, 1920),
            st.booleans(),
        )
    )
)
def test_nothing_turns_it_back(steps):
    clock, end = TrackClock(), 0
    for timestamp, arrival, length, restart in steps:
        if restart:
            clock.restart()
        start = clock.place(timestamp, arrival, end)
        assert start >= end
        end = start + length


def test_steps_that_are_a_little_too_long_do_not_add_up():
    clock, end = TrackClock(), 0
    for n in range(1000):
        end = clock.place(int(n * 4.9 * SECOND), n * 0.001, end) + 320
    assert end / 16_000 < 5 + 1000 * 0.021


def test_a_clock_that_drifts_is_followed_for_days():
    clock, end = TrackClock(), 0
    for minute in range(3 * 24 * 60):  # 500 ppm fast
        start = clock.place(int(minute * 60.03 * SECOND) & 0xFFFFFFFF, minute * 60.0, end)
        assert abs(start - minute * 60.03 * 16_000) < 2
        end = start + 320


def test_no_more_audio_is_taken_than_there_was_time_for():
    pace = Pace(10.0)
    assert sum(pace.takes(0.12, 5.0) for _ in range(1000)) == 83
    assert sum(pace.takes(0.02, 35.0 + n * 0.02) for n in range(1000)) == 1000
    assert sum(pace.takes(0.02, 100.0) for _ in range(500)) == 500, "what waited behind a stall"
