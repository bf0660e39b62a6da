"""One speaker: their PCM to captions on the bus."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from captions.captioner import Captioner, Due
from captions.draft import Draft
from captions.scheduler import Request, Scheduler
from captions.types import SAMPLE_RATE, Caption, Hypothesis, PcmChunk, Word, to_ms
from captions.vad import VoiceActivity
from captions.window import Window
from media.counts import NodeCounts
from media.track import Track
from signaling.bus import Bus, Fenced
from signaling.messages import CallRef, Participant

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.7
"""Without a packet for this long (mute, DTX, a lost network) what was said is final."""

LAST_WORDS_SECONDS: Final = 15.0
"""How long a speaker who left waits for the recognizer to finish their last words."""


class Speaker:
    """Captions one track of one participant. `run` ends behind the track's last final."""

    def __init__(
        self,
        *,
        call: CallRef,
        participant: Participant,
        language: str | None,
        scheduler: Scheduler,
        bus: Bus,
        counts: NodeCounts,
        on_published: Callable[[Caption], None] = lambda _: None,
    ) -> None:
        """`on_published` takes each caption as the bus numbered it."""
        self._call = call
        self.participant = participant
        self._scheduler = scheduler
        self._bus = bus
        self._counts = counts
        self._on_published = on_published
        self._captioner = Captioner(
            VoiceActivity(),
            lambda: f"u-{secrets.token_hex(6)}",
            language=language,
            tentative=scheduler.has_final_model,
        )
        self._zero_ms = 0  # the track's first sample, since the call started
        self._speaking_to: list[Caption] = []
        self._drafted = asyncio.Event()
        self._unanswered = 0
        self._ended = False
        self._fault: Exception | None = None
        self._started = False

    def set_language(self, language: str | None) -> None:
        """From the next utterance on; a Whisper code, None to detect."""
        self._captioner.language = language

    async def run(self, track: Track) -> None:
        """Caption until `track` is closed, and then until the last final is published."""
        async with asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(self._publish())
            try:
                await self._receive(track)
            finally:
                self._submit(self._captioner.flush())
                self._ended = True
                self._drafted.set()
            try:
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await asyncio.shield(publishing)
            except TimeoutError:
                log.error("last words not recognized in time", unanswered=self._unanswered)
                publishing.cancel()
            self._scheduler.forget(self._call.call, self.participant.id)

    async def _receive(self, track: Track) -> None:
        while True:
            try:
                async with asyncio.timeout(PAUSE_SECONDS if self._captioner.speaking else None):
                    chunk = await anext(track)
            except StopAsyncIteration:
                return
            except TimeoutError:
                for chunk in track.flush():
                    self._hear(chunk)
                self._submit(self._captioner.flush())
            else:
                self._hear(chunk)

    def _hear(self, chunk: PcmChunk) -> None:
        if self._fault:
            raise self._fault
        if not self._started:
            self._started = True
            now_ms = round(time.time() * 1000) - self._call.started_at_ms
            self._zero_ms = max(0, now_ms - to_ms(chunk.end))
        self._counts.audio_seconds += len(chunk.samples) / SAMPLE_RATE
        self._captioner.beat_factor = self._scheduler.beat_factor
        if self.participant.captioned:
            self._submit(self._captioner.feed(chunk))
        else:
            self._submit(self._captioner.flush())

    def _submit(self, due: list[Due]) -> None:
        for item in due:
            if item.known:
                self._unanswered += 1
                self._answer(item, item.known)
                continue
            request = Request(
                self._call.call,
                self.participant.id,
                partial(self._window, item),
                partial(self._answer, item),
                item.utterance.length / SAMPLE_RATE,
            )
            if item.final:
                self._unanswered += 1
                self._scheduler.submit_final(request)
            else:
                self._scheduler.submit_partial(request)

    def _window(self, due: Due) -> Window | None:
        try:
            return due.window()
        except Exception as fault:  # the scheduler is everybody's: this ends the speaker alone
            self._fault = self._fault or fault
            return None

    def _answer(self, due: Due, hypothesis: Hypothesis | None) -> None:
        if due.final:
            self._unanswered -= 1
        try:
            self._draft(due, hypothesis)
        except Exception as fault:  # as above
            self._fault = self._fault or fault
        self._drafted.set()

    def _draft(self, due: Due, hypothesis: Hypothesis | None) -> None:
        for draft in self._captioner.heard(due, hypothesis):
            caption = self._caption(draft)
            # A newer partial stands for an older one that is not published yet.
            waiting = self._speaking_to
            if waiting and not waiting[-1].final and waiting[-1].key == caption.key:
                waiting.pop()
            waiting.append(caption)

    async def _publish(self) -> None:
        while not (self._ended and self._unanswered == 0 and not self._speaking_to):
            if not self._speaking_to:
                self._drafted.clear()
                await self._drafted.wait()
                continue
            caption = self._speaking_to.pop(0)
            try:
                if caption.final:
                    caption = await self._bus.publish_final(self._call.epoch, caption)
                    self._counts.finals += 1
                else:
                    await self._bus.publish_partial(self._call.epoch, caption)
                    self._counts.partials += 1
                self._on_published(caption)
            except Fenced:
                log.warning("the call has another owner; captions dropped")
                self._speaking_to.clear()

    def _caption(self, draft: Draft) -> Caption:
        words = None
        if draft.final:
            words = tuple(
                Word(
                    word.text.strip(),
                    self._ms(draft.start + word.start),
                    self._ms(draft.start + word.end),
                    round(min(1.0, max(0.0, word.confidence)), 3),
                )
                for word in draft.words
            )
        return Caption(
            call=self._call.call,
            utterance=draft.utterance,
            revision=draft.revision,
            participant=self.participant.id,
            speaker=self.participant.speaker,
            language=draft.language,
            source_language=draft.language,
            text=draft.text,
            stable=draft.stable,
            final=draft.final,
            start_ms=self._ms(draft.start),
            end_ms=self._ms(draft.end),
            confidence=draft.confidence,
            words=words,
        )

    def _ms(self, samples: int) -> int:
        return self._zero_ms + to_ms(samples)
