"""Redis goes away and comes back: what listens goes on, what asks is told in time."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from captions.types import SPOKEN
from signaling.bus import Letter
from signaling.errors import Unreachable
from signaling.redis import hub as hub_module
from signaling.redis.bus import RedisBus
from signaling.redis.hub import Hub
from signaling.redis.keys import CallKeys
from signaling.redis.link import Link
from signaling.redis.presence import RedisPresence
from signaling.redis.registry import RedisRegistry
from signaling.registry import NodeStatus
from signaling.seal import Seal
from tests.redis_server import RedisServer
from tests.signaling.bus_contract import CALL, everything, final, partial
from tests.signaling.presence_contract import begun, over, with_anna


@pytest.fixture
async def server(tmp_path):
    async with RedisServer(tmp_path / "redis", "--appendfsync", "always") as running:
        yield running


class Process:
    """What one process has of Redis."""

    def __init__(self, link: Link, hub: Hub, bus: RedisBus) -> None:
        self.link, self.bus = link, bus
        self.registry = RedisRegistry(link, lease_seconds=0.6)
        self.presence = RedisPresence(link, hub, Seal("s" * 32))


@pytest.fixture
async def connect(server):
    async with AsyncExitStack() as stack:

        async def connected() -> Process:
            link = await stack.enter_async_context(Link(server.url))
            hub = await stack.enter_async_context(Hub(link))
            return Process(link, hub, await stack.enter_async_context(RedisBus(link, hub)))

        yield connected


async def at_last(asking):
    """The answer, as soon as there is one."""
    async with asyncio.timeout(15):
        while True:
            try:
                return await asking()
            except Unreachable:
                await asyncio.sleep(0.02)


async def heard(messages, count: int) -> list:
    async with asyncio.timeout(15):
        return [await anext(messages) for _ in range(count)]


# --- listeners ------------------------------------------------------------------------------


async def test_who_listens_has_all_finals_of_meanwhile_once_and_in_order(server, connect):
    here, node = await connect(), await connect()
    await here.bus.open_call(CALL, 1, {})
    async with here.bus.listen(CALL, SPOKEN) as captions:
        await node.bus.publish_final(1, final("u1"))
        assert [c.seq for c in await heard(captions, 1)] == [1]
        for outage in range(3):
            await server.stop()
            await server.start()
            # The node is back before whoever listens is, or the other way round.
            for n in range(4):
                utterance = f"u{outage}-{n}"
                await at_last(lambda u=utterance: node.bus.publish_final(1, final(u)))
            said = await heard(captions, 4)
            assert [c.utterance for c in said] == [f"u{outage}-{n}" for n in range(4)]
            assert [c.seq for c in said] == list(range(4 * outage + 2, 4 * outage + 6))
        await node.bus.publish_partial(1, partial("u9", 1))
        await node.bus.end_call(CALL)
        async with asyncio.timeout(15):
            assert [(c.utterance, c.final) for c in await everything(captions)] == [("u9", False)]


async def test_who_listens_comes_to_the_end_of_a_call_that_ended_meanwhile(
    server, connect, monkeypatch
):
    here, node = await connect(), await connect()
    await here.bus.open_call(CALL, 1, {})
    async with here.bus.listen(CALL, SPOKEN) as captions:
        await server.stop()
        monkeypatch.setattr(here.link, "listener", _out_of_reach)
        await server.start()
        await at_last(lambda: node.bus.publish_final(1, final("u1")))
        await at_last(lambda: node.bus.end_call(CALL))
        monkeypatch.undo()
        async with asyncio.timeout(15):
            assert [c.utterance for c in await everything(captions)] == ["u1"]


async def test_who_listens_comes_to_the_end_of_a_call_that_is_forgotten_by_then(
    server, connect, monkeypatch
):
    here, node = await connect(), await connect()
    await here.bus.open_call(CALL, 1, {})
    async with here.bus.listen(CALL, SPOKEN) as captions:
        await server.stop()
        monkeypatch.setattr(here.link, "listener", _out_of_reach)
        await server.start()
        await at_last(lambda: node.bus.end_call(CALL))
        await node.bus.forget(CALL)
        monkeypatch.undo()
        async with asyncio.timeout(15):
            assert await everything(captions) == []


async def test_an_end_that_arrives_when_the_next_call_of_its_name_has_begun_is_not_its_end(connect):
    """As in a cluster, where what is published takes its time from node to node."""
    here = await connect()
    await here.bus.open_call(CALL, 1, {})
    await here.bus.open_call(CALL, 2, {})
    async with here.bus.listen(CALL, SPOKEN) as captions:
        await here.link.do("PUBLISH", CallKeys.of(CALL).end, "1")
        await here.bus.publish_final(2, final("u1"))
        assert [c.seq for c in await heard(captions, 1)] == [1]
        await here.bus.end_call(CALL)
        async with asyncio.timeout(15):
            assert await everything(captions) == []


async def test_who_follows_a_call_sees_its_newest_version_and_its_end(server, connect, monkeypatch):
    here, other = await connect(), await connect()
    await here.presence.change(CALL, begun)
    async with here.presence.follow(CALL) as versions:
        await server.stop()
        monkeypatch.setattr(here.link, "listener", _out_of_reach)
        await server.start()
        await at_last(lambda: other.presence.change(CALL, with_anna))
        newest = await other.presence.change(
            CALL, lambda now: replace(now, source_details={"n": 1})
        )
        monkeypatch.undo()
        assert await heard(versions, 1) == [newest], "and none of those between"
        await server.stop()
        monkeypatch.setattr(here.link, "listener", _out_of_reach)
        await server.start()
        await at_last(lambda: other.presence.change(CALL, over))
        monkeypatch.undo()
        assert await heard(versions, 1) == [None]


async def test_letters_arrive_again(server, connect):
    here, other = await connect(), await connect()
    async with here.bus.letters("g1") as letters:
        await server.stop()
        await server.start()
        reading = asyncio.ensure_future(heard(letters, 1))
        async with asyncio.timeout(15):
            while not reading.done():
                await at_last(lambda: other.bus.post("g1", Letter("s1", "peer:signal", {})))
                await asyncio.sleep(0.02)
        assert [letter.socket for letter in await reading] == ["s1"]


async def test_a_writer_gets_what_is_published_after_an_outage(server, connect):
    here, node = await connect(), await connect()
    await here.bus.open_call(CALL, 1, {})
    await server.stop()
    await server.start()
    waiting = asyncio.ensure_future(at_last(lambda: here.bus.take_unwritten(10)))
    await at_last(lambda: node.bus.publish_final(1, final("u1")))
    async with asyncio.timeout(15):
        assert [u.caption.utterance for u in await waiting] == ["u1"]


async def _out_of_reach():
    raise Unreachable


# --- who asks meanwhile ---------------------------------------------------------------------


async def test_who_asks_while_redis_is_away_is_told_so_in_time(server, connect, monkeypatch):
    monkeypatch.setattr(hub_module, "SUBSCRIBE_SECONDS", 0.3)
    here = await connect()
    await here.bus.open_call(CALL, 1, {})
    await server.stop()

    async def listen():
        async with here.bus.listen(CALL, SPOKEN) as captions:
            await anext(captions)

    async def follow():
        async with here.presence.follow(CALL) as versions:
            await anext(versions)

    async def read_letters():
        async with here.bus.letters("g1") as letters:
            await anext(letters)

    begun_at = time.monotonic()
    for asking in (
        listen(),
        follow(),
        read_letters(),
        here.bus.publish_final(1, final("u1")),
        here.bus.publish_partial(1, partial("u1", 1)),
        here.bus.since(CALL, SPOKEN, 0),
        here.bus.last_seq(CALL, SPOKEN),
        here.bus.take_unwritten(1),
        here.bus.post("g1", Letter("s", "e", {})),
        here.presence.read(CALL),
        here.presence.change(CALL, begun),
        here.presence.summaries(),
        here.registry.report(NodeStatus("a", 1)),
        here.registry.nodes(),
        here.registry.reserve(),
        here.registry.lead("g1"),
    ):
        with pytest.raises(Unreachable):
            async with asyncio.timeout(5):
                await asking
    assert time.monotonic() - begun_at < 12
    await server.start()
    assert (await at_last(lambda: here.bus.publish_final(1, final("u1")))).seq == 1


async def test_what_was_asked_for_in_vain_leaves_nothing_behind(server, connect, monkeypatch):
    monkeypatch.setattr(hub_module, "SUBSCRIBE_SECONDS", 0.1)
    here = await connect()
    await server.stop()
    with pytest.raises(Unreachable):
        async with here.presence.follow(CALL):
            pass
    assert not here.presence._hub._subscriptions
    assert not [c for c in here.presence._hub._subscribed if c != hub_module._OWN]


# --- leases ---------------------------------------------------------------------------------


async def test_leases_end_without_a_heartbeat_and_are_renewed_by_one(connect):
    here = await connect()
    registry = here.registry
    await registry.report(NodeStatus("a", 10))
    await registry.report(NodeStatus("b", 10))
    await registry.report_gateway("g1")
    assert await registry.lead("g1")
    begun_at = time.monotonic()
    async with asyncio.timeout(10):
        while len(await registry.nodes()) == 2:
            await registry.report(NodeStatus("b", 10))
            await asyncio.sleep(0.02)
    assert time.monotonic() - begun_at > 0.5
    assert [node.status.id for node in await registry.nodes()] == ["b"]
    assert await registry.reserve() == "b"
    async with asyncio.timeout(10):
        while await registry.gateways():  # noqa: ASYNC110 - a lease ends without a word
            await asyncio.sleep(0.02)
        while not await registry.lead("g2"):  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.02)
    assert not await registry.lead("g1")
    await registry.report(NodeStatus("a", 10))
    assert {node.status.id for node in await registry.nodes()} >= {"a"}


async def test_a_node_that_has_been_dead_for_long_leaves_no_trace(connect, monkeypatch):
    here = await connect()
    await here.registry.report(NodeStatus("a", 10))
    await here.registry.drain("a")
    await here.registry.report_gateway("g1")
    await asyncio.sleep(0.02)
    await here.registry.report(NodeStatus("b", 10))
    assert set(await here.link.do("HKEYS", "{nodes}:status")) == {"a", "b"}, "it may come back"
    monkeypatch.setattr("signaling.redis.registry.FORGOTTEN_AFTER_MS", 10)
    await here.registry.report(NodeStatus("b", 10))
    await here.registry.report_gateway("g2")
    assert await here.link.do("HKEYS", "{nodes}:status") == ["b"]
    assert await here.link.do("ZRANGE", "{nodes}:nodes", 0, -1) == ["b"]
    assert await here.link.do("ZRANGE", "{nodes}:gateways", 0, -1) == ["g2"]
    assert not (await here.registry.report(NodeStatus("a", 10))).drain


async def test_a_memory_that_was_lost_has_another_name_and_one_that_was_kept_has_not(
    server, connect
):
    here = await connect()
    first = (await here.registry.report(NodeStatus("a", 1))).memory
    await server.stop()
    await server.start()
    assert (await at_last(lambda: here.registry.report_gateway("g1"))).memory == first
    await server.stop()
    await server.lose_everything()
    await server.start()
    assert (await at_last(lambda: here.registry.report_gateway("g1"))).memory != first


async def test_a_redis_that_comes_back_without_its_newest_writes_has_another_memory(
    server, connect, tmp_path
):
    here, there = await connect(), await connect()
    await here.registry.report(NodeStatus("a", capacity=1))
    await there.registry.report_gateway("g1")
    await server.remember_until_now(tmp_path / "aside")
    before = await here.registry.report(NodeStatus("a", capacity=1))
    assert (await there.registry.report_gateway("g1")).memory == before.memory
    await server.stop()
    await server.lose_what_came_since(tmp_path / "aside")
    await server.start()
    after = await at_last(lambda: here.registry.report(NodeStatus("a", capacity=1)))
    assert after.memory != before.memory
    gateway_s = await at_last(lambda: there.registry.report_gateway("g1"))
    again = await here.registry.report(NodeStatus("a", capacity=1))
    assert gateway_s.memory == again.memory
    assert (await there.registry.report_gateway("g1")).memory == again.memory
