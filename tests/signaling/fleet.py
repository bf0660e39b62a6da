"""A cluster without audio: many simulated nodes and several gateways on one real Redis.

Nodes report, take orders and publish as real ones do, and write down what the bus took from
them. For each call somebody follows every version, and sends their audio to the next node when
it has moved, as a browser does.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from signaling.bus import Fenced
from signaling.contained import contained
from signaling.errors import ContractError, Unreachable
from signaling.keeper import Keeper, Rules
from signaling.lifecycle import Lifecycle
from signaling.messages import CallRef, Participant, Publishing
from signaling.presence import tell
from signaling.redis.bus import RedisBus
from signaling.redis.hub import Hub
from signaling.redis.link import Link
from signaling.redis.presence import RedisPresence
from signaling.redis.registry import RedisRegistry
from signaling.registry import HEARTBEAT_SECONDS, LEASE_SECONDS, NodeStatus
from signaling.seal import Seal
from signaling.shared_call import Person, with_person
from signaling.store import CallRecord
from signaling.transcripts import Transcripts
from tests.signaling.bus_contract import final

T = TypeVar("T")

WHO = "p-anna"
"""The one person in each call."""


async def at_last(asking: Callable[[], Awaitable[T]]) -> T:
    """Again until Redis answers: this machine may have much else to do."""
    while True:
        try:
            return await asking()
        except Unreachable:
            await asyncio.sleep(0.1)


class MemoryStore:
    """What placing needs of a store, and no disk."""

    def __init__(self) -> None:
        self.records: dict[str, CallRecord] = {}

    async def call(self, call: str) -> CallRecord | None:
        return self.records.get(call)

    async def save_call(self, record: CallRecord) -> None:
        self.records[record.call] = record

    async def save_captions(self, captions: Any) -> None:
        pass

    async def last_seq(self, call: str) -> dict[str, int]:
        return {}


class Shared:
    """What one process has of Redis."""

    def __init__(self, link: Link, hub: Hub, bus: RedisBus, lease_seconds: float) -> None:
        self.link = link
        self.bus = bus
        self.registry = RedisRegistry(link, lease_seconds)
        self.presence = RedisPresence(link, hub, Seal("s" * 32))


@asynccontextmanager
async def connected(url: str, lease_seconds: float) -> AsyncIterator[Shared]:
    async with Link(url) as link, Hub(link) as hub, RedisBus(link, hub) as bus:
        yield Shared(link, hub, bus, lease_seconds)


@dataclass(frozen=True, slots=True)
class Version:
    """Of a call, as somebody saw it who follows it."""

    call: str
    version: int
    node: str | None
    epoch: int
    leaving: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Said:
    """A final that the bus took."""

    call: str
    node: str
    epoch: int
    seq: int


class SimulatedNode:
    """Answers to `NodeApi`. `frozen`: it reports no more, and knows nothing of that."""

    def __init__(self, fleet: Fleet, node_id: str, capacity: int) -> None:
        self.id = node_id
        self.capacity = capacity
        self.calls: dict[str, CallRef] = {}
        self.draining = False
        self.frozen = False
        self.refused = 0
        """Finals that the bus did not take: others have the calls."""
        self._fleet = fleet
        self._shared = fleet.of_nodes

    async def beat(self) -> None:
        status = NodeStatus(self.id, self.capacity, len(self.calls), self.draining)
        orders = await self._shared.registry.report(status)
        self.draining = self.draining or orders.drain

    async def run(self) -> None:
        while True:
            if not self.frozen:
                await at_last(self.beat)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def speak(self, call: str, utterance: str) -> None:
        """Publish a final as the owner that it believes to be."""
        ref = self.calls[call]
        said, bus = final(utterance, call=call), self._shared.bus
        try:
            kept = await at_last(lambda: bus.publish_final(ref.epoch, said))
        except Fenced:
            self.refused += 1
            self.calls.pop(call, None)
        else:
            self._fleet.said.append(Said(call, self.id, ref.epoch, kept.seq or 0))

    async def offer(self, call: CallRef, participant: Participant, sdp: str) -> str:
        self._answer()
        before = self.calls.get(call.call)
        if before and before.epoch > call.epoch:
            raise ContractError("conflict", "the call has moved", 1000)
        if self.draining and before is None:
            raise ContractError("unavailable", "the node is draining", 1000)
        self.calls[call.call] = call
        event = Publishing(call.call, participant.id, publishing=True)
        await at_last(lambda: tell(self._shared.presence, event, call.epoch))
        await self.speak(call.call, f"hello at {call.epoch}")
        return "answer"

    async def end(self, call: CallRef) -> None:
        self._answer()
        there = self.calls.get(call.call)
        if there and there.epoch <= call.epoch:
            await self.speak(call.call, f"last word at {there.epoch}")
            self.calls.pop(call.call, None)

    async def close_media(self, call: CallRef, participant: str) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.frozen:
            raise ContractError("unavailable", "the media node does not answer", 1000)


@dataclass
class GatewaySide:
    """Of a gateway, what sees to calls as a whole."""

    shared: Shared
    lifecycle: Lifecycle
    keeper: Keeper


@dataclass
class Fleet:
    """`async with fleet(…)` makes one."""

    of_nodes: Shared
    tasks: asyncio.TaskGroup
    store: MemoryStore = field(default_factory=MemoryStore)
    nodes: dict[str, SimulatedNode] = field(default_factory=dict)
    gateways: list[GatewaySide] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)

    def node(self, node_id: str) -> SimulatedNode:
        """See `NodeDirectory`."""
        return self.nodes[node_id]

    async def begin(self, call: str, *, with_audio: bool, through: Iterable[int] = (0, 1)) -> None:
        """Somebody joins; all gateways that are named place the call at once."""
        lifecycles = [self.gateways[n].lifecycle for n in through]
        await at_last(lambda: lifecycles[0].begin(call, {}, lambda: None))
        anna = Person(Participant(WHO, "Anna"), "g0", f"socket-{call}")
        presence = self.gateways[0].shared.presence
        await at_last(
            lambda: presence.change(call, lambda now: with_person(now, anna) if now else None)
        )
        following = asyncio.Event()
        self.tasks.create_task(self._follow(call, following))
        await following.wait()
        placed = await asyncio.gather(
            *(at_last(partial(lifecycle.place, call)) for lifecycle in lifecycles)
        )
        assert len({(shared.node, shared.epoch) for shared in placed}) == 1, "one owner for both"
        if with_audio:
            shared = placed[0]
            await self.nodes[shared.node].offer(shared.ref, anna.participant, "")

    async def placed(self) -> Counter[str | None]:
        """How many calls each node has."""
        calls = await at_last(self.gateways[0].shared.presence.summaries)
        return Counter(summary.node for summary in calls.values())

    async def until_left(self, *nodes: str) -> float:
        """Until no call is on these nodes, and none is on its way from them; seconds."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        presence = self.gateways[0].shared.presence
        while True:
            calls = (await at_last(presence.summaries)).values()
            if not any(c.node in nodes or c.node is None or c.moving_since_ms for c in calls):
                return loop.time() - begun
            await asyncio.sleep(0.05)  # nothing tells of all calls together

    async def _follow(self, call: str, following: asyncio.Event) -> None:
        """From another gateway than the one that people come to, and with what they do then."""
        while True:
            try:
                return await self._follow_once(call, following)
            except Unreachable:
                await asyncio.sleep(0.1)

    async def _follow_once(self, call: str, following: asyncio.Event) -> None:
        async with self.gateways[-1].shared.presence.follow(call) as versions:
            following.set()
            async for shared in versions:
                if shared is None:
                    return
                seen = (call, shared.version, shared.node, shared.epoch, shared.leaving)
                self.versions.append(Version(*seen))
                if WHO in shared.awaited and shared.node and shared.ref:
                    node, anna = self.nodes[shared.node], shared.people[WHO].participant
                    if call not in node.calls:
                        self.tasks.create_task(self._offer(node, shared.ref, anna))

    async def _offer(self, node: SimulatedNode, ref: CallRef, anna: Participant) -> None:
        with contained("offer refused"):
            await node.offer(ref, anna, "")


