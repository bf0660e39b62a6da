"""Many joins and leaves, and everything is as it was: tasks, files, objects, memory."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import os
import secrets
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import aiohttp
import psutil
import pytest
from aiortc import RTCDtlsTransport, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription

from captions.captioner import Captioner
from captions.types import Hypothesis
from captions.utterance import Utterance
from captions.window import ModelInfo
from media.aiortc_private import _Bundle, _Tap
from media.call import NodeCall
from media.node import Node
from media.opus import OpusDecoder
from media.peer import ReceivingPeer
from media.receiver import TrackReceiver
from media.sources.direct import DirectSource
from media.sources.rtp import RtpSource
from media.speaker import Speaker
from media.ssrcs import Stream
from media.track import Track
from signaling.audience import call_group
from signaling.bus import MemoryBus
from signaling.calls import Calls
from signaling.lifecycle import Lifecycle
from signaling.messages import CreateCall, Join, Offer, Participant
from signaling.presence import MemoryPresence
from signaling.registry import MemoryRegistry
from signaling.room import Room, Seat
from signaling.rooms import Rooms
from signaling.store_sqlite import SqliteStore
from signaling.tokens import Everybody
from signaling.transcripts import Transcripts
from tests.media.packets import stream, sweep_payloads
from tests.media.rtp_sender import wire
from tests.peer import Microphone, Peer
from tests.server import Server
from turn.credentials import TurnServers

CYCLES = 3600
"""An hour of one join and leave a second."""

AT_ONCE = 8
WARM_UP = 400
CONNECTIONS = 40
VISITS = 100
MOST_GROWTH_BYTES = 15 * 1024 * 1024

OURS = (
    *(Track, TrackReceiver, OpusDecoder, Speaker, Captioner, Utterance, Stream),
    *(NodeCall, DirectSource, RtpSource, ReceivingPeer, _Bundle, _Tap),
    *(Room, Seat, Participant),
    *(RTCPeerConnection, RTCDtlsTransport, RTCRtpReceiver),
)

ANYBODY = Everybody().identify(None)


class Recognizer:
    """In the engine's place: never hears a word."""

    state = "ready"
    workers = 2
    restarts = 0
    info = ModelInfo("scripted", ("en",), "cpu", 0.0)

    async def recognize(self, windows) -> list[Hypothesis]:
        return [Hypothesis((), "en", no_speech=1.0) for _ in windows]


class Listeners:
    """In place of the sockets: who waits for something of a call is woken by it."""

    def __init__(self) -> None:
        self._groups: dict[str, set[str]] = {}
        self._heard: dict[str, asyncio.Event] = {}

    async def emit(self, event, payload, to):
        """A call's state says whether somebody is heard."""
        heard = self._heard.get(to)
        if heard and event == "call:state" and payload["captioning"]:
            heard.set()

    async def enter(self, socket, group):
        self._groups.setdefault(group, set()).add(socket)

    async def leave(self, socket, group):
        self._groups[group].discard(socket)
        if not self._groups[group]:
            del self._groups[group]

    @asynccontextmanager
    async def hearing(self, call):
        """Inside this block, speech begins to be captioned."""
        heard = self._heard[call_group(call)] = asyncio.Event()
        try:
            yield
            async with asyncio.timeout(20):
                await heard.wait()
        finally:
            del self._heard[call_group(call)]


