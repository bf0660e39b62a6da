"""A LiveKit room without a server: the names and signatures of `livekit.rtc` that we use.

Enums, options, frames, errors and the event emitter are the package's own; what would need
its native library and a server is imitated. `test_livekit_source` holds every imitated
signature against the package's, so that it cannot drift.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit import rtc

RATE = 16_000


class FakeTrack:
    def __init__(self, sid: str, kind: int) -> None:
        self.sid = sid
        self.kind = kind
        self.frames: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue(500)


class FakePublication:
    def __init__(self, room: Room, owner: FakeParticipant, sid: str, kind: int, source: int):
        self.sid = sid
        self.kind = kind
        self.source = source
        self.muted = False
        self.subscribed = False
        self._track = FakeTrack(sid, kind)
        self._room = room
        self._owner = owner

    @property
    def track(self) -> FakeTrack | None:
        return self._track if self.subscribed else None

    def set_subscribed(self, subscribed: bool) -> None:
        """The server's answer is an event, later."""
        self._room.server.subscriptions.append((self.sid, subscribed))
        asyncio.get_running_loop().call_soon(self._answer, subscribed)

    def _answer(self, subscribed: bool) -> None:
        if subscribed and not self.subscribed:
            self.subscribed = True
            self._room.emit("track_subscribed", self._track, self, self._owner)
        elif self.subscribed and not subscribed:
            self.subscribed = False
            self._room.emit("track_unsubscribed", self._track, self, self._owner)


class FakeParticipant:
    def __init__(self, identity: str, name: str, kind: int) -> None:
        self.identity = identity
        self.name = name
        self.kind = kind
        self.track_publications: dict[str, FakePublication] = {}


class FakeWriter:
    def __init__(self, sent: dict[str, Any]) -> None:
        self._sent = sent

    async def write(self, text: str) -> None:
        self._sent["text"] += text

    async def aclose(self, *, reason: str = "", attributes: dict[str, str] | None = None) -> None:
        self._sent["closed"] = True


class FakeLocalParticipant:
    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def stream_text(
        self,
        *,
        destination_identities: list[str] | None = None,
        topic: str = "",
        attributes: dict[str, str] | None = None,
        stream_id: str | None = None,
        reply_to_id: str | None = None,
        total_size: int | None = None,
        sender_identity: str | None = None,
    ) -> FakeWriter:
        if self._server.text_refused:
            raise RuntimeError("insufficient permissions")
        sent = {"topic": topic, "sender": sender_identity, "attributes": attributes, "text": ""}
        self._server.texts.append(sent)
        return FakeWriter(sent)


class Room(rtc.EventEmitter):
    """The room as one client sees it."""

    server: FakeServer

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self._token: str | None = None
        self._connected = False
        self._people: dict[str, FakeParticipant] = {}

    @property
    def name(self) -> str:
        return self.server.room

    @property
    def remote_participants(self) -> Mapping[str, FakeParticipant]:
        return self._people

    @property
    def local_participant(self) -> FakeLocalParticipant:
        return FakeLocalParticipant(self.server)

    async def connect(self, url: str, token: str, options: rtc.RoomOptions) -> None:
        self.server.attempts.append((url, token, options))
        await asyncio.sleep(0)
        if self.server.refusal:
            raise rtc.ConnectError(self.server.refusal)
        self._token = token
        self._connected = True
        self.server.rooms.append(self)
        for identity in self.server.people:
            self.add(identity)

    async def disconnect(self, *, reason: int = rtc.DisconnectReason.CLIENT_INITIATED) -> None:
        if self._connected:
            self.end(reason)

    def end(self, reason: int) -> None:
        self._connected = False
        self.server.rooms.remove(self)
        self.emit("disconnected", reason)

    def add(self, identity: str) -> FakeParticipant:
        """They are here; known to the room before any event tells."""
        person = self.server.people[identity]
        mine = self._people[identity] = FakeParticipant(identity, person.name, person.kind)
        for sid, (kind, source) in person.tracks.items():
            mine.track_publications[sid] = FakePublication(self, mine, sid, kind, source)
        return mine

    def remove(self, identity: str) -> None:
        self.emit("participant_disconnected", self._people.pop(identity))


