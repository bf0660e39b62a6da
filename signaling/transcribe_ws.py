"""WebSocket `/ws/v1/transcribe`: raw audio in several encodings, a session a connection."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import structlog
from aiohttp import WSMessage, WSMsgType, web
from pydantic import Field, StringConstraints

from signaling.audio import LARGEST_CHUNK_BYTES, AudioFormat, Encoding, SampleRate
from signaling.audio_door import FIRST_MESSAGE_SECONDS, connected
from signaling.audio_session import AudioSession
from signaling.audio_sessions import AudioSessions, Wish
from signaling.bearer import bearer
from signaling.errors import Code, ContractError
from signaling.messages import ClientMessage, Id, Language, Name, Update, Vocabulary, checked
from signaling.origins import Origins
from signaling.query import digits, flag
from signaling.results import Results
from signaling.tenure import Tenure, Tenures

log = structlog.get_logger(__name__)

PATH: Final = "/ws/v1/transcribe"

LONGEST_LIFE_SECONDS: Final = 4 * 3600.0
"""Of one connection; then it is ended in order, and the client connects again."""

_LARGEST_MESSAGE: Final = 2 * LARGEST_CHUNK_BYTES

OTHER_CODES: Final = ("INVALID_AUDIO_FORMAT", "SESSION_EXPIRED")

CODES: Final[Mapping[Code, str]] = {
    "unauthorized": "UNAUTHORIZED",
    "forbidden": "FORBIDDEN",
    "not_found": "NOT_FOUND",
    "invalid": "INVALID_MESSAGE",
    "too_large": "TOO_LARGE",
    "rate_limited": "RATE_LIMITED",
    "overloaded": "OVERLOADED",
    "unavailable": "UNAVAILABLE",
    "conflict": "CONFLICT",
}


class Config(ClientMessage):
    """`configure`, and the query; what is not there stays as it is."""

    encoding: Encoding | None = None
    sample_rate: SampleRate | None = None
    language: Language | None = None
    interim_results: bool | None = None
    custom_vocabulary: Vocabulary | None = None
    call: Id | None = None
    name: Name | None = None


class Configure(ClientMessage):
    """`configure`; `api_key` only in the first message."""

    type: Literal["configure"]
    api_key: str | None = None
    config: Config = Field(default_factory=Config)


class Token(ClientMessage):
    """`token`: a JWT of the same subject."""

    type: Literal["token"]
    token: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]


class TranscribeWs:
    """The route."""

    def __init__(
        self,
        *,
        sessions: AudioSessions,
        tenures: Tenures,
        origins: list[str],
        longest_life_seconds: float = LONGEST_LIFE_SECONDS,
    ) -> None:
        """`origins` are the web origins whose pages may connect beside the server's own."""
        self._sessions = sessions
        self._tenures = tenures
        self._origins = Origins(origins)
        self._longest_life_seconds = longest_life_seconds

    def add_routes(self, app: web.Application) -> None:
        """Add it to an aiohttp application."""
        app.router.add_get(PATH, self.serve)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, to its end. What is wrong with the request is an HTTP error."""
        self._origins.check(request)
        config = _queried(request)
        token = bearer(request) or request.query.get("api_key")
        tenure = await self._tenures.begin(token) if token else None
        results = Results()
        async with connected(request, results, largest_message_bytes=_LARGEST_MESSAGE) as socket:
            connection = _Connection(
                socket,
                results,
                sessions=self._sessions,
                tenures=self._tenures,
                tenure=tenure,
                config=config,
            )
            await connection.serve(self._longest_life_seconds)
        return socket


class _Connection:
    """One client. See `Outlet`."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        results: Results,
        *,
        sessions: AudioSessions,
        tenures: Tenures,
        tenure: Tenure | None,
        config: Config,
    ) -> None:
        self._results = results
        self._socket = socket
        self._sessions = sessions
        self._tenures = tenures
        self._tenure = tenure
        self._told_why = False
        self._config = config
        self._name = ""
        self._session: AudioSession | None = None
        self._life = asyncio.timeout(None)
        self._receiving = False

    async def serve(self, longest_life_seconds: float) -> None:
        """Until the client is done or gone, or the session has ended otherwise."""
        self._life = asyncio.timeout(longest_life_seconds)
        there = self._receiving = True
        if self._tenure:
            self._tenure.start(self)
        try:
            async with self._life:
                try:
                    there = await self._receive()
                finally:
                    self._receiving = False
        except TimeoutError:
            if not self._life.expired():
                raise
            if self._session and not self._session.over and not self._told_why:
                self._fault(
                    "SESSION_EXPIRED", "the connection is as old as it may be: connect again"
                )
        finally:
            if self._tenure:
                self._tenure.end()
            if self._name and there:
                await self._sessions.finish(self._name)
            elif self._name:
                self._sessions.end_soon(self._name)

    async def _receive(self) -> bool:
        """Take messages; False where the client is gone, without a word of it."""
        while True:
            try:
                async with asyncio.timeout(None if self._tenure else FIRST_MESSAGE_SECONDS):
                    message = await self._socket.receive()
            except TimeoutError:
                self._tell(ContractError("unauthorized", "say who you are first"), audio=False)
                return True
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT) or self._results.overflowed:
                return False
            try:
                if await self._take(message):
                    return True
                if self._session:
                    await self._session.room()
            except ContractError as error:
                self._tell(error, audio=message.type == WSMsgType.BINARY)
                if self._session is None and error.code in ("unauthorized", "forbidden"):
                    return True

    async def _take(self, message: WSMessage) -> bool:
        """Do as a message says; True where it is the last."""
        if message.type == WSMsgType.BINARY:
            (await self._opened()).send(message.data)
            return False
        wire = _parsed(message.data)
        match wire.get("type"):
            case "audio":
                chunk = _decoded(wire.get("data"))
                (await self._opened()).send(chunk)
            case "configure":
                await self._configure(checked(Configure, wire))
            case "token":
                await self._refresh(checked(Token, wire))
            case "keep_alive":
                pass
            case "close_stream":
                return True
            case _:
                raise ContractError(
                    "invalid", "type: one of configure, audio, token, keep_alive, close_stream"
                )
        return False

    async def _configure(self, message: Configure) -> None:
        if self._tenure is None:
            await self._begin(message.api_key)
        before = self._config
        after = self._config = _merged(before, message.config)
        if self._session is None:
            await self._opened()
            return
        if (after.call, after.name, after.custom_vocabulary) != (
            *(before.call, before.name, before.custom_vocabulary),
        ):
            self._config = before
            raise ContractError("conflict", "call, name, custom_vocabulary: before the first audio")
        if after.language != before.language:
            await self._session.update(Update(language=after.language))
        self._session.set_format(_format(after))

    async def _opened(self) -> AudioSession:
        if self._session is None:
            tenure = self._tenure or await self._begin(None)
            tenure.require("publish")
            config = self._config
            wish = Wish(
                call=config.call,
                name=config.name,
                language=config.language,
                audio=_format(config),
                vocabulary=tuple(config.custom_vocabulary or ()),
            )
            self._name, self._session = await self._sessions.open(tenure.who, wish, self)
        return self._session

    async def _begin(self, token: str | None) -> Tenure:
        tenure = self._tenure = await self._tenures.begin(token)
        tenure.start(self)
        return tenure

    async def _refresh(self, message: Token) -> None:
        """Go on by another token; a session that it does not grant is over."""
        if self._tenure is None:
            await self._begin(message.token)
            return
        await self._tenure.refresh(message.token)
        if self._name and not self._sessions.allows(self._name, self._tenure.who):
            self._end_by(ContractError("forbidden", "the token is for something else"))

    def expiring(self, *, expired: bool, closes_in_ms: int) -> None:
        """See `Holder`."""
        told = {"type": "token_expiring", "expired": expired, "closes_in_ms": closes_in_ms}
        self._results.put(told)

    async def close(self) -> None:
        """See `Holder`."""
        self._end_by(ContractError("unauthorized", "the token has expired"))

    def _end_by(self, error: ContractError) -> None:
        self._told_why = True
        self._tell(error, audio=False)
        self.ended()

    def caption(self, caption: Mapping[str, Any]) -> None:
        """See `Outlet`."""
        if self._session is None or (
            not caption["final"] and self._config.interim_results is False
        ):
            return
        # A final takes the place of a partial that waits; no partial comes behind it.
        self._results.put(_result(caption, self._session.offset_ms), caption["utterance"])

    def error(self, error: ContractError) -> None:
        """See `Outlet`."""
        self._tell(error, audio=True)

    def ended(self) -> None:
        """See `Outlet`."""
        if self._receiving:
            self._life.reschedule(asyncio.get_running_loop().time())

    def _tell(self, error: ContractError, *, audio: bool) -> None:
        wrong_audio = audio and error.code == "invalid"
        self._fault("INVALID_AUDIO_FORMAT" if wrong_audio else CODES[error.code], error.message)

    def _fault(self, code: str, message: str) -> None:
        self._results.put({"type": "error", "error": {"code": code, "message": message}})


