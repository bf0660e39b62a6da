"""One call on a node: a speaker for each track, for as long as the call lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from captions.profanity import masked
from captions.scheduler import Scheduler
from captions.translation import Translation
from captions.types import SPOKEN, Caption
from captions.window import ModelInfo
from media.brought import Brought
from media.captions_back import CaptionsBack
from media.counts import NodeCounts
from media.pauses import Pauses
from media.publisher import Publisher
from media.receiver import ReceiveCounts
from media.source import (
    CallSource,
    Connected,
    Joined,
    Left,
    Lost,
    Recovered,
    SourceEvent,
    TrackEnded,
    TrackStarted,
)
from media.sources.direct import DirectSource
from media.sources.lines import Line, Lines
from media.speaker import Speaker
from media.track import Track
from media.translated import Translated
from signaling.audio import AudioFormat, AudioLine
from signaling.bus import Bus
from signaling.errors import ContractError, Unreachable
from signaling.messages import (
    Arrived,
    CallEvent,
    CallHealth,
    CallOver,
    CallRef,
    Departed,
    Participant,
    Publishing,
)
from signaling.presence import Presence, tell, versions
from signaling.shared_call import Person, SharedCall, as_they_wish

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 15.0
"""How long whoever creates a call waits until its SFU is joined."""

PUBLISH_SECONDS: Final = 8.0
"""How long who brings finals waits until the bus has them."""

MOST_EVENTS: Final = 10_000
"""Events of one call that wait for the bus. An SFU that brings more at once is at fault."""


RETURN_SECONDS: Final = 5.0
"""Who is found at a moved call's SFU this soon was in it before, and lacks captions meanwhile."""


