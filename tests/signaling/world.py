"""A gateway's rooms with stand-ins for what is around them: node, sockets, a moody store."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass

from captions.types import SPOKEN
from signaling.audio_sessions import AudioSessions
from signaling.bus import MemoryBus
from signaling.calls import Calls
from signaling.errors import ContractError
from signaling.health import Fleet, Health
from signaling.inner_sockets import InnerSockets
from signaling.keeper import Keeper, Rules
from signaling.lifecycle import Lifecycle
from signaling.messages import Join, Offer
from signaling.presence import MemoryPresence, tell
from signaling.registry import MemoryRegistry, NodeStatus
from signaling.rooms import Rooms
from signaling.store_sqlite import SqliteStore
from signaling.tokens import GRANTS, Everybody, Identity
from signaling.transcripts import Transcripts
from turn.credentials import TurnServers

ANYBODY = Everybody().identify(None)
OFFER = Offer(sdp="v=0", type="offer")


def known(subject: str) -> Identity:
    return Identity(subject, subject.title(), "*", frozenset(GRANTS))


class Gate:
    """Holds those who pass until it is opened; tells that somebody is there."""

    def __init__(self):
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()


class Node:
    """Answers as told: `faults` and `gates` by the method's name."""

    def __init__(self):
        self.asked: list[tuple] = []
        self.faults: dict[str, Exception] = {}
        self.gates: dict[str, Gate] = {}
        self.lines: list[Line] = []
        self.on_close_media = lambda: None

    async def _take(self, what: str, *details) -> None:
        self.asked.append((what, *details))
        if what in self.gates:
            await self.gates[what]()
        if what in self.faults:
            raise self.faults[what]

    async def start(self, call, source, language):
        await self._take("start", call.call, source.kind, language)
        return {"port": 4000}

    async def offer(self, call, participant, sdp):
        await self._take("offer", call.call, participant.id)
        return "answer"

    async def listen(self, call, participant, audio, begins_at_ms, *, background=False):
        await self._take("listen", call.call, participant.id, audio, background)
        self.lines.append(Line(self, begins_at_ms))
        return self.lines[-1]

    async def candidate(self, call, participant, candidate):
        await self._take("candidate", call.call, participant)

    async def close_media(self, call, participant):
        await self._take("close_media", call.call, participant)
        self.on_close_media()

    async def update(self, call, participant):
        await self._take("update", call.call, participant)

    async def publish(self, call, finals):
        await self._take("publish", call.call, [final.utterance for final in finals])
        return [final.numbered(n) for n, final in enumerate(finals, 1)]

    async def forget_words(self, call):
        await self._take("forget_words", call.call)

    async def end(self, call):
        await self._take("end", call.call)


class Line:
    """What a participant's audio came to; `send` and `close_line` are the node's moods."""

    def __init__(self, node: Node, begins_at_ms: int):
        self._node = node
        self.begins_at_ms = begins_at_ms
        self.heard: list[tuple[bytes, int]] = []
        self.closed = False
        self.dies = False

    async def send(self, chunk, at_ms):
        await self._node._take("send")
        if self.dies:
            raise ContractError("unavailable", "the node does not answer", 1000)
        self.heard.append((chunk, at_ms))

    async def close(self):
        await self._node._take("close_line")
        self.closed = True


class Nodes:
    def __init__(self, node):
        self.one = node
        self.gone = False

    def node(self, node_id):
        if self.gone:
            raise ContractError("unavailable", "the node does not answer", 1000)
        return self.one


class Sockets:
    """Groups and what was sent to each socket; `fault` is raised by whoever enters."""

    def __init__(self):
        self.groups: dict[str, set[str]] = {}
        self.sent: list[tuple[str, str, dict]] = []
        self.fault: Exception | None = None

    async def emit(self, event, payload, to):
        self.sent += [(s, event, payload) for s in sorted(self.groups.get(to, {to}))]

    async def enter(self, socket, group):
        if self.fault:
            raise self.fault
        self.groups.setdefault(group, set()).add(socket)

    async def leave(self, socket, group):
        self.groups.get(group, set()).discard(socket)

    def heard(self, socket, event):
        return [payload for to, name, payload in self.sent if (to, name) == (socket, event)]


