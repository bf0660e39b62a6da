"""Limits of Socket.IO: who connects, and what comes over a connection, before it is parsed.

A refused event is answered as any other error is. Who goes on all the same, several times faster
than may be and for long, is cut off.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import socketio
import structlog
from aiohttp import web
from engineio.packet import MESSAGE, Packet

from signaling.errors import ContractError
from signaling.limits.http import HttpLimits
from signaling.limits.limiter import Lease, Limiter, holder
from signaling.limits.rules import Rate
from signaling.limits.store import conform
from signaling.outbox import EngineSocket, Outboxes
from signaling.tokens import Identity

log = structlog.get_logger(__name__)

JOIN_SECONDS: Final = 20.0
"""A connection that is in no namespace for so long is closed: it counts nowhere."""

MOST_ATTACHMENTS: Final = 4
"""Of one event; the contract's have one. python-socketio would keep any number of them."""

FLOOD_FACTOR: Final = 3
FLOOD_SECONDS: Final = 10
"""Refused that many times the events that may come, and for so long: that is a flood."""

AUDIO: Final = "/transcribe"
_NAMESPACES: Final = ("/", AUDIO)

_EVENTS: Final = "events_per_socket_per_second"
_AUDIO_EVENTS: Final = "audio_events_per_socket_per_second"

# Socket.IO's packet up to its JSON: https://socket.io/docs/v4/socket-io-protocol/#packet-encoding
_HEAD: Final = re.compile(r"(\d)(?:(\d{1,10})-)?(?:(/[^,]{0,64}),)?(\d{1,18})?")
_CONNECT, _DISCONNECT, _EVENT, _ERROR = "0", "1", "2", "4"
_WITH_ATTACHMENTS: Final = ("5", "6")
_ANSWER: Final = "3"


@dataclass(slots=True)
class _Inflow:
    """What came over one connection: when the next of each may come, and what is expected."""

    events: float = 0.0
    audio: float = 0.0
    refused: float = 0.0
    attachments: int = 0
    dropped_attachments: int = 0