class World:
    """A node and a gateway's rooms, real but for sockets and the recognizer."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()
        self._moments = itertools.cycle(n / 200 for n in range(20))
        self._packets = [wire(packet) for packet in stream(sweep_payloads(0.2))]

    async def __aenter__(self):
        # aiortc's senders encode in threads: one, so that their number does not grow with luck.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        enter = self._stack.enter_async_context
        bus, registry, presence = MemoryBus(), MemoryRegistry(math.inf), MemoryPresence()
        self.listeners = Listeners()
        store = await enter(SqliteStore(self._folder / "surtitle.db"))
        tasks = await enter(asyncio.TaskGroup())
        self.node = await enter(
            Node(
                node_id="node-1",
                capacity=1000,
                engine=Recognizer(),
                bus=bus,
                registry=registry,
                presence=presence,
                sources=lambda source: RtpSource(source, ["127.0.0.1"]),
            )
        )
        transcripts = Transcripts(bus, store)
        lifecycle = Lifecycle(
            bus=bus,
            registry=registry,
            presence=presence,
            nodes=SimpleNamespace(node=lambda node_id: self.node),
            store=store,
            transcripts=transcripts,
        )
        rooms = Rooms(
            gateway="g1",
            bus=bus,
            presence=presence,
            lifecycle=lifecycle,
            transcripts=transcripts,
            sockets=self.listeners,
            tasks=tasks,
        )
        self.calls = Calls(
            rooms=rooms,
            bus=bus,
            store=store,
            transcripts=transcripts,
            turn=TurnServers(),
            sockets=self.listeners,
        )
        self._stack.push_async_callback(self.calls.close, end_calls=True)
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    async def rtp_cycle(self) -> None:
        """A call by plain RTP with somebody who reads along; speech; all of them go."""
        call = f"call-{secrets.token_hex(4)}"
        request = CreateCall.model_validate({"call": call, "source": {"kind": "rtp"}})
        room = await self.calls.create(request)
        seat, _ = await self.calls.join(f"socket-{call}", ANYBODY, Join(call=call, name="Anna"))
        to = (room.source_details["address"], room.source_details["port"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            async with self.listeners.hearing(call):
                for packet in self._packets:
                    sender.sendto(packet, to)
        await self.calls.leave(seat)
        await self.calls.end(call)

    async def direct_cycle(self) -> None:
        """A call with somebody who sends their audio themselves, by ICE and DTLS."""
        async with self.sending() as connection:
            connected = asyncio.Event()

            @connection.on("connectionstatechange")
            def on_change() -> None:
                if connection.connectionState == "connected":
                    connected.set()

            if connection.connectionState != "connected":
                async with asyncio.timeout(20):
                    await connected.wait()

    async def hasty_cycle(self) -> None:
        """The same, but they are gone again at some moment of the connection's first 100 ms."""
        async with self.sending():
            await asyncio.sleep(next(self._moments))

    @asynccontextmanager
    async def sending(self):
        call = f"call-{secrets.token_hex(4)}"
        seat, _ = await self.calls.join(f"socket-{call}", ANYBODY, Join(call=call, name="Anna"))
        connection = RTCPeerConnection()
        try:
            connection.addTransceiver(Microphone(), direction="sendonly")
            await connection.setLocalDescription(await connection.createOffer())
            offer = Offer(sdp=connection.localDescription.sdp, type="offer")
            async with self.listeners.hearing(call):
                answer = await self.calls.offer(seat, offer)
                await connection.setRemoteDescription(RTCSessionDescription(**answer))
            yield connection
            await self.calls.close_media(seat)
        finally:
            await connection.close()
        await self.calls.leave(seat)
        await self.calls.end(call)


async def many(cycle, count: int, at_once: int = AT_ONCE) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for _ in numbers:
            await cycle()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(work())


async def state(lasting: set[asyncio.Task]) -> dict[str, int]:
    """What there is when all tasks but the `lasting` have had the time to end."""
    ending = asyncio.all_tasks() - lasting
    if ending:
        await asyncio.wait(ending, timeout=5)
    for _ in range(5):  # turns of the loop, in which transports close their sockets
        await asyncio.sleep(0)
    gc.collect()
    objects = Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in OURS)
    process = psutil.Process()
    return {
        "tasks": len(asyncio.all_tasks()),
        "files": process.num_fds(),
        "threads": process.num_threads(),
        **objects,
    }


def resident_bytes() -> int:
    return psutil.Process().memory_info().rss


