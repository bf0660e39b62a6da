"""Limits: their numbers, who asks, and what is remembered of it."""

from __future__ import annotations

import asyncio
import math

import pytest

from signaling.errors import ContractError, Unreachable
from signaling.limits.limiter import Limiter
from signaling.limits.rules import CODES, NAMES, Limits, Rate
from signaling.limits.store import MOST_KEYS, MemoryLimits
from tests.signaling.limits_contract import LEASE_SECONDS, LimitsContract


class TestMemoryLimits(LimitsContract):
    @pytest.fixture
    async def store(self):
        return MemoryLimits(LEASE_SECONDS)


def test_limits_are_set_by_name_on_the_command_line_before_the_environment():
    environment = {
        "SURTITLE_LIMIT_TRACKS_PER_CALL": "7",
        "SURTITLE_LIMIT_MESSAGE_BYTES": "9",
        "SURTITLE_LIMIT_STREAMS_PER_TENANT": "",
    }
    limits = Limits.of(["message-bytes=10", "streams_per_gateway = 0"], environment)
    assert limits.tracks_per_call == 7
    assert limits.message_bytes == 10
    assert limits.streams_per_gateway == 0
    assert limits.streams_per_tenant == Limits().streams_per_tenant


@pytest.mark.parametrize(
    "pair", ["tracks=3", "tracks_per_call", "tracks_per_call=-1", "=", "a=1e3"]
)
def test_what_is_no_limit_is_refused_with_a_word_on_what_is(pair):
    with pytest.raises(ValueError, match="tracks_per_call"):
        Limits.of([pair])


def test_each_refusal_says_its_code_and_when_to_come_again_unless_that_is_of_no_use():
    for name in NAMES:
        error = Limits().refusal(name)
        assert error.code == CODES[name]
        assert (error.retry_after_ms is None) == (error.code == "too_large")
        assert str(Limits().most(name)) in error.message


def test_who_asks_no_more_is_forgotten():
    now = 0.0
    store = MemoryLimits(clock=lambda: now)
    for n in range(1000):
        store.take_now(f"a{n}", Rate(1.0, 1))
    now += 1.0
    for _ in range(1000):
        store.take_now("b", Rate(1e-9, 10))
    assert len(store._due) == 1
    for n in range(MOST_KEYS + 10):
        store.take_now(f"c{n}", Rate(1e9, 1))
    assert len(store._due) == MOST_KEYS


class Shared(MemoryLimits):
    """What gateways have together; out of reach, silent or at fault when told so."""

    def __init__(self):
        super().__init__(math.inf)
        self.fault: BaseException | None = None
        self.asked = 0

    async def _answer(self):
        self.asked += 1
        if self.fault:
            raise self.fault

    async def take(self, key, rate):
        await self._answer()
        return await super().take(key, rate)

    async def hold(self, lease, most):
        await self._answer()
        return await super().hold(lease, most)


async def test_gateways_share_what_is_left_of_a_limit_and_ask_for_nothing_that_they_know():
    shared = Shared()
    limits = Limits(calls_per_tenant_per_minute=3, streams_per_tenant=2)
    one, two = Limiter(limits, shared), Limiter(limits, shared)
    for limiter in (one, two, one):
        await limiter.admit("calls_per_tenant_per_minute", "t")
    with pytest.raises(ContractError) as refused:
        await two.admit("calls_per_tenant_per_minute", "t")
    assert (refused.value.code, 0 < refused.value.retry_after_ms <= 20_000) == (
        "rate_limited",
        True,
    )
    await one.hold({"streams_per_tenant": "t"})
    await two.hold({"streams_per_tenant": "t"})
    with pytest.raises(ContractError):
        await two.hold({"streams_per_tenant": "t"})
    assert (two.hits["calls_per_tenant_per_minute"], two.hits["streams_per_tenant"]) == (1, 1)
    lonely = Limiter(limits, shared)
    for n in range(100):
        before = shared.asked
        try:
            await lonely.admit("calls_per_tenant_per_minute", "u")
        except ContractError:
            assert shared.asked == before or n == 3
    assert shared.asked - before == 0, "a flood stays here"


@pytest.mark.parametrize("fault", [Unreachable(), TimeoutError(), RuntimeError("a fault")])
async def test_without_what_is_shared_a_gateway_goes_by_its_own_and_nobody_is_refused_for_it(fault):
    shared, now = Shared(), 0.0
    limiter = Limiter(Limits(streams_per_tenant=2), shared, clock=lambda: now)
    shared.fault = fault
    await limiter.admit("calls_per_tenant_per_minute", "t")
    leases = [await limiter.hold({"streams_per_tenant": "t"}) for _ in range(2)]
    assert shared.asked == 1, "who did not answer is not asked again at once"
    with pytest.raises(ContractError):
        await limiter.hold({"streams_per_tenant": "t"})
    shared.fault = None
    now += 10
    leases[0].release()
    await limiter.hold({"streams_per_tenant": "t"})
    assert shared.asked == 2


async def test_what_is_open_is_renewed_and_what_is_closed_is_given_back_to_all():
    shared = MemoryLimits(0.3)
    limits = Limits(streams_per_tenant=1)
    one, two = Limiter(limits, shared, lease_seconds=0.3), Limiter(limits, shared)
    running = asyncio.create_task(one.run())
    lease = await one.hold({"streams_per_tenant": "t", "connections_per_subject": None})
    await asyncio.sleep(0.5)
    with pytest.raises(ContractError):
        await two.hold({"streams_per_tenant": "t"})
    lease.release()
    lease.release()
    await asyncio.sleep(0.01)
    other = await two.hold({"streams_per_tenant": "t"})
    running.cancel()
    other.release()
    assert not one._leases
    assert not one._own._held


async def test_whose_lease_was_given_up_on_holds_nothing():
    shared = MemoryLimits(math.inf)
    gate = asyncio.Event()
    hold = shared.hold

    async def late(lease, most):
        held = await hold(lease, most)
        await gate.wait()
        return held

    shared.hold = late
    limiter = Limiter(Limits(streams_per_tenant=1), shared)
    asking = asyncio.create_task(limiter.hold({"streams_per_tenant": "t"}))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    running = asyncio.create_task(limiter.run())
    await asyncio.sleep(0.01)
    running.cancel()
    assert not shared._held
    assert not limiter._own._held
