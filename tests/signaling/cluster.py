"""Several gateways and nodes in one process: what they share is in memory, nodes are stand-ins."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from signaling.bus import MemoryBus
from signaling.calls import Calls
from signaling.errors import ContractError
from signaling.keeper import Keeper, Rules
from signaling.lifecycle import Lifecycle
from signaling.messages import CallEvent, Join, Publishing
from signaling.presence import MemoryPresence, tell
from signaling.registry import MemoryRegistry, NodeStatus
from signaling.rooms import Rooms
from signaling.shared_call import SharedCall
from signaling.transcripts import Transcripts
from tests.signaling.world import Node, Sockets, Store, known
from turn.credentials import TurnServers


class Clock:
    """Of leases."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class GatewayHere:
    calls: Calls
    rooms: Rooms
    keeper: Keeper
    sockets: Sockets
    lifecycle: Lifecycle
    letters: asyncio.Task[None]

    async def join(self, socket: str, who: str, call: str = "a"):
        return (await self.calls.join(socket, known(who), Join(call=call)))[0]


class Cluster:
    """`async with cluster(…)` makes one. Nobody reports or looks but when the test says so."""

    def __init__(self, store: Store) -> None:
        self.clock = Clock()
        self.bus, self.presence = MemoryBus(), MemoryPresence()
        self.registry = MemoryRegistry(lease_seconds=2.5, clock=self.clock)
        self.store = store
        self.nodes: dict[str, Node] = {}
        self.statuses: dict[str, NodeStatus] = {}
        self.dead: set[str] = set()
        self.gateways: dict[str, GatewayHere] = {}

    def node(self, node_id: str) -> Node:
        """See `NodeDirectory`."""
        if node_id in self.dead:
            raise ContractError("unavailable", "the media node does not answer", 1000)
        return self.nodes[node_id]

    def __getitem__(self, gateway: str) -> GatewayHere:
        return self.gateways[gateway]

    async def add_node(self, node_id: str, capacity: int = 10, **more) -> Node:
        self.nodes.setdefault(node_id, Node())
        self.dead.discard(node_id)
        self.statuses[node_id] = NodeStatus(node_id, capacity, **more)
        await self.registry.report(self.statuses[node_id])
        return self.nodes[node_id]

    async def pass_seconds(self, seconds: float) -> None:
        """Leases age; whoever lives reports."""
        self.clock.now += seconds
        for name, status in self.statuses.items():
            if name not in self.dead:
                await self.registry.report(status)
        for name in self.gateways:
            if name not in self.dead:
                await self.registry.report_gateway(name)

    async def kill(self, name: str) -> None:
        """A node or a gateway dies, and its lease ends."""
        self.dead.add(name)
        if name in self.gateways:  # it does nothing more about what it hears
            self.gateways[name].rooms.draining = True
        await self.pass_seconds(3.0)

    async def looked(self, gateway: str = "g1") -> None:
        """The keeper has looked, what it found to do is done, and everybody has heard of it."""
        await self.gateways[gateway].keeper.look()
        await self.gateways[gateway].keeper.done()
        await self.heard()

    async def heard(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    async def until(self, holds: Callable[[SharedCall], object], call: str = "a") -> None:
        """Until a version of the call is so, and everybody has heard of it."""
        async with asyncio.timeout(5), self.presence.follow(call) as versions:
            now = await self.presence.read(call)
            while now and not holds(now):
                now = await anext(versions)
        await self.heard()

    async def shared(self, call: str = "a") -> SharedCall:
        found = await self.presence.read(call)
        assert found
        return found

    async def told(self, *events: CallEvent) -> None:
        """The word of the node that has the call."""
        for event in events:
            await tell(self.presence, event, (await self.shared(event.call)).epoch)
        await self.heard()

    async def sends(self, who: str, call: str = "a") -> None:
        """Somebody's audio arrives at the call's node."""
        await self.told(Publishing(call, who, publishing=True))

    def open_gateway(self, name: str, tasks: asyncio.TaskGroup, rules: Rules) -> GatewayHere:
        transcripts, sockets = Transcripts(self.bus, self.store), Sockets()
        lifecycle = Lifecycle(
            bus=self.bus,
            registry=self.registry,
            presence=self.presence,
            nodes=self,
            store=self.store,
            transcripts=transcripts,
        )
        rooms = Rooms(
            gateway=name,
            bus=self.bus,
            presence=self.presence,
            lifecycle=lifecycle,
            transcripts=transcripts,
            sockets=sockets,
            tasks=tasks,
        )
        keeper = Keeper(
            gateway=name,
            registry=self.registry,
            presence=self.presence,
            lifecycle=lifecycle,
            tasks=tasks,
            rules=rules,
        )
        calls = Calls(
            rooms=rooms,
            bus=self.bus,
            store=self.store,
            transcripts=transcripts,
            turn=TurnServers(),
            sockets=sockets,
        )

        async def deliver() -> None:
            async with self.bus.letters(name) as letters:
                async for letter in letters:
                    await sockets.emit(letter.event, letter.payload, letter.socket)

        letters = tasks.create_task(deliver())
        made = GatewayHere(calls, rooms, keeper, sockets, lifecycle, letters)
        self.gateways[name] = made
        return made


@asynccontextmanager
async def cluster(
    folder, gateways: tuple[str, ...] = ("g1", "g2"), rules: Rules | None = None
) -> AsyncIterator[Cluster]:
    """With `node-1`; keepers believe leases at once unless `rules` say otherwise."""
    rules = rules or Rules(linger_seconds=math.inf, return_seconds=0.0, lease_seconds=0.0)
    async with Store(folder / "surtitle.db") as store, asyncio.TaskGroup() as tasks:
        made = Cluster(store)
        await made.add_node("node-1")
        for name in gateways:
            made.open_gateway(name, tasks, rules)
            await made.registry.report_gateway(name)
        await asyncio.sleep(0)  # letters are read from now on
        yield made
        for gateway in made.gateways.values():
            await gateway.keeper.done()
            await gateway.calls.close(end_calls=True)
            gateway.letters.cancel()
