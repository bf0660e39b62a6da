"""Whatever comes to a port, of RTP, RTCP and STUN: nothing raises, nothing is kept for long.

`tests/fuzz/rtp.py` and `tests/fuzz/wire.py` hold the same checks against inputs that a fuzzer
finds; what it found is an example here.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
from types import SimpleNamespace

import pytest
from aioice import stun
from aioice.ice import StunProtocol
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import SRTP_PROFILES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pylibsrtp import Error, Policy, Session

from media import aiortc_private, reorder, rtcp, rtp, ssrcs
from media.aiortc_private import _Bundle
from media.pin import Pin
from media.receiver import LONGEST_CONCEALMENT, TrackReceiver
from media.rtp import ExtensionIds, parse
from media.source import TrackStarted
from media.sources.rtp import RtpSource
from media.srtp import MOST_SSRCS
from media.ssrcs import Names, Streams
from media.track import Track
from signaling.sources import Rtp
from tests.fuzz import datagrams
from tests.fuzz.datagrams import Datagram
from tests.media import receiving
from tests.media.receiving import Receiving

LONGEST_PACKET = 16_000 * 120 // 1000

PROPERTY = settings(deadline=None, derandomize=True, max_examples=150)

# How a datagram of a connection comes.
AS_IT_IS, RTP, RTCP = range(3)
ANYWHERE = ("192.0.2.1", 5000)


# --- the checks ---------------------------------------------------------------------------


def receive(data: bytes) -> None:
    """A track alone: time goes on, and what is heard is bounded by what came."""
    receiver, chunks, packets, now = TrackReceiver(), [], 0, 0.0
    for datagram in datagrams.read(data):
        now += datagram.wait_ms / 1000
        if datagram.how & 1:
            chunks += receiver.flush()
        try:
            packet = rtp.parse(datagram.data, datagrams.IDS, now)
        except rtp.BadPacket:
            continue
        packets += 1
        chunks += receiver.receive(packet)
        assert receiver.waiting <= reorder._MOST_HELD
        assert len(receiver._reorder._given_up) <= 2 * reorder.MAX_MISORDER
        assert len(receiver.missing) <= reorder._MOST_MISSING
    chunks += receiver.flush()
    for before, after in itertools.pairwise(chunks):
        assert after.start >= before.end
    assert not receiver.waiting
    counts = receiver.counts
    assert counts.packets == packets
    made_up = counts.recovered_samples + counts.concealed_samples
    played = sum(len(chunk.samples) for chunk in chunks) - made_up
    assert 0 <= played <= packets * LONGEST_PACKET
    assert made_up <= packets * (LONGEST_CONCEALMENT + LONGEST_PACKET)


def take_at_a_port(data: bytes) -> None:
    """A port of plain RTP: what it keeps is bounded, and its reports can be made."""
    tracks, reports = [], []

    def tell(event: object) -> None:
        if isinstance(event, TrackStarted):
            tracks.append(event.track)

    source = RtpSource(Rtp(payload_type=datagrams.PAYLOAD_TYPE), ["127.0.0.1"])
    source._pin = Pin(None)
    source._protection = None
    source._streams = Streams(Names(()), tell)
    source._socket = SimpleNamespace(sendto=lambda report, address: reports.append(report))
    now = 0.0
    for datagram in datagrams.read(data):
        now += datagram.wait_ms / 1000
        source._take(datagram.data, ("192.0.2.1", datagram.how & 7), now)
        if datagram.how & 8:
            source._report(now)
        if datagram.how & 16:
            now += 61
            source._streams.expire(now)
            source._pin.expire(now)
    source._report(now)
    assert len(source._streams.open) <= ssrcs.MOST_STREAMS
    assert len(source._streams._candidates) <= ssrcs._MOST_CANDIDATES
    assert len(source._told) < 200
    for report in reports:
        assert rtcp.is_rtcp(report)
        assert not len(report) % 4
        rtcp.sender_reports(report)
    source._streams.end()
    assert all(track.closed for track in tracks)
    assert not source._streams.open


class Connected:
    """A connection for all inputs; each has SRTP sessions and a track of its own.

    A datagram goes the whole way: aioice's STUN, our RTP, aiortc's RTCP. DTLS is OpenSSL's.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._connect())

    def close(self) -> None:
        self._loop.run_until_complete(self.peer.stop())
        self._loop.close()

    def take(self, data: bytes) -> None:
        self._loop.run_until_complete(self._take(data))

    async def _connect(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            parameters = receiving.PARAMETERS
            patch.setattr(parameters.codecs[0], "payloadType", datagrams.PAYLOAD_TYPE)
            self.peer = Receiving("own", RTCCertificate.generateCertificate())
            await self.peer.start()
        self._ice = self.peer._ice_connection
        self._transport = self.peer._transport
        self._bundle = _Bundle.of(self._transport)
        self._bundle._ids = datagrams.IDS
        self._tap = next(iter(self._bundle._taps.values()))
        self._tap._may_ask = True
        self._stun = StunProtocol(self._ice)
        self._stun.local_candidate = SimpleNamespace(component=1)
        self._stun.send_stun = lambda message, address: bytes(message)

    def _renew(self) -> None:
        profile = SRTP_PROFILES[0]
        key = os.urandom(profile.key_length + profile.salt_length)

        def session(direction: int) -> Session:
            return Session(Policy(key, direction, srtp_profile=profile.libsrtp_profile))

        self._sender = session(Policy.SSRC_ANY_OUTBOUND)
        keys = type(self._transport._rx_srtp)
        inbound = session(Policy.SSRC_ANY_INBOUND)
        self._transport._rx_srtp = inbound if keys is Session else keys(inbound)
        self._tap._deliver = Track().take
        for table in (self._tap.ssrcs, self._tap._statistics, self._bundle._by_ssrc):
            table.clear()
        self._bundle._router_ssrcs.clear()

    async def _take(self, data: bytes) -> None:
        self._renew()
        for datagram in datagrams.read(data):
            sent = self._protected(datagram)
            if sent and not 19 < sent[0] < 64:
                self._stun.datagram_received(sent, ANYWHERE)
        running = self.peer._tasks[0]
        for _ in range(datagrams.MOST):  # turns of the loop, in each of which aiortc takes one
            await asyncio.sleep(0)
            if self._ice._queue.empty():
                break
        await asyncio.sleep(0)
        if running.done():
            await self._connect()
            raise AssertionError(f"a datagram ended the connection: {running.exception()!r}")
        assert self._transport.state == "connected"
        for table in (self._tap._statistics, self._bundle._by_ssrc, self._bundle._router_ssrcs):
            assert len(table) <= aiortc_private._MOST_SSRCS

    def _protected(self, datagram: Datagram) -> bytes:
        protect = {RTP: self._sender.protect, RTCP: self._sender.protect_rtcp}
        try:
            return protect.get(datagram.how & 3, bytes)(datagram.data)
        except (Error, ValueError):  # no sender could make it
            return b""


# --- what hypothesis finds ----------------------------------------------------------------

CHANGES = ("byte", "cut", "more", "twice", "lost", "moved", "other", "how")


@st.composite
def spoilt(draw) -> bytes:
    """A real sequence, some of whose datagrams are changed, lost, doubled or moved."""
    sequence = draw(st.sampled_from(datagrams.sequences()))
    sent = [Datagram(d, RTCP if d[1] >= 192 else RTP) for d in sequence]
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(sent) - 1))
        data, how, wait = sent[at].data, sent[at].how, sent[at].wait_ms
        place = draw(st.integers(0, min(len(data), 60)))
        match draw(st.sampled_from(CHANGES)):
            case "byte":
                data = data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
            case "cut":
                data = data[:place]
            case "more":
                data = data[:place] + draw(st.binary(max_size=8)) + data[place:]
            case "twice":
                sent.insert(at, sent[at])
            case "lost" if len(sent) > 1:
                del sent[at]
                continue
            case "moved":
                sent.insert(draw(st.integers(0, len(sent))), sent[at])
            case "other":
                data = draw(st.binary(max_size=64))
            case "how":
                how, wait = draw(st.integers(0, 31)), draw(st.integers(0, 255))
        sent[at] = Datagram(data, how, wait)
    return datagrams.written(sent)


