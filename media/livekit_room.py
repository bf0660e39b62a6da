"""One stay in a LiveKit room: its participants, and their audio as the SDK decodes it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import structlog

from captions.types import SAMPLE_RATE
from media.source import (
    Joined,
    Left,
    Tell,
    TrackEnded,
    TrackStarted,
    display_name,
    participant_id,
)
from media.track import MOST_WAITING_SECONDS, Track
from signaling.errors import told

log = structlog.get_logger(__name__)

FRAME_MS: Final = 20
MOST_FRAMES: Final = int(MOST_WAITING_SECONDS * 1000) // FRAME_MS
MOST_SPEAKERS: Final = 1000
CLOSE_SECONDS: Final = 2.0

Speakers = OrderedDict[str, tuple[str, str]]
"""The identity and track SID that a participant speaks or spoke by, the newest last."""


@dataclass(slots=True)
class _Heard:
    track: Track
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Person:
    participant: str
    name: str
    joined: bool = False
    heard: dict[str, _Heard] = field(default_factory=dict)  # by the track's SID


class Stay:
    """Follows a connected room's events until `leave`. Its tasks are the group's."""

    def __init__(
        self, rtc: Any, room: Any, tell: Tell, tasks: asyncio.TaskGroup, speakers: Speakers
    ) -> None:
        """To be made before the room's first event: before anything is awaited."""
        self._rtc = rtc
        self._room = room
        self._tell = tell
        self._tasks = tasks
        self._speakers = speakers
        self._people: dict[str, _Person] = {}
        self._left = False
        room.on("participant_connected", self._arrived)
        room.on("participant_disconnected", self._departed)
        room.on("participant_name_changed", self._renamed)
        room.on("track_published", self._published)
        room.on("track_unpublished", self._unpublished)
        room.on("track_subscribed", self._subscribed)
        room.on("track_unsubscribed", self._unsubscribed)
        room.on("track_subscription_failed", self._failed)

    def look(self) -> None:
        """Take everybody who is in the room; told of once only, whenever this is called."""
        for participant in list(self._room.remote_participants.values()):
            self._arrived(participant)

    def leave(self) -> None:
        """Tell the end of all that has begun. Idempotent."""
        self._left = True
        for identity in list(self._people):
            self._gone(identity)

    def _arrived(self, participant: Any) -> None:
        if self._left:
            return
        person = self._people.setdefault(
            participant.identity,
            _Person(participant_id(participant.identity), _name(participant)),
        )
        if not self._is_silent(participant):
            self._join(person)
        for publication in list(participant.track_publications.values()):
            self._published(publication, participant)

    def _is_silent(self, participant: Any) -> bool:
        """Recorders and programs are in the call only once they speak."""
        kinds = self._rtc.ParticipantKind
        return participant.kind in (
            kinds.PARTICIPANT_KIND_AGENT,
            kinds.PARTICIPANT_KIND_EGRESS,
        )

    def _join(self, person: _Person) -> None:
        if not person.joined:
            person.joined = True
            self._tell(Joined(person.participant, person.name))

    def _renamed(self, participant: Any) -> None:
        person = self._people.get(participant.identity)
        if person and person.name != _name(participant):
            person.name = _name(participant)
            if person.joined:
                self._tell(Joined(person.participant, person.name))

    def _published(self, publication: Any, participant: Any) -> None:
        if self._left or publication.kind != self._rtc.TrackKind.KIND_AUDIO:
            return
        if publication.track is not None:
            self._subscribed(publication.track, publication, participant)
        else:
            publication.set_subscribed(True)

    def _subscribed(self, track: Any, publication: Any, participant: Any) -> None:
        if self._left or publication.kind != self._rtc.TrackKind.KIND_AUDIO:
            return
        person = self._people.get(participant.identity)
        if person is None or publication.sid in person.heard:
            return
        self._join(person)
        heard = person.heard[publication.sid] = _Heard(Track())
        self._note_speaker(person, participant.identity, publication)
        self._tell(TrackStarted(person.participant, heard.track))
        hearing = self._hear(participant.identity, publication.sid, track, heard.track)
        heard.task = self._tasks.create_task(hearing)

    def _note_speaker(self, person: _Person, identity: str, publication: Any) -> None:
        microphone = publication.source == self._rtc.TrackSource.SOURCE_MICROPHONE
        if microphone or len(person.heard) == 1:
            self._speakers[person.participant] = (identity, publication.sid)
            self._speakers.move_to_end(person.participant)
            if len(self._speakers) > MOST_SPEAKERS:
                self._speakers.popitem(last=False)

    async def _hear(self, identity: str, sid: str, source: Any, track: Track) -> None:
        """Read until the track ends. A fault ends this track alone."""
        stream = None
        try:
            stream = self._rtc.AudioStream(
                source,
                capacity=MOST_FRAMES,
                sample_rate=SAMPLE_RATE,
                num_channels=1,
                frame_size_ms=FRAME_MS,
            )
            async for event in stream:
                samples = np.array(event.frame.data, np.int16)
                track.put_pcm(samples, time.monotonic())
        except Exception:
            log.exception("LiveKit track failed")
        finally:
            self._end(identity, sid, track)
            if stream is not None:
                await _close(stream)

    def _unsubscribed(self, track: Any, publication: Any, participant: Any) -> None:  # noqa: ARG002
        self._end(participant.identity, publication.sid)

    def _unpublished(self, publication: Any, participant: Any) -> None:
        self._end(participant.identity, publication.sid)

    def _failed(self, participant: Any, track_sid: str, error: str) -> None:  # noqa: ARG002
        log.warning("LiveKit gives no track", sid=track_sid)
        self._end(participant.identity, track_sid)

    def _departed(self, participant: Any) -> None:
        self._gone(participant.identity)

    def _gone(self, identity: str) -> None:
        person = self._people.get(identity)
        if person is None:
            return
        for sid in list(person.heard):
            self._end(identity, sid)
        del self._people[identity]
        if person.joined:
            self._tell(Left(person.participant))

    def _end(self, identity: str, sid: str, only: Track | None = None) -> None:
        """End a track, `only` if it is this one. Idempotent."""
        person = self._people.get(identity)
        heard = person.heard.get(sid) if person else None
        if person is None or heard is None or only not in (None, heard.track):
            return
        del person.heard[sid]
        heard.track.close()
        self._tell(TrackEnded(person.participant, heard.track))
        if heard.task and heard.task is not asyncio.current_task():
            heard.task.cancel()


def _name(participant: Any) -> str:
    return display_name(participant.name, display_name(participant.identity, "?"))


async def _close(stream: Any) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await stream.aclose()
    except Exception as error:  # the SDK's: the track has ended all the same
        log.warning("LiveKit stream not closed", error=told(error))
