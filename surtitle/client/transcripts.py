"""Transcripts over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from surtitle.client.calls import path
from surtitle.client.caption import SPOKEN, Caption
from surtitle.client.http import Http


class Transcripts:
    """What was said. Every method raises `SurtitleError`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, call: str, *, language: str = SPOKEN) -> tuple[Caption, ...]:
        """The finals of a feed, in order of `start_ms`. Needs `read`."""
        answer = await self._http.json("GET", _path(call), query={"language": language})
        return tuple(Caption.from_wire(caption) for caption in answer["captions"])

    async def text(self, call: str, format: str, *, language: str = SPOKEN) -> str:  # noqa: A002
        """The same as WebVTT (`vtt`), SubRip (`srt`), plain text (`txt`) or JSON (`json`)."""
        query = {"format": format, "language": language}
        return await self._http.text("GET", _path(call), query=query)

    async def erase(self, call: str) -> None:
        """Erase what was said, everywhere and for good. Needs `manage`."""
        await self._http.text("DELETE", _path(call))

    async def search(
        self,
        text: str = "",
        *,
        call: str | None = None,
        participant: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page: int = 100,
    ) -> AsyncIterator[Caption]:
        """Finals with all of these words (each the beginning of one), the newest first.

        `since` and `until` say when it was said; a time without a zone is local. `page` is how
        many are fetched at once, at most 500; the next ones are fetched when they are wanted.
        Needs `read`.
        """
        query = {
            "q": text,
            "call": call,
            "participant": participant,
            "from": _epoch_ms(since),
            "to": _epoch_ms(until),
            "limit": page,
        }
        cursor: str | None = None
        while True:
            answer = await self._http.json(
                "GET", "/api/transcripts", query=query | {"cursor": cursor}
            )
            for caption in answer["captions"]:
                yield Caption.from_wire(caption)
            cursor = answer.get("cursor")
            if cursor is None:
                return


def _path(call: str) -> str:
    return f"{path(call)}/transcript"


def _epoch_ms(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1000)
