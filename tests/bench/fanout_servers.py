"""The servers that `tests.bench.fanout` measures: programs, and a bare python-socketio.

As a program it is that server, and takes captions on standard input, one JSON object a line:

    python -m tests.bench.fanout_servers CALL…

It is what anybody would write: one handler that enters a room, one emit for a caption.
Surtitle's own are in `tests.bench.fanout_cluster`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import psutil
import socketio
from aiohttp import web

from captions.types import Caption
from tests.recordings import ROOT


class Program:
    """A Python module as a process, which may be spoken to in lines of JSON."""

    def __init__(self, *arguments: str, log: Path | None = None) -> None:
        """Standard error goes to `log`, or where this process has its own."""
        self._arguments = arguments
        self._log = log
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("ab") if self._log else nullcontext() as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self._arguments),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=2**26,
            )
        self.about = psutil.Process(self.process.pid)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.process
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    def tell(self, **message: Any) -> None:
        assert self.process
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def line(self) -> str:
        assert self.process
        assert self.process.stdout
        line = await self.process.stdout.readline()
        assert line, f"{self._arguments[0]} ended"
        return line.decode()

    async def hear(self) -> Any:
        return json.loads(await self.line())

    async def ask(self, **message: Any) -> Any:
        self.tell(**message)
        return await self.hear()

    @property
    def cpu_seconds(self) -> float:
        times = self.about.cpu_times()
        return times.user + times.system

    @property
    def memory_bytes(self) -> int:
        return self.about.memory_info().rss


class Servers:
    """Some bare servers, and the way captions come to them."""

    def __init__(self, count: int, calls: Sequence[str]) -> None:
        self.calls = calls
        self.tokens: dict[str, str] = {}
        self.programs = [Program("tests.bench.fanout_servers", *calls) for _ in range(count)]
        self.urls: list[str] = []

    async def __aenter__(self) -> Self:
        for program in self.programs:
            await program.__aenter__()
            self.urls.append((await program.hear())["url"])
        return self

    async def __aexit__(self, *_: object) -> None:
        for program in self.programs:
            await program.__aexit__()

    async def publish(self, caption: Caption) -> None:
        """To everybody in the call, on whichever server; it may be on its way yet."""
        for program in self.programs:
            program.tell(**caption.to_wire())

    async def published(self) -> None:
        """Wait until nothing is on its way any more."""

    def cpu_seconds(self) -> dict[str, float]:
        """Of the servers, and of what they stand on, so far."""
        return {"server": sum(p.cpu_seconds for p in self.programs)}


@asynccontextmanager
async def bare(calls: Sequence[str]):
    """python-socketio as it comes, on aiohttp."""
    sio = socketio.AsyncServer(async_mode="aiohttp", ping_interval=10, ping_timeout=10)
    seqs = dict.fromkeys(calls, 0)

    @sio.on("call:watch")
    async def watch(sid: str, message: dict[str, Any]) -> dict[str, Any]:
        await sio.enter_room(sid, message["call"])
        return {"ok": True}

    async def publish(caption: Caption) -> None:
        if caption.final:
            seqs[caption.call] += 1
            caption = caption.numbered(seqs[caption.call])
        await sio.emit("caption", caption.to_wire(), room=caption.call)

    app = web.Application()
    sio.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", publish
    await runner.cleanup()


async def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with bare(sys.argv[1:]) as (url, publish):
        print(json.dumps({"url": url}), flush=True)
        while line := await reader.readline():
            await publish(Caption.from_wire(json.loads(line)))


if __name__ == "__main__":
    asyncio.run(main())
