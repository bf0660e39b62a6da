"""Socket.IO, namespace `/`: events in, acknowledgements out (python-socketio)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final

import socketio
import structlog

from signaling.calls import Calls
from signaling.errors import ContractError
from signaling.limits.addresses import Addresses
from signaling.limits.http import HttpLimits
from signaling.limits.limiter import Lease, Limiter
from signaling.limits.socket import SocketLimits
from signaling.messages import (
    LARGEST_SDP,
    LARGEST_SIGNAL,
    Candidate,
    Join,
    Offer,
    Signal,
    Since,
    Update,
    Watch,
    checked,
)
from signaling.older_clients import subscription
from signaling.origins import Origins
from signaling.outbox import Outboxes
from signaling.region import region_of_socket
from signaling.room import Seat
from signaling.socket_events import Handler, SocketHolder, admitted, answered, refreshed
from signaling.tenure import Tenure, Tenures
from signaling.tokens import Identity
from signaling.transcribe_socket import TranscribeSocket

log = structlog.get_logger(__name__)

LARGEST_MESSAGE: Final = 4 * 2**20
"""Bytes of a message. Engine.IO drops the connection over this, without a word; what is

smaller and still too large gets `too_large` from whoever takes it.
"""

_LONGEST_CLOSE_SECONDS: Final = 2.0


@dataclass(slots=True)
class Connection:
    """One connected socket: who it is and where it sits. Its events are taken in turn."""

    socket: str
    tenure: Tenure
    lease: Lease
    region: str = ""
    stream: Lease | None = None
    seat: Seat | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def hush(self) -> None:
        """No audio of theirs comes any more."""
        stream, self.stream = self.stream, None
        if stream:
            stream.release()

    @property
    def identity(self) -> Identity:
        """Who it is, by the newest token."""
        return self.tenure.who

    @property
    def seated(self) -> Seat:
        """The seat; `ContractError` before joining or watching."""
        if self.seat is None:
            raise ContractError("conflict", "join a call first")
        return self.seat


def _in_turn(handler: Handler[Connection]) -> Handler[Connection]:
    async def handle(connection: Connection, payload: object) -> dict[str, Any] | None:
        async with connection.turn:
            return await handler(connection, payload)

    return handle


class SocketServer:
    """The Socket.IO server. `attach` gives it the calls; it emits before that, too."""

    def __init__(
        self,
        tenures: Tenures,
        origins: list[str],
        limits: HttpLimits | None = None,
        *,
        region_header: str = "",
    ) -> None:
        """`origins` are the web origins that may connect beside the server's own.

        `region_header`: see `TurnServers`.
        """
        self._region_header = region_header
        self.sio = socketio.AsyncServer(
            async_mode="aiohttp",
            cors_allowed_origins=Origins(origins),
            max_http_buffer_size=LARGEST_MESSAGE,
            ping_interval=10,
            ping_timeout=10,
        )
        self._outboxes = Outboxes(self.sio)
        limits = limits or HttpLimits(Limiter(), Addresses())
        self.limits = SocketLimits(self.sio, self._outboxes, limits)
        self._tenures = tenures
        self._connections: dict[str, Connection] = {}
        self._calls: Calls | None = None
        self._handlers: dict[str, Handler[Connection]] = {
            "call:join": self._join,
            "call:watch": self._watch,
            "subscribe-call": self._subscribe,
            "call:update": self._update,
            "call:leave": self._leave,
            "captions:since": self._since,
            "media:offer": self._offer,
            "media:candidate": self._candidate,
            "media:close": self._close_media,
            "peer:signal": self._signal,
            "token:refresh": self._refresh,
        }
        self.transcribe = TranscribeSocket(self.sio, self._outboxes, tenures, self.limits)
        """The namespace `/transcribe`."""
        self.sio.on("connect", self._connect)
        self.sio.on("disconnect", self._disconnect)
        self.sio.on("*", self._event)

    def attach(self, calls: Calls) -> None:
        """Serve these calls."""
        self._calls = calls

    async def close(self) -> None:
        """Send what waits and close every connection, so that clients connect elsewhere."""
        # Not Socket.IO's own disconnect: after that one browsers do not try again.
        sockets = list(self.sio.eio.sockets.values())
        if sockets:
            try:
                async with asyncio.timeout(_LONGEST_CLOSE_SECONDS):
                    await self.sio.eio.disconnect()
            except TimeoutError:
                log.info("clients that do not read are cut off")
                for socket in sockets:
                    if not socket.queue.empty():
                        socket.queue.abort()
        for socket in sockets:
            socket.queue.put_nowait(None)  # Engine.IO leaves the WebSocket open until this
        await self.sio.shutdown()

    @property
    def connected(self) -> int:
        """Sockets that are connected."""
        return len(self._connections)

    @property
    def slow_clients(self) -> int:
        """Clients that were cut off so far because they did not read."""
        return self._outboxes.slow_clients

    async def emit(self, event: str, payload: dict[str, Any], to: str) -> None:
        """See `signaling.audience.Sockets`."""
        await self._outboxes.send(event, payload, to)

    async def enter(self, socket: str, group: str) -> None:
        """See `signaling.audience.Sockets`."""
        if socket in self._connections:
            await self.sio.enter_room(socket, group)

    async def leave(self, socket: str, group: str) -> None:
        """See `signaling.audience.Sockets`."""
        if socket in self._connections:
            await self.sio.leave_room(socket, group)

    @property
    def _open_calls(self) -> Calls:
        if self._calls is None:
            raise ContractError("unavailable", "the server is starting", 1000)
        return self._calls

    async def _connect(self, socket: str, environ: dict[str, Any], auth: object = None) -> None:
        tenure = await admitted(self._tenures, auth)
        lease = await self.limits.connection(socket, "/", environ, tenure.who)
        region = region_of_socket(environ, self._region_header)
        self._connections[socket] = Connection(socket, tenure, lease, region)
        tenure.start(SocketHolder(self.sio, self._outboxes, socket))

    async def _disconnect(self, socket: str, reason: str) -> None:
        if reason == self.sio.reason.PING_TIMEOUT:
            self._outboxes.abort(socket)  # Engine.IO would wait until somebody reads there
        connection = self._connections.pop(socket, None)
        if connection:
            connection.tenure.end()
            connection.lease.release()
            self.limits.left(socket, "/")
            async with connection.turn:  # behind a join or an offer that is still under way
                connection.hush()
                if connection.seat and self._calls:
                    await self._calls.leave(connection.seat)

    async def _event(self, event: str, socket: str, *payload: object) -> dict[str, Any]:
        handler = self._handlers.get(event)
        in_turn = _in_turn(handler) if handler else None
        return await answered(event, self._connections.get(socket), in_turn, payload)

    async def _join(self, connection: Connection, payload: object) -> dict[str, Any]:
        message = checked(Join, payload)
        connection.tenure.require("join", message.call)
        await self._rise(connection)
        connection.seat, answer = await self._open_calls.join(
            connection.socket, connection.identity, message, connection.region
        )
        await self._open_calls.welcome(connection.seat)
        return answer

    async def _watch(self, connection: Connection, payload: object) -> dict[str, Any]:
        return await self._sit_and_watch(connection, checked(Watch, payload), transcripts=False)

    async def _subscribe(self, connection: Connection, payload: object) -> dict[str, Any]:
        return await self._sit_and_watch(connection, subscription(payload), transcripts=True)

    async def _sit_and_watch(
        self, connection: Connection, message: Watch, *, transcripts: bool
    ) -> dict[str, Any]:
        connection.tenure.require("watch", message.call)
        await self._rise(connection)
        connection.seat, answer = await self._open_calls.watch(
            connection.socket, message, transcripts=transcripts
        )
        await self._open_calls.welcome(connection.seat)
        return answer

    async def _update(self, connection: Connection, payload: object) -> dict[str, Any]:
        return await self._open_calls.update(connection.seated, checked(Update, payload))

    async def _leave(self, connection: Connection, payload: object) -> None:  # noqa: ARG002
        await self._rise(connection)

    async def _since(self, connection: Connection, payload: object) -> dict[str, Any]:
        return await self._open_calls.since(connection.seated, checked(Since, payload).since)

    async def _offer(self, connection: Connection, payload: object) -> dict[str, Any]:
        seat = connection.seated
        connection.tenure.require("publish", seat.call)
        sdp = payload.get("sdp") if isinstance(payload, dict) else None
        if isinstance(sdp, str) and len(sdp) > LARGEST_SDP:
            raise ContractError("too_large", f"an offer has at most {LARGEST_SDP} bytes")
        message, who = checked(Offer, payload), connection.identity
        await self.limits.offer(who, connection.socket)
        if connection.stream is None:
            connection.stream = await self.limits.stream(who.tenant)
        return await self._open_calls.offer(seat, message)

    async def _candidate(self, connection: Connection, payload: object) -> None:
        seat = connection.seated
        connection.tenure.require("publish", seat.call)
        await self._open_calls.candidate(seat, checked(Candidate, payload))

    async def _close_media(self, connection: Connection, payload: object) -> None:  # noqa: ARG002
        await self._open_calls.close_media(connection.seated)
        connection.hush()

    async def _signal(self, connection: Connection, payload: object) -> None:
        message = checked(Signal, payload)
        try:
            size = len(json.dumps(message.data).encode())
        except (TypeError, ValueError):
            raise ContractError("invalid", "data: must be JSON") from None
        if size > LARGEST_SIGNAL:
            raise ContractError("too_large", f"data has at most {LARGEST_SIGNAL} bytes")
        await self._open_calls.signal(connection.seated, message)

    async def _refresh(self, connection: Connection, payload: object) -> dict[str, Any]:
        """What the new token does not grant ends here."""
        answer = await refreshed(connection.tenure, payload)
        seat, who = connection.seat, connection.identity
        if seat and not who.may("join" if seat.participant else "watch", seat.call):
            await self._rise(connection)
        elif seat and seat.offered and not who.may("publish", seat.call):
            await self._open_calls.close_media(seat)
            connection.hush()
        return {**answer, "call": connection.seat.call if connection.seat else None}

    async def _rise(self, connection: Connection) -> None:
        connection.hush()
        seat, connection.seat = connection.seat, None
        if seat:
            await self._open_calls.leave(seat)