async def test_an_hour_of_calls_that_come_and_go_leaves_nothing_behind(tmp_path):
    async with World(tmp_path) as w:
        lasting = asyncio.all_tasks()
        await many(w.rtp_cycle, WARM_UP)
        before, states, sizes = await state(lasting), [], []
        for _ in range(4):
            await many(w.rtp_cycle, CYCLES // 4)
            states.append(await state(lasting))
            sizes.append(resident_bytes())
        assert states == [before] * 4
        assert sizes[3] - sizes[1] < MOST_GROWTH_BYTES
        assert not w.node.streams
        assert not w.node.counts.speakers_failed
        assert not w.node.counts.calls_failed
        assert w.node.counts.received.packets == (WARM_UP + CYCLES) * len(w._packets)


@pytest.mark.parametrize("cycle", ["direct_cycle", "hasty_cycle"])
async def test_connections_that_come_and_go_leave_nothing_behind(tmp_path, cycle):
    async with World(tmp_path) as w:
        lasting = asyncio.all_tasks()
        await many(getattr(w, cycle), CONNECTIONS // 2, 4)
        before, states, sizes = await state(lasting), [], []
        for _ in range(2):
            await many(getattr(w, cycle), CONNECTIONS, 4)
            states.append(await state(lasting))
            sizes.append(resident_bytes())
        assert states == [before] * 2
        assert sizes[1] - sizes[0] < MOST_GROWTH_BYTES
        assert not w.node.streams
        assert not w.node.counts.speakers_failed


class Watched(Server):
    """A server whose process, and recognizer's process, are looked at from outside."""

    def figures(self) -> dict[str, int]:
        server = psutil.Process(self.process.pid)
        processes = [server, *server.children(recursive=True)]
        return {
            "processes": len(processes),
            "files": sum(process.num_fds() for process in processes),
            "threads": sum(process.num_threads() for process in processes),
        }

    def resident_bytes(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss


async def streams(http: aiohttp.ClientSession) -> dict[str, float]:
    """Of `/metrics`, what is there now."""
    async with http.get("/metrics") as answer:
        lines = [line.split() for line in (await answer.text()).splitlines() if line[0] != "#"]
    found = {name.removeprefix("surtitle_"): float(value) for name, value in lines}
    return {name: found[name] for name in ("streams", "calls", "participants", "sockets")}


async def visit(server: Server, http: aiohttp.ClientSession) -> None:
    """Somebody joins a call, is heard, and goes; the call is ended."""
    call = f"test-{secrets.token_hex(4)}"
    async with Peer(server.url) as anna:
        await anna.join(call, "Anna", language="en")
        await anna.send(Microphone())
        await anna.until(lambda p: [s for s in p.events("call:state") if s["captioning"]])
        assert (await anna.ask("media:close"))["ok"]
    async with http.delete(f"/api/calls/{call}") as answer:
        assert answer.status < 300


async def at_rest(server: Watched, http: aiohttp.ClientSession, most: dict[str, int]) -> None:
    """Until nobody is there, and no more is open than `most`. Each look is a request."""
    async with asyncio.timeout(30):
        for _ in itertools.count():
            busy = await streams(http)
            figures = server.figures()
            if not any(busy.values()) and all(figures[name] <= most[name] for name in most):
                return


def with_room_for_workers(figures: dict[str, int]) -> dict[str, int]:
    """asyncio's pool of threads grows to a size of its own, however few are busy."""
    return figures | {"threads": figures["threads"] + 4 + (os.cpu_count() or 1)}


async def test_a_server_is_after_many_calls_as_it_was(tmp_path):
    options = ("--capacity", "1000")  # many calls begin within one heartbeat
    async with (
        Watched(tmp_path, *options) as server,
        aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(limit=1)) as http,
    ):
        await many(lambda: visit(server, http), VISITS // 2, 4)
        await at_rest(server, http, {})
        before, sizes = server.figures(), []
        for _ in range(2):
            await many(lambda: visit(server, http), VISITS, 4)
            await at_rest(server, http, with_room_for_workers(before))
            sizes.append(server.resident_bytes())
        assert sizes[1] - sizes[0] < MOST_GROWTH_BYTES


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
