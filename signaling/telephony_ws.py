"""WebSocket `/ws/v1/telephony`: a telephone switch's audio, a speaker a channel.

What FreeSWITCH's mod_audio_fork and mod_audio_stream send: a text with metadata, then linear
PCM of 16 bits in binary messages, the channels interleaved where there are two. Captions go
back as text, which both modules make events of.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
import structlog
from aiohttp import WSMessage, WSMsgType, web
from pydantic import Field

from signaling.audio import LARGEST_CHUNK_BYTES, LONGEST_CHUNK_SECONDS, AudioFormat, SampleRate
from signaling.audio_door import FIRST_MESSAGE_SECONDS, connected
from signaling.audio_session import AudioSession
from signaling.audio_sessions import AudioSessions, Wish
from signaling.bearer import bearer
from signaling.errors import ContractError
from signaling.messages import ClientMessage, Id, Language, Name, checked
from signaling.query import digits, flag
from signaling.results import Results
from signaling.tenure import Tenure, Tenures

log = structlog.get_logger(__name__)

PATH: Final = "/ws/v1/telephony"

SUBPROTOCOL: Final = "audio.drachtio.org"
"""What mod_audio_fork asks for; mod_audio_stream asks for none."""

_LARGEST_MESSAGE: Final = 4 * LARGEST_CHUNK_BYTES
_CALLER_AND_CALLEE: Final = ("Caller", "Callee")


class Metadata(ClientMessage):
    """The first text, and the query; whatever else a switch says of itself is ignored.

    `channels` is 2 for the modules' `stereo`: the caller in the first, the callee in the second.
    `names` and `languages` are theirs, in this order.
    """

    call: Id | None = None
    rate: SampleRate = 8000
    channels: Literal[1, 2] = 1
    names: list[Name] = Field(default_factory=list, max_length=2)
    languages: list[Language] = Field(default_factory=list, max_length=2)
    interim_results: bool = False
    api_key: str | None = None


class TelephonyWs:
    """The route."""

    def __init__(self, *, sessions: AudioSessions, tenures: Tenures) -> None:
        self._sessions = sessions
        self._tenures = tenures

    def add_routes(self, app: web.Application) -> None:
        """Add it to an aiohttp application."""
        app.router.add_get(PATH, self.serve)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One leg of one telephone call. What is wrong with the request is an HTTP error."""
        if "Origin" in request.headers:
            raise ContractError("forbidden", "this is for switches, not for pages")
        wish = _queried(request)
        token = bearer(request) or wish.api_key
        tenure = await self._tenures.begin(token) if token else None
        results = Results()
        async with connected(
            request,
            results,
            largest_message_bytes=_LARGEST_MESSAGE,
            protocols=(SUBPROTOCOL,),
        ) as socket:
            await _Leg(
                socket,
                results,
                sessions=self._sessions,
                tenures=self._tenures,
                tenure=tenure,
                wish=wish,
            ).serve()
        return socket


