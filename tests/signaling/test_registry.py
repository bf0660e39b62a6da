"""Nodes, leases, placement, epochs."""

from __future__ import annotations

from collections import Counter

import pytest

from signaling.errors import ContractError
from signaling.registry import MemoryRegistry, NodeStatus, Placement


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def registry(clock):
    return MemoryRegistry(lease_seconds=5.0, clock=clock)


async def test_without_a_node_a_call_is_refused_as_overload_with_a_time_to_try_again(registry):
    with pytest.raises(ContractError) as refused:
        await registry.place("call")
    assert refused.value.code == "overloaded"
    assert refused.value.retry_after_ms > 0
    assert await registry.owner("call") is None


async def test_a_call_goes_to_the_node_with_the_lowest_share_of_its_capacity_in_use(registry):
    await registry.report(NodeStatus("small", capacity=4, streams=1))
    await registry.report(NodeStatus("large", capacity=100, streams=10))
    assert (await registry.place("call")).node == "large"


async def test_calls_are_spread_before_the_next_heartbeat_tells_of_them(registry):
    for node in ("a", "b", "c"):
        await registry.report(NodeStatus(node, capacity=10))
    placed = Counter([(await registry.place(f"call-{n}")).node for n in range(9)])
    assert placed == {"a": 3, "b": 3, "c": 3}


async def test_no_more_calls_are_placed_than_there_is_room_for(registry):
    await registry.report(NodeStatus("a", capacity=2))
    for n in range(2):
        await registry.place(f"call-{n}")
    with pytest.raises(ContractError) as refused:
        await registry.place("call-2")
    assert refused.value.code == "overloaded"
    await registry.report(NodeStatus("a", capacity=2, streams=1))
    assert (await registry.place("call-2")).node == "a"


@pytest.mark.parametrize(
    "status",
    [
        NodeStatus("a", capacity=2, streams=2),
        NodeStatus("a", capacity=2, streams=3),
        NodeStatus("a", capacity=0),
        NodeStatus("a", capacity=2, draining=True),
        NodeStatus("a", capacity=2, saturated=True),
    ],
)
async def test_a_node_that_is_full_draining_or_saturated_takes_no_new_call(registry, status):
    await registry.report(status)
    with pytest.raises(ContractError) as refused:
        await registry.place("call")
    assert refused.value.code == "overloaded"
    assert refused.value.retry_after_ms > 0


async def test_a_new_call_goes_past_a_saturated_node_and_a_call_that_is_there_stays(registry):
    await registry.report(NodeStatus("a", capacity=10))
    before = await registry.place("before")
    await registry.report(NodeStatus("a", capacity=10, saturated=True))
    await registry.report(NodeStatus("b", capacity=10, streams=9))
    assert (await registry.place("new")).node == "b"
    assert await registry.place("before") == before


async def test_a_call_stays_where_it_is(registry):
    await registry.report(NodeStatus("a", capacity=10))
    first = await registry.place("call")
    await registry.report(NodeStatus("a", capacity=10, streams=10))
    await registry.report(NodeStatus("b", capacity=10))
    assert await registry.place("call") == first
    assert await registry.owner("call") == first


async def test_a_lease_ends_without_a_heartbeat_and_is_renewed_by_one(registry, clock):
    await registry.report(NodeStatus("a", capacity=10))
    await registry.place("call")
    clock.now += 4.9
    await registry.report(NodeStatus("a", capacity=10))
    clock.now += 4.9
    assert [n.id for n in await registry.nodes()] == ["a"]
    assert (await registry.owner("call")).node == "a"
    clock.now += 0.1
    assert await registry.nodes() == []
    assert await registry.owner("call") is None


async def test_the_calls_of_a_dead_node_are_placed_anew_with_a_higher_epoch(registry, clock):
    await registry.report(NodeStatus("a", capacity=10))
    before = await registry.place("call")
    clock.now += 5
    await registry.report(NodeStatus("b", capacity=10))
    after = await registry.place("call")
    assert after.node == "b"
    assert after.epoch > before.epoch


async def test_a_node_that_withdrew_has_no_calls_any_more(registry):
    await registry.report(NodeStatus("a", capacity=10))
    await registry.place("call")
    await registry.withdraw("a")
    await registry.withdraw("a")
    assert await registry.nodes() == []
    assert await registry.owner("call") is None


async def test_a_call_that_was_released_is_placed_with_a_higher_epoch(registry):
    await registry.report(NodeStatus("a", capacity=10))
    first = await registry.place("call")
    await registry.release("call", first.epoch)
    assert await registry.owner("call") is None
    assert (await registry.place("call")).epoch > first.epoch


async def test_an_owner_of_before_cannot_release_the_call_of_the_next(registry, clock):
    await registry.report(NodeStatus("a", capacity=10))
    before = await registry.place("call")
    clock.now += 5
    await registry.report(NodeStatus("b", capacity=10))
    after = await registry.place("call")
    await registry.release("call", before.epoch)
    assert await registry.owner("call") == after == Placement("call", "b", after.epoch)
    await registry.release("nobody", 1)


async def test_a_node_is_known_as_it_last_said(registry):
    await registry.report(NodeStatus("a", capacity=10, streams=3))
    await registry.report(NodeStatus("a", capacity=8, streams=4, draining=True, url="http://a"))
    assert await registry.nodes() == [NodeStatus("a", 8, 4, draining=True, url="http://a")]
