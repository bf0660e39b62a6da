"""Bus, registry and presence on Debian's Redis: one server, and a cluster of six."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
import redis.asyncio as aioredis

from signaling.limits.rules import Rate
from signaling.redis.bus import RedisBus
from signaling.redis.file_jobs import RedisFileJobs
from signaling.redis.hub import Hub
from signaling.redis.keys import limit
from signaling.redis.limits import RedisLimits
from signaling.redis.link import Link
from signaling.redis.presence import RedisPresence
from signaling.redis.registry import RedisRegistry
from signaling.seal import Seal
from tests.redis_server import RedisCluster, RedisServer
from tests.signaling.bus_contract import BusContract
from tests.signaling.file_jobs_contract import FileJobsContract
from tests.signaling.limits_contract import LEASE_SECONDS, LimitsContract
from tests.signaling.presence_contract import PresenceContract
from tests.signaling.registry_contract import RegistryContract


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["single", "cluster"])
async def url(request, tmp_path_factory):
    kind = RedisServer if request.param == "single" else RedisCluster
    async with kind(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


async def flush(link: Link) -> None:
    client = link._open
    if link.is_cluster:
        await asyncio.gather(
            *(client.execute_command("FLUSHALL", target_nodes=n) for n in client.get_primaries())
        )
    else:
        await client.flushall()


@asynccontextmanager
async def connected(url: str):
    """A link and its hub, as a process has them."""
    async with Link(url) as link, Hub(link) as hub:
        yield link, hub


@pytest.fixture
async def shared(url):
    async with connected(url) as (link, hub):
        await flush(link)
        await nothing_under_way(link, hub)
        yield link, hub


async def nothing_under_way(link: Link, hub: Hub) -> None:
    """What an earlier test published, under the same names, has reached all servers of a cluster.

    What one server passes on to another stays in order.
    """
    if not link.is_cluster:
        return
    servers = link._open.get_primaries()
    async with hub.subscribe("test", queue_size=64) as heard:
        for n, server in enumerate(servers):
            async with aioredis.Redis(host=server.host, port=server.port) as client:
                await client.publish("test", n)
        for _ in servers:
            await heard.get()


class TestRedisBus(BusContract):
    @pytest.fixture
    async def bus(self, shared):
        async with RedisBus(*shared) as bus:
            yield bus


class TestRedisRegistry(RegistryContract):
    @pytest.fixture
    async def registry(self, shared):
        return RedisRegistry(shared[0])


class TestRedisFileJobs(FileJobsContract):
    @pytest.fixture
    async def jobs(self, shared):
        return RedisFileJobs(*shared)

    @pytest.fixture
    async def other(self, jobs, url):
        async with connected(url) as (link, hub):
            yield RedisFileJobs(link, hub)


class TestRedisLimits(LimitsContract):
    @pytest.fixture
    async def store(self, shared):
        return RedisLimits(shared[0], LEASE_SECONDS)

    @pytest.fixture
    async def other(self, store, url):
        async with Link(url) as link:
            yield RedisLimits(link, LEASE_SECONDS)

    async def test_nothing_is_left_of_who_came_and_went(self, store, shared):
        link, _ = shared
        assert await store.take("a", Rate(interval_seconds=0.05, burst=3)) == 0.0
        assert await store.hold("l1", {"b": 3, "c": 3}) is None
        await store.release("l1", ["b"])
        await asyncio.sleep(LEASE_SECONDS * 1.5)
        assert [await link.do("EXISTS", limit(key)) for key in "abc"] == [0, 0, 0]


class TestRedisPresence(PresenceContract):
    @pytest.fixture
    async def presence(self, shared):
        return RedisPresence(*shared, Seal("s" * 32))

    @pytest.fixture
    async def other(self, presence, url):
        async with connected(url) as (link, hub):
            yield RedisPresence(link, hub, Seal("s" * 32))
