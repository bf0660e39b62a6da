"""A room of LiveKit, by LiveKit's own SDK (the optional `livekit` package).

The SDK brings ICE, DTLS and decoding, and reconnects by itself for as long as it sees a
chance; after that the room is entered anew. Its connections are its own: the allow-list
checks the address, and where its name leads just before, but cannot hold the SDK to it.
"""

from __future__ import annotations

import asyncio
import importlib
import re
from typing import Any, Final

import aiohttp
import structlog

from captions.types import Caption
from media.livekit_room import Speakers, Stay
from media.pauses import Pauses
from media.source import Connected, Lost, Recovered, Tell
from signaling.allowlist import AllowList
from signaling.errors import Code, ContractError, told
from signaling.sources import LiveKit

log = structlog.get_logger(__name__)

TOPIC: Final = "lk.transcription"
"""Where LiveKit's clients expect transcriptions, as text streams."""

REACH_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 20.0
"""The SDK tries four times within it. `close` waits for it: it cannot be interrupted
without leaving a connection behind."""

SIGNAL_SECONDS: Final = 4.0
DISCONNECT_SECONDS: Final = 5.0
SEND_SECONDS: Final = 5.0

MOST_REFUSALS: Final = 3
"""In a row, of a room that we were in before: then it is refused for good."""

_CODES: Final[dict[str, Code]] = {"401": "forbidden", "403": "forbidden", "404": "not_found"}
_OVER: Final = ("ROOM_DELETED", "ROOM_CLOSED")
_REMOVED: Final = {
    "DUPLICATE_IDENTITY": "somebody else entered the LiveKit room with this token's identity",
    "PARTICIPANT_REMOVED": "LiveKit removed the captioner from the room",
    "MOVED": "LiveKit moved the captioner to another room",
}


