"""What is done to aiortc, on a real pair over loopback: ICE, DTLS, SRTP, RTCP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aioice.ice import Connection
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
)
from aiortc.rtp import RtcpByePacket, RtcpRrPacket

from media import aiortc_private
from media.aiortc_private import AiortcChanged, agree_on_opus, check, deliver_rtp
from media.track import Track
from media.udp import RECEIVE_BUFFER_BYTES
from tests.media.packets import tone
from tests.peer import Microphone


@dataclass
class Pair:
    sending: RTCPeerConnection
    receiving: RTCPeerConnection
    tracks: list[Track]

    @property
    def senders(self) -> list[RTCRtpSender]:
        return self.sending.getSenders()

    async def hear(self, seconds: float, n: int = 0) -> int:
        """Wait for as much new audio of a track that is not silent; where it ends."""
        heard = 0
        async with asyncio.timeout(10 + seconds):
            while heard < seconds * 16_000:
                chunk = await anext(self.tracks[n])
                heard += len(chunk.samples) if chunk.samples.any() else 0
        return chunk.end


@contextlib.asynccontextmanager
async def pair(
    count: int = 1, offered: Callable[[str], str] = lambda sdp: sdp
) -> AsyncIterator[Pair]:
    """A peer that sends `count` tracks, and one that receives them as the node does.

    `offered` is what the receiver is told of the offer.
    """
    sending = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiving = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: list[Track] = []

    def on_track(announced):
        track = Track()
        (receiver,) = [r for r in receiving.getReceivers() if r.track is announced]
        deliver_rtp(receiver, track.take, track.close)
        tracks.append(track)

    receiving.on("track", on_track)
    for _ in range(count):
        sending.addTransceiver(Microphone(tone(20.0)), direction="sendonly")
    try:
        await sending.setLocalDescription(await sending.createOffer())
        await receiving.setRemoteDescription(sending.localDescription)
        agree_on_opus(receiving, offered(sending.localDescription.sdp))
        await receiving.setLocalDescription(await receiving.createAnswer())
        await sending.setRemoteDescription(receiving.localDescription)
        yield Pair(sending, receiving, tracks)
    finally:
        await sending.close()
        await receiving.close()


async def until(wanted, seconds: float = 10.0) -> None:
    """Poll what nobody announces."""
    async with asyncio.timeout(seconds):
        while not await wanted():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_pcm_arrives_and_no_decoder_thread_runs():
    async with pair() as peers:
        await peers.hear(0.5)
        counts = peers.tracks[0].counts
        assert counts.packets > 25
        assert counts.lost == counts.malformed == counts.late == 0
        assert not [t.name for t in threading.enumerate() if t.name.endswith("-decoder")]


async def test_the_answer_has_opus_alone_and_asks_for_fec():
    async with pair() as peers:
        sdp = peers.receiving.localDescription.sdp
        assert [line for line in sdp.splitlines() if line.startswith("a=rtpmap")] == [
            "a=rtpmap:96 opus/48000/2"
        ]
        assert "a=fmtp:96 useinbandfec=1" in sdp


def lose_every(peers: Pair, nth: int) -> None:
    """Each `nth` packet does not come, the first time that it is sent."""
    transport = peers.senders[0].transport
    send, sent = transport._send_rtp, set()

    async def lossy(data: bytes) -> None:
        number = int.from_bytes(data[2:4], "big")
        if 192 <= data[1] <= 223 or number % nth or number in sent:
            await send(data)
        sent.add(number)

    transport._send_rtp = lossy


async def test_a_lost_packet_is_asked_for_again_and_comes_in_time():
    async with pair() as peers:
        lose_every(peers, 5)
        await peers.hear(1.5)
        counts = peers.tracks[0].counts
        assert counts.packets > 75
        assert counts.lost == 0
        assert counts.concealed_samples == counts.missing_samples == 0


@pytest.mark.parametrize(
    ("feedback", "asked"), [("transport-cc", False), ("nack", True), ("nack pli", False)]
)
async def test_it_is_asked_for_where_the_offer_says_so(feedback, asked):
    def offered(sdp: str) -> str:
        return sdp.replace("a=rtpmap:96", f"a=rtcp-fb:96 {feedback}\r\na=rtpmap:96")

    async with pair(offered=offered) as peers:
        assert ("a=rtcp-fb:96 nack\r\n" in peers.receiving.localDescription.sdp) is asked
        lose_every(peers, 5)
        await peers.hear(1.5)
        assert (peers.tracks[0].counts.lost == 0) is asked


async def test_a_sender_who_says_nothing_at_first_breaks_no_report(monkeypatch):
    reports = 0

    class Counted(RtcpRrPacket):
        def __init__(self, *args, **kwargs):
            nonlocal reports
            reports += 1
            super().__init__(*args, **kwargs)

    monkeypatch.setattr("aiortc.rtcrtpreceiver.RtcpRrPacket", Counted)
    monkeypatch.setattr(Microphone, "recv", hesitant(Microphone.recv, seconds=2.0))
    async with pair() as peers:
        await peers.hear(0.2)

        async def reported():
            return reports > 0

        await until(reported)


def hesitant(recv, seconds: float):
    """As long as aiortc waits for its first report, and longer."""

    async def later(self):
        if self.started is None:
            await asyncio.sleep(seconds)
        return await recv(self)

    return later


async def test_receiver_reports_reach_the_sender():
    async with pair() as peers:
        await peers.hear(0.2)
        sender = peers.senders[0]

        async def report():
            stats = await sender.getStats()
            return next((s for s in stats.values() if s.type == "remote-inbound-rtp"), None)

        async def round_trip_is_measured():
            # That needs the sender's own reports to find their way, too.
            return (await report()).roundTripTime is not None

        await until(report, seconds=5)
        assert (await report()).packetsLost == 0
        await until(round_trip_is_measured)


async def test_a_bye_does_not_end_the_track():
    async with pair() as peers:
        await peers.hear(0.2)
        sender = peers.senders[0]
        await sender.transport._send_rtp(bytes(RtcpByePacket(sources=[sender._ssrc])))
        await peers.hear(0.5)
        assert not peers.tracks[0].closed


async def test_a_new_ssrc_on_the_same_mid_goes_on_with_the_track():
    async with pair(2) as peers:
        ends = [await peers.hear(0.3, n) for n in range(2)]
        for sender in peers.senders:
            sender._ssrc = (sender._ssrc + 1) & 0xFFFFFFFF
        for n, end in enumerate(ends):
            assert await peers.hear(0.5, n) > end
            assert peers.tracks[n].counts.malformed == 0


async def test_a_sender_of_ever_new_ssrcs_makes_nothing_grow():
    async with pair() as peers:
        await peers.hear(0.1)
        sender, transport = peers.senders[0], peers.receiving.getReceivers()[0].transport
        for _ in range(20):
            sender._ssrc = (sender._ssrc + 1) & 0xFFFFFFFF
            await asyncio.sleep(0.03)
        await peers.hear(0.2)
        assert len(transport._rtp_router.ssrc_table) <= 9
        statistics = getattr(peers.receiving.getReceivers()[0], aiortc_private._STATISTICS)
        assert len(statistics) <= 8


@pytest.mark.parametrize("who", ["sending", "receiving"])
async def test_the_track_ends_with_the_connection(who):
    async with pair() as peers:
        await peers.hear(0.2)
        await getattr(peers, who).close()

        async def closed():
            return peers.tracks[0].closed

        await until(closed)
        async with asyncio.timeout(1):
            async for _ in peers.tracks[0]:
                pass


async def test_a_track_that_never_connected_ends_with_the_connection():
    sending, receiving = RTCPeerConnection(), RTCPeerConnection()
    sending.addTransceiver("audio", direction="sendonly")
    await sending.setLocalDescription(await sending.createOffer())
    track = Track()
    receiving.on(
        "track",
        lambda _: deliver_rtp(receiving.getReceivers()[0], track.take, track.close),
    )
    await receiving.setRemoteDescription(sending.localDescription)
    await receiving.close()
    await sending.close()
    assert track.closed


async def test_broken_rtp_from_a_participant_harms_nothing():
    async with pair() as peers:
        await peers.hear(0.2)
        transport = peers.senders[0].transport
        for broken in (
            # An audio level of three bytes, on which aiortc's own parser fails.
            bytes([0x90, 96, 0, 1, *bytes(8)]) + bytes.fromhex("bede0001 22010203") + b"x",
            bytes([0xA0, 96, 0, 2, *bytes(8)]) + b"\xff",  # padding longer than the packet
            bytes([0x80, 96, 0, 3, *bytes(8)]),  # no payload
        ):
            await transport._send_rtp(broken)
        for datagram in (b"", b"\x80", b"\x90" * 30, bytes([0x80, 96]) + bytes(40)):
            await transport.transport._send(datagram)  # not even SRTP
        await peers.hear(0.5)
        assert peers.receiving.connectionState == "connected"


async def test_receive_buffers_are_raised():
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    allowed = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    plain.close()
    async with pair() as peers:
        await peers.hear(0.1)
        connection = peers.receiving.getReceivers()[0].transport.transport._connection
        sizes = [
            protocol.transport.get_extra_info("socket").getsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF
            )
            for protocol in connection._protocols
        ]
        assert sizes
        assert min(sizes) >= allowed


async def test_a_closed_connection_leaves_nothing_behind():
    async with pair() as peers:
        await peers.hear(0.1)
        left = [weakref.ref(o) for o in (peers.receiving, peers.tracks[0])]
    del peers
    await asyncio.sleep(0.1)
    gc.collect()
    assert [ref() for ref in left] == [None, None]


def test_this_aiortc_is_the_one_that_was_meant():
    check.__wrapped__()


def test_an_aiortc_that_lacks_something_is_refused(monkeypatch):
    monkeypatch.delattr(RTCRtpReceiver, aiortc_private._STOP_DECODER)
    with pytest.raises(AiortcChanged):
        check.__wrapped__()


def test_an_aiortc_that_hands_packets_over_otherwise_is_refused(monkeypatch):
    def receive(self, packet):
        return None

    monkeypatch.setattr(Connection, "data_received", receive)
    with pytest.raises(AiortcChanged, match="receive"):
        check.__wrapped__()


def test_an_aiortc_whose_names_have_changed_is_refused(monkeypatch):
    def init(self):
        self.renamed = {}

    monkeypatch.setattr(RTCRtpReceiver, "__init__", init)
    with pytest.raises(AiortcChanged, match="remote_streams"):
        check.__wrapped__()


def test_nothing_else_in_the_room_touches_private_parts_of_aiortc():
    room = Path(aiortc_private.__file__).parent
    for path in room.rglob("*.py"):
        if path.name not in ("aiortc_private.py", "addresses.py"):
            assert "SLF001" not in path.read_text(), path.name
