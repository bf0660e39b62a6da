"""Being connected for as long as something lasts: again after every loss, until it is over."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from surtitle.client.backoff import Backoff
from surtitle.client.connection import Connection
from surtitle.client.errors import PASSING, SurtitleError
from surtitle.client.feed import Feed
from surtitle.client.link import Link


class Session(ABC):
    """`run` it in a task; what was heard is in `feed`, and `news` is set at each change.

    `over` says that nothing more comes, `fault` why that is so before its time.
    """

    namespace = "/"

    def __init__(self, link: Link, feed: Feed, patience_seconds: float | None) -> None:
        self.feed = feed
        self.news = asyncio.Event()
        self.over = False
        self.fault: Exception | None = None
        self.entered = False
        """Whether the server let this in, at least once."""
        self._link = link
        self._backoff = Backoff(patience_seconds)
        self._refreshed = False

    async def run(self) -> None:
        """Until it is over. What goes wrong is `fault`, for whoever reads: nothing is raised."""
        try:
            while not self._done:
                try:
                    async with self._link.connect(self._hear, self.namespace) as connection:
                        await self._follow(connection)
                except SurtitleError as error:
                    await self._failed(error)
        except Exception as fault:
            self.fault = fault
        except asyncio.CancelledError:
            self.fault = SurtitleError("unavailable", "it was closed")
            raise
        finally:
            self.over = True
            self.news.set()

    @property
    @abstractmethod
    def _done(self) -> bool:
        """Whether no connection is needed any more."""

    @abstractmethod
    async def _follow(self, connection: Connection) -> None:
        """Do what is to be done on a connection, until it is lost or this is done."""

    @abstractmethod
    def _hear(self, event: str, payload: Any) -> None:
        """Take an event of the server's."""

    def _succeeded(self) -> None:
        self.entered = True
        self._backoff.succeeded()
        self._refreshed = False
        self.news.set()

    async def _failed(self, error: SurtitleError) -> None:
        if error.code == "unauthorized" and self._link.refreshes and not self._refreshed:
            self._refreshed = True  # the token may just have run out: the next one is fresh
        elif error.code in PASSING or (error.code == "conflict" and self.entered):
            await self._backoff.pause(error)
        else:
            raise error
