"""`surtitle node`: a media node of a cluster, against Redis."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from media.addresses import host_addresses, use_addresses
from media.control import LARGEST_ORDER, Control
from media.node import Node
from signaling.allowlist import AllowList
from signaling.health import Health
from signaling.metrics import CONTENT_TYPE, Metrics
from signaling.node_token import prove_node
from signaling.registry import HEARTBEAT_SECONDS, LEASE_SECONDS, Registry
from surtitle import __version__
from surtitle.readings import node_readings
from surtitle.recognizers import scheduler_rules, start_recognizers
from surtitle.settings import Settings, UserError
from surtitle.shared import shared
from surtitle.sources import sources
from surtitle.translators import start_translators

log = structlog.get_logger(__name__)

DRAIN_SECONDS: Final = 25.0
"""How long gateways may take to give a node's calls to others."""


@dataclass(frozen=True, slots=True)
class RunningNode:
    """A node and where its control API listens."""

    node: Node
    url: str

    @property
    def asked_to_drain(self) -> asyncio.Event:
        """Set when an operator wants it gone, by the registry."""
        return self.node.asked_to_drain


@asynccontextmanager
async def serve_node(settings: Settings) -> AsyncIterator[RunningNode]:
    """A running node. Leaving drains it: its calls go to other nodes, where there are some.

    Raises `UserError`, `models.ModelUnavailable`, `WorkerFailed`, or OSError where the port is
    taken.
    """
    settings.check()
    addresses = [settings.advertise] if settings.advertise else host_addresses()
    use_addresses(addresses)
    allow = AllowList(settings.sfu, allow_any=not settings.secret)
    if not settings.secret:
        log.warning("no secret: listening on loopback only, and everybody may do everything")
    async with AsyncExitStack() as stack:
        common = await stack.enter_async_context(shared(settings))
        await _check_name(common.registry, settings.node_id)
        engine, final_engine = await start_recognizers(settings, stack)
        translation = await start_translators(settings, stack)
        device = engine.info.device
        node = Node(
            node_id=settings.node_id,
            capacity=settings.capacity_on(device),
            engine=engine,
            bus=common.bus,
            registry=common.registry,
            presence=common.presence,
            sources=sources(allow, addresses),
            final_engine=final_engine,
            translation=translation,
            rules=scheduler_rules(settings, device),
            drain_seconds=DRAIN_SECONDS,
        )
        metrics = Metrics()
        metrics.add(lambda: node_readings(node))
        health = Health(__version__, node=node, checks={"redis": common.answers})
        app = web.Application(client_max_size=LARGEST_ORDER)
        Control(node, settings.secret, settings.previous_secret).add_routes(app)
        _add_status(app, health, metrics)
        url = await _listen(app, settings, stack)
        node.url = settings.control_url or url
        node.proof = prove_node(settings.secret, node.id, node.url)
        await stack.enter_async_context(node)  # from now on calls are placed on it
        yield RunningNode(node, url)


async def _check_name(registry: Registry, node_id: str) -> None:
    """Wait for the lease of a process of this name that died; `UserError` where one lives."""
    try:
        async with asyncio.timeout(2 * LEASE_SECONDS):
            # A lease ends without a word.
            while any(node.status.id == node_id for node in await registry.nodes()):  # noqa: ASYNC110
                await asyncio.sleep(HEARTBEAT_SECONDS)
    except TimeoutError:
        raise UserError(f"a node {node_id!r} is alive already: --id names this one.") from None


def _add_status(app: web.Application, health: Health, metrics: Metrics) -> None:
    async def get_health(_: web.Request) -> web.Response:
        well, body = await health.report()
        return web.json_response(body, status=200 if well else 503)

    async def get_ready(_: web.Request) -> web.Response:
        ready = health.ready
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def get_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    app.router.add_get("/health", get_health)
    app.router.add_get("/ready", get_ready)
    app.router.add_get("/metrics", get_metrics)


async def _listen(app: web.Application, settings: Settings, stack: AsyncExitStack) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        where = f"{settings.host}, port {settings.port}"
        raise OSError(f"cannot listen on {where}: {error.strerror}") from None
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def drain_node(settings: Settings, node_id: str) -> None:
    """Let a node give its calls to others and end; returns when it is gone."""
    async with shared(settings) as common:
        there = {node.status.id: node for node in await common.registry.nodes()}
        if node_id not in there:
            known = ", ".join(sorted(there)) or "none"
            raise UserError(f"no node {node_id!r} is alive; there are: {known}")
        await common.registry.drain(node_id)
        calls: int | None = None
        while node := there.get(node_id):
            if node.calls != calls:
                calls = node.calls
                sys.stderr.write(f"{node_id}: {calls} calls left\n")
            await asyncio.sleep(0.5)  # a node ends without a word to us
            there = {node.status.id: node for node in await common.registry.nodes()}
    sys.stderr.write(f"{node_id} is gone\n")
