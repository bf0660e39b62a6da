"""A watcher as front-end teams would write one: it knows the contract only.

Where its gateway dies it goes to another and says with `since` what it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from socketio.exceptions import SocketIOError

from tests.chaos.cluster import Cluster, token
from tests.peer import Peer

PAUSE_SECONDS = 0.2
"""Between two attempts at what is refused or does not answer."""


@dataclass(frozen=True)
class Heard:
    """What arrived, and when (`time.monotonic`). A caption also where an answer brought it."""

    at: float
    event: str
    payload: Any


class Refused(Exception):
    """An answer that is not ok."""


class Connection(Peer):
    """A peer who notices at once when the connection dies."""

    def __init__(self, url: str, auth: str, take: Callable[[str, Any], None]) -> None:
        super().__init__(url, auth)
        self.gone = asyncio.Event()
        self._take = take
        self.socket.on("disconnect", self._lost)

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except BaseException:
            if self.socket.eio.http:  # which Engine.IO forgets where it could not connect
                await self.socket.eio.http.close()
            raise

    async def _lost(self, *_: Any) -> None:
        self.gone.set()

    async def _hear(self, event: str, payload: Any = None) -> None:
        self._take(event, payload)

    async def ask(self, event: str, payload: Any = None) -> dict[str, Any]:
        """Raises `Refused` where it is, or where the connection dies first."""
        asked = asyncio.ensure_future(super().ask(event, payload))
        gone = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait({asked, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise Refused("the connection is gone")
            answer = asked.result()
        finally:
            for task in (asked, gone):
                task.cancel()
        if not answer["ok"]:
            raise Refused(answer["error"])
        return answer


class Watcher:
    """`async with` connects and stays connected. `gateway` is the one it tries first."""

    def __init__(
        self, cluster: Cluster, call: str, *, subject: str = "watcher", gateway: int = 0
    ) -> None:
        self.call = call
        self.subject = subject
        self.heard: list[Heard] = []
        self.connections = 0
        self.since = 0
        """The newest `seq` up to which it has all."""
        self._cluster = cluster
        self._url = cluster.gateways[gateway].url
        self._news = asyncio.Condition()
        self._todo = asyncio.Event()
        self._here = asyncio.Event()
        self._living: asyncio.Task[None] | None = None
        self._fault: Exception | None = None

    async def __aenter__(self) -> Self:
        self._living = asyncio.create_task(self._live())
        async with asyncio.timeout(60):
            await self._here.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._living
        self._living.cancel()
        with suppress(asyncio.CancelledError):
            await self._living

    @property
    def captions(self) -> list[dict[str, Any]]:
        return [heard.payload for heard in self.heard if heard.event == "caption"]

    @property
    def finals(self) -> list[dict[str, Any]]:
        """Each once, in order of arriving."""
        return list({c["utterance"]: c for c in self.captions if c["final"]}.values())

    @property
    def open(self) -> set[str]:
        """Utterances that were shown and have no final yet."""
        return {c["utterance"] for c in self.captions} - {c["utterance"] for c in self.finals}

    async def until(self, wanted: Callable[[Self], Any], seconds: float = 60) -> Any:
        """The first true value of `wanted(self)`, asked again at everything that is heard."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while not (found := wanted(self)):
                    if self._fault:
                        raise self._fault
                    await self._news.wait()
                return found
        except TimeoutError:
            raise TimeoutError(f"{self.subject} waited in vain; {self.lately()}") from None

    def lately(self) -> str:
        """What came last, and how long ago, for a reader who wonders."""
        now = time.monotonic()
        return "; ".join(
            f"{heard.at - now:.1f} s {heard.event} {str(heard.payload)[:150]}"
            for heard in self.heard[-8:]
        )

    def after(self, at: float, event: str) -> list[Heard]:
        return [heard for heard in self.heard if heard.at > at and heard.event == event]

    async def _live(self) -> None:
        try:
            await self._stay_connected()
        except Exception as fault:
            self._fault = fault
            await self._tell()

    async def _stay_connected(self) -> None:
        while True:
            try:
                async with Connection(self._url, token(self.subject), self._take) as connection:
                    await self._enter(connection)
                    self.connections += 1
                    self._take("connected", self._url)
                    self._here.set()
                    await self._stay(connection)
            except (SocketIOError, Refused, OSError, TimeoutError) as error:
                self._take("not connected", f"{self._url}: {error!r}")
                await asyncio.sleep(PAUSE_SECONDS)
            self._here.clear()
            self._change()
            urls = self._cluster.urls
            if urls:
                self._url = next((url for url in urls if url != self._url), urls[0])

    def _change(self) -> None:
        """Before the next connection."""

    async def _enter(self, connection: Connection) -> None:
        self._take_all(await connection.ask("call:watch", {"call": self.call, "since": self.since}))

    async def _stay(self, connection: Connection) -> None:
        """Do what is to be done until the connection is gone."""
        while await _first(self._todo, connection.gone) is self._todo:
            self._todo.clear()
            await self._try(connection)

    async def _try(self, connection: Connection) -> None:
        try:
            await self._do(connection)
        except (Refused, SocketIOError):
            self._todo.set()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _do(self, connection: Connection) -> None:
        if any(c["seq"] > self.since for c in self.finals):
            self._take_all(await connection.ask("captions:since", {"since": self.since}))

    def _take_all(self, answer: dict[str, Any]) -> None:
        for caption in answer["captions"]:
            self._take("caption", caption)

    def _take(self, event: str, payload: Any) -> None:
        self.heard.append(Heard(time.monotonic(), event, payload))
        if event == "caption" and payload["final"]:
            there = {c["seq"] for c in self.finals}
            while self.since + 1 in there:
                self.since += 1
            if payload["seq"] > self.since:  # one between was missed
                self._todo.set()
        asyncio.ensure_future(self._tell())  # noqa: RUF006 - it takes no time

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


async def _first(event: asyncio.Event, other: asyncio.Event) -> asyncio.Event:
    """Whichever is set; the other one where both are."""
    waiting = {asyncio.ensure_future(each.wait()) for each in (event, other)}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return other if other.is_set() else event
