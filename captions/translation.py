"""All translators of a node, as one: which of them translates what, and how they are."""

from __future__ import annotations

from collections.abc import Sequence

from captions import ways
from captions.translator import Line, Translator
from captions.ways import Pair
from captions.worker import WorkerFailed


class Untranslated(Exception):
    """There is no translation of this text just now."""


class Translation:
    """Where several have a pair, the first of them translates it."""

    def __init__(self, translators: Sequence[Translator] = ()) -> None:
        self._by_pair: dict[Pair, Translator] = {}
        self.translators = tuple(translators)
        self.texts = 0
        """Texts that were translated, partials included."""
        self.failed = 0
        """Texts that could not be, though there is a way."""
        for translator in translators:
            for pair in translator.pairs:
                self._by_pair.setdefault(pair, translator)

    @property
    def pairs(self) -> frozenset[Pair]:
        """What is translated without a detour."""
        return frozenset(self._by_pair)

    @property
    def ready(self) -> bool:
        """Whether no translator is away: those that nobody needed yet are not."""
        return all(translator.state in ("ready", "starting") for translator in self.translators)

    def prepare(self, target: str) -> None:
        """Somebody reads this language, a BCP 47 tag: what translates into it is to be there."""
        for (_, into), translator in self._by_pair.items():
            if into in ways.codes(target):
                translator.wake()

    def into(self, target: str) -> bool:
        """Whether anything is translated into a language, a BCP 47 tag."""
        return not ways.targets(self._by_pair).isdisjoint(ways.codes(target))

    def translates(self, source: str, target: str) -> bool:
        """Whether there is a way from one BCP 47 tag to another."""
        return bool(ways.way(self._by_pair, source, target))

    async def translate(self, text: str, source: str, target: str, *, urgent: bool) -> str:
        """The text, from one BCP 47 tag to another, by English where need be.

        Raises `Untranslated`. What is `urgent` goes before all that waits. May be cancelled.
        """
        steps = ways.way(self._by_pair, source, target)
        if not steps:
            raise Untranslated(f"nothing translates {source} to {target}")
        for pair in steps:
            if not text.strip():
                return ""
            try:
                text = await self._by_pair[pair].translate(Line(text, *pair), urgent=urgent)
            except WorkerFailed as error:
                self.failed += 1
                raise Untranslated(str(error)) from error
        self.texts += 1
        return text.strip()
