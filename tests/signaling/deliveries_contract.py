"""What every `signaling.webhooks.delivery.Deliveries` must do. A subclass gives `store`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from signaling.webhooks.delivery import DEAD_KEPT_MS, SENT_KEPT_MS, Delivery
from tests.signaling.bus_contract import CALL


def delivery(name: str, target: str = "t", **more) -> Delivery:
    fields = {"event": "call.ended", "call": CALL, "origin": "https://a.example"}
    times = {"created_at_ms": 100, "due_at_ms": 100}
    return Delivery(id=name, target=target, **(fields | times | more))


def ids(deliveries) -> list[str]:
    return [each.id for each in deliveries]


class DeliveriesContract:
    """Each test has a store of its own."""

    @pytest.fixture
    async def store(self):
        raise NotImplementedError

    @pytest.fixture
    async def deliveries(self, store):
        return store.deliveries

    async def test_what_was_added_is_there_as_it_was(self, deliveries):
        about = {"numbers": {"spoken": 3, "pt-BR": 2}, "ended_at_ms": 1_700_000_000_000}
        added = delivery("a", about=about, event="transcript.ready")
        await deliveries.add([added])
        assert await deliveries.delivery("a") == added
        assert await deliveries.delivery("b") is None

    async def test_added_again_it_changes_nothing_whatever_became_of_it(self, deliveries):
        await deliveries.add([delivery("a"), delivery("b")])
        sent = replace(delivery("a"), state="sent", attempts=1, status=200, settled_at_ms=150)
        await deliveries.settle(sent)
        await deliveries.add([delivery("a", due_at_ms=500), delivery("b"), delivery("c")])
        assert await deliveries.delivery("a") == sent
        count = await deliveries.count()
        assert (count["waiting"], count.get("dead", 0)) == (2, 0)

    async def test_what_is_due_is_claimed_once_the_oldest_first_and_again_when_the_claim_is_over(
        self, deliveries
    ):
        await deliveries.add(
            [
                delivery("late", due_at_ms=900),
                delivery("second", created_at_ms=101, due_at_ms=101),
                delivery("first"),
                delivery("other", target="o", due_at_ms=50),
            ]
        )
        assert await deliveries.due(200) == ["o", "t"]
        assert await deliveries.next_due_ms(200) == 900
        claimed = await deliveries.claim("t", 200, 700, 10)
        assert ids(claimed) == ["first", "second"]
        assert [each.attempts for each in claimed] == [1, 1]
        assert await deliveries.claim("t", 200, 700, 10) == []
        assert await deliveries.due(200) == ["o"]
        assert ids(await deliveries.claim("t", 700, 800, 1)) == ["first"]
        assert (await deliveries.delivery("first")).attempts == 2

    async def test_of_many_who_claim_at_once_each_delivery_is_one_s(self, deliveries):
        await deliveries.add([delivery(str(n)) for n in range(12)])
        claims = await asyncio.gather(*(deliveries.claim("t", 200, 900, 3) for _ in range(6)))
        assert sorted(ids(each for claim in claims for each in claim)) == sorted(
            map(str, range(12))
        )

    async def test_how_an_attempt_went_is_kept_and_nothing_of_one_that_is_gone(self, deliveries):
        await deliveries.add([delivery("a")])
        [claimed] = await deliveries.claim("t", 200, 700, 10)
        failed = replace(claimed, due_at_ms=5000, status=503, error="answered 503")
        await deliveries.settle(failed)
        assert await deliveries.delivery("a") == failed
        assert await deliveries.due(4999) == []
        await deliveries.forget("a")
        await deliveries.settle(failed)
        assert await deliveries.delivery("a") is None
        assert await deliveries.next_due_ms(0) is None

    async def test_they_are_listed_by_state_the_newest_first_of_all_or_of_one_call(
        self, deliveries
    ):
        for n in range(4):
            call = CALL if n % 2 else "other"
            dead = delivery(f"d{n}", created_at_ms=n, call=call, state="dead", settled_at_ms=n)
            await deliveries.add([dead, delivery(f"w{n}", created_at_ms=n)])
        assert ids(await deliveries.listed("dead", None, 10)) == ["d3", "d2", "d1", "d0"]
        assert ids(await deliveries.listed("dead", None, 2)) == ["d3", "d2"]
        assert ids(await deliveries.listed("dead", CALL, 10)) == ["d3", "d1"]
        assert len(await deliveries.listed("waiting", None, 10)) == 4
        assert await deliveries.count() == {"waiting": 4, "dead": 4}

    async def test_what_waits_for_a_target_that_is_gone_is_dead(self, deliveries):
        await deliveries.add([delivery("a"), delivery("o", target="o")])
        await deliveries.settle(replace(delivery("a"), attempts=2))
        await deliveries.disable("t", 300, "answered 410: gone")
        await deliveries.disable("t", 400, "answered 410: gone")
        dead = await deliveries.delivery("a")
        assert (dead.state, dead.settled_at_ms) == ("dead", 300)
        assert dead.error == "answered 410: gone"
        assert (await deliveries.delivery("o")).state == "waiting"
        assert await deliveries.disabled({"t", "o", "never"}) == {"t"}
        await deliveries.enable("t")
        assert await deliveries.disabled({"t", "o"}) == set()
        assert await deliveries.disabled(set()) == set()

    async def test_erasing_a_call_drops_what_tells_of_its_finals(self, store, deliveries):
        final = {"event": "caption.final", "about": {"feed": "spoken", "utterance": "u1"}}
        await deliveries.add(
            [
                delivery("final", **final),
                delivery("tried", **final),
                delivery("ended"),
                delivery("theirs", call="other", **final),
            ]
        )
        await deliveries.settle(replace(delivery("tried"), state="dead", settled_at_ms=200))
        await store.erase(CALL, {})
        left = [await deliveries.delivery(n) for n in ("final", "tried", "ended", "theirs")]
        assert [each.id if each else None for each in left] == [None, None, "ended", "theirs"]

    async def test_what_was_settled_long_ago_goes(self, store, deliveries):
        now = 10 * DEAD_KEPT_MS
        for name, state, at in (
            ("old dead", "dead", now - DEAD_KEPT_MS),
            ("new dead", "dead", now - DEAD_KEPT_MS + 1),
            ("old sent", "sent", now - SENT_KEPT_MS),
            ("new sent", "sent", now - SENT_KEPT_MS + 1),
        ):
            await deliveries.add([delivery(name, state=state, settled_at_ms=at)])
        await deliveries.add([delivery("waiting")])
        await store.expire(now)
        assert ids(await deliveries.listed("dead", None, 10)) == ["new dead"]
        assert ids(await deliveries.listed("sent", None, 10)) == ["new sent"]
        assert ids(await deliveries.listed("waiting", None, 10)) == ["waiting"]