class NodeCall:
    """Runs in the node's TaskGroup by `run`; `close` lets it end with all words final."""

    def __init__(
        self,
        *,
        ref: CallRef,
        scheduler: Scheduler,
        bus: Bus,
        presence: Presence,
        counts: NodeCounts,
        model: ModelInfo,
        translation: Translation,
    ) -> None:
        self.ref = ref
        self.direct = DirectSource()
        self._lines = Lines()
        self.participants: dict[str, Participant] = {}
        self._told: set[str] = set()  # participants whom a gateway has described
        self._in_sfu: set[str] = set()
        self._sfu: CallSource | None = None
        self._captions_back: CaptionsBack | None = None
        self._language = "auto"  # of whom the SFU names none
        self._scheduler = scheduler
        self._presence = presence
        self._counts = counts
        self._publisher = Publisher(
            call=ref,
            bus=bus,
            counts=counts,
            on_published=self._published,
            on_fenced=self._on_fenced,
        )
        self._translated = Translated(
            ref.call,
            bus,
            translation,
            self._publish,
            interrupted=ref.interrupted_at_ms is not None,
        )
        self._brought = Brought(self._bring)
        self._vocabulary: tuple[str, ...] = ()
        self._masks = False
        self._reduces_noise = False
        self._begun = time.monotonic()
        self._model = model
        self._speakers: dict[Track, Speaker] = {}
        self._tasks: dict[Track, asyncio.Task[None]] = {}
        self._events: asyncio.Queue[CallEvent | None] = asyncio.Queue(MOST_EVENTS)
        self._sources = asyncio.TaskGroup()
        self._publishing = asyncio.TaskGroup()
        self._running = asyncio.Event()
        self._set = asyncio.Event()  # how the call is set, and what is read in it, is known
        self._closing = False
        self._closed = asyncio.Event()
        self._lost: str | None = None
        self._offered_at: dict[str, int] = {}  # version of the call, by participant
        self._described_at: dict[str, int] = {}  # likewise
        self._people: Mapping[str, Person] = {}  # as of the newest version

    @property
    def streams(self) -> int:
        """Tracks that are being captioned, but for those in the background."""
        return len(self._speakers) - self.background_streams

    @property
    def background_streams(self) -> int:
        """Those in the background."""
        return sum(speaker.background for speaker in self._speakers.values())

    @property
    def translates(self) -> bool:
        """Whether somebody reads another language than what is spoken."""
        return self._translated.translates

    @property
    def unheard(self) -> str | None:
        """Which speech is not captioned, since the model knows English only; None where all is."""
        speakers = [speaker for speaker in self._speakers.values() if not speaker.understood]
        languages = sorted({speaker.participant.language for speaker in speakers})
        if not languages:
            return None
        spoken = ", ".join(languages)
        return f"speech in {spoken} is not captioned: the model of this server knows English only"

    @property
    def lost(self) -> str | None:
        """Why the SFU is out of reach, None while it is not."""
        return self._lost

    def add_received(self, total: ReceiveCounts) -> None:
        """Add what the tracks that are open have received."""
        for track in self._speakers:
            total.add(track.counts)

    def update(self, participant: Participant, version: int = 0) -> None:
        """Take what a gateway says of somebody; it stands above what an SFU says.

        It was so in that version of the call (0: it is so now): an offer that comes late does
        not undo a refusal.
        """
        self._told.add(participant.id)
        if version and version < self._described_at.get(participant.id, 0):
            return
        self._described_at[participant.id] = version
        self._describe(participant)

    def _describe(self, participant: Participant) -> None:
        self.participants[participant.id] = participant
        for track, speaker in self._speakers.items():
            if speaker.participant.id == participant.id:
                speaker.participant = participant
                speaker.set_language(self._model.code(participant.language))
                speaker.understood = self._model.understands(participant.language)
                self._heed(track, speaker)

    @staticmethod
    def _heed(track: Track, speaker: Speaker) -> None:
        """Hear a speaker or not, as they wish."""
        if speaker.participant.captioned:
            track.agree()
        elif not track.refused:
            track.refuse()
            speaker.refuse()

    async def attach(self, sfu: CallSource, language: str) -> Mapping[str, Any]:
        """Join the call at its SFU too; what the source says of itself once it is there.

        `language` is the BCP 47 tag of whoever does not say what they speak. Raises
        `ContractError` where the SFU is not joined; the call is then as it was before.
        """
        await self._running.wait()
        if self._sfu:
            raise ContractError("conflict", "the call is at an SFU already")
        if self._closing:
            raise ContractError("unavailable", "the call has ended")
        self._sfu, self._language = sfu, language
        try:  # what its people wish is known before they are heard
            async with asyncio.timeout(CONNECT_SECONDS):
                shared = await self._presence.read(self.ref.call)
        except (TimeoutError, Unreachable):
            self._sfu = None
            raise ContractError("unavailable", "the call is out of reach", 1000) from None
        if shared:
            self._heed_all(shared)
        connected: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        running = self._sources.create_task(self._run_sfu(sfu, connected))
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.shield(connected)
        except BaseException as error:
            await sfu.close()
            await asyncio.wait({running})
            self._sfu = None
            if isinstance(error, TimeoutError):
                why = "the SFU did not answer in time"
                raise ContractError("unavailable", why, 1000) from None
            raise

    async def run(self) -> None:
        """Caption until the call is closed, or over at the SFU, and every word is published."""
        try:
            async with self._publishing:
                self._publishing.create_task(self._publish_events())
                self._publishing.create_task(self._publisher.run())
                translating = self._publishing.create_task(self._translated.run())
                following = self._publishing.create_task(self._follow())
                try:
                    async with self._sources:
                        self._sources.create_task(self.direct.run(self._take))
                        self._running.set()
                finally:
                    following.cancel()
                    self._translated.close()
                    await asyncio.wait({translating})
                    self._publisher.close()
                    if self._captions_back:
                        self._captions_back.close()
                    await self._events.put(None)
        finally:
            self._closed.set()

    async def offer(self, participant: Participant, sdp: str, version: int = 0) -> str:
        """Receive what a participant sends by themselves; the answer's SDP.

        `version` is that of the call in which they do.
        """
        self._offered_at[participant.id] = version
        self._lines.drop(participant.id)
        self.update(participant, version)
        return await self.direct.offer(participant, sdp)

    async def listen(
        self,
        participant: Participant,
        audio: AudioFormat,
        begins_at_ms: int,
        version: int = 0,
        *,
        background: bool = False,
    ) -> AudioLine:
        """Receive what a gateway carries here of a participant. See `NodeApi`."""
        await self._running.wait()
        if self._closing:
            raise ContractError("unavailable", "the call has ended")
        self._offered_at[participant.id] = version
        await self.direct.close_peer(participant.id)
        self.update(participant, version)
        line = Line(audio, begins_at_ms, self._finish)
        self._lines.add(participant.id, line)
        self._begin(participant.id, line.track, begins_at_ms, background=background)
        return line

    async def _finish(self, track: Track) -> None:
        """No more comes of a track: return when its last word is published. Idempotent."""
        track.close()
        if track in self._tasks:
            await asyncio.wait({self._tasks[track]})
        await self._publisher.published()

    async def close_media(self, participant: str, version: int = 0) -> None:
        """Stop receiving what a participant sends by themselves, behind their last word.

        But for what they offered since that version of the call (0: whatever it is): they were
        taken for gone, say, and are back.
        """
        if version and self._offered_at.get(participant, 0) > version:
            log.info("audio not closed: it was offered since")
            return
        self._offered_at.pop(participant, None)
        mine = [
            self._tasks[track]
            for track, speaker in self._speakers.items()
            if speaker.participant.id == participant and track in self._own_tracks
        ]
        self._lines.drop(participant)
        await self.direct.close_peer(participant)
        self._told.discard(participant)
        self._forget_absent(participant)
        if mine:
            await asyncio.wait(mine)

    async def publish(self, finals: Sequence[Caption]) -> list[Caption]:
        """Publish finals of another recognizer, in order, as they are numbered.

        Idempotent by utterance, which has to be theirs alone. Raises `ContractError`.
        """
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._set.wait()
                if self._closing or self._publisher.fenced:
                    raise ContractError("conflict", "the call is over, or has moved", 1000)
                numbered = self._brought.put(finals)
                await asyncio.wait(numbered)
        except TimeoutError:
            raise ContractError("unavailable", "the bus does not take captions", 1000) from None
        return [final.result() for final in numbered]

    async def close(self) -> None:
        """Stop receiving everybody; returns when the last word is published. Idempotent."""
        await self._close_sources()
        await self._closed.wait()

    @property
    def _own_tracks(self) -> set[Track]:
        """The tracks that participants send by themselves."""
        return self.direct.tracks | self._lines.tracks

    def abandon(self) -> None:
        """The call has another owner: publish nothing more, and receive nobody. Idempotent."""
        self._publisher.fence()

    def restore(self) -> None:
        """What is shared lost its memory: give back what is known here of what was said."""
        self._publisher.restore()

    def forget_words(self) -> None:
        """The transcript was erased."""
        self._publisher.forget_words()
        self._translated.forget_words()
        self._brought.give_up(ContractError("conflict", "the transcript was erased"))

    def tell_health(self, why: str | None) -> None:
        """Tell gateways why captions are not what they should be, None where they are."""
        self._tell_gateways(CallHealth(self.ref.call, "degraded" if why else "live", why))

    def _on_fenced(self) -> None:
        self._brought.give_up(ContractError("conflict", "the call is over, or has moved", 1000))
        if self._running.is_set() and not self._closing:
            self._closing = True
            for track in list(self._speakers):
                track.close()
            self._sources.create_task(self._close_sources())

    async def _close_sources(self) -> None:
        self._closing = True
        if self._sfu:
            await self._sfu.close()
        self._lines.close()
        await self.direct.close()

    async def _run_sfu(self, sfu: CallSource, connected: asyncio.Future[Mapping[str, Any]]) -> None:
        fault = ContractError("unavailable", "the call is over at its SFU", 1000)

        def take(event: SourceEvent) -> None:
            if isinstance(event, Connected):
                self._captions_back = CaptionsBack(sfu)
                self._publishing.create_task(self._captions_back.run())
                if not connected.done():
                    connected.set_result(event.details)
            else:
                self._take_from_sfu(event)

        try:
            await sfu.run(take)
        except ContractError as error:
            fault = error
        except Exception:  # one call's fault must not be another's: logged and counted here
            self._counts.calls_failed += 1
            log.exception("source failed")
        if not connected.done():
            connected.set_exception(fault)
            connected.exception()  # whoever waits gets it; nobody has to
        elif not self._closing:
            log.info("call over at its SFU", code=fault.code, why=fault.logged)
            self._tell_gateways(CallOver(self.ref.call, fault.message))
            await self._close_sources()

    def _take_from_sfu(self, event: SourceEvent) -> None:
        match event:
            case Joined():
                self._joined(event)
            case Left(participant):
                self._in_sfu.discard(participant)
                self._forget_absent(participant)
                self._take(event)
            case Lost(reason):
                self._lost = reason
                self._tell_gateways(CallHealth(self.ref.call, "recovering", reason))
            case Recovered():
                self._lost = None
                self._tell_gateways(CallHealth(self.ref.call, "live"))
            case _:
                self._take(event)

    def _take(self, event: SourceEvent) -> None:
        match event:
            case TrackStarted(participant, track):
                self._begin(participant, track)
            case TrackEnded(_, track):
                track.close()  # ends its speaker, behind the last word
            case Left(participant):
                if participant not in self._in_sfu:
                    self._tell_gateways(Departed(self.ref.call, participant))

    def _begin(
        self,
        participant: str,
        track: Track,
        begins_at_ms: int | None = None,
        *,
        background: bool = False,
    ) -> None:
        speaker = self._new_speaker(
            self.participants[participant], track, begins_at_ms, background=background
        )
        self._speakers[track] = speaker
        self._heed(track, speaker)
        self._tasks[track] = self._sources.create_task(self._caption(speaker, track))

    def _joined(self, event: Joined) -> None:
        self._in_sfu.add(event.participant)
        if event.participant not in self._told:
            language = event.language or self._language
            who = Participant(event.participant, event.name, language)
            known = self._people.get(event.participant)
            self._describe(as_they_wish(who, known) if known else who)
        self._tell_gateways(Arrived(self.ref.call, self.participants[event.participant]))

    def _forget_absent(self, participant: str) -> None:
        if participant not in self._told | self._in_sfu:
            self.participants.pop(participant, None)
            self._described_at.pop(participant, None)

    def _tell_gateways(self, event: CallEvent) -> None:
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self._counts.events_dropped += 1

    async def _publish_events(self) -> None:
        pauses, never = Pauses(first_seconds=0.1, longest_seconds=1.0), asyncio.Event()
        while (event := await self._events.get()) is not None:
            while not self._publisher.fenced:
                try:
                    await self._tell(event)
                    pauses.reset()
                    break
                except Unreachable:
                    await pauses.wait(never)

    async def _tell(self, event: CallEvent) -> None:
        shared = await tell(self._presence, event, self.ref.epoch)
        if isinstance(event, Arrived) and shared:
            person = shared.people.get(event.participant.id)
            if person and person.seated:  # stands above what the SFU says
                self.update(person.participant, shared.version)

    def _new_speaker(
        self,
        participant: Participant,
        track: Track,
        begins_at_ms: int | None = None,
        *,
        background: bool = False,
    ) -> Speaker:
        interrupted_at_ms = None  # a recording has not gone on meanwhile
        if not background:
            interrupted_at_ms = self._interrupted_at_ms(participant, track)
        speaker = Speaker(
            call=self.ref,
            participant=participant,
            language=self._model.code(participant.language),
            understood=self._model.understands(participant.language),
            scheduler=self._scheduler,
            publish=self._said,
            counts=self._counts,
            interrupted_at_ms=interrupted_at_ms,
            begins_at_ms=begins_at_ms,
            background=background,
            wants_english=self._wants_english,
            on_english=self._translated.take_english,
        )
        self._set_up(speaker)
        return speaker

    def _set_up(self, speaker: Speaker) -> None:
        speaker.vocabulary = self._vocabulary
        speaker.reduces_noise = self._reduces_noise

    def _interrupted_at_ms(self, participant: Participant, track: Track) -> int | None:
        """Since when a speaker of this track lacks captions: who comes at once was there before."""
        if track in self._own_tracks:
            return participant.interrupted_at_ms
        at_once = time.monotonic() - self._begun < RETURN_SECONDS
        return self.ref.interrupted_at_ms if at_once else None

    def _said(self, caption: Caption) -> None:
        self._publish(caption)
        self._translated.take(caption, of_speech=self._wants_english(caption.language))

    def _bring(self, final: Caption) -> None:
        """As `_said`; but there is no audio of it to be heard once more."""
        self._publish(final)
        self._translated.take(final)

    def _wants_english(self, language: str) -> bool:
        return self._model.translates and self._translated.wants_english(language)

    def _publish(self, caption: Caption) -> None:
        self._publisher.put(masked(caption) if self._masks else caption)

    async def _follow(self) -> None:
        """Do as the call is set, and translate into what is read anywhere."""
        async for shared in versions(self._presence, self.ref.call):
            if shared is None:
                continue
            self._heed_all(shared)
            settings = shared.record.settings
            self._masks = settings.get("profanity") == "mask"
            self._vocabulary = tuple(settings.get("vocabulary", ()))
            self._reduces_noise = bool(settings.get("noise_reduction"))
            for speaker in self._speakers.values():
                self._set_up(speaker)
            self._translated.want(shared.feeds)
            self._set.set()

    def _heed_all(self, shared: SharedCall) -> None:
        """Whatever became of the order that tells of a wish, the call's document has it."""
        self._people = shared.people
        for who, person in shared.people.items():
            known = self.participants.get(who)
            if known and shared.version >= self._described_at.get(who, 0):
                self._described_at[who] = shared.version
                if as_they_wish(known, person) != known:
                    self._describe(as_they_wish(known, person))

    def _published(self, caption: Caption) -> None:
        self._brought.numbered(caption)
        if self._captions_back and caption.feed == SPOKEN:
            self._captions_back.put(caption)

    async def _caption(self, speaker: Speaker, track: Track) -> None:
        participant_id = speaker.participant.id
        call = self.ref.call
        try:
            self._tell_gateways(Publishing(call, participant_id, publishing=True))
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
                self._tell_gateways(Publishing(call, participant_id, publishing=False))
