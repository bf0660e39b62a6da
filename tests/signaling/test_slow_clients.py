"""Who does not read is cut off, costs nobody else anything, and catches up by `since`."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from dataclasses import replace
from types import SimpleNamespace

import aiohttp
import psutil
import pytest
import structlog
from engineio.packet import MESSAGE, Packet

from captions.types import Caption
from signaling import outbox
from signaling.audience import call_group
from signaling.gateway import Gateway
from signaling.outbox import MOST_CHARACTERS, MOST_PACKETS, Message, Outbox
from tests.light import LightClient
from tests.lone_gateway import EPOCH, lone_gateway
from tests.peer import Peer


def gateway(folder):
    return lone_gateway(folder, ["a"])


def final(number: int, length: int = 2000) -> Caption:
    return Caption(
        call="a",
        utterance=f"u-{number}",
        revision=1,
        participant="p-anna",
        speaker="Anna",
        language="en",
        source_language="en",
        text=f"{number} " + "x" * length,
        stable=0,
        final=True,
        start_ms=number,
        end_ms=number + 1,
    )


class Watcher:
    """A client that watches the call, and what it has of it by `seq`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seqs: list[int] = []
        self.news = asyncio.Event()

    async def watch(self, **options) -> None:
        self.client = await LightClient.connect(self._url, self._hear, **options)
        answer = await self.client.ask("call:watch", {"call": "a", "since": len(self.seqs)})
        assert answer["ok"], answer
        self.seqs += [caption["seq"] for caption in answer["captions"]]

    def stop_reading(self) -> None:
        assert self.client.transport
        self.client.transport.pause_reading()

    async def until(self, seq: int) -> None:
        async with asyncio.timeout(60):
            while not self.seqs or self.seqs[-1] < seq:
                self.news.clear()
                await self.news.wait()

    def _hear(self, event: bytes) -> None:
        name, payload = json.loads(event)
        if name == "caption":
            self.seqs.append(payload["seq"])
            self.news.set()


def outboxes(running: Gateway) -> list[Outbox]:
    return [engine.queue for engine in running._sockets.sio.eio.sockets.values()]


def waiting_messages() -> int:
    gc.collect()
    return sum(isinstance(found, Message) for found in gc.get_objects())


async def until(true) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - the server's own affairs give no event
            await asyncio.sleep(0.01)


def lingering(client: LightClient) -> bool:
    """Whether the kernel still has the server's end of a client's connection."""
    assert client.transport
    port = client.transport.get_extra_info("sockname")[1]
    return any(c.raddr and c.raddr.port == port for c in psutil.net_connections("tcp"))


async def test_a_client_that_stops_reading_is_cut_off_and_comes_back_for_every_final(tmp_path):
    async with gateway(tmp_path) as (running, bus):
        stalled, reading = Watcher(running.url), Watcher(running.url)
        await reading.watch()
        await stalled.watch(receive_buffer=4096)
        await bus.publish_final(EPOCH, final(1))
        await stalled.until(1)
        stalled.stop_reading()
        published, most = 1, 0
        with structlog.testing.capture_logs() as logs:
            while not running._sockets.slow_clients:
                published += 1
                assert published < 20_000, "never cut off"
                await bus.publish_final(EPOCH, final(published))
                await reading.until(published)  # nobody waits for who does not read
                most = max(most, *(box.qsize() for box in outboxes(running)))
            for _ in range(50):
                published += 1
                await bus.publish_final(EPOCH, final(published))
            await reading.until(published)
            await until(lambda: running._sockets.connected == 1)
        assert MOST_PACKETS // 2 < most <= MOST_PACKETS
        assert running._sockets.slow_clients == 1
        assert [log["event"] for log in logs].count("slow client cut off") == 1
        assert not [log for log in logs if log["log_level"] in ("warning", "error")]

        stalled.client.transport.resume_reading()
        async with asyncio.timeout(10):
            await stalled.client.lost.wait()
        await stalled.watch()
        assert stalled.seqs == reading.seqs == list(range(1, published + 1))
        published += 1
        await bus.publish_final(EPOCH, final(published))
        await stalled.until(published)
        assert stalled.seqs == list(range(1, published + 1))
        assert running._sockets.slow_clients == 1


