"""Reception reports over RTCP (RFC 3550, 6), as a receiver that never sends media gives them.

`Reception` keeps what one SSRC's report block tells (6.4.1; appendices A.1, A.3 and A.8);
`sender_reports` and `receiver_report` are what comes and goes on the wire. Pure: no I/O, and
no clock but the seconds that are handed in.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from aiortc.rtp import (
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSourceInfo,
    clamp_packets_lost,
)

from media.reorder import MAX_DROPOUT, MAX_MISORDER, signed
from media.rtp import BadPacket
from signaling.opus_packet import RTP_CLOCK_RATE

INTERVAL_SECONDS: Final = 5.0
"""The least time between two reports, before it is randomized (6.2)."""

MOST_BLOCKS: Final = 31
"""Report blocks of one packet: its count has five bits (6.4.2)."""

_COMPENSATION: Final = 1.21828  # e - 3/2: what "timer reconsideration" lengthens (6.3.1)
_HEADER: Final = struct.Struct("!BBH")
_SENDER: Final = struct.Struct("!LLLLLL")
_SENDER_REPORT: Final = 200
_CNAME: Final = 1


class SenderReport(NamedTuple):
    """An SSRC and the middle 32 bits of the NTP timestamp of its report."""

    ssrc: int
    ntp_middle: int


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram of a port that takes both is RTCP (RFC 5761, 4)."""
    return len(data) > 1 and 192 <= data[1] <= 223


def sender_reports(data: bytes) -> list[SenderReport]:
    """The sender reports in a compound packet; `BadPacket` where its lengths do not agree."""
    found = []
    at = 0
    while at < len(data):
        if len(data) < at + _HEADER.size:
            raise BadPacket("truncated RTCP header")
        first, packet_type, words = _HEADER.unpack_from(data, at)
        body = at + _HEADER.size
        at = body + 4 * words
        if first >> 6 != 2:
            raise BadPacket("not RTCP's version 2")
        if at > len(data):
            raise BadPacket("truncated RTCP packet")
        if packet_type == _SENDER_REPORT:
            if at - body < _SENDER.size:
                raise BadPacket("short sender report")
            ssrc, seconds, fraction, *_ = _SENDER.unpack_from(data, body)
            found.append(SenderReport(ssrc, (seconds & 0xFFFF) << 16 | fraction >> 16))
    return found


def receiver_report(ssrc: int, blocks: list[RtcpReceiverInfo], cname: bytes) -> bytes:
    """A compound packet (6.1) of at most `MOST_BLOCKS` blocks, by the reporter `ssrc`."""
    source = RtcpSourceInfo(ssrc=ssrc, items=[(_CNAME, cname)])
    return bytes(RtcpRrPacket(ssrc, blocks)) + bytes(RtcpSdesPacket([source]))


def report_delay(draw: float) -> float:
    """Seconds until the next report; `draw` is uniform from 0 to 1 (6.3.1)."""
    return INTERVAL_SECONDS * (0.5 + draw) / _COMPENSATION


class Reception:
    """What one SSRC's report block tells. It begins with the SSRC's first packet."""

    def __init__(self, sequence_number: int, clock_rate: int = RTP_CLOCK_RATE) -> None:
        self._clock_rate = clock_rate
        self._transit: int | None = None
        self._jitter = 0.0  # of interarrival, in ticks
        self._report: tuple[int, float] | None = None  # NTP's middle, when it came
        self._heard = False
        self._begin(sequence_number)

    def _begin(self, sequence_number: int) -> None:
        self._first = self._highest = sequence_number  # the highest grows past 16 bits
        self._received = self._received_before = self._expected_before = 0
        self._after_stray: int | None = None

    def add(self, sequence_number: int, timestamp: int, arrival_seconds: float) -> None:
        """Count a packet (A.1, A.8). One from nowhere in the sequence counts once it has a next."""
        ahead = signed(sequence_number - self._highest, 16)
        if not -MAX_MISORDER < ahead < MAX_DROPOUT:
            if sequence_number != self._after_stray:
                self._after_stray = (sequence_number + 1) & 0xFFFF
                return
            self._begin(sequence_number)
            ahead = 0
        self._highest += max(0, ahead)
        self._received += 1
        self._heard = True
        transit = int(arrival_seconds * self._clock_rate) - timestamp
        if self._transit is not None:
            apart = abs(signed(transit - self._transit, 32))
            self._jitter += (apart - self._jitter) / 16
        self._transit = transit

    def sender_report(self, ntp_middle: int, arrival_seconds: float) -> None:
        """The SSRC's sender has reported; from this it can tell how long the way is."""
        self._report = (ntp_middle, arrival_seconds)

    def block(self, ssrc: int, now_seconds: float) -> RtcpReceiverInfo | None:
        """The block since the one before (A.3); None where nothing was heard meanwhile."""
        if not self._heard:
            return None
        self._heard = False
        expected = self._highest - self._first + 1
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        fraction = lost_now * 256 // expected_now if lost_now > 0 else 0
        middle, came_seconds = self._report or (0, now_seconds)
        return RtcpReceiverInfo(
            ssrc=ssrc,
            fraction_lost=min(fraction, 255),
            packets_lost=clamp_packets_lost(expected - self._received),
            highest_sequence=self._highest & 0xFFFFFFFF,
            jitter=int(self._jitter),
            lsr=middle,
            dlsr=int((now_seconds - came_seconds) * 65536) & 0xFFFFFFFF,
        )