class Store(SqliteStore):
    """Fails, or waits, in the methods that `faults` and `gates` name."""

    def __init__(self, path):
        super().__init__(path)
        self.faults: set[str] = set()
        self.gates: dict[str, Gate] = {}

    async def _mood(self, what):
        if what in self.gates:
            await self.gates[what]()
        if what in self.faults:
            raise ConnectionError("the store is down")

    async def call(self, call):
        await self._mood("call")
        return await super().call(call)

    async def save_call(self, record):
        await self._mood("save_call")
        await super().save_call(record)

    async def captions(self, call, feed=SPOKEN, since=0):
        await self._mood("captions")
        return await super().captions(call, feed, since)

    async def last_seq(self, call):
        await self._mood("last_seq")
        return await super().last_seq(call)


@dataclass
class World:
    calls: Calls
    rooms: Rooms
    bus: MemoryBus
    registry: MemoryRegistry
    presence: MemoryPresence
    keeper: Keeper
    node: Node
    nodes: Nodes
    store: Store
    sockets: Sockets
    sessions: AudioSessions
    inner: InnerSockets

    async def join(self, socket, call="a", who=ANYBODY, **more):
        return (await self.calls.join(socket, who, Join(call=call, **more)))[0]

    async def told(self, *events):
        """The node's word, and that it has been taken."""
        for event in events:
            shared = await self.presence.read(event.call)
            await tell(self.presence, event, shared.epoch if shared else 0)
        await self.settled()

    async def settled(self):
        """What the keeper finds to do is done, and everybody has heard of it."""
        await self.keeper.look()
        await self.keeper.done()
        for _ in range(20):
            await asyncio.sleep(0)

    async def lingered(self):
        """Until an empty call has ended."""
        await self.settled()


@contextlib.asynccontextmanager
async def world(
    folder, linger_seconds: float = 0.0, capacity: int = 100, resume_seconds: float = 30.0
):
    bus, registry, presence = MemoryBus(), MemoryRegistry(math.inf), MemoryPresence()
    node, sockets = Node(), Sockets()
    inner = InnerSockets(sockets)
    nodes = Nodes(node)
    await registry.report(NodeStatus("node-1", capacity=capacity))
    async with Store(folder / "surtitle.db") as store, asyncio.TaskGroup() as tasks:
        transcripts = Transcripts(bus, store)
        lifecycle = Lifecycle(
            bus=bus,
            registry=registry,
            presence=presence,
            nodes=nodes,
            store=store,
            transcripts=transcripts,
        )
        rooms = Rooms(
            gateway="g1",
            bus=bus,
            presence=presence,
            lifecycle=lifecycle,
            transcripts=transcripts,
            sockets=inner,
            tasks=tasks,
        )
        keeper = Keeper(
            gateway="g1",
            registry=registry,
            presence=presence,
            lifecycle=lifecycle,
            tasks=tasks,
            rules=Rules(linger_seconds=linger_seconds),
        )
        calls = Calls(
            rooms=rooms,
            bus=bus,
            store=store,
            transcripts=transcripts,
            turn=TurnServers(),
            sockets=inner,
        )
        sessions = AudioSessions(
            calls=calls,
            sockets=inner,
            health=Health("0", fleet=Fleet(takes_calls=True)),
            tasks=tasks,
            resume_seconds=resume_seconds,
        )
        yield World(
            calls=calls,
            rooms=rooms,
            bus=bus,
            registry=registry,
            presence=presence,
            keeper=keeper,
            node=node,
            nodes=nodes,
            store=store,
            sockets=sockets,
            sessions=sessions,
            inner=inner,
        )
        store.faults.clear()
        await sessions.close()
        await calls.close(end_calls=True)  # and the TaskGroup finds nothing that still runs


def code_of(error) -> str:
    return error.value.code


def nothing_left(w: World) -> None:
    """Of a call that is over."""
    assert not w.calls.live
    assert not w.presence._calls
    assert not list(w.presence._versions)
    assert not w.rooms._followers
    assert not w.rooms.audience.fanout._listeners
    assert not w.rooms.audience.fanout._viewers
    assert not list(w.rooms._locks)
    assert not any(w.sockets.groups.values())
    assert not any((w.bus._epochs, w.bus._feeds, w.bus._unwritten, w.bus._ended))
    assert not list(w.bus._captions)
    assert not any(w.registry._calls.values())
