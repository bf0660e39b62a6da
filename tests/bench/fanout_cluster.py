"""Surtitle's gateways as `tests.bench.fanout` measures them: real ones, on Redis and MongoDB.

Captions are published as a node does it: by a `Publisher` for each call, on `RedisBus`. The
gateways carry the finals to the store meanwhile.
"""

from __future__ import annotations

import asyncio
import resource
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import psutil

from captions.types import SPOKEN, Caption
from media.counts import NodeCounts
from media.publisher import Publisher
from signaling.messages import CallRef
from signaling.redis.bus import RedisBus
from signaling.redis.hub import Hub
from signaling.redis.link import Link
from signaling.store_mongo import MongoStore
from signaling.tokens import SharedSecret
from tests.bench.fanout_servers import Program, Servers
from tests.mongo import a_database, a_server
from tests.redis_server import RedisServer

EPOCH = 1
"""Of the calls: watchers open them, and nobody joins, so that no node has them."""

_WRITTEN_SECONDS = 120.0


class Cluster(Servers):
    """Gateways, a redis-server and a server of MongoDB's protocol; this process is the node."""

    def __init__(self, count: int, calls: Sequence[str]) -> None:
        super().__init__(0, calls)
        self._count = count
        self._stack = AsyncExitStack()
        self._publishers: dict[str, Publisher] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        enter = self._stack.enter_async_context
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        children = set(psutil.Process().children())
        self.redis = await enter(RedisServer(folder / "redis"))
        mongo = await enter(a_database(await enter(a_server(folder / "mongo"))))
        redis_pid = self.redis.process.pid if self.redis.process else 0
        self._below = {"redis": [psutil.Process(redis_pid)]}
        self._below["store"] = [
            child
            for child in set(psutil.Process().children()) - children
            if child.pid != redis_pid  # none where SURTITLE_MONGO is a server elsewhere
        ]
        secret = secrets.token_hex(32)
        authority = SharedSecret(secret)
        self.tokens = {c: authority.issue("viewer", c, ("watch",), None, 3600) for c in self.calls}
        for number in range(self._count):
            program = Program(
                *("surtitle", "gateway", "--port", "0", "--log", "json", "--secret", secret),
                *("--redis", self.redis.url, "--mongo", mongo),
                log=folder / f"gateway-{number}.log",
            )
            self.programs.append(await enter(program))
            self.urls.append((await program.line()).split()[-1])
        link = await enter(Link(self.redis.url))
        bus = await enter(RedisBus(link, await enter(Hub(link))))
        self._store = await enter(MongoStore(mongo))
        tasks = await enter(asyncio.TaskGroup())
        counts = NodeCounts()
        for call in self.calls:
            await bus.open_call(call, EPOCH, {})
            publisher = Publisher(call=CallRef(call, EPOCH, 0), bus=bus, counts=counts)
            self._publishers[call] = publisher
            tasks.create_task(publisher.run())
            self._stack.callback(publisher.close)

    async def publish(self, caption: Caption) -> None:
        """To everybody in the call, on whichever server; it may be on its way yet."""
        self._publishers[caption.call].put(caption)

    async def published(self) -> None:
        """Wait until nothing is on its way any more."""
        for publisher in self._publishers.values():
            while publisher._waiting:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)

    def cpu_seconds(self) -> dict[str, float]:
        """Of the servers, and of what they stand on, so far."""
        below = {
            name: sum(sum(process.cpu_times()[:2]) for process in processes)
            for name, processes in self._below.items()
        }
        return super().cpu_seconds() | below

    async def unkept(self, finals: Counter[str]) -> int:
        """How many of these finals are not in the store exactly once, after some patience."""
        patience = time.monotonic() + _WRITTEN_SECONDS
        while (wrong := await self._unkept(finals)) and time.monotonic() < patience:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        return wrong

    async def _unkept(self, finals: Counter[str]) -> int:
        wrong = 0
        for call, count in finals.items():
            kept = [caption.seq for caption in await self._store.captions(call, SPOKEN)]
            there, wanted = Counter(kept), Counter(range(1, count + 1))
            wrong += ((there - wanted) + (wanted - there)).total()
        return wrong
