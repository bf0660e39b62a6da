"""Socket.IO, namespace `/transcribe`: raw audio without WebRTC, a session a socket."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import socketio
import structlog
from pydantic import Field

from signaling.audio_session import AudioSession
from signaling.audio_sessions import AudioSessions, Wish
from signaling.errors import ContractError
from signaling.limits.limiter import Lease
from signaling.limits.socket import SocketLimits
from signaling.messages import ClientMessage, Id, Language, Name, Vocabulary, checked
from signaling.outbox import Outboxes
from signaling.socket_events import Handler, SocketHolder, admitted, answered, refreshed
from signaling.tenure import Tenure, Tenures

log = structlog.get_logger(__name__)

NAMESPACE: Final = "/transcribe"


class Start(ClientMessage):
    """`start_transcription`. With `session` one goes on that was lost."""

    language_code: Language = "en-US"
    call: Id | None = None
    name: Name | None = None
    custom_vocabulary: Vocabulary = Field(default_factory=list)
    session: Annotated[str, Field(max_length=64)] | None = None
    since: int = Field(default=0, ge=0)


@dataclass(slots=True)
class _Client:
    """One socket. Its events are taken in turn, but for audio, which is taken at once."""

    tenure: Tenure
    lease: Lease
    outlet: _Outlet
    name: str = ""
    session: AudioSession | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class TranscribeSocket:
    """The namespace. `attach` gives it the sessions; nothing can be started before that."""

    def __init__(
        self,
        sio: socketio.AsyncServer,
        outboxes: Outboxes,
        tenures: Tenures,
        limits: SocketLimits,
    ) -> None:
        self._limits = limits
        self._sio = sio
        self._outboxes = outboxes
        self._tenures = tenures
        self._sessions: AudioSessions | None = None
        self._clients: dict[str, _Client] = {}
        self._handlers: dict[str, Handler[_Client]] = {
            "start_transcription": self._start,
            "audio_chunk": self._chunk,
            "stop_transcription": self._stop,
            "token:refresh": self._refresh,
        }
        sio.on("connect", self._connect, namespace=NAMESPACE)
        sio.on("disconnect", self._disconnect, namespace=NAMESPACE)
        sio.on("*", self._event, namespace=NAMESPACE)

    def attach(self, sessions: AudioSessions) -> None:
        """Serve these sessions."""
        self._sessions = sessions

    @property
    def _open_sessions(self) -> AudioSessions:
        if self._sessions is None:
            raise ContractError("unavailable", "the server is starting", 1000)
        return self._sessions

    async def _connect(self, socket: str, environ: dict[str, Any], auth: object = None) -> None:
        tenure = await admitted(self._tenures, auth)
        # By its subject each session counts.
        lease = await self._limits.connection(socket, NAMESPACE, environ, None)
        outlet = _Outlet(self._outboxes, socket)
        self._clients[socket] = _Client(tenure, lease, outlet)
        tenure.start(SocketHolder(self._sio, self._outboxes, socket, NAMESPACE))
        # Behind the answer to the handshake, before which a client takes no event.
        self._sio.start_background_task(self._greet, outlet)

    async def _greet(self, outlet: _Outlet) -> None:
        outlet.tell("connected", {"status": "connected"})

    async def _disconnect(self, socket: str, reason: str) -> None:
        if reason == self._sio.reason.PING_TIMEOUT:
            self._outboxes.abort(socket, NAMESPACE)
        client = self._clients.pop(socket, None)
        if client:
            client.tenure.end()
            client.lease.release()
            self._limits.left(socket, NAMESPACE)
        if client and self._sessions:
            async with client.turn:  # behind a start that is still under way
                if client.session is None:
                    return
                if reason == self._sio.reason.CLIENT_DISCONNECT:
                    self._sessions.end_soon(client.name)
                else:
                    self._sessions.let_wait(client.name, client.outlet)

    async def _event(self, event: str, socket: str, *payload: object) -> dict[str, Any]:
        """Take any event: what goes wrong is told by `error` and in the acknowledgement."""
        client = self._clients.get(socket)
        answer = await answered(event, client, self._handlers.get(event), payload)
        if client and not answer["ok"]:
            client.outlet.tell("error", answer["error"])
        return answer

    async def _start(self, client: _Client, payload: object) -> dict[str, Any]:
        message = checked(Start, payload or {})
        client.tenure.require("publish")
        async with client.turn:
            if client.session and not client.session.over:
                raise ContractError("conflict", "a transcription is under way: stop it first")
            sessions = self._open_sessions
            if client.session:
                await sessions.finish(client.name)
            if message.session:
                client.name = message.session
                client.session = await sessions.resume(
                    message.session, client.tenure.who, client.outlet
                )
            else:
                wish = Wish(
                    call=message.call,
                    name=message.name,
                    language=message.language_code,
                    vocabulary=tuple(message.custom_vocabulary),
                )
                client.name, client.session = await sessions.open(
                    client.tenure.who, wish, client.outlet
                )
            session = client.session
            answer = {
                "status": "resumed" if message.session else "started",
                "message": "send audio_chunk: 16 kHz mono signed 16-bit little-endian PCM",
                "language_code": message.language_code,
                "session": client.name,
                "call": session.seat.call,
                "participant": session.seat.participant,
                "received_ms": round(session.received_seconds * 1000),
            }
            client.outlet.tell("transcription_started", answer)
            if message.session:
                for caption in await session.since(message.since):
                    client.outlet.caption(caption)
            return answer

    async def _chunk(self, client: _Client, payload: object) -> dict[str, Any]:
        chunk = _bytes(payload)
        session = client.session
        if session is None:
            raise ContractError("conflict", "start_transcription comes first")
        session.send(chunk)  # before anything is waited for: chunks stay in order
        received_ms = round(session.received_seconds * 1000)
        await session.room()
        return {"received_ms": received_ms}

    async def _stop(self, client: _Client, payload: object) -> dict[str, Any]:  # noqa: ARG002
        async with client.turn:
            if client.session is None:
                raise ContractError("conflict", "no transcription is under way")
            await self._open_sessions.finish(client.name)
            client.session = None
            answer = {"status": "stopped", "message": "all that was said is final"}
            client.outlet.tell("transcription_stopped", answer)
            return answer

    async def _refresh(self, client: _Client, payload: object) -> dict[str, Any]:
        """A session that the new token does not grant ends here."""
        async with client.turn:
            answer = await refreshed(client.tenure, payload)
            if client.session and not self._open_sessions.allows(client.name, client.tenure.who):
                await self._open_sessions.finish(client.name)
                client.session = None
                client.outlet.ended()
            return answer


class _Outlet:
    """What one socket is sent. See `Outlet`."""

    def __init__(self, outboxes: Outboxes, socket: str) -> None:
        self._outboxes = outboxes
        self._socket = socket

    def tell(self, event: str, payload: dict[str, Any]) -> None:
        self._outboxes.send_now(event, payload, self._socket, NAMESPACE)

    def caption(self, caption: Mapping[str, Any]) -> None:
        self.tell("transcription_result", {**caption, "is_partial": not caption["final"]})

    def error(self, error: ContractError) -> None:
        self.tell("error", error.to_wire())

    def ended(self) -> None:
        self.tell(
            "transcription_stopped",
            {
                "status": "ended",
                "message": "the call or the server is over, or the speaker joined anew",
            },
        )


def _bytes(payload: object) -> bytes:
    chunk = payload.get("chunk") if isinstance(payload, dict) else payload
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        try:
            return base64.b64decode(chunk, validate=True)
        except (binascii.Error, ValueError):
            raise ContractError("invalid", "chunk: no base64") from None
    raise ContractError("invalid", "chunk: bytes or base64")
