"""What an Opus packet (RFC 6716) says of itself by its first bytes: no decoder is needed."""

from __future__ import annotations

from typing import Final

RTP_CLOCK_RATE: Final = 48_000
"""Ticks a second of Opus's RTP clock, whatever the audio's own rate (RFC 7587, 4.1)."""

LARGEST_PACKET_BYTES: Final = 1500
"""More does not come through a network unfragmented; 510 kb/s in 20 ms is 1275 bytes."""

LONGEST_PACKET_TICKS: Final = RTP_CLOCK_RATE * 120 // 1000
"""120 ms, the most that a packet may hold (RFC 6716, 3.2.5)."""

# Ticks of one frame by the TOC's configuration number (RFC 6716, 3.1): SILK of three
# bandwidths, hybrid of two, CELT of four.
_FRAME_TICKS: Final = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4


def frame_ticks(payload: bytes) -> int:
    """Ticks of each of the payload's frames (RFC 6716, 3.1)."""
    return _FRAME_TICKS[payload[0] >> 3]


def packet_ticks(payload: bytes) -> int:
    """Ticks of audio in the payload by its first bytes; 0 where it cannot be accepted."""
    size = len(payload)
    if not 0 < size <= LARGEST_PACKET_BYTES:
        return 0
    toc = payload[0]
    code = toc & 3
    if not code:  # one frame, as nearly always
        return _FRAME_TICKS[toc >> 3]
    count = 2
    if code == 3:
        count = payload[1] & 0x3F if size > 1 else 0
    ticks = count * _FRAME_TICKS[toc >> 3]
    return ticks if ticks <= LONGEST_PACKET_TICKS else 0
