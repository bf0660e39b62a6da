"""What happens to a call as a whole, where two gateways see to it at once or a step fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from signaling.bus import Fenced
from signaling.errors import ContractError, Unreachable
from signaling.messages import CallOver, CreateCall, Departed, Join, Signal, Update, Watch
from signaling.shared_call import Person, with_person
from signaling.sources import Rtp
from tests.signaling.bus_contract import final
from tests.signaling.cluster import Cluster, cluster
from tests.signaling.world import OFFER, Gate, code_of


async def begun(c: Cluster, *people: str, publishing: bool = True) -> None:
    """A call on node-1 in which these send audio."""
    for who in people:
        seat = await c["g1"].join(f"s-{who}", who)
        if publishing:
            await c["g1"].calls.offer(seat, OFFER)
            await c.sends(who)


# --- placing --------------------------------------------------------------------------------


async def test_of_two_gateways_that_place_a_call_one_does_and_both_know_where(tmp_path):
    async with cluster(tmp_path) as c:
        await c.add_node("node-2")
        await c["g1"].lifecycle.begin("a", {}, lambda: None)
        one, other = await asyncio.gather(
            *(c[gateway].lifecycle.place("a") for gateway in ("g1", "g2"))
        )
        assert (one.node, one.epoch) == (other.node, other.epoch)
        assert sum(node.calls for node in await c.registry.nodes()) == 1


async def test_a_place_that_cannot_be_opened_is_given_back_and_the_next_try_counts(
    tmp_path, monkeypatch
):
    async with cluster(tmp_path) as c:
        await c["g1"].lifecycle.begin("a", {}, lambda: None)

        async def out_of_reach(*_):
            raise Unreachable

        with monkeypatch.context() as outage:
            outage.setattr(c.bus, "open_call", out_of_reach)
            with pytest.raises(Unreachable):
                await c["g1"].lifecycle.place("a")
        assert (await c.shared()).node is None
        assert not any(node.calls for node in await c.registry.nodes())
        shared = await c["g2"].lifecycle.place("a")
        assert (await c.bus.publish_final(shared.epoch, final("u1", call="a"))).seq == 1
        assert await c.store.call("a"), "it counts as begun"


async def test_a_call_that_ends_while_it_is_placed_is_on_no_node(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].lifecycle.begin("a", {}, lambda: None)
        c.store.gates["last_seq"] = Gate()
        placing = asyncio.create_task(c["g1"].lifecycle.place("a"))
        await c.store.gates["last_seq"].reached.wait()
        await c["g2"].lifecycle.end("a")
        c.store.gates["last_seq"].opened.set()
        with pytest.raises(ContractError, match="has ended"):
            await placing
        assert not any(node.calls for node in await c.registry.nodes())


# --- handing over ---------------------------------------------------------------------------


async def test_the_next_node_has_the_call_before_the_old_one_ends_it_and_then_the_fence_rises(
    tmp_path,
):
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        before = await c.shared()
        await c.add_node("node-2")
        await c.add_node("node-1", draining=True)
        old_end = c.nodes["node-1"].gates["end"] = Gate()
        moving = asyncio.create_task(c["g1"].lifecycle.hand_over("a"))
        await c.until(lambda shared: shared.leaving)
        moved = await c.shared()
        assert (moved.node, moved.leaving) == ("node-2", ("node-1", before.epoch))
        assert c["g1"].sockets.heard("s-anna", "media:reoffer")
        assert not old_end.reached.is_set(), "anna is heard by nobody else yet"
        await c.bus.publish_final(before.epoch, final("u1", call="a"))
        await c.sends("anna")
        await old_end.reached.wait()
        await c.bus.publish_final(moved.epoch, final("u2", call="a"))
        await c.bus.publish_final(before.epoch, final("the last words", call="a"))
        old_end.opened.set()
        await moving
        with pytest.raises(Fenced):
            await c.bus.publish_final(before.epoch, final("u4", call="a"))
        after = await c.shared()
        assert (after.leaving, after.state, after.awaited) == (None, "live", frozenset())
        assert [f.seq for f in await c.bus.since("a", "spoken", 0)] == [1, 2, 3]


async def test_who_does_not_move_over_holds_up_a_move_for_so_long_and_no_longer(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("signaling.lifecycle.MOVING_SECONDS", 0.05)
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        await c.add_node("node-2")
        async with asyncio.timeout(2):
            await c["g1"].lifecycle.hand_over("a")
        shared = await c.shared()
        assert (shared.node, shared.leaving, shared.awaited) == ("node-2", None, frozenset())
        assert not shared.people["anna"].participant.publishing


async def test_of_two_gateways_that_hand_a_call_over_one_does(tmp_path):
    async with cluster(tmp_path) as c:
        await begun(c, "anna", publishing=False)
        await c.add_node("node-2")
        await c.add_node("node-3")
        await asyncio.gather(*(c[g].lifecycle.hand_over("a") for g in ("g1", "g2")))
        assert c.nodes["node-1"].asked.count(("end", "a")) == 1
        assert sum(node.calls for node in await c.registry.nodes()) == 1


async def test_a_move_whose_gateway_died_in_it_is_settled_by_another(tmp_path):
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        before = await c.shared()
        await c.add_node("node-2")
        moving = asyncio.create_task(c["g1"].lifecycle.hand_over("a"))
        await c.until(lambda shared: shared.leaving)
        moving.cancel()
        # As where its process is gone: nothing of what it would still have done is done.
        await c.presence.change("a", lambda now: replace(now, leaving=("node-1", before.epoch)))
        await asyncio.wait({moving})
        await c["g2"].lifecycle.settle("a")
        shared = await c.shared()
        assert (shared.node, shared.leaving, shared.awaited) == ("node-2", None, frozenset())
        with pytest.raises(Fenced):
            await c.bus.publish_final(before.epoch, final("u1", call="a"))


async def test_a_next_node_that_cannot_join_the_sfu_leaves_no_call_without_anybody_who_cares(
    tmp_path,
):
    async with cluster(tmp_path) as c:
        source = {"kind": "rtp"}
        await c["g1"].calls.create(CreateCall.model_validate({"call": "a", "source": source}))
        assert (await c.shared()).source == Rtp()
        second = await c.add_node("node-2")
        second.faults["start"] = ContractError("unavailable", "the SFU did not answer", 1000)
        await c.add_node("node-1", draining=True)
        await c.looked()
        second.faults.clear()
        await c.looked()
        shared = await c.shared()
        assert (shared.node, shared.state) == ("node-2", "live")


# --- ending ---------------------------------------------------------------------------------


async def test_of_two_gateways_that_end_a_call_one_does_and_both_see_it_over(tmp_path):
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        await c["g2"].join("s2", "ben")
        await asyncio.gather(*(c[gateway].calls.end("a") for gateway in ("g1", "g2")))
        assert c.nodes["node-1"].asked.count(("end", "a")) == 1
        assert not await c.presence.summaries()
        for gateway, socket in (("g1", "s-anna"), ("g2", "s2")):
            assert c[gateway].sockets.heard(socket, "call:state")[-1]["state"] == "ended"
            assert not c[gateway].calls.live


async def test_a_call_that_is_over_at_its_sfu_is_ended_once_by_all_who_hear_of_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("signaling.lifecycle.now_ms", lambda: 1_800_000_000_000)  # all at once
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        await c["g2"].join("s2", "ben")
        await c.add_node("node-1", capacity=10)
        await c.registry.reserve()  # another call's place
        await c.told(CallOver("a", "the room was destroyed"))
        while await c.presence.summaries():  # noqa: ASYNC110 - sooner or later
            await asyncio.sleep(0.01)
        await c.heard()
        assert c.nodes["node-1"].asked.count(("end", "a")) == 1
        assert [node.calls for node in await c.registry.nodes()] == [1]


async def test_who_ends_a_call_ends_not_the_next_one_of_its_name(tmp_path):
    """It begins just when the old one is over, and that one is still being put away."""
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        await c.bus.publish_final((await c.shared()).epoch, final("u1", call="a"))
        flushing = Gate()
        save = c.store.save_captions

        async def slowly(captions):
            await flushing()
            await save(captions)

        c.store.save_captions = slowly
        ending = asyncio.create_task(c["g1"].lifecycle.end("a"))
        await flushing.reached.wait()
        await c["g2"].join("s2", "ben")
        again = await c.shared()
        flushing.opened.set()
        await ending
        kept = await c.bus.publish_final(again.epoch, final("u2", call="a"))
        assert kept.seq == 2
        assert (await c.shared()).node


async def test_who_was_slow_to_end_a_call_ends_not_the_next_one_of_its_name(tmp_path, monkeypatch):
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        gate = c.nodes["node-1"].gates["end"] = Gate()
        slow = asyncio.create_task(c["g1"].lifecycle.end("a"))
        await gate.reached.wait()
        since = (await c.shared()).ending_since_ms
        with monkeypatch.context() as later:
            later.setattr("signaling.lifecycle.now_ms", lambda: since + 31_000)
            del c.nodes["node-1"].gates["end"]
            await c["g2"].lifecycle.end("a")
        await c["g2"].join("s2", "ben")
        again = await c.shared()
        gate.opened.set()
        await slow
        assert await c.shared() == again
        assert (await c.bus.publish_final(again.epoch, final("u1", call="a"))).seq == 1


async def test_a_call_that_ends_in_the_middle_of_a_move_ends_on_both_nodes(tmp_path):
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        second = await c.add_node("node-2")
        moving = asyncio.create_task(c["g1"].lifecycle.hand_over("a"))
        await c.until(lambda shared: shared.leaving)
        await c["g2"].calls.end("a")
        async with asyncio.timeout(2):
            await moving
        assert ("end", "a") in c.nodes["node-1"].asked
        assert ("end", "a") in second.asked
        assert not await c.presence.summaries()
        assert not c.bus._epochs, "nothing is left open"


async def test_a_call_that_is_ended_elsewhere_begins_anew_for_who_joins_just_then(tmp_path):
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        gate = c.nodes["node-1"].gates["end"] = Gate()
        ending = asyncio.create_task(c["g1"].calls.end("a"))
        await gate.reached.wait()
        joining = asyncio.create_task(c["g2"].join("s2", "ben"))
        await c.heard()
        assert not joining.done()
        gate.opened.set()
        await asyncio.gather(ending, joining)
        assert set((await c.shared()).people) == {"ben"}


# --- people at several gateways -------------------------------------------------------------


async def test_people_at_different_gateways_see_each_other(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        ben = await c["g2"].join("s2", "ben")
        await c["g2"].calls.update(ben, Update(name="Benjamin"))
        await c["g2"].calls.leave(ben)
        await c.heard()
        said = [
            (told["event"], told["participant"]["name"])
            for told in c["g1"].sockets.heard("s1", "call:participant")
        ]
        assert said == [("joined", "Ben"), ("updated", "Benjamin"), ("left", "Benjamin")]


async def test_a_signal_reaches_somebody_at_another_gateway_and_nobody_else(tmp_path):
    async with cluster(tmp_path) as c:
        anna = await c["g1"].join("s1", "anna")
        await c["g2"].join("s2", "ben")
        await c["g2"].join("s3", "cleo")
        await c.heard()
        await c["g1"].calls.signal(anna, Signal(to="ben", data={"sdp": "v=0"}))
        await c.heard()
        assert c["g2"].sockets.heard("s2", "peer:signal") == [
            {"from": "anna", "data": {"sdp": "v=0"}}
        ]
        assert not c["g2"].sockets.heard("s3", "peer:signal")
        with pytest.raises(ContractError) as refused:
            await c["g1"].calls.signal(anna, Signal(to="nobody"))
        assert code_of(refused) == "not_found"


async def test_who_comes_back_by_another_gateway_takes_their_seat_over_without_a_word(tmp_path):
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        other = await c["g1"].join("s1", "ben")
        await c["g2"].join("s2", "anna")
        await c.heard()
        shared = await c.shared()
        assert (shared.people["anna"].gateway, shared.people["anna"].socket) == ("g2", "s2")
        assert shared.people["anna"].participant.publishing, "their audio goes on"
        assert c["g1"].sockets.heard("s1", "call:participant") == []
        assert set(c["g1"].calls.live["a"].seats) == {"s1"}
        await c["g1"].calls.signal(other, Signal(to="anna", data=1))
        await c.heard()
        assert c["g2"].sockets.heard("s2", "peer:signal") == [{"from": "ben", "data": 1}]


async def test_the_end_of_the_old_connection_does_not_make_them_leave(tmp_path):
    async with cluster(tmp_path) as c:
        old = await c["g1"].join("s1", "anna")
        await c["g2"].join("s2", "anna")
        await c["g1"].calls.leave(old)
        await c.heard()
        assert (await c.shared()).people["anna"].socket == "s2"


async def test_a_gateway_that_goes_leaves_calls_and_people_as_they_are(tmp_path):
    async with cluster(tmp_path) as c:
        await begun(c, "anna")
        before = await c.shared()
        await c["g1"].calls.close(end_calls=False)
        assert await c.shared() == before
        assert c.nodes["node-1"].asked.count(("end", "a")) == 0
        answer = (await c["g2"].calls.join("s9", _anna(), Join(call="a")))[1]
        assert [p["id"] for p in answer["participants"]] == ["anna"]
        assert (await c.shared()).people["anna"].gateway == "g2"


async def test_a_gateway_without_anybody_in_a_call_follows_it_no_longer(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        seat, _ = await c["g2"].calls.watch("s2", Watch(call="a"))
        assert (await c.shared()).watched_by == {"g2"}
        await c["g2"].calls.leave(seat)
        assert not c["g2"].calls.live
        assert (await c.shared()).watched_by == frozenset()
        assert set(c["g1"].calls.live) == {"a"}


async def test_a_guest_of_whom_their_node_speaks_is_seen_at_all_gateways(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        await c["g2"].calls.watch("s2", Watch(call="a"))
        dora = Person((await c.shared()).people["anna"].participant, guest=True)
        dora = replace(dora, participant=replace(dora.participant, id="dora", name="Dora"))
        await c.presence.change("a", lambda now: with_person(now, dora))
        await c.heard()
        await c.told(Departed("a", "dora"))
        for gateway, socket in (("g1", "s1"), ("g2", "s2")):
            events = c[gateway].sockets.heard(socket, "call:participant")
            assert [e["event"] for e in events if e["participant"]["id"] == "dora"] == [
                "joined",
                "left",
            ]


def _anna():
    from tests.signaling.world import known

    return known("anna")
