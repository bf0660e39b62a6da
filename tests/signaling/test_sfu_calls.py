"""Calls whose participants come by an SFU: guests, beside those who have a socket."""

from __future__ import annotations

import asyncio

import pytest

from signaling.errors import ContractError
from signaling.messages import (
    Arrived,
    CallOver,
    CreateCall,
    Departed,
    Participant,
    Publishing,
    Update,
    Watch,
)
from tests.signaling.world import Gate, World, code_of, known, nothing_left, world

JANUS = {"kind": "janus", "url": "wss://sfu.example.com/janus", "room": "42", "pin": "hush"}
ANNA = Participant("p-anna", "Anna")


def create(**more) -> CreateCall:
    return CreateCall.model_validate({"call": "a", "source": JANUS, **more})


async def tell(w: World, *events) -> None:
    await w.told(*events)


async def test_creating_a_call_joins_its_sfu_and_shows_no_secret(tmp_path):
    async with world(tmp_path) as w:
        shared = await w.calls.create(create(language="de"))
        assert w.node.asked == [("start", "a", "janus", "de")]
        shown = (await w.calls.describe("a"))["source"]
        assert shown == {
            "kind": "janus",
            "url": "wss://sfu.example.com/janus",
            "room": "42",
            "port": 4000,
        }
        assert "hush" not in repr((await w.store.call("a")).settings)
        assert shared.source.pin == "hush"


async def test_the_same_again_finds_it_and_other_settings_are_a_conflict(tmp_path):
    async with world(tmp_path) as w:
        shared = await w.calls.create(create())
        assert await w.calls.create(create()) == shared
        for other in (create(language="de"), create(source={**JANUS, "pin": "other"})):
            with pytest.raises(ContractError) as error:
                await w.calls.create(other)
            assert code_of(error) == "conflict"
        assert len(w.node.asked) == 1


async def test_a_call_whose_sfu_cannot_be_joined_leaves_nothing_behind(tmp_path):
    async with world(tmp_path) as w:
        w.node.faults["start"] = ContractError("forbidden", "wrong PIN")
        with pytest.raises(ContractError, match="wrong PIN"):
            await w.calls.create(create())
        w.node.faults.clear()
        await tell(w)
        nothing_left(w)


async def test_people_who_were_there_first_stay_when_its_sfu_cannot_be_joined(tmp_path):
    async with world(tmp_path) as w:
        anna = await w.join("s1", who=known("anna"))
        w.node.faults["start"] = ContractError("unavailable", "not there", 1000)
        with pytest.raises(ContractError):
            await w.calls.create(create())
        assert list(w.calls.live["a"].participants) == ["anna"]
        del w.node.faults["start"]
        await w.calls.create(create())
        assert w.calls.live["a"].shared.source.kind == "janus"
        await w.calls.leave(anna)


async def test_guests_come_and_go_and_the_call_waits_for_more(tmp_path):
    async with world(tmp_path) as w:
        await w.calls.create(create())
        await w.calls.watch("s1", Watch(call="a"))
        await tell(w, Arrived("a", ANNA), Publishing("a", ANNA.id, publishing=True))
        assert w.calls.live["a"].shared.captioning
        await tell(w, Arrived("a", Participant("p-anna", "Anna B.")))
        assert w.calls.live["a"].participants["p-anna"].publishing
        await tell(w, Publishing("a", ANNA.id, publishing=False), Departed("a", ANNA.id))
        heard = [
            (e["event"], e["participant"]["name"], e["participant"]["publishing"])
            for e in w.sockets.heard("s1", "call:participant")
        ]
        assert heard == [
            ("joined", "Anna", False),
            ("updated", "Anna", True),
            ("updated", "Anna B.", True),
            ("updated", "Anna B.", False),
            ("left", "Anna B.", False),
        ]
        assert "a" in w.calls.live
        assert w.calls.live["a"].shared.empty_since_ms is None


async def test_a_call_that_is_over_at_its_sfu_ends(tmp_path):
    async with world(tmp_path) as w:
        await w.calls.create(create())
        await tell(w, Arrived("a", ANNA), CallOver("a", "the room was destroyed"))
        nothing_left(w)
        assert (await w.calls.describe("a"))["state"] == "ended"


async def test_who_is_a_guest_and_has_a_socket_is_one_participant(tmp_path):
    async with world(tmp_path) as w:
        await w.calls.create(create())
        await tell(
            w,
            Arrived("a", Participant("anna", "anna@sfu")),
            Publishing("a", "anna", publishing=True),
        )
        seat = await w.join("s1", who=known("anna"), name="Anna", language="de")
        assert w.node.asked[-1][0] == "update"
        assert w.node.asked[-1][2].language == "de"
        room = w.calls.live["a"]
        assert list(room.participants) == ["anna"]
        assert room.participants["anna"].publishing
        # What they say of themselves stands above the SFU's word.
        await tell(w, Arrived("a", Participant("anna", "somebody")))
        assert (room.participants["anna"].name, room.participants["anna"].language) == (
            "Anna",
            "de",
        )
        await w.calls.update(seat, Update(captioned=False))
        assert not room.shared.captioning
        await w.calls.leave(seat)
        assert "anna" in room.participants, "they are still at the SFU"
        await tell(w, Departed("a", "anna"))
        assert not room.participants


async def test_what_was_said_on_a_socket_stands_above_the_sfu_s_word_whoever_came_first(tmp_path):
    async with world(tmp_path) as w:
        await w.calls.create(create())
        await w.join("s1", who=known("anna"), name="Anna", language="de")
        await tell(w, Arrived("a", Participant("anna", "Speaker 1")))
        person = w.calls.live["a"].shared.people["anna"]
        assert (person.participant.name, person.participant.language) == ("Anna", "de")
        assert person.guest
        await tell(w, Departed("a", "anna"))
        assert not w.calls.live["a"].shared.people["anna"].guest


async def test_a_guest_who_leaves_the_sfu_stays_while_their_socket_does(tmp_path):
    async with world(tmp_path) as w:
        await w.calls.create(create())
        await tell(w, Arrived("a", Participant("anna", "Anna")))
        seat = await w.join("s1", who=known("anna"))
        await tell(w, Departed("a", "anna"))
        assert "anna" in w.calls.live["a"].participants
        await w.calls.leave(seat)
        assert not w.calls.live["a"].participants


async def test_the_end_of_a_direct_connection_makes_nobody_leave(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s1", who=known("anna"))
        await tell(w, Departed("a", "anna"))
        assert "anna" in w.calls.live["a"].participants


async def test_two_who_create_at_once_join_the_sfu_once(tmp_path):
    async with world(tmp_path) as w:
        w.node.gates["start"] = Gate()
        both = [asyncio.create_task(w.calls.create(create())) for _ in range(2)]
        await w.node.gates["start"].reached.wait()
        w.node.gates["start"].opened.set()
        first, second = await asyncio.gather(*both)
        assert first.version <= second.version
        assert [what for what, *_ in w.node.asked] == ["start"]


async def test_a_call_that_ended_begins_again_without_its_sfu(tmp_path):
    """What the SFU wanted to know was not kept: who creates it again says it again."""
    async with world(tmp_path) as w:
        await w.calls.create(create())
        await w.calls.end("a")
        await w.join("s1")
        assert (await w.calls.describe("a"))["source"] == {"kind": "direct"}
        await w.calls.create(create())
        assert (await w.calls.describe("a"))["source"]["kind"] == "janus"
