"""What waits to be sent to one client: bounded, and written at once where nothing waits.

Engine.IO gives every client a queue without an end, and a task for each packet. Here a
queue has an end: who does not read is cut off there, connects again and asks for what it
missed with `since`. A message to many is one frame, made once and handed to each transport:
what is left of its cost is the system call.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

import socketio
import structlog
from aiohttp import web
from engineio.async_drivers.aiohttp import WebSocket
from engineio.packet import MESSAGE, Packet

from signaling.transports import abort, bound_buffer

log = structlog.get_logger(__name__)

MOST_PACKETS: Final = 1000
"""Packets that wait for one client before it is cut off: of a busy call some 30 s."""

MOST_CHARACTERS: Final = 4 * 2**20
"""Characters that wait, not counting the longest packet: an answer to `since` may be long."""

_RECIPIENTS_AT_ONCE: Final = 200
"""Writes before others get their turn: some 5 ms."""

_EVENT: Final = "2"
_TEXT_FRAME: Final = 0x81


class Message(Packet):  # type: ignore[misc]
    """An event as Engine.IO's packet and as a whole WebSocket frame, for any number of clients."""

    def __init__(self, event: str, payload: dict[str, Any], namespace: str = "/") -> None:
        where = "" if namespace == "/" else f"{namespace},"
        super().__init__(
            MESSAGE, _EVENT + where + json.dumps([event, payload], separators=(",", ":"))
        )
        text = self.encode().encode()
        size = len(text)
        if size < 126:
            head = struct.pack("!BB", _TEXT_FRAME, size)
        elif size < 2**16:
            head = struct.pack("!BBH", _TEXT_FRAME, 126, size)
        else:
            head = struct.pack("!BBQ", _TEXT_FRAME, 127, size)
        self.frame = head + text


class EngineSocket(Protocol):
    """What is known of Engine.IO's socket: `upgraded` where polling gave way to a WebSocket."""

    upgraded: bool
    closed: bool
    queue: Outbox

    async def close(self, wait: bool = True, abort: bool = False, reason: object = None) -> None:  # noqa: FBT001, FBT002
        """End it."""


class Outbox(asyncio.Queue[Packet | None]):
    """One client's packets. Over a bound it drops them all and calls `cut_off`, once."""

    def __init__(self, cut_off: Callable[[Outbox], None]) -> None:
        super().__init__()
        self._tell = cut_off
        self._characters = 0
        self._longest = 0
        self._writer_waits = False
        self._socket: EngineSocket | None = None
        self._transport: asyncio.Transport | None = None
        self.is_cut_off = False

    def attach(self, socket: EngineSocket, transport: asyncio.Transport | None) -> None:
        """The client has a WebSocket now."""
        self._socket, self._transport = socket, transport
        bound_buffer(transport)

    def send(self, message: Message) -> None:
        """Write a message, behind all that waits. Never blocks, never fails."""
        if (
            self._writer_waits
            and self._transport
            and self._socket
            and self._socket.upgraded
            and self.empty()
            and not self._transport.get_write_buffer_size()
            and not self._transport.is_closing()
        ):
            self._transport.write(message.frame)
        else:
            self.put_nowait(message)

    def put_nowait(self, item: Packet | None) -> None:
        """Let a packet wait; None ends whoever takes them."""
        if item is None or not self.is_cut_off:
            self._count(item)
            super().put_nowait(item)
            if self.qsize() > MOST_PACKETS or self._characters - self._longest > MOST_CHARACTERS:
                self._cut_off()

    async def get(self) -> Packet | None:
        """Take the oldest packet; whoever takes one takes all that are there."""
        self._writer_waits = True
        try:
            return await super().get()
        finally:
            self._writer_waits = False

    def abort(self) -> None:
        """Close the connection without waiting for a client that does not read."""
        abort(self._transport)

    def _count(self, item: Packet | None) -> None:
        if self.empty():  # what was counted before is with the writer now
            self._characters = self._longest = 0
        size = len(item.data) if item and isinstance(item.data, str | bytes) else 0
        self._characters += size
        self._longest = max(self._longest, size)

    def _cut_off(self) -> None:
        self.is_cut_off = True
        self._tell(self)
        while not self.empty():
            self.get_nowait()
            self.task_done()
        self.abort()


class OutboxWebSocket(WebSocket):  # type: ignore[misc]
    """Engine.IO's WebSocket on aiohttp, known to the client's outbox and not compressed.

    Browsers ask for compression, and it takes 100 KB a client, for captions that fit one
    packet as they are.
    """

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        """Serve the connection to its end."""
        request: web.Request = environ["aiohttp.request"]
        self.environ = environ
        self._sock = web.WebSocketResponse(
            compress=False, max_msg_size=self.server.max_http_buffer_size
        )
        await self._sock.prepare(request)
        socket = self.handler.__self__
        socket.queue.attach(socket, request.transport)
        await self.handler(self)
        return self._sock


class Outboxes:
    """The outboxes of all clients of a server: what is sent through them, and who is cut off."""

    def __init__(self, sio: socketio.AsyncServer) -> None:
        """`sio` has no clients yet; from now on each gets an `Outbox` for its queue."""
        self._sio = sio
        self._closing: set[asyncio.Task[None]] = set()
        self.slow_clients = 0
        sio.eio.create_queue = lambda: Outbox(self._cut_off)
        # The driver is a dictionary that all servers of the process share: not ours to change.
        sio.eio._async = {**sio.eio._async, "websocket": OutboxWebSocket}  # noqa: SLF001

    async def send(self, event: str, payload: dict[str, Any], to: str) -> None:
        """Send to a socket or to a group; no longer than the writing takes.

        Not Socket.IO's own way: that makes a task for each recipient and waits for all, and
        where it finds one dead it waits until the seat is left, which needs the call's lock,
        which whoever emits may hold.
        """
        message = Message(event, payload)
        sockets = self._sio.eio.sockets
        recipients = self._sio.manager.get_participants("/", to)
        for number, (_, engine_id) in enumerate(recipients, 1):
            socket = sockets.get(engine_id)
            if socket and not socket.closed:
                socket.queue.send(message)
            if number % _RECIPIENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)  # to those who write what waits: a burst of messages is no stall

    def send_now(self, event: str, payload: dict[str, Any], to: str, namespace: str) -> None:
        """Send to one socket of a namespace, without waiting for anything."""
        engine_id = self._sio.manager.eio_sid_from_sid(to, namespace)
        socket = self._sio.eio.sockets.get(engine_id)
        if socket and not socket.closed:
            socket.queue.send(Message(event, payload, namespace))

    def abort(self, socket: str, namespace: str = "/") -> None:
        """Close the connection of a Socket.IO client whatever waits for it."""
        engine_id = self._sio.manager.eio_sid_from_sid(socket, namespace)
        engine_socket = self._sio.eio.sockets.get(engine_id)
        if engine_socket:
            engine_socket.queue.abort()

    def cut_off(self, socket: EngineSocket) -> None:
        """Close a client's connection at once, and let it leave where it sits."""
        socket.queue.abort()
        self._close(socket)

    def _cut_off(self, outbox: Outbox) -> None:
        self.slow_clients += 1
        log.info("slow client cut off", packets=outbox.qsize())
        socket = next((s for s in self._sio.eio.sockets.values() if s.queue is outbox), None)
        if socket:
            self._close(socket)

    def _close(self, socket: EngineSocket) -> None:
        # Who polls has no connection to abort, and the seat is to be left at once anyway.
        reason = self._sio.eio.reason.TRANSPORT_ERROR
        task = asyncio.create_task(socket.close(wait=False, abort=True, reason=reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
