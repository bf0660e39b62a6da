"""The gateway as one thing: Socket.IO and HTTP on one port, and the calls behind them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import structlog
from aiohttp import web

from signaling.bus import Bus
from signaling.calls import Calls
from signaling.health import Health
from signaling.http import LARGEST_BODY, Api, problems
from signaling.metrics import Metrics, Reading
from signaling.node_api import NodeDirectory
from signaling.registry import Registry
from signaling.rooms import Rooms
from signaling.socket import SocketServer
from signaling.store import TranscriptStore
from signaling.tokens import Authority
from signaling.transcripts import Transcripts
from signaling.whip import Whip
from signaling.whip_sessions import WhipSessions
from turn.credentials import TurnServers

log = structlog.get_logger(__name__)


class Gateway:
    """`async with` serves; at the end it drains: calls end, finals are written.

    Raises OSError where it cannot listen.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        bus: Bus,
        registry: Registry,
        nodes: NodeDirectory,
        store: TranscriptStore,
        authority: Authority,
        turn: TurnServers,
        health: Health,
        metrics: Metrics,
        origins: list[str],
        voices: Path | None = None,
    ) -> None:
        """`port` 0 picks one."""
        self._host = host
        self._port = port
        self._group = asyncio.TaskGroup()
        self._health = health
        self._transcripts = Transcripts(bus, store)
        self._sockets = SocketServer(authority, origins)
        rooms = Rooms(
            bus=bus,
            registry=registry,
            nodes=nodes,
            store=store,
            transcripts=self._transcripts,
            sockets=self._sockets,
            tasks=self._group,
        )
        self._calls = Calls(
            rooms=rooms,
            store=store,
            transcripts=self._transcripts,
            turn=turn,
            sockets=self._sockets,
        )
        self._sockets.attach(self._calls)
        metrics.add(self._readings)
        self._app = web.Application(middlewares=[problems], client_max_size=LARGEST_BODY)
        self._sockets.sio.attach(self._app)
        Api(
            calls=self._calls,
            store=store,
            transcripts=self._transcripts,
            authority=authority,
            turn=turn,
            health=health,
            metrics=metrics,
            voices=voices,
        ).add_routes(self._app)
        Whip(
            sessions=WhipSessions(rooms), authority=authority, turn=turn, origins=origins
        ).add_routes(self._app)
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=2.0)
        self._writer: asyncio.Task[None] | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._writer = self._group.create_task(self._transcripts.write())
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
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
        await self._calls.close()
        if self._writer:
            self._writer.cancel()
        await self._transcripts.flush()
        await self._sockets.close()
        await self._runner.cleanup()
        await self._group.__aexit__(None, None, None)

    def _readings(self) -> Iterable[Reading]:
        rooms = self._calls.live.values()
        yield "calls", "Calls that are open on this gateway.", len(rooms)
        yield (
            "participants",
            "Participants of open calls.",
            sum(len(room.participants) for room in rooms),
        )
        yield "sockets", "Socket.IO clients that are connected.", self._sockets.connected
