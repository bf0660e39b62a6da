"""A sequence of datagrams as one input of the fuzzer, and real ones to begin with.

Each is a byte of how, a byte of milliseconds since the one before, two of its length, and
the datagram; the last may be shorter than it says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import (
    HeaderExtensionsMap,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)
from aiortc.rtp import RtpPacket as WirePacket

from media.rtp import AUDIO_LEVEL_URI, MID_URI, ExtensionIds, RtpPacket
from tests.media.packets import displace, lose, stream, sweep_payloads

PAYLOAD_TYPE = 96
IDS = ExtensionIds(mid=4, audio_level=2)
MOST = 200
LONGEST_INPUT = 16_384

_HEAD = struct.Struct("<BBH")
_EXTENSIONS = HeaderExtensionsMap()
_EXTENSIONS.configure(
    RTCRtpParameters(
        headerExtensions=[
            RTCRtpHeaderExtensionParameters(id=IDS.mid, uri=MID_URI),
            RTCRtpHeaderExtensionParameters(id=IDS.audio_level, uri=AUDIO_LEVEL_URI),
        ]
    )
)


@dataclass(frozen=True, slots=True)
class Datagram:
    data: bytes
    how: int = 0
    wait_ms: int = 20


def read(data: bytes) -> Iterator[Datagram]:
    """At most `MOST` of them."""
    at = 0
    for _ in range(MOST):
        if at + _HEAD.size > len(data):
            return
        how, wait_ms, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        yield Datagram(data[at : at + size], how, wait_ms)
        at += size


def written(datagrams: Iterable[Datagram]) -> bytes:
    return b"".join(_HEAD.pack(d.how, d.wait_ms, len(d.data)) + d.data for d in datagrams)


def wire(packet: RtpPacket, mid: str | None = None) -> bytes:
    out = WirePacket(
        PAYLOAD_TYPE, 0, packet.sequence_number, packet.timestamp, packet.ssrc, packet.payload
    )
    out.extensions.mid = mid
    if packet.audio_level is not None:
        out.extensions.audio_level = (False, packet.audio_level)
    return out.serialize(_EXTENSIONS)


def rtcp(ssrc: int) -> list[bytes]:
    """One of each kind that aiortc can write, and a compound of all."""
    sender = bytes(RtcpSrPacket(ssrc, RtcpSenderInfo(0x1111_2222_3333_4444, 960, 1, 80)))
    block = RtcpReceiverInfo(ssrc, 10, 3, 1010, 7, 0, 0)
    kinds = [
        sender,
        bytes(RtcpRrPacket(ssrc, [block])),
        bytes(RtcpSdesPacket([RtcpSourceInfo(ssrc, [(1, b"cname")])])),
        bytes(RtcpByePacket([ssrc])),
        bytes(RtcpRtpfbPacket(fmt=1, ssrc=ssrc, media_ssrc=1, lost=[3, 5])),
        bytes(RtcpPsfbPacket(fmt=1, ssrc=ssrc, media_ssrc=1)),
    ]
    return [*kinds, b"".join(kinds)]


def sequences() -> list[list[bytes]]:
    """What senders and networks make of a second of speech, and less."""
    plain = stream(sweep_payloads(0.4, fec=True))
    doubled = [packet for packet in plain[:10] for _ in range(2)]
    restarted = [replace(p, sequence_number=p.sequence_number + 9000) for p in plain[8:]]
    other = stream(sweep_payloads(0.2), ssrc=99, sequence_number=65_530, timestamp=2**32 - 4000)
    silent = [replace(p, audio_level=127 if n > 5 else 30) for n, p in enumerate(plain)]
    packets = [
        plain,
        lose(plain, 0.3, 5),
        displace(plain, 0.5, 3, 7),
        doubled,
        [*plain[:8], *restarted],
        [*plain[:5], *other, *plain[5:]],
        silent,
        stream(sweep_payloads(0.6, packet_ms=60), packet_ms=60),
    ]
    return [
        *([wire(packet) for packet in each] for each in packets),
        [wire(packet, mid="0") for packet in plain],
        rtcp(77),
        [wire(plain[0]), wire(plain[1]), *rtcp(77), wire(plain[2])],
    ]