@asynccontextmanager
async def fleet(
    url: str,
    capacities: Iterable[int],
    gateways: int = 2,
    lease_seconds: float = LEASE_SECONDS,
) -> AsyncIterator[Fleet]:
    """Nodes of these capacities, and gateways that keep."""
    async with AsyncExitStack() as stack:
        of_nodes, *shared = [
            await stack.enter_async_context(connected(url, lease_seconds))
            for _ in range(1 + gateways)
        ]
        async with asyncio.TaskGroup() as tasks:
            made = Fleet(of_nodes, tasks)
            running = []
            for number, capacity in enumerate(capacities):
                node = made.nodes[f"node-{number}"] = SimulatedNode(
                    made, f"node-{number}", capacity
                )
                await node.beat()
                running.append(node.run())
            for number, common in enumerate(shared):
                rules = Rules(lease_seconds=lease_seconds)
                made.gateways.append(_gateway(made, f"g{number}", common, rules))
                running += [_report(common, f"g{number}"), made.gateways[-1].keeper.run()]
            chores = [tasks.create_task(chore) for chore in running]
            try:
                yield made
            finally:
                for chore in chores:
                    chore.cancel()
                await asyncio.gather(*chores, return_exceptions=True)
                for gateway in made.gateways:
                    await gateway.keeper.done()
                await _end_all(made)


