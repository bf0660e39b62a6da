"""The words of a text, as a search compares them: without case, accents or signs."""

from __future__ import annotations

import unicodedata


def words(text: str) -> set[str]:
    """What can be found of `text`; signs and white space only part words.

    Marks that stand above or below a letter go; marks that are letters of their script
    (the vowels of Devanagari or Thai, combining class 0) stay.
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(sign for sign in folded if not unicodedata.combining(sign))
    # Composed again: decomposed Hangul would be thrice as long in an index.
    spaced = (sign if _in_word(sign) else " " for sign in unicodedata.normalize("NFC", bare))
    return set("".join(spaced).split())


def _in_word(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LNM"
