"""RTP from the wire: what aiortc writes is read, and nothing else raises but BadPacket."""

from __future__ import annotations

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap
from aiortc.rtp import RtpPacket as AiortcPacket
from hypothesis import given
from hypothesis import strategies as st

from media.rtp import AUDIO_LEVEL_URI, MID_URI, BadPacket, ExtensionIds, parse

IDS = ExtensionIds(mid=4, audio_level=2)

EXTENSIONS = HeaderExtensionsMap()
EXTENSIONS.configure(
    RTCRtpParameters(
        headerExtensions=[
            RTCRtpHeaderExtensionParameters(id=4, uri=MID_URI),
            RTCRtpHeaderExtensionParameters(id=2, uri=AUDIO_LEVEL_URI),
        ]
    )
)


@given(
    st.integers(0, 65_535),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=100),
    st.data(),
)
def test_what_is_written_is_read(number, timestamp, ssrc, payload, data):
    mid = data.draw(st.one_of(st.none(), st.text("abcdef0123", min_size=1, max_size=16)))
    level = data.draw(st.one_of(st.none(), st.integers(0, 127)))
    written = AiortcPacket(111, 1, number, timestamp, ssrc, payload)
    written.extensions.mid = mid
    written.extensions.audio_level = None if level is None else (True, level)
    written.padding_size = data.draw(st.integers(0, 255))
    written.csrc = data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=15))
    read = parse(written.serialize(EXTENSIONS), IDS, 1.5)
    assert (read.sequence_number, read.timestamp, read.ssrc) == (number, timestamp, ssrc)
    assert (read.payload, read.payload_type) == (payload, 111)
    assert read.mid == (mid.encode() if mid else None)
    assert read.audio_level == level
    assert read.arrival_seconds == 1.5


@given(st.binary(max_size=80))
def test_garbage_is_read_or_refused(data):
    try:
        packet = parse(b"\x90" + data[1:], IDS, 0.0)
    except BadPacket:
        return
    assert len(packet.payload) <= len(data)


HEADER = bytes([0x90, 111]) + bytes(10)


@pytest.mark.parametrize(
    ("extensions", "mid", "level"),
    [
        ("bede 0002 43 61626364 20 85 00", b"abcd", 5),
        ("1000 0002 04 02 6162 02 01 7f 00", b"ab", 127),
        ("bede 0001 00 00 20 7f", None, 127),  # padding before an element
        ("bede 0001 21 1234 00", None, None),  # an audio level of two bytes
        ("bede 0001 f0 00 20 7f", None, None),  # 15 ends the list
        ("bede 0001 4f 61 62 63", None, None),  # longer than what there is
        ("1000 0001 00 00 00 04", None, None),  # an element without a length
        ("abcd 0001 20 7f 00 00", None, None),  # another profile
        ("bede 0000", None, None),
    ],
)
def test_extensions_of_one_and_of_two_bytes(extensions, mid, level):
    packet = parse(HEADER + bytes.fromhex(extensions) + b"opus", IDS, 0.0)
    assert (packet.mid, packet.audio_level) == (mid, level)
    assert packet.payload.endswith(b"opus")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes([0x80, 111]) + bytes(9),
        bytes([0x40, 111]) + bytes(10),  # version 1
        bytes([0x8F, 111]) + bytes(10),  # 15 CSRCs that are not there
        bytes([0x90, 111]) + bytes(10),
        HEADER + b"\xbe\xde\x00\x02\x00\x00\x00\x00",
        bytes([0xA0, 111]) + bytes(10) + b"\x00",  # padding of no length
        bytes([0xA0, 111]) + bytes(10) + b"\x09",  # padding longer than the packet
    ],
)
def test_lengths_that_contradict_each_other_are_refused(data):
    with pytest.raises(BadPacket):
        parse(data, IDS, 0.0)
