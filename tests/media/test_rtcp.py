from __future__ import annotations

import contextlib

import pytest
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)
from hypothesis import given
from hypothesis import strategies as st

from media.rtcp import (
    MOST_BLOCKS,
    Reception,
    SenderReport,
    is_rtcp,
    receiver_report,
    report_delay,
    sender_reports,
)
from media.rtp import BadPacket

SR = bytes(RtcpSrPacket(7, RtcpSenderInfo(0x11112222_33334444, 960, 5, 500)))
BYE = bytes(RtcpByePacket([7]))


def received(numbers: list[int], jitter_ticks: list[int] | None = None) -> Reception:
    """Packets of 20 ms that came as numbered, `jitter_ticks` later than they should."""
    reception = Reception(numbers[0])
    for n, number in enumerate(numbers):
        late = jitter_ticks[n] if jitter_ticks else 0
        arrival = ((number - numbers[0]) * 960 + late) / 48_000
        reception.add(number & 0xFFFF, (number * 960) & 0xFFFFFFFF, arrival)
    return reception


def block(reception: Reception, now: float = 0.0) -> RtcpReceiverInfo:
    found = reception.block(7, now)
    assert found
    return found


def test_a_stream_without_faults_is_reported_as_such():
    found = block(received(list(range(100, 200))))
    assert found == RtcpReceiverInfo(7, 0, 0, 199, 0, 0, 0)


def test_lost_packets_are_counted_in_all_and_since_the_last_report():
    reception = received([n for n in range(100) if n % 4 != 2])
    found = block(reception)
    assert (found.packets_lost, found.fraction_lost) == (25, 64)
    for number in range(100, 150):
        reception.add(number, number * 960, number * 0.02)
    found = block(reception)
    assert (found.packets_lost, found.fraction_lost) == (25, 0)


def test_duplicates_make_the_loss_negative_and_its_fraction_none():
    found = block(received([0, 1, 1, 1, 2]))
    assert (found.packets_lost, found.fraction_lost) == (-2, 0)


def test_the_highest_number_counts_how_often_numbers_began_anew():
    assert block(received(list(range(65_500, 65_600)))).highest_sequence == 65_599
    assert block(received([65_535, 65_537, 65_536])).packets_lost == 0


def test_a_late_packet_is_no_lost_one():
    found = block(received([0, 1, 3, 4, 2, 5]))
    assert (found.packets_lost, found.highest_sequence) == (0, 5)


def test_one_number_from_nowhere_changes_nothing():
    assert block(received([0, 1, 2, 30_000, 3, 4])).highest_sequence == 4


def test_two_numbers_from_nowhere_are_a_new_beginning():
    found = block(received([0, 1, 2, 30_000, 30_001, 30_002]))
    assert (found.packets_lost, found.highest_sequence) == (0, 30_002)


def test_jitter_is_the_mean_deviation_of_the_way():
    """RFC 3550, A.8: of deviations that are always 480 ticks, it nears 480."""
    found = block(received(list(range(400)), [480 * (n % 2) for n in range(400)]))
    assert 470 <= found.jitter <= 480


def test_a_report_tells_when_the_sender_reported_last():
    reception = received([0, 1])
    reception.sender_report(0x2222_3333, 10.0)
    found = block(reception, 11.5)
    assert (found.lsr, found.dlsr) == (0x2222_3333, 3 * 32768)


def test_nothing_is_reported_of_whom_nothing_was_heard_since():
    reception = received([0, 1])
    assert reception.block(7, 0.0)
    assert reception.block(7, 5.0) is None


def test_aiortc_reads_a_report_as_it_was_meant():
    blocks = [RtcpReceiverInfo(n, 1, -2, 3, 4, 5, 6) for n in range(MOST_BLOCKS)]
    packets = RtcpPacket.parse(receiver_report(9, blocks, b"name"))
    assert packets == [
        RtcpRrPacket(9, blocks),
        RtcpSdesPacket([RtcpSourceInfo(9, [(1, b"name")])]),
    ]


def test_sender_reports_are_found_among_other_packets():
    assert sender_reports(SR + BYE + SR) == [SenderReport(7, 0x2222_3333)] * 2
    assert sender_reports(BYE) == []


@pytest.mark.parametrize("data", [b"\x80", SR[:-1], SR + b"\x80", b"\x00" + SR[1:], SR[:4]])
def test_lengths_that_do_not_agree_are_refused(data):
    with pytest.raises(BadPacket):
        sender_reports(data)


def test_a_sender_report_without_room_for_its_times_is_refused():
    with pytest.raises(BadPacket):
        sender_reports(b"\x80\xc8\x00\x01" + bytes(4))


@given(st.binary(max_size=200))
def test_any_bytes_are_reports_or_refused(data):
    with contextlib.suppress(BadPacket):
        assert isinstance(sender_reports(data), list)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF),
            st.integers(0, 0xFFFFFFFF),
            st.floats(0, 1e6),
        )
    )
)
def test_any_sequence_gives_a_block_that_fits_its_fields(packets):
    reception = Reception(0)
    for packet in packets:
        reception.add(*packet)
    found = reception.block(7, 1e6)
    if found:
        assert RtcpReceiverInfo.parse(bytes(found)) == found


def test_rtcp_is_told_from_rtp_by_its_second_byte():
    assert is_rtcp(SR)
    assert is_rtcp(BYE)
    assert not is_rtcp(bytes([0x80, 111]) + bytes(10))
    assert not is_rtcp(bytes([0x80, 0x80 | 111]) + bytes(10))
    assert not is_rtcp(b"\x80")


def test_reports_are_some_five_seconds_apart_and_never_in_step():
    """RFC 3550, 6.3.1: by 0.5 to 1.5, and shortened by what reconsideration lengthens."""
    assert report_delay(0.0) == pytest.approx(2.05, abs=0.01)
    assert report_delay(1.0) == pytest.approx(6.16, abs=0.01)
