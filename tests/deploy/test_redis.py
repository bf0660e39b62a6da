"""Debian's Redis 7 takes the configuration, and keeps what it was told."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import redis.asyncio

from tests.deploy.tools import DEPLOY, program


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@asynccontextmanager
async def running(config: Path, port: int) -> AsyncIterator[redis.asyncio.Redis]:
    process = await asyncio.create_subprocess_exec(
        program("redis-server"),
        str(config),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    client = redis.asyncio.Redis(port=port, password="ofredis", decode_responses=True)
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    await client.ping()
                    break
                except redis.exceptions.ConnectionError:
                    await asyncio.sleep(0.05)
        yield client
    finally:
        await client.aclose()
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def test_what_redis_was_told_outlives_its_being_killed(tmp_path):
    port = free_port()
    config = tmp_path / "redis.conf"
    given = (DEPLOY / "redis/redis.conf").read_text()
    given = given.replace("port 6379", f"port {port}").replace("dir /data", f"dir {tmp_path}")
    config.write_text(f"{given}\nbind 127.0.0.1\nrequirepass ofredis\n")
    async with running(config, port) as client:
        settings = await client.config_get("*")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "everysec"
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["save"] == ""
        await client.xadd("{s1}:unwritten", {"final": "1"})
        # The second that may be lost.
        await asyncio.sleep(1.5)
    async with running(config, port) as client:
        assert await client.xlen("{s1}:unwritten") == 1
