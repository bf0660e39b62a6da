"""Swear words masked, whole words only, by the lists of glin-profanity. Pure.

Only single words: a phrase would mask words again that were stable already. A mask is as long as
the word, so `stable` and the words' places stay what they are.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from captions.types import Caption
from captions.ways import base

_LISTS: Final = {
    "ar": "arabic",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "hi": "hindi",
    "hu": "hungarian",
    "it": "italian",
    "ja": "japanese",
    "ko": "korean",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ru": "russian",
    "sv": "swedish",
    "th": "thai",
    "tr": "turkish",
    "zh": "chinese",
}

_WITHOUT_SPACES: Final = frozenset({"ja", "th", "zh"})
"""Where nothing parts words, a listed one is masked wherever it stands."""

_NOTHING: Final = re.compile(r"(?!)")


def masked(caption: Caption) -> Caption:
    """The caption with swear words of its language masked, in text, words and original."""
    source = caption.source_text
    words = caption.words
    return replace(
        caption,
        text=mask(caption.text, caption.language),
        words=words
        and tuple(replace(word, text=mask(word.text, caption.language)) for word in words),
        source_text=None if source is None else mask(source, caption.source_language),
    )


def mask(text: str, language: str) -> str:
    """The text, of each swear word but the first letter starred. `language` is a BCP 47 tag."""
    return _pattern(base(language)).sub(_starred, text)


def _starred(match: re.Match[str]) -> str:
    word = match[0]
    return word[0] + "*" * (len(word) - 1)


@lru_cache(maxsize=len(_LISTS))
def _pattern(language: str) -> re.Pattern[str]:
    words = [word for word in _words(language) if not any(c.isspace() for c in word)]
    if not words:
        return _NOTHING
    # The longest first: of two that begin alike the regular expression takes the one before.
    listed = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    if language not in _WITHOUT_SPACES:
        listed = rf"(?<!\w)(?:{listed})(?!\w)"
    return re.compile(listed, re.IGNORECASE)


def _words(language: str) -> list[str]:
    """The package's data alone: to import it takes a second and brings much more."""
    spec = find_spec("glin_profanity")
    if language not in _LISTS or spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0]) / "data" / "dictionaries"
    listed = json.loads((folder / f"{_LISTS[language]}.json").read_text(encoding="utf-8"))
    return [word for word in listed["words"] if isinstance(word, str) and word]
