"""One `surtitle …` as an operator starts it, and what can be done to it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Self

from tests.log_watch import watch

START_SECONDS = 120
"""Several clusters start at once, on as few cores as there are."""

END_SECONDS = 60


class Program:
    """`async with` starts it and kills it. Its port outlasts `start` again."""

    def __init__(
        self, folder: Path, name: str, *command: str, prefix: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.url = ""
        self.process: asyncio.subprocess.Process | None = None
        self._command = command
        self._prefix = prefix
        self._port = 0
        self._drained: asyncio.Task[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.runs:
            await self.kill()

    async def start(self) -> None:
        watch(self.log, self._command)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", *self._prefix),
                *(sys.executable, "-m", "surtitle", *self._command, "--port", str(self._port)),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={k: v for k, v in os.environ.items() if not k.startswith("SURTITLE_")},
            )
        assert self.process.stdout
        try:
            async with asyncio.timeout(START_SECONDS):
                line = (await self.process.stdout.readline()).decode()
        except TimeoutError:
            line = ""
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:(\d+))\n", line)
        assert found, f"{self.name} does not listen: {line!r}\n{self.log.read_text()}"
        self.url, self._port = found[1], int(found[2])
        self._drained = asyncio.create_task(self.process.stdout.read())

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.send(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """The exit status, when it ends by itself."""
        assert self.process
        async with asyncio.timeout(END_SECONDS):
            return await self.process.wait()
