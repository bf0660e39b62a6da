"""A real server as an operator starts one: the program, a port, a folder."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Self

from tests.log_watch import watch


class Server:
    """`async with` starts `surtitle run` and waits until it listens."""

    def __init__(self, folder: Path, *options: str, model: str = "tiny.en") -> None:
        self._folder = folder
        self._options = options
        self._model = model
        self.log = folder / "server.log"
        self.url = ""
        self.process: asyncio.subprocess.Process | None = None
        self._drained: asyncio.Task[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        watch(self.log, self._options)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "surtitle", "run", "--port", "0"),
                *("--advertise", "127.0.0.1", "--model", self._model),
                *("--data", str(self._folder), *self._options),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={k: v for k, v in os.environ.items() if not k.startswith("SURTITLE_")},
            )
        assert self.process.stdout
        async with asyncio.timeout(90):
            line = (await self.process.stdout.readline()).decode()
        found = re.fullmatch(r"listening on (http://\S+)\n", line)
        assert found, f"not listening: {line!r}\n{self.log.read_text()}"
        self.url = found[1]
        self._drained = asyncio.create_task(self.process.stdout.read())

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit status."""
        process = self.process
        assert process
        if process.returncode is None:
            process.send_signal(number)
        try:
            async with asyncio.timeout(30):
                return await process.wait()
        except TimeoutError:
            process.kill()  # the test fails, but it leaves nothing behind
            await process.wait()
            raise