class SocketLimits:
    """Takes all that comes to a server that has no clients yet."""

    def __init__(self, sio: socketio.AsyncServer, outboxes: Outboxes, http: HttpLimits) -> None:
        self.flooding = 0
        """Clients that were cut off so far because they flooded."""
        self._sio = sio
        self._outboxes = outboxes
        self._http = http
        self._limiter: Limiter = http.limiter
        limits = self._limiter.limits
        self._rates = {name: limits.rate(name) for name in (_EVENTS, _AUDIO_EVENTS)}
        most = FLOOD_FACTOR * limits.events_per_socket_per_second
        self._flood = Rate(1 / most, FLOOD_SECONDS * most) if most else None
        self._inflows: WeakKeyDictionary[EngineSocket, _Inflow] = WeakKeyDictionary()
        self._taken, self._connected = (sio.eio.handlers[name] for name in ("message", "connect"))
        sio.eio.on("message", self._take)
        sio.eio.on("connect", self._connect)

    async def connection(
        self, socket: str, namespace: str, environ: dict[str, Any], who: Identity | None
    ) -> Lease:
        """What a client holds while it is connected; Socket.IO's refusal where it may not be.

        `who` None: it counts by its address only.
        """
        request: web.Request = environ["aiohttp.request"]
        try:
            lease = await self._limiter.hold(
                {
                    "connections_per_address": self._http.addresses.key(request),
                    "connections_per_subject": holder(who) if who else None,
                }
            )
        except ContractError as error:
            log.info("refused", code=error.code, why=error.message)
            raise socketio.exceptions.ConnectionRefusedError(error.code, error.to_wire()) from None
        engine_id = self._sio.manager.eio_sid_from_sid(socket, namespace)
        engine_socket = self._sio.eio.sockets.get(engine_id)
        if engine_socket is None or engine_socket.closed:  # nobody would be told that it is gone
            lease.release()
            raise socketio.exceptions.ConnectionRefusedError("gone")
        return lease

    async def offer(self, who: Identity, socket: str) -> None:
        """One more of who may not have many a minute."""
        await self._limiter.admit("offers_per_participant_per_minute", holder(who) or socket)

    async def stream(self, tenant: str) -> Lease:
        """What a participant holds who sends audio."""
        return await self._limiter.hold({"streams_per_tenant": tenant})

    def left(self, socket: str, namespace: str) -> None:
        """A client has left a namespace, and may have left its connection open."""
        self._expect_namespace(self._sio.manager.eio_sid_from_sid(socket, namespace))

    async def _connect(self, engine_id: str, environ: dict[str, Any]) -> Any:
        answer = await self._connected(engine_id, environ)
        self._expect_namespace(engine_id)
        return answer

    def _expect_namespace(self, engine_id: str | None) -> None:
        asyncio.get_running_loop().call_later(JOIN_SECONDS, self._close_idle, engine_id)

    def _close_idle(self, engine_id: str | None) -> None:
        socket = self._sio.eio.sockets.get(engine_id)
        find = self._sio.manager.sid_from_eio_sid
        if socket and not any(find(engine_id, namespace) for namespace in _NAMESPACES):
            self._outboxes.cut_off(socket)

    async def _take(self, engine_id: str, data: str | bytes) -> None:
        """An Engine.IO message."""
        socket = self._sio.eio.sockets.get(engine_id)
        if socket is None or socket.closed:
            return
        inflow = self._inflows.setdefault(socket, _Inflow())
        if self._admits(inflow, socket, data):
            try:
                await self._taken(engine_id, data)
            except (ValueError, TypeError, LookupError, AttributeError):
                # What Socket.IO does not understand. Engine.IO would log it, as long as it is.
                log.info("refused", code="invalid", why="no packet of Socket.IO")
            else:
                return
        self._refused(inflow, socket)

    def _admits(self, inflow: _Inflow, socket: EngineSocket, data: str | bytes) -> bool:
        if isinstance(data, bytes):
            if inflow.dropped_attachments:
                inflow.dropped_attachments -= 1
                return False
            inflow.attachments -= 1
            return inflow.attachments >= 0 or not _reset(inflow)
        head = _HEAD.match(data)
        if head is None:
            return False
        kind, count, namespace = head[1], int(head[2] or 0), head[3] or "/"
        try:
            if kind == _DISCONNECT:  # who goes is let go; too often is a flood all the same
                self._refused(inflow, socket)
            else:
                self._check(inflow, data, count, namespace)
        except ContractError as error:
            if kind in _WITH_ATTACHMENTS:
                inflow.dropped_attachments = count
            for text in _refusal(kind, namespace, head[4], error):
                socket.queue.put_nowait(Packet(MESSAGE, text))
            return False
        if kind in _WITH_ATTACHMENTS:
            inflow.attachments = count
        return True

    def _check(self, inflow: _Inflow, text: str, attachments: int, namespace: str) -> None:
        """`ContractError` where a message is too large, or one too many."""
        limits = self._limiter.limits
        if limits.message_bytes and len(text) > limits.message_bytes:
            raise self._limiter.refusal("message_bytes")
        if attachments > MOST_ATTACHMENTS:
            raise ContractError("too_large", f"an event has at most {MOST_ATTACHMENTS} attachments")
        name = _AUDIO_EVENTS if namespace == AUDIO else _EVENTS
        rate, now = self._rates[name], time.monotonic()
        if rate is None:
            return
        if name == _AUDIO_EVENTS:
            inflow.audio, wait = conform(inflow.audio, now, rate)
        else:
            inflow.events, wait = conform(inflow.events, now, rate)
        if wait:
            raise self._limiter.refusal(name, wait)

    def _refused(self, inflow: _Inflow, socket: EngineSocket) -> None:
        if self._flood is None or socket.closed:
            return
        inflow.refused, wait = conform(inflow.refused, time.monotonic(), self._flood)
        if wait:
            self.flooding += 1
            log.warning("flooding client cut off")
            self._outboxes.cut_off(socket)


def _reset(inflow: _Inflow) -> bool:
    inflow.attachments = 0
    return True


def _refusal(kind: str, namespace: str, number: str | None, error: ContractError) -> list[str]:
    """Packets of Socket.IO that tell of it."""
    where = "" if namespace == "/" else f"{namespace},"
    wire = error.to_wire()
    if kind == _CONNECT:
        return [_ERROR + where + json.dumps({"message": error.code, "data": wire})]
    answers = []
    if namespace == AUDIO:
        answers.append(_EVENT + where + json.dumps(["error", wire]))
    if number is not None:
        answers.append(_ANSWER + where + number + json.dumps([{"ok": False, "error": wire}]))
    return answers
