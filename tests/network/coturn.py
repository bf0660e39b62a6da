"""Debian's coturn as an operator starts one: with a shared secret, on a port of its own."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Self

from tests.network import namespace

PATIENCE_SECONDS = 20


class Coturn:
    """`async with` starts it and waits until it listens on UDP and TCP."""

    secret = "coturns-own"
    realm = "surtitle.test"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log = folder / "coturn.log"
        self.port = namespace.free_port()
        self._news = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._draining: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True)
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "turnserver", "-n", "--verbose"),
            *("--log-file", "stdout", "--pidfile", str(self._folder / "pid")),
            *("--userdb", str(self._folder / "users"), "--no-cli", "--no-tls", "--no-dtls"),
            *("--listening-ip", namespace.ADDRESS, "--relay-ip", namespace.ADDRESS),
            *("--listening-port", str(self.port), "--min-port", "20000", "--max-port", "20099"),
            *("--use-auth-secret", "--static-auth-secret", self.secret, "--realm", self.realm),
            # Tests need it; production never.
            "--allow-loopback-peers",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._draining = asyncio.create_task(self._drain(self._process))
        try:
            for transport in ("UDP", "TCP"):
                await self.logged(rf"{transport} listener opened on *: {self.address}")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process
        assert self._draining
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._draining

    @property
    def address(self) -> str:
        return f"{namespace.ADDRESS}:{self.port}"

    def url(self, transport: str) -> str:
        """Where clients find it, over `udp` or `tcp`."""
        return f"turn:{self.address}?transport={transport}"

    async def logged(self, pattern: str) -> re.Match[str]:
        """The first match in its log, now or as soon as there is one."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            while not (found := re.search(pattern, self.log_text)):
                assert self._draining
                assert not self._draining.done(), f"coturn has ended\n{self.log_text}"
                await self._news.wait()
            return found

    async def relayed(self, user: str) -> int:
        """How many packets `user` sent to peers, once their allocation is over."""
        found = await self.logged(rf"peer usage: .*username=<\d+:{re.escape(user)}>, .*, sp=(\d+),")
        return int(found[1])

    async def refused(self, user: str) -> None:
        """Wait until `user` has come with a credential that coturn does not believe."""
        await self.logged(rf"Cannot find credentials of user <\d+:{re.escape(user)}>")

    @property
    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    async def _drain(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        with self.log.open("ab") as log:
            async for line in process.stdout:
                log.write(line)
                log.flush()
                async with self._news:
                    self._news.notify_all()
        async with self._news:
            self._news.notify_all()
