"""Following a call: connects again and again, and has the server fill what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from surtitle.client.backoff import Backoff
from surtitle.client.call import CallState, Profanity
from surtitle.client.caption import Caption
from surtitle.client.connection import LOST, Connection
from surtitle.client.errors import PASSING, SurtitleError
from surtitle.client.feed import Feed
from surtitle.client.link import Link

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


class Watching:
    """`run` until it ends, in a task; `news` is set at each change. `over` when all is in `feed`.

    `fault` is why it ended before the call did.
    """

    def __init__(
        self, link: Link, wanted: Wanted, feed: Feed, patience_seconds: float | None
    ) -> None:
        self.feed = feed
        self.state: CallState | None = None
        self.news = asyncio.Event()
        self.over = False
        self.fault: Exception | None = None
        self._link = link
        self._wanted = wanted
        self._backoff = Backoff(patience_seconds)
        self._todo = asyncio.Event()
        self._entered = False
        self._ended = False
        self._ended_before: datetime | None = None
        self._refreshed = False

    async def run(self) -> None:
        """Follow the call to its end. Whatever goes wrong is `fault`: the reader is told."""
        try:
            await self._run()
        except Exception as fault:
            self.fault = fault
        except asyncio.CancelledError:
            self.fault = SurtitleError("unavailable", "it was closed")
            raise
        finally:
            self.over = True
            self.news.set()

    def room(self) -> None:
        """The reader took something."""
        if self.feed.has_hole and self.feed.has_room:
            self._todo.set()

    async def _run(self) -> None:
        while not self._ended or self.feed.has_hole:
            try:
                async with self._link.connect(self._hear) as connection:
                    await self._follow(connection)
            except SurtitleError as error:
                await self._failed(error)

    async def _failed(self, error: SurtitleError) -> None:
        if error.code == "unauthorized" and self._link.refreshes and not self._refreshed:
            self._refreshed = True  # the token may just have run out: the next one is fresh
        elif error.code in PASSING or (error.code == "conflict" and self._entered):
            await self._backoff.pause(error)
        else:
            raise error

    async def _follow(self, connection: Connection) -> None:
        ended_at = await self._link.ended_at(self._wanted.call)
        await self._watch(connection)
        self._backoff.succeeded()
        self._refreshed = False
        self._judge(ended_at)
        while not connection.lost.is_set():
            self._todo.clear()
            if self.feed.has_hole and self.feed.has_room:
                await self._repair(connection)
            elif self._ended and not self.feed.has_hole:
                return
            else:
                await self._todo.wait()

    def _judge(self, ended_at: datetime | None) -> None:
        """End where the call did while nobody listened here; it would begin anew by watching."""
        if not self._entered:
            self._entered = True
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