class LiveKitSource:
    """See `CallSource`."""

    def __init__(self, settings: LiveKit, allow: AllowList, *, rtc: Any = None) -> None:
        """`rtc` stands for `livekit.rtc`, which is imported where it is needed."""
        self._settings = settings
        self._allow = allow
        self._rtc = rtc
        self._token = settings.token
        self._closed = asyncio.Event()
        self._pauses = Pauses()
        self._speakers: Speakers = Speakers()
        self._room: Any = None  # while we are in it
        self._entered = False
        self._lost = False

    async def run(self, tell: Tell) -> None:
        """See `CallSource`. Returns when the room is deleted or closed."""
        self._allow.check(self._settings.url)
        rtc = self._rtc or _sdk()
        refusals = 0
        while not self._closed.is_set():
            room = rtc.Room()
            try:
                await self._enter(rtc, room)
            except ContractError as error:
                refusals = refusals + 1 if error.code != "unavailable" else 0
                if not self._entered or refusals == MOST_REFUSALS:
                    raise
                self._lose(tell, error.message)
            else:
                refusals = 0
                self._pauses.reset()
                why = await self._stay(rtc, room, tell)
                if why in _OVER or self._closed.is_set():
                    return
                if why in _REMOVED:
                    raise ContractError("forbidden", _REMOVED[why])
                self._lose(tell, f"the LiveKit room was lost: {why}")
            await self._pauses.wait(self._closed)

    async def send(self, caption: Caption) -> None:
        """See `CallSource`: a text stream a caption, as LiveKit's agents send them.

        Only an agent's token may write in a speaker's name; with any other LiveKit puts the
        captioner's there, and clients tell speakers by the track. Raises what the SDK raises,
        TimeoutError where it is too slow.
        """
        room, speaker = self._room, self._speakers.get(caption.participant)
        if not self._settings.captions_back or room is None or self._lost or speaker is None:
            return
        if caption.language != caption.source_language:
            return  # clients have one text for a segment: what was spoken
        identity, sid = speaker
        async with asyncio.timeout(SEND_SECONDS):
            writer = await room.local_participant.stream_text(
                topic=TOPIC,
                sender_identity=identity,
                attributes={
                    "lk.segment_id": caption.utterance,
                    "lk.transcribed_track_id": sid,
                    "lk.transcription_final": "true" if caption.final else "false",
                    "surtitle.identity": identity,
                    "surtitle.language": caption.language,
                },
            )
            await writer.write(caption.text)
            await writer.aclose()

    async def close(self) -> None:
        """See `CallSource`. Returns at once; `run` leaves the room."""
        self._closed.set()

    async def _enter(self, rtc: Any, room: Any) -> None:
        await self._reach()
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=SIGNAL_SECONDS)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await room.connect(_scheme("ws", self._settings.url), self._token, options)
        except rtc.ConnectError as error:
            raise _refusal(str(error.message)) from None
        except TimeoutError:
            raise ContractError("unavailable", "LiveKit does not answer", 1000) from None
        if room.name != self._settings.room:
            await _disconnect(room)
            raise ContractError("invalid", "the LiveKit token is for another room")

    async def _reach(self) -> None:
        """Whether the server answers, from an address that the allow-list allows."""
        url = _scheme("http", self._settings.url)
        timeout = aiohttp.ClientTimeout(total=REACH_SECONDS)
        try:
            async with (
                self._allow.session(url) as http,
                http.get(url, allow_redirects=False, timeout=timeout),
            ):
                return
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            message = f"LiveKit cannot be reached: {type(error).__name__}"
            raise ContractError("unavailable", message, 1000) from None

    async def _stay(self, rtc: Any, room: Any, tell: Tell) -> str:
        """Be in the room until it ends or `close`; the reason's name in LiveKit."""
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def end(why: str) -> None:
            if not ended.done():
                ended.set_result(why)

        def back() -> None:
            self._found(tell)
            stay.look()

        async with asyncio.TaskGroup() as tasks:
            stay = Stay(rtc, room, tell, tasks, self._speakers)
            room.on("disconnected", lambda reason: end(rtc.DisconnectReason.Name(reason)))
            room.on("moved", lambda: end("MOVED"))
            room.on("reconnecting", lambda: self._lose(tell, "the way to LiveKit broke"))
            room.on("reconnected", back)
            room.on("token_refreshed", lambda: self._keep_token(room))
            self._room = room
            closing = tasks.create_task(self._closed.wait())
            either: set[asyncio.Future[Any]] = {ended, closing}
            try:
                back()
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._room = None
                closing.cancel()
                stay.leave()
                await _disconnect(room)
        return ended.result() if ended.done() else "CLIENT_INITIATED"

    def _keep_token(self, room: Any) -> None:
        """LiveKit renews tokens of who is in the room; the first may have run out by now."""
        self._token = getattr(room, "_token", None) or self._token

    def _found(self, tell: Tell) -> None:
        if not self._entered:
            tell(Connected())
        elif self._lost:
            tell(Recovered())
        self._entered = True
        self._lost = False

    def _lose(self, tell: Tell, reason: str) -> None:
        if not self._lost:
            tell(Lost(reason))
        self._lost = True


def _sdk() -> Any:
    try:
        return importlib.import_module("livekit.rtc")
    except ImportError:
        message = "this node has no LiveKit support: install surtitle[livekit]"
        raise ContractError("unavailable", message) from None


async def _disconnect(room: Any) -> None:
    try:
        async with asyncio.timeout(DISCONNECT_SECONDS):
            await room.disconnect()
    except Exception as error:  # the SDK's: we are as good as gone
        log.warning("LiveKit room not left", error=told(error))


def _refusal(message: str) -> ContractError:
    """The SDK says in words only what the server answered: `client error: 401 …`."""
    status = re.search(r"client error: (\d{3})", message)
    code = _CODES.get(status[1], "unavailable") if status else "unavailable"
    return ContractError(code, f"LiveKit: {message[:200]}", 1000 if code == "unavailable" else None)


def _scheme(scheme: str, url: str) -> str:
    """The URL with `http` or `ws` for its scheme, as secure as it was."""
    found, _, rest = url.partition("://")
    return f"{scheme}{'s' if found in ('https', 'wss') else ''}://{rest}"
