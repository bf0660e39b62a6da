"""Captions from outside, whichever gateway they come to and whatever dies; nodes are stand-ins."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from captions.types import SPOKEN
from signaling.bringing import Bringing, KeyReused
from signaling.brought import BringCaptions
from signaling.errors import ContractError
from signaling.messages import CreateCall, checked
from signaling.shared_call import tenant_of
from tests.signaling.cluster import Cluster, cluster
from tests.signaling.test_brought import SAID
from tests.signaling.world import known, world

SWITCH = known("switch")


def bringing(w, gateway=None) -> Bringing:
    rooms = gateway.rooms if gateway else w.rooms
    return Bringing(rooms, w.bus, rooms._transcripts, w.store)


def brought(*texts: str) -> BringCaptions:
    return checked(BringCaptions, {"captions": [{**SAID, "text": text} for text in texts]})


def publishing(w: Cluster, node, *, dies_behind: int | None = None) -> None:
    """Let a stand-in publish; or die behind so many finals, before it answers."""

    async def publish(call, finals):
        taken = finals[:dies_behind]
        numbered = [await w.bus.publish_final(call.epoch, final) for final in taken]
        if dies_behind is not None:
            raise ContractError("unavailable", "the media node does not answer", 1000)
        return numbered

    node.publish = publish


async def refusal(trying) -> str:
    with pytest.raises(ContractError) as refused:
        await trying
    return refused.value.code


async def test_what_is_brought_is_published_by_the_call_s_node_and_placed_for_that(tmp_path):
    async with cluster(tmp_path) as w:
        publishing(w, w.nodes["node-1"])
        await w["g1"].calls.create(CreateCall(call="a"))
        finals = await bringing(w, w["g2"]).bring("a", SWITCH, "k", brought("one", "two"))
        assert [(final.text, final.seq) for final in finals] == [("one", 1), ("two", 2)]
        assert await w.bus.since("a", SPOKEN, 0) == finals


async def test_what_is_brought_is_said_by_the_token_of_who_brings_it(tmp_path):
    async with cluster(tmp_path) as w:
        publishing(w, w.nodes["node-1"])
        await w["g1"].calls.create(CreateCall(call="a"), "acme")
        telco = replace(SWITCH, tenant="telco")
        (final,) = await bringing(w, w["g2"]).bring("a", telco, "k", brought("one"))
        record = await w.presence.record("a")
        assert tenant_of(record, final.participant) == "telco"
        assert tenant_of(record, "p-anna") == "acme"


async def test_a_request_that_is_tried_again_anywhere_brings_nothing_twice(tmp_path):
    async with cluster(tmp_path) as w:
        publishing(w, w.nodes["node-1"])
        await w["g1"].calls.create(CreateCall(call="a"))
        tries = [bringing(w, w[name]) for name in ("g1", "g2", "g1", "g2")]
        answers = await asyncio.gather(
            *(one.bring("a", SWITCH, "k", brought("one", "two")) for one in tries)
        )
        assert all(answer == answers[0] for answer in answers)
        await w["g1"].calls.end("a")
        assert await tries[1].bring("a", SWITCH, "k", brought("one", "two")) == answers[0]
        assert len(await w["g1"].rooms._transcripts.since("a", SPOKEN, 0)) == 2


async def test_a_node_that_dies_half_way_doubles_and_loses_nothing(tmp_path):
    async with cluster(tmp_path) as w:
        publishing(w, w.nodes["node-1"], dies_behind=1)
        await w["g1"].calls.create(CreateCall(call="a"))
        trying = bringing(w, w["g1"])
        assert await refusal(trying.bring("a", SWITCH, "k", brought("one", "two"))) == "unavailable"
        publishing(w, await w.add_node("node-2"))
        await w.kill("node-1")
        await w.looked()
        await w.until(lambda shared: shared.node == "node-2")
        finals = await bringing(w, w["g2"]).bring("a", SWITCH, "k", brought("one", "two"))
        assert [(final.text, final.seq) for final in finals] == [("one", 1), ("two", 2)]


async def test_a_key_stands_for_what_came_first_with_it_for_each_client_and_call(tmp_path):
    async with cluster(tmp_path) as w:
        publishing(w, w.nodes["node-1"])
        for call in ("a", "b"):
            await w["g1"].calls.create(CreateCall(call=call))
        trying = bringing(w, w["g1"])
        await trying.bring("a", SWITCH, "k", brought("one"))
        for other in (brought("two"), brought("one", "two")):
            with pytest.raises(KeyReused):
                await bringing(w, w["g2"]).bring("a", SWITCH, "k", other)
        await trying.bring("a", known("another"), "k", brought("two"))
        await trying.bring("b", SWITCH, "k", brought("two"))
        assert [final.text for final in await w.bus.since("a", SPOKEN, 0)] == ["one", "two"]


async def test_nothing_is_brought_into_a_call_that_is_not_there_or_is_over(tmp_path):
    async with cluster(tmp_path) as w:
        trying = bringing(w, w["g1"])
        assert await refusal(trying.bring("a", SWITCH, "k", brought("one"))) == "not_found"
        await w["g1"].calls.create(CreateCall(call="a"))
        await w["g1"].calls.end("a")
        assert await refusal(trying.bring("a", SWITCH, "k", brought("one"))) == "conflict"
        assert not await w.presence.read("a"), "it did not begin again"


async def test_who_finds_the_call_just_moved_is_to_come_again(tmp_path):
    async with cluster(tmp_path) as w:
        await w["g1"].calls.create(CreateCall(call="a"))
        moved = ContractError("conflict", "the call has moved", 1000)
        w.nodes["node-1"].faults["publish"] = moved
        trying = bringing(w, w["g1"])
        assert await refusal(trying.bring("a", SWITCH, "k", brought("one"))) == "unavailable"


async def test_an_empty_call_goes_on_for_a_while_from_what_is_brought(tmp_path, monkeypatch):
    async with world(tmp_path, linger_seconds=0.2) as w:
        monkeypatch.setattr("signaling.bringing._HEARD_SECONDS", 0.0)
        await w.calls.create(CreateCall(call="a"))
        empty_since_ms = w.calls.live["a"].shared.empty_since_ms
        await asyncio.sleep(0.15)
        await bringing(w).bring("a", SWITCH, "k", brought("one"))
        assert w.calls.live["a"].shared.empty_since_ms > empty_since_ms
        await asyncio.sleep(0.1)
        await w.settled()
        assert "a" in w.calls.live
        await asyncio.sleep(0.2)
        await w.settled()
        assert "a" not in w.calls.live
