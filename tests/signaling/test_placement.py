"""A thousand calls on twenty simulated nodes, placed through two gateways on a real Redis."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from signaling.errors import ContractError
from tests.redis_server import RedisServer
from tests.signaling.fleet import Fleet, check_one_owner_at_a_time, fleet

NODES, CALLS, AT_ONCE = 20, 1000, 64


@pytest.fixture
async def url(tmp_path):
    async with RedisServer(tmp_path / "redis") as server:
        yield server.url


def spread(placed: Counter[str | None]) -> float:
    """How far the node furthest from the mean is from it, as a share of it."""
    mean = placed.total() / len(placed)
    return max(abs(count - mean) for count in placed.values()) / mean


async def begin_all(made: Fleet, calls: int, *, by_both: bool = True) -> None:
    """Many at once; every second one with audio; each placed by both gateways at once, or one."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def begin(n: int) -> None:
        async with limit:
            through = (0, 1) if by_both else (n % 2,)
            await made.begin(f"call-{n}", with_audio=n % 2 == 0, through=through)

    await asyncio.gather(*(begin(n) for n in range(calls)))


async def test_a_thousand_calls_are_spread_evenly_and_each_is_on_one_node_whatever_becomes_of_it(
    url,
):
    # A lease that outlasts what else this machine may have to do.
    async with fleet(url, [100] * NODES, lease_seconds=5.0) as made:
        await begin_all(made, CALLS)
        placed = await made.placed()
        assert placed.total() == CALLS
        assert set(placed) == set(made.nodes)
        assert spread(placed) <= 0.10, placed
        assert set(made.store.records) == {f"call-{n}" for n in range(CALLS)}

        await made.gateways[0].shared.registry.drain("node-3")
        async with asyncio.timeout(20):
            await made.until_left("node-3")
        placed = await made.placed()
        assert placed.total() == CALLS
        assert len(placed) == NODES - 1
        assert spread(placed) <= 0.10, placed
        assert not made.nodes["node-3"].calls
        assert made.nodes["node-3"].refused == 0, "every last word of it was taken"

        dead = made.nodes["node-7"]
        dead.frozen = True
        had = list(dead.calls)
        assert had
        async with asyncio.timeout(20):
            await made.until_left("node-7")
        placed = await made.placed()
        assert placed.total() == CALLS
        assert len(placed) == NODES - 2
        assert spread(placed) <= 0.10, placed

        # It wakes up, and believes that nothing has happened.
        await asyncio.gather(*(dead.speak(call, "what was I saying") for call in had))
        assert dead.refused == len(had), "nobody hears who has lost a call"
        check_one_owner_at_a_time(made)


async def test_nodes_of_different_sizes_are_filled_alike_and_never_beyond_what_they_take(url):
    sizes = [10, 20, 40, 80]
    async with fleet(url, sizes) as made:
        await begin_all(made, 75, by_both=False)
        placed = await made.placed()
        assert [placed[f"node-{n}"] for n in range(4)] == pytest.approx([5, 10, 20, 40], abs=1)
        await asyncio.gather(
            *(made.begin(f"more-{n}", with_audio=False, through=[n % 2]) for n in range(75))
        )
        placed = await made.placed()
        assert [placed[f"node-{n}"] for n in range(4)] == sizes
        async with asyncio.timeout(5):
            with pytest.raises(ContractError) as refused:
                await made.begin("one-too-many", with_audio=False, through=[0])
        assert refused.value.code == "overloaded"
        assert refused.value.retry_after_ms > 0
        assert (await made.placed())[None] == 1, "it waits where it is"
        check_one_owner_at_a_time(made)


async def test_calls_of_a_dead_node_that_have_nowhere_to_go_wait_and_move_once_there_is_room(url):
    async with fleet(url, [4, 4]) as made:
        await begin_all(made, 8, by_both=False)
        made.nodes["node-0"].frozen = True
        async with asyncio.timeout(10):
            # Nothing tells of all calls together.
            while (await made.placed())[None] < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await made.placed())["node-1"] == 4
        made.nodes["node-1"].capacity = 8
        async with asyncio.timeout(10):
            await made.until_left("node-0")
        assert await made.placed() == {"node-1": 8}
        check_one_owner_at_a_time(made)
