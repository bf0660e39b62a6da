"""Gateway and node in one process, on the embedded bus and an SQLite file."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from media.addresses import host_addresses, use_addresses
from media.node import Node
from signaling.allowlist import AllowList
from signaling.bus import MemoryBus
from signaling.errors import ContractError
from signaling.gateway import Gateway
from signaling.health import Health
from signaling.limits.limiter import Limiter
from signaling.metrics import Metrics
from signaling.node_api import NodeApi
from signaling.presence import MemoryPresence
from signaling.registry import MemoryRegistry
from signaling.store_sqlite import SqliteStore
from surtitle import __version__
from surtitle.authority import authority
from surtitle.readings import node_readings
from surtitle.recognizers import scheduler_rules, start_recognizers
from surtitle.settings import VOICES, Settings
from surtitle.sources import sources
from surtitle.translators import start_translators

log = structlog.get_logger(__name__)


class OneNode:
    """The directory of a process that has one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def node(self, node_id: str) -> NodeApi:
        """See `NodeDirectory`."""
        if node_id != self._node.id:
            raise ContractError("unavailable", "no such node", 1000)
        return self._node


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[Gateway]:
    """A running server. Leaving drains it: last words become final and are written.

    Raises `SettingsError`, `models.ModelUnavailable`, `WorkerFailed`, or OSError where the
    port is taken.
    """
    settings.check()
    addresses = [settings.advertise] if settings.advertise else host_addresses()
    use_addresses(addresses)
    allow = AllowList(settings.sfu, allow_any=settings.is_open)
    if settings.is_open:
        log.warning("no secret: listening on loopback only, and everybody may do everything")
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(SqliteStore(settings.data / "surtitle.db"))
        bus, presence, metrics = MemoryBus(), MemoryPresence(), Metrics()
        registry = MemoryRegistry(lease_seconds=math.inf)  # they live and die with this process
        engine, final_engine = await start_recognizers(settings, stack)
        translation = await start_translators(settings, stack)
        device = engine.info.device
        node = await stack.enter_async_context(
            Node(
                node_id=settings.node_id,
                capacity=settings.capacity_on(device),
                engine=engine,
                bus=bus,
                registry=registry,
                presence=presence,
                sources=sources(allow, addresses),
                final_engine=final_engine,
                translation=translation,
                rules=scheduler_rules(settings, device),
            )
        )
        metrics.add(lambda: node_readings(node))

        async def store_answers() -> bool:
            await store.calls(1)
            return True

        health = Health(__version__, node=node, checks={"store": store_answers})
        yield await stack.enter_async_context(
            Gateway(
                host=settings.host,
                port=settings.port,
                gateway_id="gateway",
                bus=bus,
                registry=registry,
                presence=presence,
                nodes=OneNode(node),
                store=store,
                authority=authority(settings, store),
                turn=settings.turn,
                health=health,
                metrics=metrics,
                origins=list(settings.origins),
                voices=VOICES,
                ends_calls=True,
                language=settings.language,
                targets=settings.targets(),
                files=settings.file_rules,
                token_grace_seconds=settings.token_grace,
                limiter=Limiter(settings.rules),
                addresses=settings.addresses,
            )
        )
