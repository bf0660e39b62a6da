"""One call on a node: a speaker for each track, for as long as the call lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from captions.scheduler import Scheduler
from media.counts import NodeCounts
from media.receiver import ReceiveCounts
from media.sources.direct import DirectSource, TrackEnded, TrackStarted
from media.speaker import Speaker
from media.track import Track
from signaling.bus import Bus
from signaling.messages import CallRef, Participant, Publishing

log = structlog.get_logger(__name__)


class NodeCall:
    """Runs in the node's TaskGroup by `run`; `close` lets it end with all words final."""

    def __init__(
        self,
        ref: CallRef,
        scheduler: Scheduler,
        bus: Bus,
        counts: NodeCounts,
        whisper_language: Callable[[str], str | None],
    ) -> None:
        self.ref = ref
        self.source = DirectSource()
        self.participants: dict[str, Participant] = {}
        self._scheduler = scheduler
        self._bus = bus
        self._counts = counts
        self._whisper_language = whisper_language
        self._speakers: dict[Track, Speaker] = {}
        self._tasks: dict[Track, asyncio.Task[None]] = {}
        self._closed = asyncio.Event()

    @property
    def streams(self) -> int:
        """Tracks that are being captioned."""
        return len(self._speakers)

    def add_received(self, total: ReceiveCounts) -> None:
        """Add what the tracks that are open have received."""
        for track in self._speakers:
            total.add(track.counts)

    def update(self, participant: Participant) -> None:
        """Take a changed name, language or wish."""
        self.participants[participant.id] = participant
        for speaker in self._speakers.values():
            if speaker.participant.id == participant.id:
                speaker.participant = participant
                speaker.set_language(self._whisper_language(participant.language))

    async def run(self) -> None:
        """Caption until the source is closed and every last word is published."""
        try:
            async with asyncio.TaskGroup() as tasks:
                async for event in self.source.events():
                    match event:
                        case TrackStarted(participant, track):
                            speaker = self._new_speaker(self.participants[participant])
                            self._speakers[track] = speaker
                            self._tasks[track] = tasks.create_task(self._caption(speaker, track))
                        case TrackEnded(_, track):
                            track.close()  # ends its speaker, behind the last word
        finally:
            self._closed.set()

    async def close_media(self, participant: str) -> None:
        """Stop receiving a participant; returns when their last word is published."""
        mine = [
            self._tasks[track]
            for track, speaker in self._speakers.items()
            if speaker.participant.id == participant
        ]
        await self.source.close_peer(participant)
        if mine:
            await asyncio.wait(mine)

    async def close(self) -> None:
        """Stop receiving everybody; returns when the last word is published. Idempotent."""
        await self.source.close()
        await self._closed.wait()

    def _new_speaker(self, participant: Participant) -> Speaker:
        return Speaker(
            call=self.ref,
            participant=participant,
            language=self._whisper_language(participant.language),
            scheduler=self._scheduler,
            bus=self._bus,
            counts=self._counts,
        )

    async def _caption(self, speaker: Speaker, track: Track) -> None:
        participant_id = speaker.participant.id
        call = self.ref.call
        try:
            await self._bus.publish_event(Publishing(call, participant_id, publishing=True))
            await speaker.run(track)
        except Exception:  # one speaker's fault must not be another's: logged and counted here
            self._counts.speakers_failed += 1
            log.exception("speaker failed")
        finally:
            track.close()
            self._counts.dropped_seconds += track.dropped_seconds
            self._counts.received.add(track.counts)
            del self._speakers[track]
            del self._tasks[track]
            if not any(s.participant.id == participant_id for s in self._speakers.values()):
                await self._bus.publish_event(Publishing(call, participant_id, publishing=False))
