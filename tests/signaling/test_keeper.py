"""Who looks after calls: nodes and gateways that die, drain and come back."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from signaling.errors import ContractError, Unreachable
from signaling.keeper import Rules
from signaling.messages import Arrived, CreateCall, Participant, Watch
from signaling.shared_call import MOVED, without_gateway
from tests.signaling.bus_contract import final
from tests.signaling.cluster import cluster
from tests.signaling.world import OFFER, Gate

JANUS = {"kind": "janus", "url": "wss://sfu.example.com/janus", "room": "42", "pin": "hush"}


def create(**more) -> CreateCall:
    return CreateCall.model_validate({"call": "a", "source": JANUS, **more})


def states(sockets, socket) -> list[str]:
    return [state["state"] for state in sockets.heard(socket, "call:state")]


# --- a node dies ----------------------------------------------------------------------------


async def test_a_call_whose_node_died_goes_to_another_and_says_so(tmp_path):
    async with cluster(tmp_path) as c:
        anna = await c["g1"].join("s1", "anna")
        await c["g2"].join("s2", "ben")
        await c["g1"].calls.offer(anna, OFFER)
        await c.sends("anna")
        await c.add_node("node-2")
        await c.kill("node-1")
        await c.looked()
        shared = await c.shared()
        assert (shared.node, shared.state, shared.reason) == ("node-2", "recovering", MOVED)
        for gateway, socket in (("g1", "s1"), ("g2", "s2")):
            assert states(c[gateway].sockets, socket)[-1] == "recovering"
        await c.sends("anna")
        for gateway, socket in (("g1", "s1"), ("g2", "s2")):
            assert states(c[gateway].sockets, socket)[-1] == "live"


async def test_exactly_those_who_sent_audio_are_asked_for_another_offer_and_once(tmp_path):
    async with cluster(tmp_path) as c:
        anna = await c["g1"].join("s1", "anna")
        await c["g1"].join("s2", "ben")
        cleo = await c["g2"].join("s3", "cleo")
        for gateway, seat in (("g1", anna), ("g2", cleo)):
            await c[gateway].calls.offer(seat, OFFER)
        await c.sends("anna")  # cleo has offered, but is not heard yet
        await c["g1"].calls.watch("s4", Watch(call="a"))
        await c.add_node("node-2")
        await c.kill("node-1")
        for _ in range(3):
            await c.looked()
        asked = [
            (to, said["reason"])
            for to, event, said in c["g1"].sockets.sent
            if event == "media:reoffer"
        ]
        assert asked == [("s1", MOVED)]
        assert len(c["g2"].sockets.heard("s3", "media:reoffer")) == 1


async def test_the_node_that_died_can_publish_nothing_any_more(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        before = await c.shared()
        await c.bus.publish_final(before.epoch, final("u1", call="a"))
        await c.add_node("node-2")
        await c.kill("node-1")
        await c.looked()
        after = await c.shared()
        assert after.epoch > before.epoch
        with pytest.raises(Exception, match="over"):
            await c.bus.publish_final(before.epoch, final("u2", call="a"))
        assert (await c.bus.publish_final(after.epoch, final("u3", call="a"))).seq == 2


async def test_a_call_at_an_sfu_is_joined_from_the_next_node(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].calls.create(create(language="de"))
        await c["g1"].calls.watch("s1", Watch(call="a"))
        await c.told(Arrived("a", Participant("p-anna", "Anna")))
        second = await c.add_node("node-2")
        await c.kill("node-1")
        await c.looked()
        assert second.asked == [("start", "a", "janus", "de")]
        shared = await c.shared()
        assert (shared.node, shared.state) == ("node-2", "live")
        assert shared.source.pin == "hush"
        assert states(c["g1"].sockets, "s1")[-1] == "live"
        assert "recovering" in states(c["g1"].sockets, "s1")


async def test_a_call_at_an_sfu_that_nobody_has_come_to_yet_moves_too(tmp_path):
    rules = Rules(linger_seconds=0.0, return_seconds=0.0, lease_seconds=0.0)
    async with cluster(tmp_path, rules=rules) as c:
        await c["g1"].calls.create(create())
        second = await c.add_node("node-2")
        await c.kill("node-1")
        await c.looked()
        assert [what for what, *_ in second.asked] == ["start"]


async def test_without_room_anywhere_a_call_waits_and_moves_once_there_is_some(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].calls.create(create())
        await c.kill("node-1")
        await c.looked()
        await c.looked()
        shared = await c.shared()
        assert (shared.node, shared.state) == (None, "recovering")
        second = await c.add_node("node-2")
        await c.looked()
        assert (await c.shared()).state == "live"
        assert len(second.asked) == 1


async def test_a_next_node_that_cannot_join_the_sfu_is_not_the_last_word(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].calls.create(create())
        second = await c.add_node("node-2")
        second.faults["start"] = Unreachable()
        await c.kill("node-1")
        await c.looked()
        assert (await c.shared()).state == "recovering"
        assert not any(c.registry._calls.get(node) for node in ("node-2",))
        del second.faults["start"]
        await c.looked()
        assert (await c.shared()).state == "live"


async def test_who_joins_while_a_call_at_an_sfu_has_no_node_does_not_keep_it_from_its_sfu(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].calls.create(create())
        await c.kill("node-1")
        await c.looked()
        second = await c.add_node("node-2")
        await c["g2"].join("s1", "anna")  # which gives the call a node
        await c.looked()
        assert [what for what, *_ in second.asked if what == "start"] == ["start"]
        assert (await c.shared()).state == "live"


async def test_where_a_gateway_died_between_a_next_node_and_its_sfu_another_lets_it_join(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].calls.create(create())
        second = await c.add_node("node-2")
        await c.kill("node-1")
        joining = second.gates["start"] = Gate()
        recovering = asyncio.create_task(c["g2"].lifecycle.recover("a", "node-1", 0))
        await joining.reached.wait()
        recovering.cancel()
        await asyncio.wait({recovering})
        del second.gates["start"]
        assert (await c.shared()).node == "node-2"
        second.faults["start"] = ContractError("conflict", "the call is at an SFU already")
        await c.looked()
        shared = await c.shared()
        assert (shared.node, shared.state) == ("node-2", "live")
        assert shared.source_details == {"port": 4000}


async def test_a_node_that_is_back_in_time_keeps_its_calls(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        before = await c.shared()
        await c.add_node("node-2")
        await c.pass_seconds(2.4)
        await c.looked()
        assert await c.shared() == before


# --- a node drains --------------------------------------------------------------------------


async def test_a_draining_node_gives_its_calls_away_and_those_without_audio_at_once(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        await c.add_node("node-2")
        await c.add_node("node-1", draining=True)
        async with asyncio.timeout(1):
            await c.looked()
        shared = await c.shared()
        assert (shared.node, shared.leaving, shared.state) == ("node-2", None, "live")
        assert c.nodes["node-1"].asked == [("end", "a")]
        assert {n.status.id: n.calls for n in await c.registry.nodes()} == {
            "node-1": 0,
            "node-2": 1,
        }


async def test_a_draining_node_keeps_its_calls_where_nobody_else_has_room(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        before = await c.shared()
        await c.add_node("node-1", draining=True)
        await c.add_node("node-2", capacity=0)
        await c.looked()
        assert await c.shared() == before


async def test_only_one_gateway_looks_after_calls_and_another_when_that_is_gone(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        await c.looked("g1")
        await c.add_node("node-2")
        await c.kill("node-1")
        assert await c.registry.lead("g1")
        await c.looked("g2")
        assert (await c.shared()).node == "node-1"
        c.dead.add("g1")
        await c.pass_seconds(3.0)
        await c.looked("g2")
        assert (await c.shared()).node == "node-2"


# --- what is shared was away ----------------------------------------------------------------


async def test_after_an_outage_nodes_have_the_time_of_a_lease_to_be_back(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("signaling.keeper.time", SimpleNamespace(monotonic=lambda: now))
    rules = Rules(linger_seconds=math.inf, lease_seconds=2.5)
    async with cluster(tmp_path, rules=rules) as c:
        await c["g1"].join("s1", "anna")
        await c.add_node("node-2")
        for _ in range(4):
            now += 1.0
            await c.looked()

        async def out_of_reach():
            raise Unreachable

        with monkeypatch.context() as outage:
            outage.setattr(c.registry, "nodes", out_of_reach)
            for _ in range(20):
                now += 1.0
                with pytest.raises(Unreachable):
                    await c.looked()
        c.dead.add("node-1")  # it cannot report as soon as the others
        await c.pass_seconds(20.0)
        for _ in range(3):
            await c.looked()
            assert (await c.shared()).node == "node-1"
            now += 1.0
        await c.looked()
        assert (await c.shared()).node == "node-2"


async def test_after_a_loss_of_memory_too_and_calls_are_opened_for_what_is_said(
    tmp_path, monkeypatch
):
    now = 1000.0
    monkeypatch.setattr("signaling.keeper.time", SimpleNamespace(monotonic=lambda: now))
    rules = Rules(linger_seconds=math.inf, lease_seconds=2.5)
    async with cluster(tmp_path, rules=rules) as c:
        await c["g1"].join("s1", "anna")
        await c["g2"].join("s2", "ben")
        before = await c.shared()
        await c.bus.publish_final(before.epoch, final("u1", call="a"))
        await c["g1"].calls._transcripts.flush()
        for _ in range(4):
            now += 1.0
            await c.looked()
        c.presence._calls.clear()
        c.bus.__init__()
        c.registry._nodes.clear()
        for gateway in ("g1", "g2"):
            c[gateway].keeper.hold_off()
            await c[gateway].rooms.restore()
        back = await c.shared()
        assert back.reopen
        assert set(back.people) == {"anna", "ben"}
        await c.looked()
        again = await c.shared()
        assert (again.node, again.epoch, again.reopen) == ("node-1", before.epoch, False)
        assert (await c.bus.publish_final(again.epoch, final("u2", call="a"))).seq == 2
        assert states(c["g1"].sockets, "s1") == [], "nobody noticed"


# --- a gateway dies -------------------------------------------------------------------------


async def test_those_of_a_dead_gateway_leave_when_they_do_not_come_back_in_time(
    tmp_path, monkeypatch
):
    rules = Rules(linger_seconds=math.inf, return_seconds=1000.0, lease_seconds=0.0)
    async with cluster(tmp_path, rules=rules) as c:
        await c["g1"].join("s1", "anna")
        ben = await c["g2"].join("s2", "ben")
        await c["g2"].join("s3", "cleo")
        await c["g2"].calls.offer(ben, OFFER)
        await c.sends("ben")
        await c.kill("g2")
        await c.looked()
        assert set((await c.shared()).people) == {"anna", "ben", "cleo"}, "they may be on their way"
        await c["g1"].join("s4", "cleo")
        monkeypatch.setattr(
            c["g1"].keeper,
            "_rules",
            Rules(linger_seconds=math.inf, return_seconds=0.0, lease_seconds=0.0),
        )
        await c.looked()
        assert set((await c.shared()).people) == {"anna", "cleo"}
        left = [
            said["participant"]["id"]
            for said in c["g1"].sockets.heard("s1", "call:participant")
            if said["event"] == "left"
        ]
        assert left == ["ben"]
        assert c.nodes["node-1"].asked[-1] == ("close_media", "a", "ben")


async def test_a_call_that_only_a_dead_gateway_had_people_in_ends(tmp_path):
    rules = Rules(linger_seconds=0.0, return_seconds=0.0, lease_seconds=0.0)
    async with cluster(tmp_path, rules=rules) as c:
        await c["g2"].join("s2", "ben")
        await c["g2"].calls.watch("s3", Watch(call="b"))
        await c.kill("g2")
        await c.looked()
        await c.looked()
        assert not await c.presence.summaries()
        assert (await c.store.call("a")).ended_at_ms is not None


async def test_who_was_taken_for_gone_with_a_gateway_that_lives_is_back(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        await c["g2"].join("s2", "ben")
        await c["g2"].calls.watch("s3", Watch(call="a", captions_language="de"))
        await c.presence.change("a", lambda now: without_gateway(now, "g2"))
        for _ in range(50):
            await asyncio.sleep(0)
        shared = await c.shared()
        assert set(shared.people) == {"anna", "ben"}
        assert shared.watched_by == {"g2"}
        assert shared.reads == {"g2": {"de"}}
        told = [s["event"] for s in c["g1"].sockets.heard("s1", "call:participant")]
        assert told == ["joined", "left", "joined"]
        assert set(c["g2"].calls.live["a"].seats) == {"s2", "s3"}


async def test_who_was_taken_for_gone_while_they_spoke_is_asked_for_their_audio_again(tmp_path):
    async with cluster(tmp_path) as c:
        ben = await c["g2"].join("s2", "ben")
        await c["g1"].join("s1", "anna")
        await c["g2"].calls.offer(ben, OFFER)
        await c.sends("ben")
        await c.presence.change("a", lambda now: without_gateway(now, "g2"))
        await c.until(lambda now: "ben" in now.people)
        participant = (await c.shared()).participants["ben"]
        assert not participant.publishing
        assert participant.interrupted_at_ms is not None, "the gap is to be marked"
        assert len(c["g2"].sockets.heard("s2", "media:reoffer")) == 1


async def test_who_was_taken_for_gone_and_is_back_by_another_gateway_stays_there(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        await c["g2"].join("s2", "ben")
        room = c["g2"].rooms.live["a"]
        async with AsyncExitStack() as slow:
            async with c["g2"].rooms.lock("a"):
                await c.presence.change("a", lambda now: without_gateway(now, "g2"))
                await c.heard()
                await slow.enter_async_context(room.taking)  # and does not hear of what follows
                await c["g1"].join("s3", "ben")
            await c.heard()
            assert set(room.seats) == {"s2"}
        await c.heard()
        person = (await c.shared()).people["ben"]
        assert (person.gateway, person.socket) == ("g1", "s3")
        assert not room.seats
        assert set(c["g1"].rooms.live["a"].seats) == {"s1", "s3"}


# --- ends -----------------------------------------------------------------------------------


async def test_an_empty_call_lingers_and_then_ends_once(tmp_path, monkeypatch):
    rules = Rules(linger_seconds=30.0, lease_seconds=0.0)
    async with cluster(tmp_path, rules=rules) as c:
        await c["g1"].calls.leave(await c["g1"].join("s1", "anna"))
        since = (await c.shared()).empty_since_ms
        monkeypatch.setattr("signaling.keeper.now_ms", lambda: since + 29_000)
        await c.looked()
        assert "a" in await c.presence.summaries()
        monkeypatch.setattr("signaling.keeper.now_ms", lambda: since + 30_000)
        await c.looked()
        assert not await c.presence.summaries()
        assert c.nodes["node-1"].asked.count(("end", "a")) == 1


async def test_an_end_whose_gateway_died_in_it_is_finished_by_another(tmp_path, monkeypatch):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        gate = c.nodes["node-1"].gates["end"] = Gate()
        ending = asyncio.create_task(c["g2"].lifecycle.end("a"))
        await gate.reached.wait()
        ending.cancel()
        await asyncio.wait({ending})
        gate.opened.set()
        await c.looked()
        since = (await c.shared()).ending_since_ms
        for module in ("keeper", "lifecycle"):
            monkeypatch.setattr(f"signaling.{module}.now_ms", lambda: since + 31_000)
        await c.looked()
        assert not await c.presence.summaries()
        assert states(c["g1"].sockets, "s1")[-1] == "ended"


async def test_counts_are_put_right_now_and_then(tmp_path):
    async with cluster(tmp_path) as c:
        await c["g1"].join("s1", "anna")
        await c.registry.recount({"node-1": 7, "node-9": 3})
        for _ in range(20):
            await c.looked()
        assert [n.calls for n in await c.registry.nodes()] == [1]