def _gateway(made: Fleet, name: str, common: Shared, rules: Rules) -> GatewaySide:
    lifecycle = Lifecycle(
        bus=common.bus,
        registry=common.registry,
        presence=common.presence,
        nodes=made,
        store=made.store,
        transcripts=Transcripts(common.bus, made.store),
    )
    keeper = Keeper(
        gateway=name,
        registry=common.registry,
        presence=common.presence,
        lifecycle=lifecycle,
        tasks=made.tasks,
        rules=rules,
    )
    return GatewaySide(common, lifecycle, keeper)


async def _report(common: Shared, name: str) -> None:
    while True:
        await at_last(partial(common.registry.report_gateway, name))
        await asyncio.sleep(HEARTBEAT_SECONDS)


async def _end_all(made: Fleet) -> None:
    """So that whoever follows a call comes to its end."""
    presence = made.gateways[0].shared.presence
    for call in await at_last(presence.summaries):
        await at_last(partial(presence.change, call, lambda _: None))


# --- what must be so ------------------------------------------------------------------------


def check_one_owner_at_a_time(made: Fleet) -> None:
    """By what followers saw, and by whose words the bus took."""
    owner: dict[tuple[str, int], str | None] = {}
    handed: set[tuple[str, int, int]] = set()  # call, epoch of the node that left, of the next
    by_call: defaultdict[str, list[Version]] = defaultdict(list)
    for seen in made.versions:
        by_call[seen.call].append(seen)
    for call, versions in by_call.items():
        assert [v.version for v in versions] == sorted({v.version for v in versions})
        assert [v.epoch for v in versions] == sorted(v.epoch for v in versions), "never back"
        for v in versions:
            if v.node:
                assert owner.setdefault((call, v.epoch), v.node) == v.node, "an epoch has one owner"
            if v.leaving:
                handed.add((call, v.leaving[1], v.epoch))
    words: defaultdict[str, list[Said]] = defaultdict(list)
    for said in made.said:
        assert owner[(said.call, said.epoch)] == said.node, "only owners are heard"
        words[said.call].append(said)
    for call, finals in words.items():
        finals.sort(key=lambda said: said.seq)
        assert [said.seq for said in finals] == list(range(1, len(finals) + 1)), "without a hole"
        newest = 0
        for said in finals:
            late = said.epoch < newest
            assert not late or (call, said.epoch, newest) in handed, "heard after its time"
            newest = max(newest, said.epoch)
