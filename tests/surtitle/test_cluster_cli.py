"""`surtitle gateway` and `surtitle node` as their operator meets them where something is wrong."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from signaling.redis.link import Link
from signaling.redis.registry import RedisRegistry
from signaling.registry import HEARTBEAT_SECONDS, NodeStatus
from surtitle.settings import Settings, UserError
from surtitle.shared import shared
from tests.redis_server import RedisServer, free_port
from tests.surtitle.test_cli import SECRET, one_line, surtitle

GATEWAY, NODE, DRAIN = ("gateway", "--port", 0), ("node", "--port", 0), ("node", "drain", "node-1")
MONGO = ("--mongo", "mongodb://127.0.0.1:1/surtitle")


@pytest.fixture
async def redis(tmp_path):
    async with RedisServer(tmp_path / "redis") as server:
        yield server


@contextlib.asynccontextmanager
async def alive(url: str, node_id: str):
    """A node that reports, until it is asked to drain; the event says that it is gone then."""
    gone = asyncio.Event()
    async with Link(url) as link, asyncio.TaskGroup() as tasks:
        registry = RedisRegistry(link)

        async def report() -> None:
            status = NodeStatus(node_id, capacity=4, url="http://127.0.0.1:1")
            # The answer to a heartbeat is how a node hears of it.
            while not (await registry.report(status)).drain:  # noqa: ASYNC110
                await asyncio.sleep(HEARTBEAT_SECONDS)
            await registry.withdraw(node_id)
            gone.set()

        await registry.report(NodeStatus(node_id, capacity=4))
        reporting = tasks.create_task(report())
        yield gone
        reporting.cancel()


@pytest.mark.parametrize("command", [(*GATEWAY, *MONGO), NODE, DRAIN])
async def test_without_redis_it_is_said_what_is_missing(command):
    message = one_line(await surtitle(*command))
    assert "--redis" in message
    assert "SURTITLE_REDIS" in message


async def test_a_gateway_without_mongodb_is_told_that_it_needs_one(redis):
    message = one_line(await surtitle(*GATEWAY, "--redis", redis.url))
    assert "--mongo" in message
    assert "SURTITLE_MONGO" in message


@pytest.mark.parametrize("command", [(*GATEWAY, *MONGO), NODE, DRAIN])
async def test_a_redis_that_is_not_there_is_named_without_its_password(command):
    port = free_port()
    message = one_line(await surtitle(*command, "--redis", f"redis://anna:hush@127.0.0.1:{port}"))
    assert f"127.0.0.1:{port}" in message
    assert "hush" not in message
    assert "anna" not in message


async def complaint_of(url: str) -> str:
    with pytest.raises(UserError) as complaint:
        async with shared(Settings(redis=url)):
            pass
    return str(complaint.value)


@pytest.mark.parametrize("kind", ["rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster"])
async def test_whatever_the_way_to_redis_is_it_is_named_without_its_password(kind):
    port = free_port()
    message = await complaint_of(f"{kind}://anna:hush@127.0.0.1:{port}/calls")
    assert f"127.0.0.1:{port}" in message
    assert "hush" not in message
    assert "anna" not in message


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379",
        "localhost",
        "redis+sentinel://127.0.0.1:26379",
        "redis://127.0.0.1:port",
        "redis+cluster://127.0.0.1:1,127.0.0.1:port",
        "redis+sentinel://127.0.0.1:99999999/calls",
        "redis://127.0.0.1:99999999",
        "redis://[::1",
        "redis://:hush#hush@127.0.0.1",
    ],
)
async def test_a_url_that_cannot_be_meant_is_said_to_be_none(url):
    message = await complaint_of(url)
    assert message.startswith("--redis: ")
    assert "hush" not in message


async def test_a_redis_that_wants_a_password_is_out_of_reach(redis):
    async with Link(redis.url) as link:
        await link.do("CONFIG", "SET", "requirepass", "hush")
    assert str(redis.port) in await complaint_of(redis.url)


async def test_a_mongodb_that_is_not_there_is_named_without_its_password(redis):
    port = free_port()
    url = f"mongodb://anna:hush@127.0.0.1:{port}/surtitle?serverSelectionTimeoutMS=300"
    message = one_line(await surtitle(*GATEWAY, "--redis", redis.url, "--mongo", url))
    assert str(port) in message
    assert "hush" not in message


async def test_a_name_that_is_taken_is_said_to_be(redis):
    async with alive(redis.url, "node-1"):
        done = await surtitle(
            *NODE, "--id", "node-1", "--redis", redis.url, "--secret", SECRET, seconds=30
        )
    message = one_line(done)
    assert "'node-1'" in message
    assert "--id" in message


async def test_a_node_that_nobody_knows_cannot_drain_and_those_there_are_are_named(redis):
    message = one_line(await surtitle(*DRAIN, "--redis", redis.url))
    assert "'node-1'" in message
    assert "none" in message
    async with alive(redis.url, "node-2"), alive(redis.url, "node-3") as three:
        message = one_line(await surtitle(*DRAIN, "--redis", redis.url))
        assert "node-2, node-3" in message
        assert not three.is_set(), "and none of them drains"


async def test_draining_returns_when_the_node_is_gone(redis):
    async with alive(redis.url, "node-1") as gone:
        done = await surtitle(*DRAIN, "--redis", redis.url, seconds=30)
        assert gone.is_set()
    assert (done.status, done.out) == (0, "")
    assert "0 calls left" in done.err
    assert done.err.endswith("node-1 is gone\n")


async def test_who_can_be_reached_by_others_needs_a_secret():
    message = one_line(await surtitle(*GATEWAY, *MONGO, "--host", "0.0.0.0"))
    assert "--secret" in message
