"""Debian's redis-server, one or a cluster of six, on 127.0.0.1 in a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from pathlib import Path
from typing import Self

import redis.asyncio as aioredis
from redis.exceptions import RedisError


def free_port() -> int:
    """One whose cluster bus, 10,000 above, is free too."""
    while True:
        with socket.socket() as found, socket.socket() as bus:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
            if port > 50_000:
                continue
            try:
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


class RedisServer:
    """`async with` starts it. Its port, and what it kept, outlast `stop` and `start`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self.port = free_port()
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(signal.SIGKILL)

    async def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "redis.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", "redis-server"),
                *("--port", str(self.port), "--bind", "127.0.0.1"),
                *("--dir", str(self._folder), "--save", "", "--appendonly", "yes"),
                *("--appendfsync", "everysec", "--maxmemory-policy", "noeviction"),
                *self._options,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(20), aioredis.Redis(port=self.port, host="127.0.0.1") as client:
            while True:
                try:
                    await client.ping()
                    return
                except (RedisError, OSError):
                    await asyncio.sleep(0.05)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process and process.returncode is None:
            process.send_signal(number)
            await process.wait()

    async def lose_everything(self) -> None:
        """What it kept is gone when it starts again."""
        assert self.process is None
        await asyncio.to_thread(shutil.rmtree, self._folder)

    async def remember_until_now(self, aside: Path) -> None:
        """Put what it has kept until now aside, for `lose_what_came_since`."""
        await asyncio.to_thread(shutil.copytree, self._folder, aside)

    async def lose_what_came_since(self, aside: Path) -> None:
        """It starts again as it was: like a replica that had not heard of the newest writes."""
        await self.lose_everything()
        await asyncio.to_thread(shutil.copytree, aside, self._folder)


class RedisCluster:
    """Three masters and three replicas."""

    def __init__(self, folder: Path) -> None:
        self.servers = [
            RedisServer(
                folder / str(n),
                *("--cluster-enabled", "yes", "--cluster-node-timeout", "2000"),
            )
            for n in range(6)
        ]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{s.port}" for s in self.servers[:2])

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(server.start() for server in self.servers))
        made = await asyncio.create_subprocess_exec(
            *("redis-cli", "--cluster", "create"),
            *(f"127.0.0.1:{server.port}" for server in self.servers),
            *("--cluster-replicas", "1", "--cluster-yes"),
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            output, _ = await made.communicate()
        assert made.returncode == 0, output.decode()
        async with asyncio.timeout(30):
            for server in self.servers:
                async with aioredis.Redis(port=server.port, host="127.0.0.1") as client:
                    # Redis tells nobody when all of them have heard of all.
                    while not await _is_whole(client):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(server.stop(signal.SIGKILL) for server in self.servers))


async def _is_whole(client: aioredis.Redis) -> bool:
    info = await client.execute_command("CLUSTER INFO")
    nodes = await client.execute_command("CLUSTER NODES")
    return info["cluster_state"] == "ok" and sum("slave" in n["flags"] for n in nodes.values()) == 3
