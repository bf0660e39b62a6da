"""Which way a text goes from one language to another: directly, or by English. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

Pair = tuple[str, str]
"""From which language into which, by ISO 639-1 codes in small letters."""

_PIVOT: Final = "en"

# What a tag may be called by translators, the nearest first, beside its own language code.
_NEARER: Final = {
    "pt-br": ("pb",),
    "zh-hant": ("zt",),
    "zh-tw": ("zt",),
    "zh-hk": ("zt",),
    "no": ("nb",),
    "nn": ("nb",),
}


def base(tag: str) -> str:
    """The language of a BCP 47 tag, without script and region (RFC 5646, section 2.2.1)."""
    return tag.split("-", maxsplit=1)[0].lower()


def same(tag: str, other: str) -> bool:
    """Whether who reads one language reads the other as it is."""
    return base(tag) == base(other)


def codes(tag: str) -> tuple[str, ...]:
    """What translators may call a language, the nearest first."""
    tag = tag.lower()
    known = next((_NEARER[name] for name in (tag, base(tag)) if name in _NEARER), ())
    return (*known, base(tag))


def way(pairs: Collection[Pair], source: str, target: str) -> tuple[Pair, ...]:
    """The pairs to go by from one BCP 47 tag to another; nothing where there is no way."""
    for start in codes(source):
        for end in codes(target):
            if (start, end) in pairs:
                return ((start, end),)
    for start in codes(source):
        for end in codes(target):
            by_english = ((start, _PIVOT), (_PIVOT, end))
            if all(pair in pairs for pair in by_english):
                return by_english
    return ()


def targets(pairs: Collection[Pair]) -> frozenset[str]:
    """The languages that something can be translated into."""
    return frozenset(target for _, target in pairs)
