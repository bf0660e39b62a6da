"""RTP packets as they come from the wire (RFC 3550, 5.1) with the header extensions used here.

Extensions are RFC 8285's, of one and of two bytes: the MID (RFC 9143, 15) and the
client-to-mixer audio level (RFC 6464).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

_HEADER: Final = struct.Struct("!BBHLL")
_EXTENSION: Final = struct.Struct("!HH")

_ONE_BYTE: Final = 0xBEDE
_TWO_BYTE: Final = 0x1000  # the low four bits are the application's

MID_URI: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
AUDIO_LEVEL_URI: Final = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"


class BadPacket(ValueError):
    """What came is no RTP packet."""


@dataclass(frozen=True, slots=True)
class ExtensionIds:
    """What the session description calls the extensions; 0 where it has none."""

    mid: int = 0
    audio_level: int = 0


@dataclass(slots=True)
class RtpPacket:
    """One packet, without CSRCs and padding.

    `audio_level` is 0 (loudest) to 127 (digital silence) in -dBov, None where the sender
    does not say. `arrival_seconds` is of any monotonic clock.
    """

    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes
    payload_type: int = 0
    audio_level: int | None = None
    mid: bytes | None = None
    arrival_seconds: float = 0.0


def parse(data: bytes, ids: ExtensionIds, arrival_seconds: float) -> RtpPacket:
    """The packet in a datagram; `BadPacket` where its lengths contradict each other."""
    if len(data) < _HEADER.size:
        raise BadPacket("shorter than a header")
    first: int = data[0]
    _, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise BadPacket("not version 2")
    begin = _HEADER.size + 4 * (first & 0x0F)
    packet = RtpPacket(
        sequence_number, timestamp, ssrc, b"", second & 0x7F, arrival_seconds=arrival_seconds
    )
    if first & 0x10:
        begin = _read_extensions(packet, data, begin, ids)
    end = len(data)
    if first & 0x20:
        end -= data[-1] or end  # no padding has a length of 0
    if begin > end:
        raise BadPacket("truncated")
    packet.payload = data[begin:end]
    return packet


def _read_extensions(packet: RtpPacket, data: bytes, begin: int, ids: ExtensionIds) -> int:
    """Take what `ids` names into `packet`; where the payload begins."""
    if len(data) < begin + _EXTENSION.size:
        raise BadPacket("truncated before its extensions")
    profile: int
    words: int
    profile, words = _EXTENSION.unpack_from(data, begin)
    at = begin + _EXTENSION.size
    end = at + 4 * words
    if len(data) < end:
        raise BadPacket("truncated in its extensions")
    one_byte = profile == _ONE_BYTE
    if not one_byte and profile & 0xFFF0 != _TWO_BYTE:
        return end
    while at < end:
        if data[at] == 0:  # padding between elements
            at += 1
            continue
        if one_byte:
            identifier, length = data[at] >> 4, (data[at] & 0x0F) + 1
            at += 1
        else:
            identifier, length = data[at], data[at + 1] if at + 1 < end else end
            at += 2
        # An element that claims more than there is ends the list (RFC 8285, 4.1.2); so do the
        # two numbers that are nobody's (4.2).
        if at + length > end or (one_byte and identifier in (0, 15)):
            break
        if identifier == ids.audio_level and length == 1:
            packet.audio_level = data[at] & 0x7F
        elif identifier == ids.mid:
            packet.mid = data[at : at + length]
        at += length
    return end
