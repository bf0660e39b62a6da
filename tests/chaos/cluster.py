"""A cluster of Surtitle with a Redis and a MongoDB of its own, all on 127.0.0.1."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp
import redis.asyncio as aioredis
from motor.motor_asyncio import AsyncIOMotorClient

from signaling.redis.keys import SHARDS, unwritten
from signaling.tokens import GRANTS, SharedSecret
from tests.chaos.programs import Program
from tests.mongo import Mongo
from tests.redis_server import RedisServer

SECRET = "a secret of thirty-two characters and more"
_POLL_SECONDS = 0.1


def token(subject: str, call: str = "*") -> str:
    return SharedSecret(SECRET).issue(subject, call, GRANTS, None, 3600)


class Cluster:
    """`async with` starts it all and kills what is left."""

    def __init__(self, folder: Path, *, gateways: int = 2, nodes: int = 2) -> None:
        self.redis = RedisServer(folder / "redis")
        self.mongo = Mongo(folder / "mongo")
        shared = ("--redis", self.redis.url, "--secret", SECRET)
        store = ("--mongo", f"{self.mongo.url}surtitle")
        media = ("--advertise", "127.0.0.1", "--model", "tiny.en")
        self.gateways = [
            Program(folder, name, "gateway", *shared, *store, "--id", name)
            for name in (f"gateway-{n + 1}" for n in range(gateways))
        ]
        self.nodes = {
            name: Program(folder, name, "node", *shared, *media, "--id", name)
            for name in (f"node-{n + 1}" for n in range(nodes))
        }
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await _at_once(stack, self.redis, self.mongo)
            await _at_once(stack, *self.gateways, *self.nodes.values())
            self._http = await stack.enter_async_context(aiohttp.ClientSession())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def urls(self) -> list[str]:
        """Of the gateways that live, as a load balancer knows them."""
        return [gateway.url for gateway in self.gateways if gateway.runs]

    async def get(self, path: str, gateway: Program | None = None) -> Any:
        """What a gateway, by itself the first that lives, answers."""
        url = (gateway.url if gateway else self.urls[0]) + path
        headers = {"Authorization": f"Bearer {token('judge')}"}
        async with self._http.get(url, headers=headers) as response:
            assert response.status == 200, (path, response.status, await response.text())
            return await response.json()

    async def metric(self, program: Program, name: str) -> float:
        async with self._http.get(f"{program.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next(float(x.split()[1]) for x in lines if x.startswith(f"surtitle_{name} "))

    async def node_of(self, call: str) -> Program:
        """The node that has a call."""
        return self.nodes[(await self.get(f"/api/calls/{call}"))["node"]]

    async def stored(self, call: str) -> list[dict[str, Any]]:
        """The finals that MongoDB itself has, in order of `seq`."""
        client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(self.mongo.url)
        try:
            found = client["surtitle"]["finals"].find({"call": call}).sort("seq", 1)
            return [document["caption"] for document in await found.to_list(None)]
        finally:
            client.close()

    async def unwritten(self) -> int:
        """Finals that Redis holds for the store."""
        async with aioredis.Redis(port=self.redis.port, host="127.0.0.1") as client:
            return sum([await client.xlen(unwritten(shard)) for shard in range(SHARDS)])

    async def taken(self) -> int:
        """Those of them that a gateway has taken."""
        async with aioredis.Redis(port=self.redis.port, host="127.0.0.1") as client:
            count = 0
            for shard in range(SHARDS):
                if await client.xlen(unwritten(shard)):
                    count += (await client.xpending(unwritten(shard), "writers"))["pending"]
            return count


async def until(wanted: Any, seconds: float = 90.0) -> Any:
    """The first true value of `await wanted()`: of what no process tells by itself."""
    async with asyncio.timeout(seconds):
        while not (found := await wanted()):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        return found


async def _at_once(stack: AsyncExitStack, *servers: Any) -> None:
    """Enter all of them together; they leave together, too."""
    for server in servers:
        stack.push_async_exit(server)
    await asyncio.gather(*(server.__aenter__() for server in servers))
