"""One feed of a call: every utterance in one language, translated where that was not spoken."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import structlog

from captions.translation import Translation, Untranslated
from captions.types import Caption
from captions.ways import same

log = structlog.get_logger(__name__)

K = TypeVar("K")
V = TypeVar("V")

BEAT_SECONDS: Final = 1.0
"""Between two translations of what is being said: readers need whole phrases, not each word."""

PATIENCE_SECONDS: Final = 8.0
"""How long a final waits for its translation before it is shown as it was spoken."""

MOST_REMEMBERED: Final = 1000
"""Utterances that are known to be in the feed, and translations that are known."""

_MOST_WAITING: Final = 500


class TranslatedFeed:
    """`take` never waits; `run` translates, finals first and in order, until `close`.

    Nothing that was said is left out: what cannot be translated is published as it was spoken.
    """

    def __init__(
        self, tag: str, translation: Translation, publish: Callable[[Caption], None]
    ) -> None:
        """`tag` is the BCP 47 tag of what viewers read. `publish` never waits."""
        self.tag = tag
        self.wanted = True
        """Whether somebody reads it: else only what has begun is brought to its end."""
        self._translation = translation
        self._publish = publish
        self._waiting: OrderedDict[str, Caption] = OrderedDict()  # newest of each utterance
        self._of_speech: dict[str, Caption] = {}  # finals that the recognizer itself translates
        self._begun: dict[str, _Begun] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._more = asyncio.Event()
        self._closed = False
        self._erasures = 0

    def take(self, caption: Caption, *, of_speech: bool = False) -> None:
        """A caption as it was spoken, in the place of an earlier revision of it.

        `of_speech`: no translator knows it in English; that comes by `take_translation`.
        """
        utterance = caption.utterance
        if utterance in self._done or (self._closed and not caption.final):
            return
        if not self.wanted and utterance not in self._begun:
            return
        if of_speech and same(self.tag, "en"):
            if caption.final:
                self._of_speech[utterance] = caption
            return
        if self._as_spoken(caption):
            self._waiting.pop(utterance, None)
            self._tell(caption, caption.text, caption.language)
            return
        if caption.final:  # finals wait in the order in which they came
            self._waiting.pop(utterance, None)
        self._waiting[utterance] = caption
        if len(self._waiting) > _MOST_WAITING:  # one that is long silent, or very far behind
            _, oldest = self._waiting.popitem(last=False)
            self._tell_as_spoken(oldest)
        self._more.set()

    def take_translation(self, utterance: str, text: str | None) -> None:
        """What the recognizer makes of an utterance; None where it fails."""
        caption = self._of_speech.pop(utterance, None)
        if caption and text:
            self._tell(caption, text, self.tag)
        elif caption:
            self._tell_as_spoken(caption)

    def catch_up(self, finals: Sequence[Caption]) -> None:
        """Finals from before, in their order: they go before all that waits."""
        for caption in finals:
            self.take(caption)
        for caption in reversed(finals):
            if caption.utterance in self._waiting:
                self._waiting.move_to_end(caption.utterance, last=False)

    def give_up(self) -> None:
        """There is no more time: finals that still wait are published as they were spoken."""
        for caption in (*self._waiting.values(), *self._of_speech.values()):
            self._tell_as_spoken(caption)
        self._waiting.clear()
        self._of_speech.clear()

    def has(self, utterance: str) -> bool:
        """Whether the feed has the final of an utterance."""
        return utterance in self._done

    def remember(self, utterance: str) -> None:
        """The feed has the final of this utterance already."""
        _keep(self._done, utterance, None)

    def forget_words(self) -> None:
        """The transcript was erased: keep nothing that was said, nor what is being translated."""
        self._erasures += 1
        self._known.clear()
        self._of_speech.clear()
        for utterance, caption in list(self._waiting.items()):
            if caption.final:
                del self._waiting[utterance]
                self._begun.pop(utterance, None)

    def close(self) -> None:
        """Let `run` end behind the last final."""
        self._closed = True
        self._more.set()

    async def run(self) -> None:
        """Translate until closed. Cancelled, it publishes what it is at as it was spoken."""
        while True:
            caption = self._next()
            if caption:
                await self._translate(caption)
                continue
            if self._closed:
                return
            self._more.clear()
            try:
                async with asyncio.timeout(self._until_due()):
                    await self._more.wait()
            except TimeoutError:
                continue

    def _as_spoken(self, caption: Caption) -> bool:
        if same(caption.language, self.tag) or not caption.text.strip():
            return True
        return not self._translation.translates(caption.language, self.tag)

    def _next(self) -> Caption | None:
        """A final, else a partial whose time has come."""
        for utterance, caption in self._waiting.items():
            if caption.final:
                return self._waiting.pop(utterance)
        now = time.monotonic()
        for utterance in self._waiting:
            if not self._closed and self._due(utterance) <= now:
                return self._waiting.pop(utterance)
        return None

    def _until_due(self) -> float | None:
        """Seconds until the next partial's time comes, None where none waits."""
        if not self._waiting:
            return None
        return max(0.0, min(map(self._due, self._waiting)) - time.monotonic())

    def _due(self, utterance: str) -> float:
        begun = self._begun.get(utterance)
        return begun.translated_at + BEAT_SECONDS if begun else 0.0

    async def _translate(self, caption: Caption) -> None:
        text, erasures = self._known.get((caption.language, caption.text)), self._erasures
        if text is None:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    text = await self._translation.translate(
                        caption.text, caption.language, self.tag, urgent=caption.final
                    )
            except asyncio.CancelledError:
                self._tell_as_spoken(caption, erasures)
                raise
            except (Untranslated, TimeoutError) as error:
                if caption.final:
                    log.warning("not translated", feed=self.tag, why=type(error).__name__)
                self._tell_as_spoken(caption, erasures)
                return
            except Exception:  # a fault in one translation must not end them all
                log.exception("not translated", feed=self.tag)
                self._tell_as_spoken(caption, erasures)
                return
            if caption.final and erasures != self._erasures:
                self._begun.pop(caption.utterance, None)
                return
            _keep(self._known, (caption.language, caption.text), text)
        newer = self._waiting.get(caption.utterance)
        if caption.final or newer is None or not newer.final:
            self._tell(caption, text, self.tag)

    def _tell_as_spoken(self, caption: Caption, erasures: int | None = None) -> None:
        """A final without a translation. What is being said can do without.

        Nothing of one that was taken before the newest of so many `erasures`.
        """
        if caption.final and erasures in (None, self._erasures):
            self._tell(caption, caption.text, caption.language)

    def _tell(self, spoken: Caption, text: str, language: str) -> None:
        """Publish the next revision. All revisions of an utterance are in one language."""
        begun = self._begun.get(spoken.utterance) or _Begun(language)
        translated = language == self.tag and not same(spoken.language, self.tag)
        begun.revision += 1
        begun.translated_at = time.monotonic()
        self._begun[spoken.utterance] = begun
        self._publish(
            replace(
                spoken,
                feed=self.tag,
                language=begun.language,
                text=text,
                revision=begun.revision,
                stable=(len(text) if spoken.final else 0) if translated else spoken.stable,
                confidence=None if translated else spoken.confidence,
                words=None if translated else spoken.words,
                source_text=spoken.text if translated else None,
            )
        )
        if spoken.final:
            del self._begun[spoken.utterance]
            self.remember(spoken.utterance)


class _Begun:
    """An utterance of which something is out."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.revision = 0
        self.translated_at = 0.0


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    if len(kept) > MOST_REMEMBERED:
        kept.popitem(last=False)
