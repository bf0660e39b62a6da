"""The ways to one server: HTTP, and new Socket.IO connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import aiohttp

from surtitle.client.call import Call
from surtitle.client.calls import path
from surtitle.client.connection import Connection, Hear, connected
from surtitle.client.errors import SurtitleError
from surtitle.client.http import Http
from surtitle.client.token import Tokens


class Link:
    """What all that a client reads and speaks has in common."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, tokens: Tokens, retry_seconds: float
    ) -> None:
        self.http = Http(session, url, tokens, retry_seconds)
        self._session = session
        self._url = url
        self._tokens = tokens

    @property
    def refreshes(self) -> bool:
        """Whether another token may be had than the last."""
        return self._tokens.refreshes

    @asynccontextmanager
    async def connect(self, hear: Hear, namespace: str = "/") -> AsyncIterator[Connection]:
        """A new Socket.IO connection, with a fresh token."""
        token = await self._tokens.fresh()
        async with connected(self._session, self._url, token, hear, namespace) as connection:
            yield connection

    async def ended_at(self, call: str) -> datetime | None:
        """When a call ended; None where it goes on, or that cannot be told."""
        try:
            return Call.from_wire(await self.http.json("GET", path(call))).ended_at
        except SurtitleError:
            return None
