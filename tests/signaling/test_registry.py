"""The registry of one process."""

from __future__ import annotations

import pytest

from signaling.registry import MemoryRegistry, NodeStatus
from tests.signaling.registry_contract import RegistryContract


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


class TestMemoryRegistry(RegistryContract):
    @pytest.fixture
    async def registry(self, clock):
        return MemoryRegistry(lease_seconds=5.0, clock=clock)

    async def test_a_lease_ends_without_a_heartbeat_and_is_renewed_by_one(self, registry, clock):
        await registry.report(NodeStatus("a", capacity=10))
        await registry.report_gateway("g1")
        clock.now += 4.9
        await registry.report(NodeStatus("a", capacity=10))
        clock.now += 4.9
        assert [n.status.id for n in await registry.nodes()] == ["a"]
        assert await registry.gateways() == set()
        clock.now += 0.2
        assert await registry.nodes() == []

    async def test_another_gateway_leads_when_the_leader_is_gone(self, registry, clock):
        assert await registry.lead("g1")
        clock.now += 4.0
        assert await registry.lead("g1")
        clock.now += 4.0
        assert not await registry.lead("g2")
        clock.now += 1.1
        assert await registry.lead("g2")
        assert not await registry.lead("g1")
