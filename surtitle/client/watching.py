"""Following a call: connects again and again, and has the server fill what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from surtitle.client.call import CallState, Profanity
from surtitle.client.caption import Caption
from surtitle.client.connection import LOST, Connection
from surtitle.client.errors import SurtitleError
from surtitle.client.feed import Feed
from surtitle.client.link import Link
from surtitle.client.session import Session

ENDING_SECONDS: Final = 5.0
"""Within which a call that is just ending says so."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to follow, as in `call:watch`."""

    call: str
    feed: str
    profanity: Profanity

    def since(self, seq: int) -> dict[str, Any]:
        """The payload of `call:watch`."""
        return {
            "call": self.call,
            "captions_language": self.feed,
            "profanity": self.profanity,
            "since": seq,
        }


class Watching(Session):
    """One call, followed to its end; `over` when all of it is in `feed`."""

    def __init__(
        self, link: Link, wanted: Wanted, feed: Feed, patience_seconds: float | None
    ) -> None:
        super().__init__(link, feed, patience_seconds)
        self.state: CallState | None = None
        self._wanted = wanted
        self._todo = asyncio.Event()
        self._ended = False
        self._ended_before: datetime | None = None

    def room(self) -> None:
        """The reader took something."""
        if self.feed.has_hole and self.feed.has_room:
            self._todo.set()

    @property
    def _done(self) -> bool:
        return self._ended and not self.feed.has_hole

    async def _follow(self, connection: Connection) -> None:
        ended_at = await self._link.ended_at(self._wanted.call)
        await self._watch(connection)
        self._judge(ended_at)
        self._succeeded()
        while not connection.lost.is_set():
            self._todo.clear()
            if self.feed.has_hole and self.feed.has_room:
                await self._repair(connection)
            elif self._done:
                return
            else:
                await self._todo.wait()

    def _judge(self, ended_at: datetime | None) -> None:
        """End where the call did while nobody listened here; it would begin anew by watching."""
        if not self.entered:
            self._ended_before = ended_at
        elif ended_at is not None and ended_at != self._ended_before:
            self._tell(CallState("ended", captioning=False))

    async def _watch(self, connection: Connection) -> None:
        answer = await connection.ask("call:watch", self._wanted.since(self.feed.settled))
        self._answered(answer)
        if not self._ended:
            self._tell(CallState.from_wire(answer))

    async def _repair(self, connection: Connection) -> None:
        if self._ended:  # nobody sits in it any more, but its finals are kept
            await self._watch(connection)
            return
        try:
            answer = await connection.ask("captions:since", {"since": self.feed.settled})
        except SurtitleError as error:
            if error.code != "conflict":
                raise
            await self._ending(error)
        else:
            self._answered(answer)

    async def _ending(self, error: SurtitleError) -> None:
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                await self._todo.wait()
        except TimeoutError:
            raise error from None

    def _answered(self, answer: Mapping[str, Any]) -> None:
        captions = [Caption.from_wire(caption) for caption in answer["captions"]]
        self.feed.receive_answer(captions, answer["seq"])
        self.news.set()

    def _hear(self, event: str, payload: Any) -> None:
        if event == "caption":
            self.feed.receive(Caption.from_wire(payload))
            self.news.set()
            self.room()
        elif event == "call:state" and not self._ended:
            self._tell(CallState.from_wire(payload))
        elif event == LOST:
            self._todo.set()

    def _tell(self, state: CallState) -> None:
        self._ended = state.state == "ended"
        self.state = state
        self.news.set()
        self._todo.set()
