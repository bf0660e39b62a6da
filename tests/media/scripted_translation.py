"""A translation that does what the test says: when, and whether at all."""

from __future__ import annotations

import asyncio

from captions.translation import Translation, Untranslated


class Scripted(Translation):
    """Knows every pair of languages but `xx`; says a text backwards.

    `held` lets it wait, `broken` fail; unless it `knows`, it has no pair at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.held: asyncio.Event | None = None
        self.broken = False
        self.knows = True

    def into(self, target: str) -> bool:
        return target in ("pt", "de")

    def translates(self, source: str, target: str) -> bool:
        return self.knows and "xx" not in (source, target)

    async def translate(self, text: str, source: str, target: str, *, urgent: bool) -> str:
        self.asked.append(text)
        if self.held:
            await self.held.wait()
        if self.broken:
            raise Untranslated("scripted")
        return backwards(text)


def backwards(text: str) -> str:
    return text[::-1]