def alone(data: bytes, how: int = AS_IT_IS) -> bytes:
    return datagrams.written([Datagram(data, how)])


def binding_request(attribute: str, value: bytes) -> bytes:
    number = stun.ATTRIBUTES_BY_NAME[attribute][0]
    padded = value + bytes(-len(value) % 4)
    head = struct.pack("!HHI12s", 1, 4 + len(padded), 0x2112_A442, bytes(12))
    return head + struct.pack("!HH", number, len(value)) + padded


@pytest.fixture(scope="module")
def connected():
    connection = Connected()
    yield connection
    connection.close()


@PROPERTY
@given(spoilt())
def test_whatever_comes_a_track_s_time_goes_on_and_little_is_kept(data):
    receive(data)


@PROPERTY
@given(spoilt())
def test_whatever_comes_to_a_port_of_plain_rtp_little_is_kept(data):
    take_at_a_port(data)


@PROPERTY
@given(spoilt())
@example(alone(b"\x80\x60" + bytes(1600)))
@example(alone(b"\x80\xc8" + bytes(1600)))
@example(alone(binding_request("PRIORITY", b"")))
@example(alone(binding_request("ICE-CONTROLLING", bytes(5))))
@example(alone(binding_request("USERNAME", b"\xff")))
@example(alone(b"\x80"))
@example(alone(b""))
def test_whatever_comes_a_connection_goes_on(connected, data):
    connected.take(data)


@PROPERTY
@given(st.binary(max_size=80))
def test_garbage_is_rtcp_or_is_refused(data):
    refused = None
    try:
        rtcp.sender_reports(data)
    except rtp.BadPacket as error:
        refused = error
    assert refused is None or str(refused)


@PROPERTY
@given(st.binary(max_size=40))
@example(bytes.fromhex("bede 0001 02 61 62 63"))  # 0 is nobody's number (RFC 8285, 4.2)
@example(bytes.fromhex("bede 0001 00 00 00 00"))
def test_where_no_extension_was_agreed_on_none_is_read(extensions):
    refused, packet = None, None
    try:
        packet = parse(bytes([0x90, 96]) + bytes(10) + extensions, ExtensionIds(), 0.0)
    except rtp.BadPacket as error:
        refused = error
    assert refused or (packet.mid, packet.audio_level) == (None, None)


def test_ssrcs_of_one_participant_are_forgotten_by_libsrtp_too(connected):
    """Each would cost memory, and time at every packet, for as long as the call lasts."""
    connected.take(b"")
    first = datagrams.sequences()[0][0]
    for ssrc in range(1, MOST_SSRCS + 10):
        packet = first[:8] + ssrc.to_bytes(4, "big") + first[12:]
        connected._transport._rx_srtp.unprotect(connected._sender.protect(packet))
    assert len(connected._transport._rx_srtp._ssrcs) == MOST_SSRCS
