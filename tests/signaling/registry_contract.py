"""What every `signaling.registry.Registry` must do. A subclass gives the fixture `registry`.

Leases end and are renewed in ways that differ; those tests are each subclass's own.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from signaling.errors import ContractError
from signaling.registry import NodeStatus


class RegistryContract:
    """Each test has a registry of its own."""

    @pytest.fixture
    async def registry(self):
        raise NotImplementedError

    async def test_without_a_node_a_call_is_refused_as_overload_with_a_time_to_try_again(
        self, registry
    ):
        with pytest.raises(ContractError) as refused:
            await registry.reserve()
        assert refused.value.code == "overloaded"
        assert refused.value.retry_after_ms > 0

    async def test_a_call_goes_to_the_node_with_the_lowest_share_of_its_capacity_in_use(
        self, registry
    ):
        await registry.report(NodeStatus("small", capacity=4, streams=1))
        await registry.report(NodeStatus("large", capacity=100, streams=10))
        assert await registry.reserve() == "large"

    async def test_calls_are_spread_before_a_heartbeat_tells_of_them(self, registry):
        for node in ("a", "b", "c"):
            await registry.report(NodeStatus(node, capacity=10))
        placed = Counter(await asyncio.gather(*(registry.reserve() for _ in range(9))))
        assert placed == {"a": 3, "b": 3, "c": 3}

    async def test_calls_without_a_speaker_yet_count_at_the_next_heartbeat_too(self, registry):
        await registry.report(NodeStatus("a", capacity=2))
        for _ in range(2):
            await registry.reserve()
        await registry.report(NodeStatus("a", capacity=2, streams=1))
        with pytest.raises(ContractError) as refused:
            await registry.reserve()
        assert refused.value.code == "overloaded"
        await registry.give_back("a")
        assert await registry.reserve() == "a"

    async def test_what_is_given_back_twice_makes_no_room_that_is_not_there(self, registry):
        await registry.report(NodeStatus("a", capacity=1))
        for node in ("a", "a", "nobody", ""):
            await registry.give_back(node)
        assert await registry.reserve() == "a"
        with pytest.raises(ContractError):
            await registry.reserve()

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
    async def test_a_node_that_is_full_draining_or_saturated_takes_no_new_call(
        self, registry, status
    ):
        await registry.report(status)
        with pytest.raises(ContractError) as refused:
            await registry.reserve()
        assert refused.value.code == "overloaded"

    async def test_a_new_call_goes_past_a_saturated_node(self, registry):
        await registry.report(NodeStatus("a", capacity=10, saturated=True))
        await registry.report(NodeStatus("b", capacity=10, streams=9))
        assert await registry.reserve() == "b"

    async def test_a_node_is_known_as_it_last_said(self, registry):
        await registry.report(NodeStatus("a", capacity=10, streams=3))
        last = NodeStatus("a", capacity=8, streams=4, draining=True, url="http://a")
        await registry.report(last)
        (node,) = await registry.nodes()
        assert node.status == last
        assert node.used == 4

    async def test_a_node_that_withdrew_is_gone_and_its_calls_count_no_more(self, registry):
        await registry.report(NodeStatus("a", capacity=10))
        await registry.reserve()
        await registry.withdraw("a")
        await registry.withdraw("a")
        assert await registry.nodes() == []
        await registry.report(NodeStatus("a", capacity=10))
        (node,) = await registry.nodes()
        assert node.calls == 0

    async def test_calls_are_recounted(self, registry):
        for node in ("a", "b"):
            await registry.report(NodeStatus(node, capacity=10))
            await registry.reserve()
        await registry.recount({"b": 5})
        calls = {node.status.id: node.calls for node in await registry.nodes()}
        assert calls == {"a": 0, "b": 5}

    async def test_a_node_hears_that_it_is_to_drain_until_it_is_gone(self, registry):
        assert not (await registry.report(NodeStatus("a", capacity=1))).drain
        await registry.drain("a")
        assert (await registry.report(NodeStatus("a", capacity=1))).drain
        assert not (await registry.report(NodeStatus("b", capacity=1))).drain
        await registry.withdraw("a")
        assert not (await registry.report(NodeStatus("a", capacity=1))).drain, "started anew"

    async def test_gateways_come_and_go(self, registry):
        first = await registry.report_gateway("g1")
        assert await registry.report_gateway("g2") == first
        assert await registry.gateways() == {"g1", "g2"}
        await registry.withdraw_gateway("g1")
        assert await registry.gateways() == {"g2"}

    async def test_nodes_and_gateways_hear_the_same_name_of_the_registry_s_memory(self, registry):
        orders = await registry.report(NodeStatus("a", capacity=1))
        assert (await registry.report_gateway("g1")).memory == orders.memory

    async def test_one_gateway_leads_until_its_lease_ends(self, registry):
        led = [await registry.lead(gateway) for gateway in ("g1", "g2", "g1", "g3")]
        assert led == [True, False, True, False]
