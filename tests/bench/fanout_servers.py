"""The servers that `tests.bench.fanout` measures: Surtitle's gateways and a bare python-socketio.

As a program it is a server that takes captions on standard input, one JSON object a line:

    python -m tests.bench.fanout_servers gateway|bare CALL…

`bare` is what anybody would write: one handler that enters a room, one emit for a caption.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import psutil
import socketio
from aiohttp import web

from captions.types import Caption
from tests.lone_gateway import EPOCH, lone_gateway
from tests.recordings import ROOT


class Program:
    """A process that is spoken to in lines of JSON."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *self._arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
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

    async def hear(self) -> Any:
        assert self.process
        assert self.process.stdout
        line = await self.process.stdout.readline()
        assert line, f"{self._arguments[0]} ended"
        return json.loads(line)

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
    """Some servers of one kind, and the way captions come to them."""

    def __init__(self, kind: str, count: int, calls: Sequence[str]) -> None:
        self.kind = kind
        self.calls = calls
        self.tokens: dict[str, str] = {}
        self.programs = [
            Program("tests.bench.fanout_servers", kind.partition(" ")[0], *calls)
            for _ in range(count)
        ]
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
        """To everybody in the call, on whichever server."""
        for program in self.programs:
            if program.process and program.process.returncode is None:
                program.tell(**caption.to_wire())


Emit = Callable[[Caption], Awaitable[None]]


@asynccontextmanager
async def gateway(calls: Sequence[str]):
    """Surtitle's, on a bus of its own: (its address, what publishes)."""
    with tempfile.TemporaryDirectory() as folder:
        async with lone_gateway(Path(folder), calls) as (running, bus):

            async def publish(caption: Caption) -> None:
                if caption.final:
                    await bus.publish_final(EPOCH, caption)
                else:
                    await bus.publish_partial(EPOCH, caption)

            yield running.url, publish


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
    kind, calls = sys.argv[1], sys.argv[2:]
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with {"gateway": gateway, "bare": bare}[kind](calls) as (url, publish):
        print(json.dumps({"url": url}), flush=True)
        while line := await reader.readline():
            await publish(Caption.from_wire(json.loads(line)))


if __name__ == "__main__":
    asyncio.run(main())
