"""One speaker: their PCM to captions."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from captions.captioner import Captioner, Due
from captions.draft import Draft
from captions.noise import NoiseReducer
from captions.scheduler import Request, Scheduler
from captions.types import SAMPLE_RATE, Caption, Hypothesis, PcmChunk, Word, as_final, to_ms
from captions.vad import VoiceActivity
from captions.window import Window
from media.counts import NodeCounts
from media.track import Track
from signaling.messages import CallRef, Participant

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.7
"""Without a packet for this long (mute, DTX, a lost network) what was said is final."""

VOCABULARY_SECONDS: Final = 1.0
"""In less audio than this there is too little speech: the model would make up what it expects."""

MOST_UNANSWERED: Final = 1
"""Finals that a speaker who can wait leaves to the recognizer before they go on."""

LAST_WORDS_SECONDS: Final = 15.0
"""How long a speaker who left waits for the recognizer to finish their last words."""


class Speaker:
    """Captions one track of one participant. `run` ends behind the track's last final.

    `publish` takes each caption at once, and never waits.
    """

    def __init__(
        self,
        *,
        call: CallRef,
        participant: Participant,
        language: str | None,
        understood: bool = True,
        scheduler: Scheduler,
        publish: Callable[[Caption], None],
        counts: NodeCounts,
        interrupted_at_ms: int | None = None,
        begins_at_ms: int | None = None,
        background: bool = False,
        wants_english: Callable[[str], bool] = lambda _: False,
        on_english: Callable[[str, str | None], None] = lambda *_: None,
    ) -> None:
        """`interrupted_at_ms`, since the Unix epoch: since when another node's captions lack.

        `begins_at_ms`, likewise: when the first sample was spoken. Else it was when it came, in
        real time; with it the audio may come faster, and waits for the recognizer.
        `background`, with that: it waits for all that is live besides, pauses only where there
        is silence in it, and has finals only. Behind the end of the track nothing waits longer.
        `understood`: whether the model knows their language; else it would write nonsense.
        `wants_english` says whether finals in a language are to be heard once more, in English;
        `on_english` takes the utterance and that, None where it could not be.
        """
        self._wants_english = wants_english
        self._on_english = on_english
        self.understood = understood
        self.vocabulary: tuple[str, ...] = ()
        """Words and names that may well be said, for their spelling."""
        self.reduces_noise = False
        """Whether noise is taken out before anybody listens."""
        self._reducer: NoiseReducer | None = None
        self._call = call
        self.participant = participant
        self._scheduler = scheduler
        self._publish = publish
        self._counts = counts
        self._interrupted_at_ms = interrupted_at_ms
        self._begins_at_ms = begins_at_ms
        self.background = background
        self._hurried = not background
        self._gap_ms: int | None = None  # to be marked on the next final
        self._captioner = self._listening(language)
        self._shown: dict[str, Caption] = {}  # the newest of each utterance without a final
        self._zero_ms = 0  # the track's first sample, since the call started
        self._unanswered = 0
        self._answered = asyncio.Event()
        self._fault: Exception | None = None
        self._started = False

    def _listening(self, language: str | None) -> Captioner:
        return Captioner(
            VoiceActivity(),
            lambda: f"u-{secrets.token_hex(6)}",
            language=language,
            tentative=self._scheduler.has_final_model,
        )

    def refuse(self) -> None:
        """Forget what was heard, also where it is being recognized: no answer is taken any more.

        What people saw of it becomes final as they saw it, now.
        """
        self._captioner = self._listening(self._captioner.language)
        self._reducer = None
        self._scheduler.forget(self._call.call, self.participant.id)
        shown, self._shown = self._shown, {}
        for partial_caption in shown.values():
            final = replace(as_final(partial_caption), speaker=self.participant.speaker)
            self._publish(final)
            if final.text and self._wants_english(final.language):
                self._on_english(final.utterance, None)

    def set_language(self, language: str | None) -> None:
        """From the next utterance on; a Whisper code, None to detect."""
        self._captioner.language = language

    async def run(self, track: Track) -> None:
        """Caption until `track` is closed, and then until the last final is published."""
        track.on_close = self._hurry
        if track.closed:
            self._hurry()
        try:
            await self._receive(track)
        finally:
            self._submit(self._captioner.flush())
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._finals_answered(0)
        except TimeoutError:
            log.error("last words not recognized in time", unanswered=self._unanswered)
        finally:
            self._scheduler.forget(self._call.call, self.participant.id)
        if self._fault:
            raise self._fault

    def _hurry(self) -> None:
        if not self._hurried:
            self._hurried = True
            self._scheduler.hurry(self._call.call, self.participant.id)

    async def _finals_answered(self, most: int) -> None:
        """Wait until at most so many finals are with the recognizer."""
        while self._unanswered > most:
            self._answered.clear()
            await self._answered.wait()

    async def _receive(self, track: Track) -> None:
        while True:
            if self._begins_at_ms is not None:
                await self._finals_answered(MOST_UNANSWERED)
            try:
                pauses = self._captioner.speaking and not self.background
                async with asyncio.timeout(PAUSE_SECONDS if pauses else None):
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
        if not self.participant.captioned:
            return  # nor does the track take any more of it
        if not self._started:
            self._started = True
            zero_at_ms = self._begins_at_ms
            if zero_at_ms is None:
                zero_at_ms = round(time.time() * 1000) - to_ms(chunk.end)
            self._zero_ms = max(0, zero_at_ms - self._call.started_at_ms)
            if self._interrupted_at_ms is not None:
                since_ms = self._interrupted_at_ms - self._call.started_at_ms
                self._gap_ms = max(0, self._zero_ms - since_ms) or None
        self._counts.audio_seconds += len(chunk.samples) / SAMPLE_RATE
        chunk = self._reduced(chunk)
        self._captioner.beat_factor = self._scheduler.beat_factor
        if self.understood:
            self._submit(self._captioner.feed(chunk))
        else:
            self._submit(self._captioner.flush())

    def _reduced(self, chunk: PcmChunk) -> PcmChunk:
        if not self.reduces_noise:
            self._reducer = None
            return chunk
        self._reducer = self._reducer or NoiseReducer()
        return self._reducer.reduce(chunk)

    def _submit(self, due: list[Due]) -> None:
        captioner = self._captioner
        for item in due:
            if item.known:
                self._unanswered += 1
                self._answer(captioner, item, item.known)
                continue
            if self.background and not item.final:
                continue
            request = Request(
                self._call.call,
                self.participant.id,
                partial(self._window, captioner, item),
                partial(self._answer, captioner, item),
                item.utterance.length / SAMPLE_RATE,
                background=not self._hurried,
            )
            if item.final:
                self._unanswered += 1
                self._scheduler.submit_final(request)
            else:
                self._scheduler.submit_partial(request)

    def _window(self, captioner: Captioner, due: Due) -> Window | None:
        if captioner is not self._captioner:
            return None
        try:
            window = due.window()
            if window and window.seconds >= VOCABULARY_SECONDS:
                window = replace(window, vocabulary=self.vocabulary)
            return window
        except Exception as fault:  # the scheduler is everybody's: this ends the speaker alone
            self._fault = self._fault or fault
            return None

    def _answer(self, captioner: Captioner, due: Due, hypothesis: Hypothesis | None) -> None:
        try:
            drafts = captioner.heard(due, hypothesis) if captioner is self._captioner else []
            for draft in drafts:
                caption = self._caption(draft)
                self._shown[caption.utterance] = caption
                if caption.final:
                    del self._shown[caption.utterance]
                self._publish(caption)
                if caption.final and caption.text and self._wants_english(caption.language):
                    self._submit_english(caption, due)
        except Exception as fault:  # as above
            self._fault = self._fault or fault
        if due.final:
            self._unanswered -= 1
            self._answered.set()

    def _submit_english(self, caption: Caption, due: Due) -> None:
        """Hear a finished utterance once more, in English."""
        captioner = self._captioner
        window = Window(
            due.utterance.samples, language=caption.language, final=True, translate=True
        )
        self._unanswered += 1
        self._scheduler.submit_final(
            Request(
                self._call.call,
                self.participant.id,
                lambda: window if captioner is self._captioner else None,
                partial(self._answer_english, captioner, caption.utterance),
                window.seconds,
                background=not self._hurried,
            )
        )

    def _answer_english(
        self, captioner: Captioner, utterance: str, hypothesis: Hypothesis | None
    ) -> None:
        heard = hypothesis if captioner is self._captioner else None
        self._on_english(utterance, heard.text if heard else None)
        self._unanswered -= 1
        self._answered.set()

    def _caption(self, draft: Draft) -> Caption:
        words, gap_ms = None, None
        if draft.final:
            gap_ms, self._gap_ms = self._gap_ms, None
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
            gap_ms=gap_ms,
        )

    def _ms(self, samples: int) -> int:
        return self._zero_ms + to_ms(samples)
