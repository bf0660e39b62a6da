"""A node: what it tells of its recognizer and of its load, and whether it takes new calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from captions.load import Level
from captions.waiting import Request
from captions.window import ModelInfo, Window
from media import node as node_module
from media.call import NodeCall
from media.condition import recognizer_state, trouble
from media.node import Node
from media.source import Lost, Recovered
from signaling.audio import AudioFormat
from signaling.bus import MemoryBus
from signaling.errors import ContractError
from signaling.messages import CallHealth, CallRef, Participant
from signaling.presence import MemoryPresence
from signaling.registry import MemoryRegistry
from signaling.sources import Rtp
from tests.media.test_call import Sfu

RESTARTING = "the recognizer is being restarted"
LESS_OFTEN = "captions come less often: the captioner is busy"


class Engine:
    """In the recognizer's place: in the state that the test says, and never done."""

    def __init__(self) -> None:
        self.state = "ready"
        self.workers = 1
        self.restarts = 0
        self.info = ModelInfo("scripted", ("en",), "cpu", 0.0)

    async def recognize(self, windows):
        await asyncio.Event().wait()


class World:
    """A node that is asked for its heartbeats one by one."""

    def __init__(self, node: Node, registry: MemoryRegistry, engine: Engine) -> None:
        self.node = node
        self.registry = registry
        self.engine = engine
        self.final_engine: Engine | None = None
        self.sfus: dict[str, Sfu] = {}
        self.told: list[CallHealth] = []
        self.level = Level.NORMAL

    async def begin(self, call: str) -> None:
        await self.node._bus.open_call(call, 1, {})
        await self.node.start(CallRef(call, 1, 0), Rtp(), "en")

    async def beat(self) -> list[CallHealth]:
        """What calls were told at the next heartbeat."""
        self.told.clear()
        self.node.scheduler.look = lambda: self.level
        self.node.scheduler._load.level = self.level
        await self.node._report()
        self.node._tell_health(trouble(self.engine.state, self.node._final_state, self.level))
        return list(self.told)

    async def status(self):
        return (await self.registry.nodes())[0].status


@asynccontextmanager
async def a_node(monkeypatch, *, final_engine: Engine | None = None) -> AsyncIterator[World]:
    monkeypatch.setattr(node_module, "HEARTBEAT_SECONDS", 3600)
    bus, registry, engine = MemoryBus(), MemoryRegistry(), Engine()
    sfus: list[Sfu] = []

    def source(_) -> Sfu:
        sfus.append(Sfu())
        return sfus[-1]

    node = Node(
        node_id="node-1",
        capacity=8,
        engine=engine,
        final_engine=final_engine,
        bus=bus,
        registry=registry,
        presence=MemoryPresence(),
        sources=source,
    )
    w = World(node, registry, engine)
    w.sfus = sfus

    tell = NodeCall._tell_gateways

    def told(call, event) -> None:
        if isinstance(event, CallHealth):
            w.told.append(event)
        tell(call, event)

    monkeypatch.setattr(NodeCall, "_tell_gateways", told)
    async with node:
        await asyncio.sleep(0)  # its own first heartbeat
        yield w


async def test_all_calls_are_told_once_that_the_recognizer_is_away_and_once_that_it_is_back(
    monkeypatch,
):
    async with a_node(monkeypatch) as w:
        await w.begin("a")
        await w.begin("b")
        assert await w.beat() == []
        w.engine.state = "restarting"
        away = [CallHealth(call, "degraded", RESTARTING) for call in ("a", "b")]
        assert await w.beat() == away
        assert await w.beat() == []
        w.engine.state = "ready"
        assert await w.beat() == [CallHealth(call, "live") for call in ("a", "b")]


async def test_a_call_that_begins_while_captions_are_not_well_is_told_so(monkeypatch):
    async with a_node(monkeypatch) as w:
        w.level = Level.SLOWER
        assert await w.beat() == []
        await w.begin("a")
        assert await w.beat() == [CallHealth("a", "degraded", LESS_OFTEN)]


async def test_each_step_of_load_is_told_in_words_of_its_own(monkeypatch):
    async with a_node(monkeypatch) as w:
        await w.begin("a")
        reasons = set()
        for level in (Level.SLOWER, Level.FINALS_ONLY, Level.SATURATED):
            w.level = level
            (health,) = await w.beat()
            assert health.state == "degraded"
            reasons.add(health.reason)
        assert len(reasons) == 3
        w.level = Level.NORMAL
        assert await w.beat() == [CallHealth("a", "live")]


