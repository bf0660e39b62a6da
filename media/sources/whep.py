"""One participant who is heard as a WHEP resource (draft-ietf-wish-whep).

WHEP knows no rooms and no names: the resource is the participant, in the call for as long as
its stream is live. Publishers come and go: a server that says that nobody publishes is not
lost, only one that cannot be reached or fails.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import structlog

from captions.types import Caption
from media.pauses import Pauses
from media.peer import ReceivingPeer
from media.source import (
    Connected,
    Joined,
    Left,
    Lost,
    Recovered,
    Tell,
    TrackEnded,
    TrackStarted,
    display_name,
    participant_id,
)
from media.track import Track
from media.whep_http import Session, WhepClient
from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.sources import Whep

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 15.0
"""From the answer to ICE and DTLS being up."""

MOST_REFUSALS: Final = 3
"""In a row, of a stream that was live before: then it is refused for good."""


@dataclass(slots=True)
class _Stream:
    """The WebRTC side of one session."""

    track: Track | None = None
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class WhepSource:
    """See `CallSource`. Captions are not carried back: WHEP has no way for it."""

    def __init__(self, settings: Whep, allow: AllowList) -> None:
        self._settings = settings
        self._client = WhepClient(settings.url, settings.token, allow)
        self._allow = allow
        self._closed = asyncio.Event()
        self._pauses = Pauses()
        self._known = False  # whether the resource has been found
        self._lost = False
        stream = _stream_name(settings.url)
        self._name = settings.name or display_name(stream, "WHEP")
        self._participant = settings.participant or participant_id(stream)

    async def run(self, tell: Tell) -> None:
        """See `CallSource`. A resource without a publisher is waited for (409)."""
        self._allow.check(self._settings.url)
        refusals = 0
        while not self._closed.is_set():
            asked_seconds = None
            try:
                await self._listen(tell)
                refusals = 0
            except ContractError as error:
                refusals = refusals + 1 if error.code in ("forbidden", "invalid") else 0
                if error.code != "conflict" and (not self._known or refusals == MOST_REFUSALS):
                    raise
                if error.code in ("conflict", "not_found"):
                    self._found(tell)
                else:
                    self._lose(tell, error.message)
                if error.retry_after_ms is not None:
                    asked_seconds = error.retry_after_ms / 1000
            await self._pauses.wait(self._closed, asked_seconds)

    async def send(self, caption: Caption) -> None:
        """See `CallSource`."""

    async def close(self) -> None:
        """See `CallSource`. Returns at once; `run` tells the server."""
        self._closed.set()

    async def _listen(self, tell: Tell) -> None:
        """One session from offer to end; `ContractError` where it does not come about."""
        stream = _Stream()
        peer = self._peer(stream)
        session: Session | None = None
        try:
            session = await self._client.begin(await peer.offer())
            await peer.accept(session.answer)
            await self._until_connected(stream)
            if not self._closed.is_set():
                self._found(tell)
                await self._tell_participant(stream, peer, tell)
        finally:
            await peer.close()
            if session:
                await self._client.end(session)

    def _peer(self, stream: _Stream) -> ReceivingPeer:
        def on_track(mid: str, track: Track) -> None:  # noqa: ARG001 - there is one m-line
            stream.track = track

        async def on_ended() -> None:
            stream.ended.set()

        def on_state() -> None:
            if peer.connected:
                stream.connected.set()

        peer = ReceivingPeer(on_track, on_ended)
        peer.connection.on("connectionstatechange", on_state)
        return peer

    async def _until_connected(self, stream: _Stream) -> None:
        """Also returns where the source is closed."""
        await self._first_of(stream.connected, stream.ended, seconds=CONNECT_SECONDS)
        if not stream.connected.is_set() and not self._closed.is_set():
            raise ContractError("unavailable", "no media connection to the WHEP server", 1000)

    async def _tell_participant(self, stream: _Stream, peer: ReceivingPeer, tell: Tell) -> None:
        assert stream.track is not None  # the answer was checked for audio that is sent
        tell(Joined(self._participant, self._name, self._settings.language))
        tell(TrackStarted(self._participant, stream.track))
        self._pauses.reset()
        try:
            await self._first_of(stream.ended)
        finally:
            tell(TrackEnded(self._participant, stream.track))
            tell(Left(self._participant))
        # Closed, the server has said goodbye; failed, nothing comes from it any more
        # (consent, RFC 7675).
        log.info("WHEP session ended", state=peer.connection.connectionState)
        if peer.connection.connectionState == "failed":
            self._lose(tell, "the media connection died")

    async def _first_of(self, *events: asyncio.Event, seconds: float | None = None) -> None:
        """Wait until one of them is set, or `close`, or the time is over."""
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(event.wait()) for event in (*events, self._closed)]
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()

    def _found(self, tell: Tell) -> None:
        """The server answers for the resource."""
        if not self._known:
            tell(Connected())
        elif self._lost:
            tell(Recovered())
        self._known = True
        self._lost = False

    def _lose(self, tell: Tell, reason: str) -> None:
        if not self._lost:
            tell(Lost(reason))
        self._lost = True


def _stream_name(url: str) -> str:
    """What the resource is called: `/whep/NAME`, `/NAME/whep`, or `…/whep/?stream=NAME`."""
    parts = urlsplit(url)
    named = parse_qs(parts.query).get("stream", [])
    segments = [unquote(part) for part in parts.path.split("/") if part]
    return next((part for part in [*named, *reversed(segments)] if part != "whep"), "whep")
