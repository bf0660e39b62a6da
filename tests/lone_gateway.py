"""A gateway alone in this process: its node is a stand-in, and who uses it publishes on its bus."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from signaling.bus import MemoryBus
from signaling.files.memory import FileRules
from signaling.gateway import Gateway
from signaling.health import Health
from signaling.limits.addresses import Addresses
from signaling.limits.limiter import Limiter
from signaling.metrics import Metrics
from signaling.presence import MemoryPresence
from signaling.registry import MemoryRegistry, NodeStatus
from signaling.store_sqlite import SqliteStore
from signaling.tokens import Authority, Everybody
from tests.signaling.world import Node, Nodes
from turn.credentials import TurnServers

EPOCH = 1
"""Of the calls that are open on the bus; nobody joins them, so that no node has them."""


@asynccontextmanager
async def lone_gateway(
    folder: Path,
    calls: Sequence[str],
    authority: Authority | None = None,
    files: FileRules | None = None,
    turn: TurnServers | None = None,
    *,
    has_a_node: bool = False,
    limiter: Limiter | None = None,
    addresses: Addresses | None = None,
) -> AsyncIterator[tuple[Gateway, MemoryBus]]:
    bus, registry = MemoryBus(), MemoryRegistry(math.inf)
    if has_a_node:
        await registry.report(NodeStatus("node-1", capacity=100))
    async with (
        SqliteStore(folder / "surtitle.db") as store,
        Gateway(
            host="127.0.0.1",
            port=0,
            gateway_id="gateway",
            bus=bus,
            registry=registry,
            presence=MemoryPresence(),
            nodes=Nodes(Node()),
            store=store,
            authority=authority or Everybody(),
            turn=turn or TurnServers(),
            health=Health("1"),
            metrics=Metrics(),
            origins=[],
            files=files,
            limiter=limiter,
            addresses=addresses,
        ) as running,
    ):
        for call in calls:
            await bus.open_call(call, EPOCH, {})
        yield running, bus