async def test_a_call_whose_sfu_was_out_of_reach_is_told_again_behind_that(monkeypatch):
    async with a_node(monkeypatch) as w:
        await w.begin("a")
        w.level = Level.SLOWER
        degraded = [CallHealth("a", "degraded", LESS_OFTEN)]
        assert await w.beat() == degraded
        w.sfus[0].tell(Lost("the SFU is gone"))
        await asyncio.sleep(0)
        assert CallHealth("a", "recovering", "the SFU is gone") in w.told
        assert await w.beat() == []
        w.sfus[0].tell(Recovered())
        await asyncio.sleep(0)
        assert await w.beat() == degraded


@pytest.mark.parametrize(
    ("state", "level", "saturated"),
    [
        ("ready", Level.NORMAL, False),
        ("ready", Level.FINALS_ONLY, False),
        ("ready", Level.SATURATED, True),
        ("restarting", Level.NORMAL, False),
        ("open_circuit", Level.NORMAL, True),
    ],
)
async def test_no_new_call_is_placed_where_it_would_not_be_captioned(
    monkeypatch, state, level, saturated
):
    async with a_node(monkeypatch) as w:
        w.engine.state, w.level = state, level
        await w.beat()
        assert w.node.saturated is saturated
        assert (await w.status()).saturated is saturated
        if saturated:
            with pytest.raises(ContractError, match="no media node") as refused:
                await w.registry.reserve()
            assert refused.value.code == "overloaded"
            assert refused.value.retry_after_ms > 0
        else:
            await w.registry.reserve()


async def test_load_is_measured_at_every_heartbeat(monkeypatch):
    """Also while nothing comes that would measure it."""
    async with a_node(monkeypatch) as w:
        monkeypatch.setattr(node_module, "HEARTBEAT_SECONDS", 0.01)
        scheduler = w.node.scheduler
        seconds = iter(range(100, 10_000))
        scheduler._clock = lambda: next(seconds)
        window = Window([0] * 16_000)
        scheduler.submit_final(Request("c", "a", lambda: window, lambda _: None, 1.0))
        scheduler.submit_final(Request("c", "b", lambda: window, lambda _: None, 1.0))
        beating = w.node._group.create_task(w.node._beat())
        async with asyncio.timeout(5):
            while not w.node.saturated:  # noqa: ASYNC110 - a heartbeat sets no event
                await asyncio.sleep(0)
        beating.cancel()


async def test_a_second_recognizer_that_is_away_makes_captions_less_exact(monkeypatch):
    final_engine = Engine()
    async with a_node(monkeypatch, final_engine=final_engine) as w:
        await w.begin("a")
        assert await w.beat() == []
        final_engine.state = "open_circuit"
        (health,) = await w.beat()
        assert health.state == "degraded"
        assert "less exact" in health.reason
        assert w.node.recognizer == "open_circuit"
        assert not w.node.saturated


@pytest.mark.parametrize(
    ("engine", "final_engine", "worse"),
    [
        ("ready", "ready", "ready"),
        ("restarting", "ready", "restarting"),
        ("ready", "restarting", "restarting"),
        ("restarting", "open_circuit", "open_circuit"),
        ("open_circuit", "ready", "open_circuit"),
        ("starting", "ready", "restarting"),
        ("closed", "ready", "restarting"),
    ],
)
def test_of_two_recognizers_the_worse_counts(engine, final_engine, worse):
    assert recognizer_state(engine, final_engine) == worse


def test_a_recognizer_that_keeps_failing_is_the_worst_that_can_be_told():
    reason = trouble("open_circuit", "restarting", Level.SATURATED)
    assert reason == "there are no captions: the recognizer keeps failing"
    assert trouble("ready", "ready", Level.NORMAL) is None


async def test_a_recording_takes_no_place_from_anybody_who_speaks_now(monkeypatch):
    async with a_node(monkeypatch) as w:
        ref, anna = CallRef("a", 1, 0), Participant("anna", "Anna")
        await w.node._bus.open_call("a", 1, {})
        recorded = await w.node.listen(ref, anna, AudioFormat(), 0, background=True)
        await w.beat()
        status = await w.status()
        assert (w.node.streams, status.streams, status.capacity) == (0, 1, 9)
        spoken = await w.node.listen(ref, Participant("bob", "Bob"), AudioFormat(), 0)
        await w.beat()
        status = await w.status()
        assert (w.node.streams, status.streams, status.capacity) == (1, 2, 9)
        await recorded.close()
        await spoken.close()
        await w.beat()
        assert (await w.status()).capacity == 8
