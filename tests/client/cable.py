"""A network cable between a client and a server, which can be pulled out and put in again."""

from __future__ import annotations

import asyncio
from typing import Self
from urllib.parse import urlsplit


class Cable:
    """`async with` gives a way to `url` at an address of its own."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._carried: set[asyncio.Task[None]] = set()
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.plug()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pull()

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def pull(self) -> None:
        """Nothing gets through any more, and both ends notice."""
        if self._server:
            self._server.close()
            self._server = None
        for carried in self._carried:
            carried.cancel()
        if self._carried:
            await asyncio.wait(self._carried)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        carried = asyncio.current_task()
        assert carried
        self._carried.add(carried)
        carried.add_done_callback(self._carried.discard)
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        try:
            await asyncio.gather(_pass(reader, back), _pass(there, writer))
        except (asyncio.CancelledError, ConnectionError):
            return  # which asyncio's streams would print
        finally:
            writer.transport.abort()
            back.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