def _result(caption: Mapping[str, Any], offset_ms: int) -> dict[str, Any]:
    """A Caption as this door says it; seconds are since the session's first audio."""

    def seconds(at_ms: int) -> float:
        return max(0, at_ms - offset_ms) / 1000

    start, end = seconds(caption["start_ms"]), seconds(caption["end_ms"])
    final = caption["final"]
    result: dict[str, Any] = {
        "type": "final" if final else "interim",
        "transcript": caption["text"],
        "confidence": caption.get("confidence"),
        "start": start,
        "duration": round(end - start, 3),
        "is_final": final,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "language": caption["language"],
        "utterance": caption["utterance"],
        "revision": caption["revision"],
    }
    if final:
        result["words"] = [
            {
                "word": word["text"],
                "start": seconds(word["start_ms"]),
                "end": seconds(word["end_ms"]),
                "confidence": word["confidence"],
            }
            for word in caption.get("words") or ()
        ]
    return result


def _queried(request: web.Request) -> Config:
    """What the query configures; `model` and `vad_enabled` are the server's own affair."""
    query = request.query
    wire: dict[str, Any] = {
        name: query[name] for name in ("encoding", "language", "call", "name") if query.get(name)
    }
    wire["sample_rate"] = digits(request, "sample_rate")
    wire["interim_results"] = flag(request, "interim_results")
    if "custom_vocabulary" in query:
        words = ",".join(query.getall("custom_vocabulary")).split(",")
        wire["custom_vocabulary"] = [word.strip() for word in words if word.strip()]
    return checked(Config, wire)


def _merged(before: Config, after: Config) -> Config:
    return before.model_copy(update=after.model_dump(exclude_none=True))


def _format(config: Config) -> AudioFormat:
    return AudioFormat(config.encoding or "linear16", config.sample_rate or 16000)


def _parsed(text: str) -> dict[str, Any]:
    try:
        wire = json.loads(text)
    except (ValueError, RecursionError):
        raise ContractError("invalid", "a text message must be JSON") from None
    if not isinstance(wire, dict):
        raise ContractError("invalid", "a text message must be an object")
    return wire


def _decoded(data: object) -> bytes:
    try:
        return base64.b64decode(data if isinstance(data, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise ContractError("invalid", "data: must be base64") from None
