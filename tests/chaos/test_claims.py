"""One call is claimed twice at the same moment: by two gateways, through a real Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from captions.types import Caption
from signaling.bus import Fenced
from signaling.lifecycle import Lifecycle
from signaling.redis.bus import RedisBus
from signaling.redis.hub import Hub
from signaling.redis.link import Link
from signaling.redis.presence import RedisPresence
from signaling.redis.registry import RedisRegistry
from signaling.registry import NodeStatus
from signaling.seal import Seal
from signaling.store_sqlite import SqliteStore
from signaling.transcripts import Transcripts
from tests.chaos.scenario import scenario
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

CALLS = 100
NODES = ("node-1", "node-2")


class NoNodes:
    """A directory nobody has to ask."""

    def node(self, node_id: str):
        raise AssertionError("placing a call asks no node")


@dataclass
class Claimant:
    """What of a gateway places calls, on connections of its own."""

    bus: RedisBus
    registry: RedisRegistry
    presence: RedisPresence
    lifecycle: Lifecycle


@asynccontextmanager
async def a_claimant(url: str, folder: Path) -> AsyncIterator[Claimant]:
    async with (
        Link(url) as link,
        Hub(link) as hub,
        RedisBus(link, hub) as bus,
        SqliteStore(folder / "calls.db") as store,
    ):
        registry = RedisRegistry(link, lease_seconds=300)  # nodes that nobody runs live on
        presence = RedisPresence(link, hub, Seal("secret"))
        lifecycle = Lifecycle(
            bus=bus,
            registry=registry,
            presence=presence,
            nodes=NoNodes(),
            store=store,
            transcripts=Transcripts(bus, store),
        )
        yield Claimant(bus, registry, presence, lifecycle)


async def claimed(claimant: Claimant, call: str) -> tuple[str | None, int]:
    await claimant.lifecycle.begin(call, {}, lambda: None)
    shared = await claimant.lifecycle.place(call)
    return shared.node, shared.epoch


@scenario(seconds=5)
async def test_two_gateways_claim_one_call_at_the_same_moment(folder: Path) -> None:
    """They agree on one node and one epoch, which alone may publish; no place is lost."""
    async with (
        RedisServer(folder / "redis") as redis,
        a_claimant(redis.url, folder / "one") as one,
        a_claimant(redis.url, folder / "other") as other,
    ):
        for node in NODES:
            await one.registry.report(NodeStatus(node, capacity=2 * CALLS))
        calls = [f"claimed-{n}" for n in range(CALLS)]
        owners = Counter()
        for call in calls:
            mine, yours = await asyncio.gather(claimed(one, call), claimed(other, call))
            assert mine == yours, call
            node, epoch = mine
            shared = await other.presence.read(call)
            assert (shared.node, shared.epoch) == mine
            owners[node] += 1
            partial = Caption(
                *(call, "u", 1, "p", "P", "en", "en", "hello"),
                stable=0,
                final=False,
                start_ms=0,
                end_ms=1,
            )
            await one.bus.publish_partial(epoch, partial)
            with pytest.raises(Fenced):
                await other.bus.publish_partial(epoch - 1, partial)
        placed = {node.status.id: node.calls for node in await one.registry.nodes()}
        assert placed == dict(owners)
        assert max(owners.values()) - min(owners.values()) <= 0.1 * CALLS
