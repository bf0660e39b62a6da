"""A call's captions in the languages that people read: a feed for each, while somebody does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

import structlog

from captions.translation import Translation
from captions.types import SPOKEN, Caption
from captions.ways import same
from media.translated_feed import TranslatedFeed
from signaling.bus import Bus
from signaling.errors import Unreachable

log = structlog.get_logger(__name__)

MOST_FEEDS: Final = 32
"""Languages of one call; who asks for one more reads what was spoken."""

CLOSING_SECONDS: Final = 5.0
"""How long a call that ends waits for the translation of its last words."""

_CAUGHT_UP: Final = 20
"""Finals from before somebody read a feed that it gets, too: the talk they come into."""

_MADE_UP_FOR: Final = 200
"""Finals that a node which died may have left untranslated in a feed that was read."""


class Translated:
    """`take` and `want` never wait; `run` translates until `close`, and what was said by then."""

    def __init__(
        self,
        call: str,
        bus: Bus,
        translation: Translation,
        publish: Callable[[Caption], None],
        *,
        interrupted: bool = False,
    ) -> None:
        """`publish` takes each caption of each feed at once, and never waits.

        `interrupted`: the node that had the call before died, in the midst of translating.
        """
        self._call = call
        self._bus = bus
        self._translation = translation
        self._publish = publish
        self._feeds: dict[str, TranslatedFeed] = {}
        self._opening: deque[TranslatedFeed] = deque()
        self._running: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted: frozenset[str] = frozenset()
        self._more = asyncio.Event()
        self._closed = False
        self._interrupted = interrupted
        self._made_up_for: frozenset[str] = frozenset()

    @property
    def translates(self) -> bool:
        """Whether somebody reads another language than what is spoken."""
        return bool(self._wanted)

    def want(self, feeds: Collection[str]) -> None:
        """The feeds that are read from now on, by BCP 47 tag."""
        # Of too many, made-up ones are left out before those that somebody can mean.
        ordered = sorted(set(feeds) - {SPOKEN}, key=lambda tag: (not self._known(tag), tag))
        self._wanted = frozenset(ordered[:MOST_FEEDS])
        if self._interrupted:
            self._interrupted = False
            self._made_up_for = self._wanted  # and who reads another from now on begins with it
        for tag, feed in self._feeds.items():
            if tag not in self._wanted:
                feed.wanted = False
        for tag in sorted(self._wanted):
            known = self._feeds.get(tag)
            if known and known.wanted:
                continue
            feed = known or TranslatedFeed(tag, self._translation, self._publish)
            feed.wanted = True
            self._translation.prepare(tag)
            self._feeds[tag] = feed  # what is said from now on is its business
            self._opening.append(feed)
        self._more.set()

    def take(self, caption: Caption, *, of_speech: bool = False) -> None:
        """A caption as it was spoken.

        `of_speech`: the recognizer hears it once more for who reads English (`take_english`).
        """
        for feed in self._feeds.values():
            feed.take(caption, of_speech=of_speech)

    def take_english(self, utterance: str, text: str | None) -> None:
        """What the recognizer itself makes of an utterance in English; None where it fails."""
        for feed in self._feeds.values():
            feed.take_translation(utterance, text)

    def wants_english(self, language: str) -> bool:
        """Whether somebody reads English and no translator knows this language (a BCP 47 tag)."""
        return any(same(tag, "en") for tag in self._wanted) and not (
            same(language, "en") or self._translation.translates(language, "en")
        )

    def forget_words(self) -> None:
        """The transcript was erased: keep nothing that was said."""
        for feed in self._feeds.values():
            feed.forget_words()

    def close(self) -> None:
        """Let `run` end behind the last final of each feed."""
        self._closed = True
        for feed in self._feeds.values():
            feed.close()
        self._more.set()

    async def run(self) -> None:
        """Open a feed when it is wanted, and translate until closed."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._more.clear()
                while self._opening:
                    await self._open(self._opening.popleft(), group)
                if self._closed:
                    break
                await self._more.wait()
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=CLOSING_SECONDS)
                for task in late:
                    task.cancel()
        for feed in self._feeds.values():
            feed.give_up()

    def _known(self, tag: str) -> bool:
        return same(tag, "en") or self._translation.into(tag)

    async def _open(self, feed: TranslatedFeed, group: asyncio.TaskGroup) -> None:
        if not self._closed:
            feed.catch_up(await self._missed(feed))
        if feed.tag not in self._running:
            self._running.add(feed.tag)
            self._tasks.add(group.create_task(feed.run()))

    async def _missed(self, feed: TranslatedFeed) -> list[Caption]:
        """The newest finals that the feed does not have: from before it was read, or was here."""
        count = _MADE_UP_FOR if feed.tag in self._made_up_for else _CAUGHT_UP
        try:
            spoken = await self._newest(SPOKEN, count)
            for caption in await self._newest(feed.tag, 3 * count):
                feed.remember(caption.utterance)
        except Unreachable:
            log.info("feed begins with what is said from now on: the bus is out of reach")
            return []
        first = next((n for n, caption in enumerate(spoken) if feed.has(caption.utterance)), 0)
        # What came before the first that the feed has is from before anybody read it.
        return [caption for caption in spoken[first:] if not feed.has(caption.utterance)]

    async def _newest(self, feed: str, count: int) -> list[Caption]:
        last = await self._bus.last_seq(self._call, feed) or 0
        return await self._bus.since(self._call, feed, max(0, last - count)) or []
