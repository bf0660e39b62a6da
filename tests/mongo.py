"""A server of MongoDB's protocol as an operator starts one: SecantusDB, or your own.

SecantusDB is under the GPL and stands in for MongoDB, which no registry has: it is only
ever a process of its own. With `SURTITLE_MONGO=mongodb://HOST/?…` the same tests run on
that server instead, each in a database of its own.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from motor.motor_asyncio import AsyncIOMotorClient

PATIENCE_SECONDS = 60
PROGRAM = Path(sys.prefix) / "mongod" / "bin" / "secantusd-py"


class Mongo:
    """`async with` starts it and waits until it answers; its data stay in `folder`.

    It has the same `url` after `stop` and `start`. Some ten thousand writes make it slow,
    so whoever writes much has one of their own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = _free_port()
        self.url = f"mongodb://127.0.0.1:{self.port}/"
        self.log = folder / "mongo.log"
        self.process: asyncio.subprocess.Process | None = None
        self._listening = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(signal.SIGKILL)

    async def start(self) -> None:
        """Start it on the data there are."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._listening.clear()
        self.process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", PROGRAM),
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--storage-path", self._folder / "data"),
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._draining = asyncio.create_task(self._drain(self.process))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._listening.wait()
        except TimeoutError:
            await self.stop(signal.SIGKILL)
            raise
        assert self.process.returncode is None, self.log.read_text()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal and wait until it is gone."""
        assert self.process
        assert self._draining
        if self.process.returncode is None:
            self.process.send_signal(number)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            raise
        finally:
            await self._draining

    async def _drain(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        with self.log.open("ab") as log:
            async for line in process.stdout:
                log.write(line)
                log.flush()
                if b"listening on" in line:
                    self._listening.set()
        await process.wait()
        self._listening.set()  # it never will


@asynccontextmanager
async def a_server(folder: Path) -> AsyncIterator[str]:
    """The URL of the server of `SURTITLE_MONGO`, else of one that lives as long as this."""
    given = os.environ.get("SURTITLE_MONGO")
    if given:
        yield given
    else:
        async with Mongo(folder) as mongo:
            yield mongo.url


@asynccontextmanager
async def a_database(server: str) -> AsyncIterator[str]:
    """The URL of a database that nobody else has, on the server with this URL."""
    name = f"surtitle_test_{secrets.token_hex(6)}"
    parts = urlsplit(server)
    url = urlunsplit(parts._replace(path=f"/{name}"))
    if parts.username and "authsource" not in parts.query.lower():
        # Who has an account has it where the server's URL says, not in the new database.
        source = parts.path.strip("/") or "admin"
        url += f"{'&' if parts.query else '?'}authSource={source}"
    try:
        yield url
    finally:
        client = AsyncIOMotorClient(url)
        await client.drop_database(name)
        client.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
