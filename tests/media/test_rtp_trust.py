"""Who may send to the `rtp` source, and what comes of everything else that is sent."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from media.sources.rtp import LONGEST_DATAGRAM_BYTES
from signaling.sources import Rtp
from tests.media.rtp_sender import HERE, LAST, Port, Sender, call, keys, seen, speech, wire
from tests.media.source_contract import listening


async def test_who_sends_first_is_the_only_one_to_be_heard():
    async with call() as (port, ear):
        with Sender(port) as sender, Sender(port) as stranger:
            sender.send(speech(5))
            await ear.until(lambda e: e.names)
            stranger.send(speech(5, first=3000) + speech(6))
            await seen(ear, sender)
        assert list(ear.names) == ["ssrc-5", f"ssrc-{LAST}"]
        assert port.source.counts.stranger == 100


async def test_one_packet_makes_nobody_the_sender():
    async with call() as (port, ear):
        with Sender(port) as sender, Sender(port) as stranger:
            stranger.send(speech(6)[:1])
            stranger.send(speech(6)[5:6])
            sender.send(speech(5))
            await ear.until(lambda e: e.names)
        assert list(ear.names) == ["ssrc-5"]


async def test_after_a_long_silence_somebody_else_may_send():
    """An SFU that began anew has another port."""
    async with call() as (port, ear):
        with Sender(port) as before, Sender(port) as anew:
            before.send(speech(5))
            await ear.until(lambda e: e.names)
            await port.leap(61)
            await ear.until(lambda e: not e.names)
            anew.send(speech(6))
            await ear.until(lambda e: "ssrc-6" in e.names)


async def test_of_a_given_address_every_port_is_heard_and_of_others_none():
    """Janus sends each publisher from a port of its own."""
    async with call(sender="127.0.0.2") as (port, ear):
        with (
            Sender(port, host="127.0.0.2") as one,
            Sender(port, host="127.0.0.2") as other,
            Sender(port) as stranger,
        ):
            stranger.send(speech(4))
            one.send(speech(5))
            other.send(speech(6))
            await ear.until(lambda e: len(e.names) == 2)
        assert set(ear.names) == {"ssrc-5", "ssrc-6"}
        assert port.source.counts.stranger == 50


async def test_of_a_given_port_no_other_is_heard_however_long_it_is_silent():
    port = Port()
    with Sender(port) as sender, Sender(port) as stranger:
        port.settings = Rtp(sender=f"{HERE}:{sender.address[1]}")
        async with listening(port.new_source()) as ear:
            await port.leap(1000)
            stranger.send(speech(6))
            sender.send(speech(5))
            await ear.until(lambda e: e.names)
            assert list(ear.names) == ["ssrc-5"]


async def test_with_the_right_key_it_is_heard():
    srtp = keys()
    async with call(srtp=srtp) as (port, ear):
        with Sender(port, srtp) as sender:
            sender.send(speech(5))
            await ear.until(lambda e: e.hears("Speaker 1"))


async def test_without_the_right_key_nobody_is_heard_nor_taken_for_the_sender():
    srtp = keys()
    async with call(srtp=srtp) as (port, ear):
        with Sender(port, srtp) as sender, Sender(port, keys()) as wrong, Sender(port) as plain:
            wrong.send(speech(4))
            plain.send(speech(6))
            sender.send(speech(5))
            await ear.until(lambda e: e.names)
        assert list(ear.names) == ["ssrc-5"]
        assert port.source.counts.malformed == 100


async def test_what_is_replayed_is_not_heard():
    srtp = keys()
    async with call(srtp=srtp) as (port, ear):
        with Sender(port, srtp) as sender:
            recorded = [sender._session.protect(wire(packet)) for packet in speech(5)]
            for data in recorded + recorded:
                sender.send_bytes(data)
            await seen(ear, sender)
        (track,) = [track for track, who in ear.open.items() if who == "ssrc-5"]
        assert track.counts.packets == 50
        assert port.source.counts.malformed == 50


async def test_a_datagram_of_any_length_is_borne():
    async with call() as (port, ear):
        with Sender(port) as sender:
            header = wire(speech(5)[0])[:12]
            for length in (0, 1, 12, 1500, LONGEST_DATAGRAM_BYTES, 65_000):
                sender.send_bytes((header + bytes(65_000))[:length])
            await seen(ear, sender)
        assert port.source.counts.long == 1


HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.integers(0x80, 0xBF), st.sampled_from([111, 239, 200, 201, 203]), st.binary()).map(
        lambda parts: bytes(parts[:2]) + parts[2]
    ),
    st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 80)).map(
        lambda parts: _damaged(*parts)
    ),
)


def _damaged(at: int, value: int, length: int) -> bytes:
    data = bytearray(wire(speech(5)[0]))
    data[at] = value
    return bytes(data[:length])


@settings(max_examples=60, deadline=None)
@given(st.lists(HOSTILE, max_size=20), st.booleans())
def test_any_bytes_at_the_port_never_break_it(datagrams, protected):
    async def attack() -> None:
        faults: list[dict[str, object]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context))
        srtp = keys() if protected else None
        async with call(srtp=srtp) as (port, ear):
            with Sender(port, srtp) as sender:
                for data in datagrams:
                    sender.send_bytes(data)
                await seen(ear, sender)
        assert not faults

    asyncio.run(attack())
