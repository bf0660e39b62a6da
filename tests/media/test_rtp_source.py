from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpRrPacket

from media.receiver import TrackReceiver
from media.rtp import RtpPacket
from media.source import CallSource, Connected, Joined, Left, TrackEnded, TrackStarted
from media.sources.rtp import RtpSource
from media.ssrcs import MOST_STREAMS
from signaling.errors import ContractError
from signaling.sources import Rtp, RtpStream, Srtp
from tests.media.packets import displace, lose
from tests.media.rtp_sender import HERE, LAST, Port, Sender, call, keys, seen, speech
from tests.media.source_contract import Ear, SourceContract

ANNA, BERT = 11, 22
STREAMS = [
    RtpStream(ssrc=ANNA, participant="p-anna", name="Anna", language="de"),
    RtpStream(ssrc=BERT, name="Bert"),
]


class SfuStage:
    """Speakers who send to the port, from one socket as an SFU does."""

    def __init__(self, port: Port, sender: Sender) -> None:
        self._port = port
        self._sender = sender
        self._speaking: dict[str, asyncio.Task[None]] = {}
        self._entered = 0

    def source(self) -> CallSource:
        return self._port.new_source()

    def refused_source(self) -> CallSource:
        return RtpSource(Rtp(srtp=Srtp(key="A" * 64)), [HERE])

    async def enter(self, name: str) -> None:
        self._entered += 1
        pacing = self._sender.pace({"Anna": ANNA, "Bert": BERT}[name], 5000 * self._entered)
        self._speaking[name] = asyncio.create_task(pacing)

    async def leave(self, name: str) -> None:
        """RTP knows no leaving: they are silent for a long time."""
        self._speaking.pop(name).cancel()
        await self._port.leap(61)

    async def lose(self) -> None:
        raise NotImplementedError

    async def restore(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        for speaking in self._speaking.values():
            speaking.cancel()
        await asyncio.gather(*self._speaking.values(), return_exceptions=True)


class TestRtp(SourceContract):
    recovers = False  # there is nothing to be reconnected to

    @pytest_asyncio.fixture
    async def stage(self) -> AsyncIterator[SfuStage]:
        port = Port(streams=STREAMS)
        with Sender(port) as sender:
            stage = SfuStage(port, sender)
            yield stage
            await stage.stop()


def joined(ear: Ear) -> list[Joined]:
    return ear.of(Joined)


async def test_the_answer_says_where_to_send_what():
    async with call(payload_type=100) as (_, ear):
        (connected,) = ear.of(Connected)
    port = connected.details["port"]
    assert 1024 <= port <= 65535
    assert connected.details == {
        "address": HERE,
        "port": port,
        "payload_type": 100,
        "rtcp_mux": True,
    }


async def test_the_port_is_closed_with_the_call():
    async with call() as (port, _):
        with (
            pytest.raises(OSError, match="in use"),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken,
        ):
            taken.bind(port.address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(port.address)


@pytest.mark.parametrize("addresses", [[], ["192.0.2.1"]])
async def test_without_an_address_of_this_machine_the_call_is_unavailable(addresses):
    with pytest.raises(ContractError) as refused:
        await RtpSource(Rtp(), addresses).run(Ear().tell)
    assert refused.value.code == "unavailable"


async def test_an_ssrc_is_whose_the_settings_say():
    async with call(streams=STREAMS) as (port, ear):
        with Sender(port) as sender:
            sender.send(speech(BERT))
            sender.send(speech(ANNA))
            await ear.until(lambda e: e.hears("Anna") and e.hears("Bert"))
    assert joined(ear) == [
        Joined(f"ssrc-{BERT}", "Bert"),
        Joined("p-anna", "Anna", "de"),
    ]


async def test_an_ssrc_that_nobody_named_is_a_speaker_with_a_number():
    async with call(streams=STREAMS) as (port, ear):
        with Sender(port) as sender:
            for ssrc in (5, ANNA, 6):
                sender.send(speech(ssrc))
            await ear.until(lambda e: e.hears("Speaker 1") and e.hears("Speaker 2"))
    assert joined(ear) == [
        Joined("ssrc-5", "Speaker 1"),
        Joined("p-anna", "Anna", "de"),
        Joined("ssrc-6", "Speaker 2"),
    ]


async def test_an_entry_without_an_ssrc_is_for_the_first_that_no_other_names_and_for_it_alone():
    streams = [RtpStream(name="Carla", participant="p-carla"), *STREAMS]
    async with call(streams=streams) as (port, ear):
        with Sender(port) as sender:
            for ssrc in (ANNA, 5, 6):
                sender.send(speech(ssrc))
            await ear.until(lambda e: len(e.names) == 3)
    assert [event.name for event in joined(ear)] == ["Anna", "Carla", "Speaker 1"]


@pytest.mark.parametrize("ssrc", [None, 5])
async def test_two_entries_for_the_same_ssrc_are_refused(ssrc):
    streams = [RtpStream(ssrc=ssrc, name="Anna"), RtpStream(ssrc=ssrc, name="Bert")]
    with pytest.raises(ContractError) as refused:
        await RtpSource(Rtp(streams=streams), [HERE]).run(Ear().tell)
    assert refused.value.code == "invalid"


async def test_two_ssrcs_of_one_participant_are_two_tracks_of_theirs():
    """One after the other or at once: neither disturbs the other's sequence."""
    streams = [RtpStream(ssrc=ssrc, participant="p-anna", name="Anna") for ssrc in (5, 6)]
    async with call(streams=streams) as (port, ear):
        with Sender(port) as sender:
            for both in zip(speech(5), speech(6), strict=True):
                sender.send(both)
            await ear.until(lambda e: e.heard_samples.get("p-anna", 0) >= 2 * 16_000 - 640)
            for track in ear.open:
                assert (track.counts.late, track.counts.lost) == (0, 0)
    assert joined(ear) == [Joined("p-anna", "Anna")]
    assert len(ear.of(TrackStarted)) == len(ear.of(TrackEnded)) == 2
    assert ear.of(Left) == [Left("p-anna")]


async def test_a_number_stays_with_its_ssrc():
    async with call() as (port, ear):
        with Sender(port) as sender:
            sender.send(speech(5))
            sender.send(speech(6))
            await ear.until(lambda e: len(e.names) == 2)
            await port.leap(61)
            await ear.until(lambda e: not e.names)
            sender.send(speech(6, first=9000))
            await ear.until(lambda e: e.names)
            assert ear.names == {"ssrc-6": "Speaker 2"}


async def test_long_silence_is_leaving_and_speech_is_coming_back():
    async with call(streams=STREAMS) as (port, ear):
        with Sender(port) as sender:
            sender.send(speech(ANNA))
            await ear.until(lambda e: e.hears("Anna"))
            await port.leap(61)
            await ear.until(lambda e: not e.names)
            ear.heard_samples.clear()
            sender.send(speech(ANNA, first=20_000))
            await ear.until(lambda e: e.hears("Anna"))
    assert [type(event) for event in ear.events] == [
        Connected, *2 * [Joined, TrackStarted, TrackEnded, Left]
    ]  # fmt: skip


async def test_neither_a_pause_nor_a_bye_ends_a_track():
    async with call(streams=STREAMS) as (port, ear):
        with Sender(port) as sender:
            packets = speech(ANNA)
            sender.send(packets[:25])
            sender.send_bytes(bytes(RtcpByePacket([ANNA])))
            await ear.until(lambda e: e.heard_samples.get("p-anna", 0) >= 25 * 320)
            await port.leap(55)
            await seen(ear, sender)
            sender.send(packets[25:])
            await ear.until(lambda e: e.heard_samples["p-anna"] >= 50 * 320)
            assert len(ear.of(TrackStarted)) == 2  # theirs, and `seen`'s
            assert not ear.of(TrackEnded)


async def test_another_payload_type_is_nobody():
    async with call(payload_type=100) as (port, ear):
        with Sender(port) as sender:
            sender.send(speech(5, 0.2))
            sender.send(speech(6), payload_type=100)
            await ear.until(lambda e: e.names)
        assert list(ear.names) == ["ssrc-6"]
        assert port.source.counts.other_type == 10


@pytest.mark.parametrize("srtp", [None, keys()])
async def test_the_sender_gets_receiver_reports(srtp):
    async with call(srtp=srtp) as (port, ear):
        with Sender(port, srtp) as sender:
            port.clock.stop()
            packets = speech(5)
            sender.send(packets[:10] + packets[20:40])
            sender.send_report(5)
            await seen(ear, sender)
            assert port.source.counts.reports == 1
            await port.leap(10)
            data = await sender.receive()
            if srtp:
                data = port.source._protection._inbound.unprotect_rtcp(data)
            report, _ = RtcpPacket.parse(data)
            assert isinstance(report, RtcpRrPacket)
            block = next(block for block in report.reports if block.ssrc == 5)
            assert (block.packets_lost, block.fraction_lost) == (10, 10 * 256 // 40)
            assert block.highest_sequence == 1039
            assert block.lsr == 0x2222_3333
            assert block.dlsr == 10 * 65536


async def test_loss_and_reordering_give_what_a_receiver_makes_of_the_packets():
    packets = displace(lose(speech(5, 2.0), 0.05, seed=3), 0.1, 2, seed=4)
    receiver = TrackReceiver()
    expected = [chunk for packet in packets for chunk in receiver.receive(packet)]
    async with call() as (port, ear):
        with Sender(port) as sender:
            sender.send(packets)
            await seen(ear, sender)
        (track,) = [track for track, who in ear.open.items() if who == "ssrc-5"]
        assert track.counts == receiver.counts
        await ear.until(
            lambda e: e.heard_samples["ssrc-5"] == sum(len(chunk.samples) for chunk in expected)
        )


async def test_a_flood_of_ssrcs_makes_no_speakers():
    async with call() as (port, ear):
        with Sender(port) as sender:
            payload = speech(1)[0].payload
            draw = random.Random(1)
            for n in range(5000):
                sender.send([RtpPacket(draw.getrandbits(16), n, 10_000 + n, payload)])
                if not n % 100:
                    await asyncio.sleep(0)  # the socket's room is not what is tested
            await seen(ear, sender)
        assert list(ear.names) == [f"ssrc-{LAST}"]
        assert len(port.source._streams._candidates) < 1000


async def test_there_are_never_more_than_so_many_speakers_and_none_makes_room_while_heard():
    async with call() as (port, ear):
        with Sender(port) as sender:
            for ssrc in range(1, 2 * MOST_STREAMS):
                sender.send(speech(ssrc, 0.1))
            sender.send(speech(1, 1.0, first=1005))  # behind all the others
            await ear.until(lambda e: e.heard_samples.get("ssrc-1", 0) >= 50 * 320)
            assert list(ear.names) == [f"ssrc-{ssrc}" for ssrc in range(1, MOST_STREAMS + 1)]
            await port.leap(3)
            sender.send(speech(1, 0.1, first=1055))
            sender.send(speech(500, 0.1))
            await ear.until(lambda e: "ssrc-500" in e.names)
        assert len(ear.names) == MOST_STREAMS
        assert ear.of(Left) == [Left("ssrc-2")]