class AudioStream:
    """Frames of a track; a queue like the package's, and closed like it."""

    def __init__(  # noqa: PLR0917 - the package's
        self,
        track: FakeTrack,
        loop: asyncio.AbstractEventLoop | None = None,
        capacity: int = 0,
        sample_rate: int = 48000,
        num_channels: int = 1,
        frame_size_ms: int | None = None,
        noise_cancellation: Any = None,
        auto_close_noise_cancellation: bool = True,
        **kwargs: Any,
    ) -> None:
        assert capacity > 0, "the queue must be bounded"
        assert (sample_rate, num_channels) == (RATE, 1)
        self._frames = track.frames

    def __aiter__(self) -> AsyncIterator[rtc.AudioFrameEvent]:
        return self

    async def __anext__(self) -> rtc.AudioFrameEvent:
        frame = await self._frames.get()
        if frame is None:
            raise StopAsyncIteration
        return rtc.AudioFrameEvent(frame)

    async def aclose(self) -> None:
        FakeServer.closed_streams += 1


@dataclass
class _Person:
    name: str
    kind: int
    tracks: dict[str, tuple[int, int]] = field(default_factory=dict)


class FakeServer:
    """One room, who is in it, and all clients' views of it."""

    closed_streams = 0

    def __init__(self, room: str) -> None:
        self.room = room
        self.people: dict[str, _Person] = {}
        self.rooms: list[Room] = []
        self.attempts: list[tuple[str, str, rtc.RoomOptions]] = []
        self.subscriptions: list[tuple[str, bool]] = []
        self.texts: list[dict[str, Any]] = []
        self.refusal: str | None = None
        self.text_refused = False
        self._ids = itertools.count(1)
        self._tones: dict[str, asyncio.Task[None]] = {}

    def enter(self, identity: str, name: str, kind: int = 0) -> None:
        self.people[identity] = _Person(name, kind)
        for room in list(self.rooms):
            room.emit("participant_connected", room.add(identity))

    def publish(
        self,
        identity: str,
        kind: int = rtc.TrackKind.KIND_AUDIO,
        source: int = rtc.TrackSource.SOURCE_MICROPHONE,
    ) -> str:
        """Publish a track and, if it is audio, send a tone by it."""
        sid = f"TR_{next(self._ids)}"
        self.people[identity].tracks[sid] = (kind, source)
        for room in list(self.rooms):
            mine = room.remote_participants[identity]
            publication = FakePublication(room, mine, sid, kind, source)
            mine.track_publications[sid] = publication
            room.emit("track_published", publication, mine)
        if kind == rtc.TrackKind.KIND_AUDIO:
            self._tones[sid] = asyncio.ensure_future(self._tone(identity, sid))
        return sid

    def unpublish(self, identity: str, sid: str) -> None:
        self._silence(sid)
        del self.people[identity].tracks[sid]
        for room in list(self.rooms):
            mine = room.remote_participants[identity]
            publication = mine.track_publications.pop(sid)
            publication._answer(subscribed=False)
            room.emit("track_unpublished", publication, mine)

    def leave(self, identity: str) -> None:
        for sid in self.people.pop(identity).tracks:
            self._silence(sid)
        for room in list(self.rooms):
            room.remove(identity)

    def end(self, reason: int) -> None:
        """All clients are sent away."""
        for room in list(self.rooms):
            room.end(reason)

    def _silence(self, sid: str) -> None:
        tone = self._tones.pop(sid, None)
        if tone:
            tone.cancel()

    async def _tone(self, identity: str, sid: str) -> None:
        """Frames of 20 ms to whoever is subscribed, for as long as it is published."""
        wave = 9000 * np.sin(2 * np.pi * 440 * np.arange(RATE // 50) / RATE)
        pcm = wave.astype(np.int16).tobytes()
        while True:
            await asyncio.sleep(0.02)
            for room in self.rooms:
                publication = room.remote_participants[identity].track_publications[sid]
                if publication.subscribed and not publication._track.frames.full():
                    publication._track.frames.put_nowait(rtc.AudioFrame(pcm, RATE, 1, RATE // 50))

    async def stop(self) -> None:
        tones = list(self._tones.values())
        for sid in list(self._tones):
            self._silence(sid)
        await asyncio.gather(*tones, return_exceptions=True)


class FakeRtc:
    """What stands for the module `livekit.rtc`."""

    AudioStream = AudioStream
    ConnectError = rtc.ConnectError
    DisconnectReason = rtc.DisconnectReason
    ParticipantKind = rtc.ParticipantKind
    RoomOptions = rtc.RoomOptions
    TrackKind = rtc.TrackKind
    TrackSource = rtc.TrackSource

    def __init__(self, server: FakeServer) -> None:
        self.Room = type("Room", (Room,), {"server": server})
