"""Debian's coturn as its container starts it: by the same entry point, of the same template."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from pathlib import Path
from typing import Self

from tests.certificates import Certificates, certificates

ROOT = Path(__file__).parent.parent
ENTRYPOINT = ROOT / "deploy/docker/coturn/entrypoint.sh"
PATIENCE_SECONDS = 20

SECRET, OLD_SECRET, REALM = "coturns-own", "the-one-before", "surtitle.test"


def environment(folder: Path, **turn: str) -> dict[str, str]:
    """What the container's entry point is given; `turn` are `TURN_…` variables in small."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("TURN_")},
        # Where Debian has programs of administrators.
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        "PYTHONPATH": str(ROOT),
        "TURN_FOLDER": str(folder),
        "TURN_SECRET": SECRET,
        "TURN_SECRET_OLD": OLD_SECRET,
        "TURN_REALM": REALM,
        **{f"TURN_{name.upper()}": value for name, value in turn.items()},
    }


class TurnServer:
    """`async with` starts it and waits until it listens on UDP, TCP and TLS."""

    def __init__(self, folder: Path, address: str, **turn: str) -> None:
        """At an IP address; `turn` are further `TURN_…` variables in small."""
        self.folder = folder
        self.log = folder / "coturn.log"
        self.host = address
        self.port, self.tls_port = free_ports(address)
        self.certificates: Certificates = certificates(folder / "certs", address)
        self.environment = environment(
            folder,
            port=str(self.port),
            tls_port=str(self.tls_port),
            listening_ip=address,
            **{"relay_ip": address, **turn},
            certificate=str(self.certificates.chain),
            key=str(self.certificates.key),
        )
        self._news = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._draining: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "sh", str(ENTRYPOINT), "--verbose"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.environment,
        )
        self._draining = asyncio.create_task(self._drain(self._process))
        try:
            # Either of the TCP ports takes TLS, too.
            for transport, port in (("UDP", self.port), ("TCP", self.port), ("TCP", self.tls_port)):
                await self.logged(rf"{transport} listener opened on *: {self.host}:{port}\b")
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

    def url(self, transport: str) -> str:
        """Where clients find it, over `udp`, `tcp` or `tls`."""
        if transport == "tls":
            return f"turns:{self.host}:{self.tls_port}?transport=tcp"
        return f"turn:{self.host}:{self.port}?transport={transport}"

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


def free_ports(address: str) -> tuple[int, int]:
    """Two TCP ports nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind((address, 0))
        other.bind((address, 0))
        return one.getsockname()[1], other.getsockname()[1]
