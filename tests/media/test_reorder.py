"""Order without delay: what comes in time comes out once, in order, and holes do not stall."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.reorder import MAX_DROPOUT, Reorder, signed
from media.rtp import RtpPacket

TICKS = 960


def packet(number: int, ticks: int = TICKS) -> RtpPacket:
    """The packet with this extended number; its payload says which."""
    return RtpPacket(number & 0xFFFF, number * ticks & 0xFFFFFFFF, 7, str(number).encode())


def play(reorder: Reorder, numbers, ticks: int = TICKS) -> list[tuple[int, int]]:
    """(extended number, lost before it) of all that comes out, without flush."""
    return [
        (int(released.packet.payload), released.lost)
        for number in numbers
        for released in reorder.add(packet(number, ticks), ticks)
    ]


def permutation_within(draw, count: int, most: int) -> list[int]:
    """Numbers 0 to `count`, none before another one that is more than `most` lower."""
    waiting, order = list(range(count)), [0]
    waiting.remove(0)
    while waiting:
        ahead = [n for n in waiting if n <= waiting[0] + most]
        # A packet is given up when 60 ms wait behind it: with two ahead it is still in time.
        late = [n for n in order if n > waiting[0]]
        choice = waiting[0] if len(late) >= most else draw(st.sampled_from(ahead))
        waiting.remove(choice)
        order.append(choice)
    return order


@given(st.data(), st.integers(0, 70_000))
def test_any_order_within_the_window_comes_out_in_order(data, first):
    order = [first + n for n in permutation_within(data.draw, 60, 2)]
    reorder = Reorder()
    assert play(reorder, order) == [(first + n, 0) for n in range(60)]
    assert reorder.waiting == reorder.late == reorder.duplicates == 0


@given(st.lists(st.integers(0, 80), max_size=200), st.integers(0, 70_000))
def test_whatever_comes_nothing_comes_out_twice_or_backwards(offsets, first):
    reorder = Reorder()
    out = play(reorder, [first + n for n in offsets])
    out += [(int(r.packet.payload), r.lost) for r in reorder.flush()]
    numbers = [number for number, _ in out]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + reorder.late + reorder.duplicates == len(offsets)
    for (before, _), (number, lost) in itertools.pairwise(out):
        assert lost == number - before - 1


def test_without_loss_nothing_waits():
    reorder = Reorder()
    for number in range(65_500, 65_600):  # through the end of 16 bits
        assert play(reorder, [number]) == [(number, 0)]
        assert reorder.waiting == 0


@pytest.mark.parametrize(("packet_ms", "held"), [(2.5, 24), (10, 6), (20, 3), (40, 2), (60, 1)])
def test_a_hole_is_given_up_when_60_ms_wait_behind_it(packet_ms, held):
    ticks = int(packet_ms * 48)
    reorder = Reorder()
    play(reorder, range(10), ticks)
    assert play(reorder, range(11, 10 + held), ticks) == []
    expected = [(11, 1)] + [(n, 0) for n in range(12, 11 + held)]
    assert play(reorder, [10 + held], ticks) == expected
    assert reorder.waiting == 0


def test_a_long_hole_is_given_up_at_once_as_a_short_one_is():
    reorder = Reorder()
    play(reorder, range(10))
    assert play(reorder, [500, 501, 502]) == [(500, 490), (501, 0), (502, 0)]


def test_a_second_hole_does_not_wait_behind_the_first():
    reorder = Reorder()
    assert play(reorder, [0, 2, 4]) == [(0, 0), (2, 1)]
    assert play(reorder, [5, 6]) == [(4, 1), (5, 0), (6, 0)]


def test_silence_behind_a_hole_is_no_wait():
    reorder = Reorder()
    play(reorder, [0])
    later = packet(2)
    later.timestamp = packet(0).timestamp + 48_000  # DTX: the next packet, a second later
    assert reorder.add(later, TICKS) == []
    last = packet(3)
    last.timestamp = later.timestamp + 19_200
    assert [r.lost for r in reorder.add(last, TICKS)] == [1, 0]


def test_late_and_doubled_packets_are_told_apart():
    reorder = Reorder()
    play(reorder, [100, 102, 103, 104])
    assert play(reorder, [101]) == []
    assert (reorder.late, reorder.duplicates) == (1, 0)
    assert play(reorder, [101, 103, 102]) == []
    assert (reorder.late, reorder.duplicates) == (1, 3)
    assert play(reorder, [99]) == [], "before the first is late"
    assert (reorder.late, reorder.duplicates) == (2, 3)


def test_a_packet_that_waits_is_doubled_too():
    reorder = Reorder()
    assert play(reorder, [0, 2, 2]) == [(0, 0)]
    assert reorder.duplicates == 1
    assert play(reorder, [1]) == [(1, 0), (2, 0)]


def test_flush_gives_what_waits_and_what_comes_then_is_late():
    reorder = Reorder()
    play(reorder, [0, 2, 4])
    assert [(int(r.packet.payload), r.lost) for r in reorder.flush()] == [(4, 1)]
    assert reorder.flush() == []
    assert play(reorder, [3, 5]) == [(5, 0)]
    assert reorder.late == 1


def test_one_number_from_nowhere_is_dropped_and_two_in_a_row_are_a_new_beginning():
    reorder = Reorder()
    play(reorder, range(5))
    assert play(reorder, [30_000]) == []
    assert play(reorder, [5]) == [(5, 0)]
    assert play(reorder, [40_000, 40_001, 40_002]) == [(40_001, 0), (40_002, 0)]
    assert reorder.late == 2
    assert play(reorder, [100, 101]) == [(101, 0)], "back again"


def test_a_sender_that_begins_anew_does_not_cost_what_waits():
    reorder = Reorder()
    play(reorder, [0, 2])
    assert play(reorder, [20_000, 20_001]) == [(2, 1), (20_001, 0)]


def test_an_outage_of_nearly_a_minute_is_a_hole_like_any_other():
    reorder = Reorder()
    play(reorder, range(10))
    back = 10 + MAX_DROPOUT - 1
    assert play(reorder, [back, back + 1, back + 2])[0] == (back, back - 10)


@given(st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.integers(0, 5760))))
def test_a_liar_makes_it_hold_no_more_than_60_ms_of_the_shortest(packets):
    reorder = Reorder()
    released = 0
    for number, timestamp, ticks in packets:
        released += len(reorder.add(RtpPacket(number, timestamp, 7, b""), ticks))
        assert reorder.waiting <= 24
        assert len(reorder._given_up) <= 201
    total = released + reorder.waiting + reorder.late + reorder.duplicates
    assert total == len(packets)


@pytest.mark.parametrize(
    ("difference", "expected"), [(1, 1), (0xFFFF, -1), (-0xFFFF, 1), (0x7FFF, 0x7FFF), (0, 0)]
)
def test_differences_go_the_nearer_way_round(difference, expected):
    assert signed(difference, 16) == expected


def test_what_is_missing_can_be_asked_for_until_it_is_given_up():
    reorder = Reorder()
    assert reorder.missing == []
    play(reorder, [65_534])
    assert reorder.missing == []
    play(reorder, [65_537])
    assert reorder.missing == [65_535, 0]
    play(reorder, [65_536])
    assert reorder.missing == [65_535]
    play(reorder, [65_535])
    assert reorder.missing == []
    play(reorder, [65_539, 65_540])
    assert reorder.missing == [2]
    play(reorder, [65_541])
    assert reorder.missing == []


def test_no_more_is_asked_for_than_one_request_can_name():
    reorder = Reorder()
    play(reorder, [0, 200])
    assert reorder.missing == list(range(183, 200))
