"""Gateway and node in one process, on the embedded bus and an SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from captions import models
from captions.engine import Engine, EngineSettings
from captions.scheduler import SchedulerRules
from captions.types import SAMPLE_RATE
from media.addresses import host_addresses, use_addresses
from media.allowlist import AllowList
from media.node import Node
from signaling.bus import MemoryBus
from signaling.errors import ContractError
from signaling.gateway import Gateway
from signaling.health import Health
from signaling.metrics import Metrics, Reading
from signaling.node_api import NodeApi
from signaling.registry import MemoryRegistry
from signaling.store_sqlite import SqliteStore
from signaling.tokens import Authority, Everybody, SharedSecret
from surtitle import __version__
from surtitle.settings import Settings, SettingsError, cache_folder
from surtitle.sources import sources
from turn.credentials import TurnServers

log = structlog.get_logger(__name__)

VOICES: Final = Path(__file__).parent / "voices"
"""Our own recordings, for the demo and the page's recorded speaker."""


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

    Raises `SettingsError`, `models.ModelUnavailable`, `EngineFailed`, or OSError where the
    port is taken.
    """
    settings.check()
    addresses = [settings.advertise] if settings.advertise else host_addresses()
    use_addresses(addresses)
    allow = AllowList(settings.sfu, allow_any=not settings.secret)
    authority: Authority = SharedSecret(settings.secret) if settings.secret else Everybody()
    if not settings.secret:
        log.warning("no secret: listening on loopback only, and everybody may do everything")
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(SqliteStore(settings.data / "surtitle.db"))
        bus, registry, metrics = MemoryBus(), MemoryRegistry(), Metrics()
        engine, final_engine = await _engines(settings, stack)
        device = engine.info.device
        node = await stack.enter_async_context(
            Node(
                node_id=settings.node_id,
                capacity=settings.capacity_on(device),
                engine=engine,
                bus=bus,
                registry=registry,
                sources=sources(allow, addresses),
                final_engine=final_engine,
                rules=SchedulerRules(
                    batch=settings.batch_on(device), batch_finals=device == "cuda"
                ),
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
                bus=bus,
                registry=registry,
                nodes=OneNode(node),
                store=store,
                authority=authority,
                turn=TurnServers(settings.turn_urls, settings.turn_secret),
                health=health,
                metrics=metrics,
                origins=list(settings.origins),
                voices=VOICES,
            )
        )


async def _engines(settings: Settings, stack: AsyncExitStack) -> tuple[Engine, Engine | None]:
    """The recognizers, ready: of `--model`, and of `--final-model` where there is one."""
    name, device = models.choose(settings.model, settings.device)
    engine = await stack.enter_async_context(
        Engine(await _located(settings, name, device, settings.workers_on(device)))
    )
    final_engine = None
    final_name = settings.final_model and models.choose(settings.final_model, device)[0]
    if final_name:
        # Of fewer workers: finals are few, and the cores are the same.
        workers = max(1, settings.workers_on(device) // 2)
        final_engine = await stack.enter_async_context(
            Engine(await _located(settings, final_name, device, workers))
        )
        if not set(engine.info.languages) <= set(final_engine.info.languages):
            raise SettingsError(
                f"--final-model {final_name} does not know all languages of --model {name}."
            )
    log.info(
        "recognizer ready",
        model=name,
        final_model=final_name or name,
        device=engine.info.device,
        workers=engine.workers,
        load_seconds=round(engine.info.load_seconds, 2),
    )
    return engine, final_engine


async def _located(settings: Settings, name: str, device: str, workers: int) -> EngineSettings:
    weights = await asyncio.to_thread(models.locate, name, cache_folder() / "models")
    return EngineSettings(weights, name, device, settings.threads_on(device), workers)


def node_readings(node: Node) -> Iterable[Reading]:
    """What a node shows to Prometheus."""
    scheduler, counts = node.scheduler, node.counts
    done = scheduler.counts
    engines = [engine for engine in (node.engine, node.final_engine) if engine]
    yield "streams", "Speakers being captioned.", node.streams
    yield "capacity_streams", "Speakers that can be captioned at once.", node.capacity
    yield "audio_seconds_total", "Audio received, in seconds.", counts.audio_seconds
    yield "audio_lost_seconds_total", "Speech never recognized, in seconds.", done.lost_seconds
    yield (
        "recognized_seconds_total",
        "Audio given to the recognizer, partials included, in seconds.",
        done.recognized_seconds,
    )
    yield "caption_finals_total", "Finals published.", counts.finals
    yield "caption_partials_total", "Partials published.", counts.partials
    yield "backlog_seconds", "Audio of finals that wait, in seconds.", scheduler.backlog_seconds
    yield "waiting_partials", "Speakers whose partial waits.", scheduler.waiting_partials
    yield "load_level", "0 normal, 1 slower, 2 only finals, 3 saturated.", scheduler.level
    yield "partials_dropped_total", "Partials given up under load.", done.partials_dropped
    yield (
        "recognizer_restarts_total",
        "Recognizer processes replaced.",
        sum(engine.restarts for engine in engines),
    )
    yield (
        "recognizer_windows_total",
        "Windows recognized, partials included.",
        sum(engine.windows for engine in engines),
    )
    yield (
        "recognizer_cpu_seconds_total",
        "Time of the CPU that recognition took, in seconds.",
        sum(engine.cpu_seconds for engine in engines),
    )
    yield "recognizer_failures_total", "Windows never recognized.", done.failures
    received = node.received
    yield "rtp_packets_total", "RTP packets received.", received.packets
    yield "rtp_packets_lost_total", "RTP packets that did not come in time.", received.lost
    yield "rtp_packets_malformed_total", "RTP packets without Opus.", received.malformed
    yield "rtp_packets_recovered_total", "Lost packets recovered by FEC.", received.recovered
    yield (
        "audio_concealed_seconds_total",
        "Audio made up for lost packets, in seconds.",
        received.concealed_samples / SAMPLE_RATE,
    )
    yield (
        "audio_missing_seconds_total",
        "Audio lost on the way and left as a gap, in seconds.",
        received.missing_samples / SAMPLE_RATE,
    )
    yield (
        "audio_dropped_seconds_total",
        "Audio that came faster than it was taken, in seconds, of tracks that have ended.",
        counts.dropped_seconds,
    )
    yield "speakers_failed_total", "Speakers ended by a fault.", counts.speakers_failed
    yield "calls_failed_total", "Calls ended by a fault.", counts.calls_failed
    yield "call_events_dropped_total", "Events of calls never told.", counts.events_dropped
