"""The gateway as one thing: Socket.IO and HTTP on one port, and the calls behind them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, Self

import structlog
from aiohttp import web

from signaling.audio_sessions import AudioSessions
from signaling.bringing import Bringing
from signaling.bus import Bus
from signaling.calls import Calls
from signaling.captions_http import CaptionsHttp
from signaling.contained import contained
from signaling.cors import checked_origins, share
from signaling.errors import Unreachable
from signaling.event_streams import Clients, EventStreams
from signaling.files.http import FilesHttp
from signaling.files.jobs import FileJobs, MemoryFileJobs
from signaling.files.memory import FileRules
from signaling.files.queue import FileQueue
from signaling.files.transcriptions import Transcriptions
from signaling.health import Fleet, Health
from signaling.http import LARGEST_BODY, Api, problems
from signaling.inner_sockets import InnerSockets
from signaling.keeper import Keeper
from signaling.lifecycle import Lifecycle
from signaling.limits.addresses import Addresses
from signaling.limits.front import KEEPALIVE_SECONDS, Front
from signaling.limits.http import HttpLimits
from signaling.limits.limiter import Limiter
from signaling.metrics import Metrics, Reading
from signaling.node_api import NodeDirectory
from signaling.node_watch import NodeWatch
from signaling.origins import Origins
from signaling.personal_http import PersonalHttp
from signaling.presence import Presence
from signaling.readers import Readers
from signaling.registry import HEARTBEAT_SECONDS, Registry
from signaling.rooms import Rooms
from signaling.shared_call import now_ms
from signaling.socket import SocketServer
from signaling.store import TranscriptStore
from signaling.telephony_ws import TelephonyWs
from signaling.tenure import GRACE_SECONDS, Tenures
from signaling.tokens import Authority
from signaling.transcribe_ws import TranscribeWs
from signaling.transcripts import Transcripts
from signaling.usage.http import UsageApi
from signaling.usage.recorder import Recorder
from signaling.webhooks.deliverer import Deliverer, Rules
from signaling.webhooks.http import WebhooksApi
from signaling.webhooks.targets import Targets
from signaling.whip import Whip
from signaling.whip_sessions import WhipSessions
from turn.credentials import TurnServers
from turn.watch import TurnWatch

log = structlog.get_logger(__name__)

EXPIRE_SECONDS: Final = 3600.0
"""How often the store is asked for calls past their retention."""


class Gateway:
    """`async with` serves; at the end it drains: calls end, finals are written.

    Raises OSError where it cannot listen.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        gateway_id: str,
        bus: Bus,
        registry: Registry,
        presence: Presence,
        nodes: NodeDirectory,
        store: TranscriptStore,
        authority: Authority,
        turn: TurnServers,
        health: Health,
        metrics: Metrics,
        origins: list[str],
        voices: Path | None = None,
        ends_calls: bool = False,
        language: str = "auto",
        watch: Callable[[asyncio.TaskGroup], NodeWatch] | None = None,
        targets: Targets | None = None,
        webhook_rules: Rules | None = None,
        file_jobs: FileJobs | None = None,
        files: FileRules | None = None,
        token_grace_seconds: float = GRACE_SECONDS,
        limiter: Limiter | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        """`port` 0 picks one. `ends_calls`: all calls end with this gateway, the only one.

        `language` is the BCP 47 tag of who does not say theirs, in a call that does not either.
        `watch` makes what tells of nodes that die, where they are other processes. `targets` are
        the webhooks. `file_jobs` are those of all gateways, where there are others. Connections
        are closed so many seconds behind the end of their token. `addresses` tells clients apart.
        """
        self.id = gateway_id
        self._bus = bus
        self._store = store
        self._registry = registry
        self._ends_calls = ends_calls
        self._limiter = limiter or Limiter()
        self._addresses = addresses or Addresses()
        limits = HttpLimits(self._limiter, self._addresses)
        self._memory = ""  # of the registry, by name
        self._host = host
        self._port = port
        self._group = asyncio.TaskGroup()
        self._health = health
        targets = targets or Targets()
        self._webhooks = Deliverer(
            store=store, targets=targets, tasks=self._group, rules=webhook_rules
        )
        announcer = self._webhooks.announcer
        self._transcripts = Transcripts(
            bus, store, [Recorder(store, presence).finals_written, announcer.finals_written]
        )
        tenures = Tenures(authority, self._group, token_grace_seconds)
        self._sockets = SocketServer(tenures, origins, limits, region_header=turn.region_header)
        self._streams = EventStreams()
        sockets = self._inner = InnerSockets(Clients(self._sockets, self._streams))
        lifecycle = Lifecycle(
            bus=bus,
            registry=registry,
            presence=presence,
            nodes=nodes,
            store=store,
            transcripts=self._transcripts,
            language=language,
            ended=announcer.call_ended,
            admit=partial(self._limiter.admit, "calls_per_tenant_per_minute"),
        )
        self._rooms = Rooms(
            gateway=gateway_id,
            bus=bus,
            presence=presence,
            lifecycle=lifecycle,
            transcripts=self._transcripts,
            sockets=sockets,
            tasks=self._group,
        )
        self._keeper = Keeper(
            gateway=gateway_id,
            registry=registry,
            presence=presence,
            lifecycle=lifecycle,
            tasks=self._group,
            watch=watch(self._group) if watch else None,
        )
        self._calls = Calls(
            rooms=self._rooms,
            bus=bus,
            store=store,
            transcripts=self._transcripts,
            turn=turn,
            sockets=sockets,
            targets=targets,
            limiter=self._limiter,
        )
        self._sockets.attach(self._calls)
        self._sessions = AudioSessions(
            calls=self._calls,
            sockets=sockets,
            health=health,
            tasks=self._group,
            limiter=self._limiter,
        )
        self._sockets.transcribe.attach(self._sessions)
        jobs = file_jobs or MemoryFileJobs()
        self._files = FileQueue(
            gateway=gateway_id,
            calls=self._calls,
            sockets=sockets,
            jobs=jobs,
            rules=files or FileRules(),
            tasks=self._group,
        )
        metrics.add(self._readings)
        metrics.add(self._webhooks.readings)
        metrics.add_families(self._limiter.families)
        self._turn_watch = TurnWatch(turn, f"probe-{gateway_id}")
        metrics.add_families(self._turn_watch.families)
        pages = Origins(origins)
        self._app = web.Application(
            middlewares=[problems, checked_origins(pages), limits.middleware],
            client_max_size=LARGEST_BODY,
        )
        share(self._app, pages)
        self._sockets.sio.attach(self._app)
        for routes in (
            Api(
                calls=self._calls,
                store=store,
                transcripts=self._transcripts,
                authority=authority,
                turn=turn,
                health=health,
                metrics=metrics,
                voices=voices,
                language=language,
            ),
            CaptionsHttp(
                readers=Readers(self._rooms, self._transcripts, store, self._streams),
                bringing=Bringing(self._rooms, bus, self._transcripts, store),
                tenures=tenures,
                limiter=self._limiter,
            ),
            Whip(
                sessions=WhipSessions(self._rooms), authority=authority, turn=turn, origins=origins
            ),
            TranscribeWs(sessions=self._sessions, tenures=tenures, origins=origins),
            FilesHttp(
                transcriptions=Transcriptions(
                    gateway=gateway_id,
                    queue=self._files,
                    jobs=jobs,
                    registry=registry,
                    bus=bus,
                    sockets=sockets,
                ),
                tenures=tenures,
            ),
            TelephonyWs(sessions=self._sessions, tenures=tenures),
            WebhooksApi(store=store, authority=authority, stir=self._webhooks.stir),
            PersonalHttp(
                calls=self._calls, store=store, transcripts=self._transcripts, authority=authority
            ),
            UsageApi(store=store, authority=authority),
        ):
            routes.add_routes(self._app)
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            shutdown_timeout=2.0,
            keepalive_timeout=KEEPALIVE_SECONDS,
        )
        self._chores: list[asyncio.Task[None]] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        await self._beat()
        self._chores = [
            self._group.create_task(chore)
            for chore in (
                self._transcripts.write(),
                self._keep_alive(),
                self._keeper.run(),
                self._deliver_letters(),
                self._expire(),
                self._webhooks.run(),
                self._files.run(),
                self._limiter.run(),
                self._turn_watch.run(),
            )
        ]
        await self._runner.setup()
        site = Front(
            self._runner,
            self._host,
            self._port,
            limiter=self._limiter,
            addresses=self._addresses,
        )
        try:
            await site.start()
        except OSError as error:
            await self.__aexit__()
            # asyncio's own words repeat the address; a resolver's numbers are no errno.
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else error.strerror
            raise OSError(f"cannot listen on {self._host}, port {self._port}: {why}") from None
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._health.draining = True
        await self._files.close()
        await self._sessions.close()
        with contained("calls not closed"):
            await self._calls.close(end_calls=self._ends_calls)
        for chore in self._chores:
            chore.cancel()
        self._keeper.stop()
        await self._webhooks.stop()
        with contained("lease not given back"):
            await self._registry.withdraw_gateway(self.id)
        await self._sockets.close()
        await self._streams.close()
        with contained("finals not written"):
            await self._transcripts.flush()
        await self._runner.cleanup()
        await self._group.__aexit__(None, None, None)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            with contained("heartbeat not sent"):
                await self._beat()

    async def _beat(self) -> None:
        orders = await self._registry.report_gateway(self.id)
        if self._memory and orders.memory != self._memory:
            log.warning("what was shared is lost: telling it anew")
            self._keeper.hold_off()
            await self._rooms.restore()
        self._memory = orders.memory
        nodes = await self._registry.nodes()
        self._health.fleet = Fleet(
            streams=sum(node.status.streams for node in nodes),
            capacity=sum(node.status.capacity for node in nodes),
            takes_calls=any(node.takes_calls for node in nodes),
            english_only=bool(nodes) and all(node.status.english_only for node in nodes),
            targets=frozenset().union(*(node.status.targets for node in nodes)),
            known_at=time.monotonic(),
        )

    async def _expire(self) -> None:
        """Delete what has been kept for long enough, from one gateway at a time."""
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            with contained("what is over its time not deleted"):
                if await self._registry.lead(self.id):
                    calls = await self._store.expire(now_ms())
                    log.info("calls past their retention deleted", calls=calls)

    async def _deliver_letters(self) -> None:
        while True:
            try:
                async with self._bus.letters(self.id) as letters:
                    async for letter in letters:
                        await self._inner.emit(letter.event, letter.payload, letter.socket)
            except Unreachable:
                log.info("no letters: the bus is out of reach")
            except Exception:  # one letter's fault must not be the others'
                log.exception("letter not delivered")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _readings(self) -> Iterable[Reading]:
        rooms = self._calls.live.values()
        yield "calls", "Calls that are open on this gateway.", len(rooms)
        yield (
            "participants",
            "Participants who are connected to this gateway.",
            sum(1 for room in rooms for seat in room.seats.values() if seat.participant),
        )
        yield "calls_moved_total", "Calls that it gave to other nodes.", self._keeper.moved
        yield (
            "slow_clients_total",
            "Clients cut off because they did not read.",
            self._sockets.slow_clients + self._streams.slow_clients,
        )
        yield (
            "flooding_clients_total",
            "Clients cut off because they went past their limits, fast and for long.",
            self._sockets.limits.flooding,
        )
        yield "audio_sessions", "Sessions of raw audio that are open.", self._sessions.count
        yield "files_waiting", "Files whose turn has not come.", self._files.waiting
        yield "files_running", "Files that are being captioned.", self._files.running
        yield "files_bytes", "Memory that files take.", self._files.memory.used
        yield "sockets", "Socket.IO clients that are connected.", self._sockets.connected
        yield "event_streams", "Readers of Server-Sent Events.", len(self._streams)