async def test_nothing_is_kept_of_who_was_cut_off_though_its_connection_never_reads(tmp_path):
    async with gateway(tmp_path) as (running, bus):
        stalled, reading = Watcher(running.url), Watcher(running.url)
        await reading.watch()
        await stalled.watch(receive_buffer=4096)
        stalled.stop_reading()
        number = 0
        while not running._sockets.slow_clients:
            number += 1
            await bus.publish_final(EPOCH, final(number))
            await reading.until(number)
        await until(lambda: len(outboxes(running)) == 1)
        await until(lambda: waiting_messages() < 5)
        await until(lambda: not lingering(stalled.client))
        assert len(running._calls.live["a"].seats) == 1
        stalled.client.close()


async def test_long_messages_are_bounded_by_their_length(tmp_path):
    async with gateway(tmp_path) as (running, bus):
        stalled, reading = Watcher(running.url), Watcher(running.url)
        await reading.watch()
        await stalled.watch(receive_buffer=4096)
        stalled.stop_reading()
        number, length, most = 0, 100_000, 0
        while not running._sockets.slow_clients:
            number += 1
            await bus.publish_final(EPOCH, final(number, length))
            await reading.until(number)
            most = max(most, *(box.qsize() for box in outboxes(running)))
        assert most * length < MOST_CHARACTERS + 2 * length
        stalled.client.close()


async def test_a_burst_cuts_nobody_off_who_reads(tmp_path):
    async with gateway(tmp_path) as (running, bus):
        watchers = [Watcher(running.url) for _ in range(3)]
        for watcher in watchers:
            await watcher.watch()
        for number in range(1, outbox.MOST_PACKETS + 1):
            await bus.publish_final(EPOCH, final(number, 5000))
        for watcher in watchers:
            await watcher.until(outbox.MOST_PACKETS)
            assert watcher.seqs == list(range(1, outbox.MOST_PACKETS + 1))
        assert running._sockets.slow_clients == 0


async def test_what_is_written_at_once_never_overtakes_what_waits(tmp_path):
    """A client that reads now and then: the socket's buffer fills and empties in between."""
    async with gateway(tmp_path) as (running, bus):
        watcher = Watcher(running.url)
        await watcher.watch(receive_buffer=2**16)
        number = 0
        for _ in range(30):
            watcher.stop_reading()
            for _ in range(100):
                number += 1
                await bus.publish_final(EPOCH, final(number, 3000))
                await asyncio.sleep(0)
            watcher.client.transport.resume_reading()
            await watcher.until(number)
        assert watcher.seqs == list(range(1, number + 1))
        assert running._sockets.slow_clients == 0


async def test_a_client_that_stops_polling_is_cut_off(tmp_path):
    async with gateway(tmp_path) as (running, bus), aiohttp.ClientSession() as http:
        url = f"{running.url}/socket.io/?EIO=4&transport=polling"
        async with http.get(url) as answer:
            url += "&sid=" + json.loads((await answer.text())[1:])["sid"]
        for packet in ("40", '421["call:watch",{"call":"a"}]'):
            async with http.post(url, data=packet) as answer:
                assert answer.status == 200
        await until(lambda: running._sockets.connected and running._calls.live)
        reading = Watcher(running.url)
        await reading.watch()
        number = 0
        while not running._sockets.slow_clients:
            number += 1
            assert number < 20_000, "never cut off"
            await bus.publish_final(EPOCH, final(number, 10))
            await reading.until(number)
        await until(lambda: running._sockets.connected == 1)
        async with http.get(url) as answer:
            assert answer.status == 400  # after which clients connect anew


async def test_a_client_that_has_died_holds_up_nobody_who_comes(tmp_path):
    """Its death is found while the call is locked: then nobody may wait for its leaving."""
    async with gateway(tmp_path) as (running, _), Peer(running.url) as dead:
        await dead.ask("call:watch", {"call": "a"})
        [engine] = running._sockets.sio.eio.sockets.values()
        engine.last_ping = time.time() - 3600
        async with running._calls._rooms.lock("a"), asyncio.timeout(5):
            await running._sockets.emit("call:state", {"state": "live"}, call_group("a"))


async def test_a_connection_that_answers_no_ping_is_closed_though_it_reads_nothing(tmp_path):
    async with gateway(tmp_path) as (running, bus):
        silent = Watcher(running.url)
        await silent.watch(receive_buffer=4096)
        silent.stop_reading()
        [engine] = running._sockets.sio.eio.sockets.values()
        for number in range(1, outbox.MOST_PACKETS):
            await bus.publish_final(EPOCH, final(number, 3000))
            await asyncio.sleep(0)
        await until(lambda: engine.queue.qsize() > 100)  # the writer waits for the client
        engine.last_ping = time.time() - 3600
        assert not await engine.check_ping_timeout()
        await until(lambda: not outboxes(running) and not lingering(silent.client))
        assert running._sockets.slow_clients == 0
        silent.client.close()


