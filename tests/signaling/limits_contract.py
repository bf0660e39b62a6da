"""What every `signaling.limits.store.LimitStore` must do. A subclass gives `store` and `other`."""

from __future__ import annotations

import asyncio

import pytest

from signaling.limits.rules import Rate

LEASE_SECONDS = 0.4


class LimitsContract:
    """Each test has a store of its own; `other` is the same one, as another gateway has it."""

    @pytest.fixture
    async def store(self):
        raise NotImplementedError

    @pytest.fixture
    async def other(self, store):
        return store

    async def test_so_many_may_come_at_once_and_the_next_is_told_when(self, store, other):
        rate = Rate(interval_seconds=20.0, burst=3)
        assert [await store.take("a", rate) for _ in range(2)] == [0.0, 0.0]
        assert await other.take("a", rate) == 0.0
        for gateway in (store, other):
            assert 15.0 < await gateway.take("a", rate) <= 20.0
        assert await store.take("b", rate) == 0.0, "another's is another's"

    async def test_who_waited_for_as_long_as_they_were_told_may_ask_again(self, store):
        rate = Rate(interval_seconds=0.2, burst=1)
        assert await store.take("a", rate) == 0.0
        wait = await store.take("a", rate)
        assert 0 < wait <= 0.2
        await asyncio.sleep(wait + 0.01)
        assert await store.take("a", rate) == 0.0

    async def test_so_many_are_held_and_one_more_when_one_is_released(self, store, other):
        assert await store.hold("l1", {"a": 2}) is None
        assert await other.hold("l2", {"a": 2}) is None
        assert await store.hold("l3", {"a": 2}) == "a"
        assert await store.hold("l2", {"a": 2}) is None, "it is held already"
        await other.release("l2", ["a"])
        await other.release("l2", ["a"])
        assert await store.hold("l3", {"a": 2}) is None
        assert await store.hold("l4", {"a": 2}) == "a"

    async def test_of_several_all_are_held_or_none(self, store):
        assert await store.hold("l1", {"a": 1}) is None
        assert await store.hold("l2", {"b": 1, "a": 1}) == "a"
        assert await store.hold("l3", {"b": 1}) is None

    async def test_what_is_not_renewed_lapses_and_what_was_forgotten_is_told_anew(
        self, store, other
    ):
        assert await store.hold("l1", {"a": 2, "b": 9}) is None
        assert await store.hold("l2", {"a": 2}) is None
        for _ in range(3):
            await asyncio.sleep(LEASE_SECONDS / 2)
            await store.renew({"a": ["l1", "l9"], "b": ["l1"]})
        assert await other.hold("l3", {"a": 2}) == "a"
        await other.release("l9", ["a"])
        assert await other.hold("l3", {"a": 2}) is None, "l2 has lapsed"
        await asyncio.sleep(LEASE_SECONDS * 1.1)
        assert await other.hold("l4", {"a": 1}) is None