class _Leg:
    """One connection: its channels, each a session."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        results: Results,
        *,
        sessions: AudioSessions,
        tenures: Tenures,
        tenure: Tenure | None,
        wish: Metadata,
    ) -> None:
        self.results = results
        self._socket = socket
        self._sessions = sessions
        self._tenures = tenures
        self._tenure = tenure
        self._wish = wish
        self._channels: list[tuple[str, AudioSession]] = []
        self._over = asyncio.Event()

    async def serve(self) -> None:
        """Until the switch hangs up, or the call has ended."""
        if self._tenure:
            self._tenure.start(self)
        ended = asyncio.ensure_future(self._over.wait())
        receiving = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait({ended, receiving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, receiving):
                task.cancel()
            await asyncio.wait({ended, receiving})
            if self._tenure:
                self._tenure.end()
            for name, _ in self._channels:
                self._sessions.end_soon(name)
        if not receiving.cancelled():
            receiving.result()

    async def _receive(self) -> None:
        while not self.results.overflowed:
            first = FIRST_MESSAGE_SECONDS if self._tenure is None else None
            try:
                async with asyncio.timeout(first):
                    message = await self._socket.receive()
            except TimeoutError:
                return
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            try:
                await self._take(message)
            except ContractError as error:
                self.error(error)
                if not self._channels:
                    return

    async def _take(self, message: WSMessage) -> None:
        if message.type == WSMsgType.TEXT:
            if not self._channels:  # what comes later is for others
                self._wish = _merged(self._wish, message.data)
            return
        if not self._channels:
            await self._open()
        for (_, session), samples in zip(
            self._channels, _parted(message.data, len(self._channels)), strict=True
        ):
            size = round(2 * self._wish.rate * LONGEST_CHUNK_SECONDS)
            for at in range(0, len(samples), size):
                session.send(samples[at : at + size])
        for _, session in self._channels:
            await session.room()

    async def _open(self) -> None:
        """Each channel a participant of the same call."""
        wish = self._wish
        if self._tenure is None:
            self._tenure = await self._tenures.begin(wish.api_key)
            self._tenure.start(self)
        self._tenure.require("publish")
        who = self._tenure.who
        call = wish.call or f"t-{secrets.token_hex(8)}"
        for channel in range(wish.channels):
            one = who
            if who.subject and wish.channels > 1:
                one = replace(who, subject=f"{who.subject}.{channel + 1}"[-128:])
            names, languages = wish.names, wish.languages
            asked = Wish(
                call=call,
                name=names[channel] if channel < len(names) else _CALLER_AND_CALLEE[channel],
                language=languages[min(channel, len(languages) - 1)] if languages else None,
                audio=AudioFormat("linear16", wish.rate),
            )
            outlet = _Channel(self, channel + 1, interim=wish.interim_results)
            self._channels.append(await self._sessions.open(one, asked, outlet))

    def error(self, error: ContractError) -> None:
        """Tell the switch, in the words of mod_audio_fork."""
        self.results.put({"type": "error", "data": error.to_wire()})

    def ended(self) -> None:
        """The call has ended, or the server goes down."""
        self._over.set()

    def expiring(self, *, expired: bool, closes_in_ms: int) -> None:
        """See `Holder`; a switch has no other token to give."""

    async def close(self) -> None:
        """See `Holder`."""
        self.error(ContractError("unauthorized", "the token has expired"))
        self.ended()


class _Channel:
    """What one channel's session is told. See `Outlet`."""

    def __init__(self, leg: _Leg, number: int, *, interim: bool) -> None:
        self._leg = leg
        self._number = number
        self._interim = interim

    def caption(self, caption: Mapping[str, Any]) -> None:
        if caption["final"] or self._interim:
            message = {"type": "transcription", "channel": self._number, "data": caption}
            self._leg.results.put(message, caption["utterance"])

    def error(self, error: ContractError) -> None:
        self._leg.error(error)

    def ended(self) -> None:
        self._leg.ended()


def _queried(request: web.Request) -> Metadata:
    query = request.query
    wire: dict[str, Any] = {name: query[name] for name in ("call", "api_key") if query.get(name)}
    for name in ("rate", "channels"):
        if name in query:
            wire[name] = digits(request, name)
    for name in ("names", "languages"):
        if query.get(name):
            wire[name] = query[name].split(",")
    if "interim_results" in query:
        wire["interim_results"] = flag(request, "interim_results")
    return checked(Metadata, wire)


def _merged(wish: Metadata, text: str) -> Metadata:
    """With what a switch's metadata says; text that is no JSON object says nothing."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return wish
    if not isinstance(told, dict):
        return wish
    known = {name: value for name, value in told.items() if name in Metadata.model_fields}
    return checked(Metadata, {**wish.model_dump(exclude_unset=True), **known})


def _parted(data: bytes, channels: int) -> list[bytes]:
    """Each channel's samples of an interleaved message."""
    if not data or len(data) % (2 * channels):
        raise ContractError("invalid", f"the message is no linear PCM of {channels} channels")
    if channels == 1:
        return [data]
    samples = np.frombuffer(data, "<i2").reshape(-1, channels)
    return [samples[:, n].tobytes() for n in range(channels)]