class Wire:
    """In place of a transport: what was written, and how much of it waits."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waiting = 0

    def write(self, frame: bytes) -> None:
        self.written.append(frame)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None:
        return None


@pytest.fixture
async def wired():
    """An outbox whose writer waits, on a wire that takes all: (box, wire, socket, writer)."""
    box, wire, socket = Outbox(pytest.fail), Wire(), SimpleNamespace(upgraded=True)
    box.attach(socket, wire)
    writer = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    yield box, wire, socket, writer
    writer.cancel()


HELLO = Message("hello", {})


async def test_where_nothing_waits_a_message_is_written_at_once(wired):
    box, wire, _, writer = wired
    box.send(HELLO)
    assert wire.written == [HELLO.frame]
    assert not writer.done()


async def test_nothing_is_written_before_what_the_writer_holds(wired):
    box, wire, _, writer = wired
    box.put_nowait(HELLO)
    assert await writer is HELLO  # and now it may wait for the transport, the queue being empty
    box.send(HELLO)
    assert (wire.written, box.qsize()) == ([], 1)


async def test_nothing_is_written_before_what_waits_for_the_writer(wired):
    box, wire, _, _ = wired
    box.put_nowait(HELLO)
    box.send(HELLO)
    assert (wire.written, box.qsize()) == ([], 2)


async def test_nothing_is_added_to_what_the_transport_has_not_sent(wired):
    box, wire, _, _ = wired
    wire.waiting = 1
    box.send(HELLO)
    assert (wire.written, box.qsize()) == ([], 1)


async def test_nothing_is_written_to_a_websocket_before_polling_has_ended(wired):
    box, wire, socket, _ = wired
    socket.upgraded = False
    box.send(HELLO)
    assert (wire.written, box.qsize()) == ([], 1)


async def test_one_long_answer_cuts_nobody_off_and_two_do():
    cut = []
    box = Outbox(cut.append)
    answer = Packet(MESSAGE, "x" * (2 * MOST_CHARACTERS))
    box.put_nowait(answer)
    for _ in range(100):
        box.send(HELLO)
    assert (cut, box.qsize()) == ([], 101)
    box.put_nowait(answer)
    assert (cut, box.qsize()) == ([box], 0)
    box.put_nowait(answer)
    assert (cut, box.qsize()) == ([box], 0)


async def test_a_client_that_moves_from_polling_to_a_websocket_gets_all_in_order(tmp_path):
    async with gateway(tmp_path) as (running, bus), aiohttp.ClientSession() as http:
        url = f"{running.url}/socket.io/?EIO=4&transport="
        async with http.get(url + "polling") as answer:
            more = "&sid=" + json.loads((await answer.text())[1:])["sid"]
        for packet in ("40", '421["call:watch",{"call":"a"}]'):
            async with http.post(url + "polling" + more, data=packet) as answer:
                assert answer.status == 200
        await until(lambda: "a" in running._calls.live and running._calls.live["a"].seats)
        async with http.ws_connect(url + "websocket" + more) as wire:
            await wire.send_str("2probe")
            assert await wire.receive_str(timeout=5) == "3probe"
            await bus.publish_final(EPOCH, final(1))
            await asyncio.sleep(0.1)
            await wire.send_str("5")
            numbers = []
            while len(numbers) < 3:
                text = await wire.receive_str(timeout=5)
                if text.startswith('42["caption"'):
                    numbers.append(json.loads(text[2:])[1]["seq"])
                    await bus.publish_final(EPOCH, final(len(numbers) + 1))
            assert numbers == [1, 2, 3]


@pytest.mark.parametrize("length", [1, 60, 200, 70_000])
async def test_a_frame_is_what_a_client_reads(tmp_path, length):
    async with gateway(tmp_path) as (running, bus), Peer(running.url) as peer:
        assert (await peer.ask("call:watch", {"call": "a"}))["ok"]
        caption = replace(final(1, 0), text="grüß Gott, 你好 " * length)
        await bus.publish_final(EPOCH, caption)
        await peer.until(lambda p: p.captions)
        assert peer.captions == [caption.numbered(1).to_wire()]


def test_a_message_on_the_wire_is_that_of_python_socketio():
    import socketio

    ours = Message("caption", final(1).to_wire())
    theirs = socketio.packet.Packet(socketio.packet.EVENT, data=["caption", final(1).to_wire()])
    assert ours.encode() == "4" + theirs.encode()
