"""WHIP sessions, whatever happens at once or goes wrong half-way; the node is a stand-in."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from signaling.errors import ContractError
from signaling.messages import Arrived, CreateCall, Departed, Participant, Publishing
from signaling.sdpfrag import Fragment
from signaling.shared_call import tenant_of
from signaling.whip_sessions import MOST_SESSIONS, WhipSessions
from tests.signaling.test_audio_only import ANSWER, AUDIO, ONE, SESSION, TWO, VIDEO, bundle
from tests.signaling.world import ANYBODY, Gate, Node, code_of, known, nothing_left
from tests.signaling.world import world as plain_world

OFFER = SESSION + AUDIO + ONE


class WhipNode(Node):
    async def offer(self, call, participant, sdp):
        self.offered = sdp
        await self._take("offer", call.call, participant.id, participant.name)
        return ANSWER

    async def candidate(self, call, participant, candidate):
        await self._take("candidate", participant, candidate.candidate, candidate.sdpMLineIndex)


@contextlib.asynccontextmanager
async def world(folder, **more):
    async with plain_world(folder, **more) as w:
        w.node = w.nodes.one = WhipNode()
        w.whip = WhipSessions(w.rooms)
        yield w


async def publish(w, who=ANYBODY, *, call="a", name=None, language=None, offer=OFFER):
    return (await w.whip.create(call, who, name, language, offer))[0]


async def told(w, *events) -> None:
    await w.told(*events)


def heard(w, socket="s0"):
    return [
        (e["event"], e["participant"]["name"]) for e in w.sockets.heard(socket, "call:participant")
    ]


async def alive(w, session) -> bool:
    return (await w.whip.find(session.call, session.id))[1]


async def refused(attempt) -> str:
    with pytest.raises(ContractError) as error:
        await attempt
    return code_of(error)


async def test_it_is_known_by_whose_token_a_session_is(tmp_path):
    async with world(tmp_path) as w:
        for who, tenant in (("anna", "acme"), ("ben", "globex")):
            await publish(w, replace(known(who), tenant=tenant))
        record = await w.presence.record("a")
        assert [tenant_of(record, who) for who in ("anna", "ben", "cleo")] == [
            *("acme", "globex", "acme")
        ]


async def test_a_session_begins_a_call_and_its_end_lets_that_end(tmp_path):
    async with world(tmp_path) as w:
        session, answer = await w.whip.create("a", known("anna"), None, "de", OFFER)
        assert answer.startswith("v=0")
        assert w.node.asked == [("offer", "a", "anna", "Anna")]
        room = w.calls.live["a"]
        assert room.shared.roster() == [
            {
                "id": "anna",
                "name": "Anna",
                "language": "de",
                "captioned": True,
                "publishing": False,
            }
        ]
        assert await w.whip.find("a", session.id) == (session, True)
        await w.whip.end(session)
        assert ("close_media", "a", "anna") in w.node.asked
        assert not room.participants
        await w.lingered()
        nothing_left(w)


async def test_everybody_is_told_of_a_publisher_who_comes_speaks_and_goes(tmp_path):
    async with world(tmp_path, linger_seconds=1000) as w:
        await w.join("s0", who=known("ben"))
        session = await publish(w, known("anna"))
        await told(w, Publishing("a", "anna", publishing=True))
        assert w.sockets.heard("s0", "call:state")[-1]["captioning"] is True
        await w.whip.end(session)
        assert heard(w) == [("joined", "Anna"), ("updated", "Anna"), ("left", "Anna")]
        assert w.sockets.heard("s0", "call:state")[-1]["captioning"] is False


async def test_a_token_s_name_stands_above_the_query_s_and_a_call_s_language_is_the_default(
    tmp_path,
):
    async with world(tmp_path) as w:
        await w.calls.create(CreateCall(call="a", language="fr"))
        await publish(w, known("anna"), name="Mallory")
        await publish(w, name="Studio 2")
        await publish(w)
        people = w.calls.live["a"].participants.values()
        assert [p.name for p in people] == ["Anna", "Studio 2", "Guest"]
        assert {p.language for p in people} == {"fr"}


async def test_who_comes_again_goes_on_with_the_new_connection_and_the_old_session_is_gone(
    tmp_path,
):
    async with world(tmp_path) as w:
        await w.join("s0", who=known("ben"))
        old = await publish(w, known("anna"))
        new = await publish(w, known("anna"), language="de")
        assert heard(w) == [("joined", "Anna"), ("updated", "Anna")]
        assert w.calls.live["a"].participants["anna"].language == "de"
        assert await refused(w.whip.find("a", old.id)) == "not_found"
        await w.whip.end(old)
        assert await alive(w, new), "the old session's end is nobody's business"
        assert ("close_media", "a", "anna") not in w.node.asked


async def test_a_connection_that_ends_takes_its_session_along_and_may_still_be_deleted(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s0", who=known("ben"))
        session = await publish(w, known("anna"))
        await told(w, Departed("a", "anna"))
        assert heard(w)[-1] == ("left", "Anna")
        assert not await alive(w, session)
        assert (
            await refused(w.whip.trickle(session, Fragment(frozenset(), (), True))) == "not_found"
        )
        await w.whip.end((await w.whip.find("a", session.id))[0])
        assert await refused(w.whip.find("a", session.id)) == "not_found"


async def test_the_end_of_a_call_ends_its_sessions_and_a_new_call_does_not_revive_them(tmp_path):
    async with world(tmp_path, linger_seconds=1000) as w:
        session = await publish(w, known("anna"))
        await w.calls.end("a")
        assert not await alive(w, session)
        await told(w)
        nothing_left(w)
        again = await publish(w, known("anna"))
        assert await refused(w.whip.find("a", session.id)) == "not_found"
        assert await alive(w, again)


async def test_candidates_of_the_audio_s_transport_reach_the_node_and_others_do_not(tmp_path):
    async with world(tmp_path) as w:
        fragment = Fragment(frozenset(), (("0", "zero"), ("1", "one"), (None, "any")), ended=True)
        apart = await publish(w, known("anna"), offer=OFFER + VIDEO + TWO)
        await w.whip.trickle(apart, fragment)
        assert [a[1:] for a in w.node.asked if a[0] == "candidate"] == [
            ("anna", "zero", 0),
            ("anna", "any", 0),
            ("anna", None, 0),
        ]
        bundled = await publish(w, known("ben"), offer=bundle("0", "1") + AUDIO + ONE + VIDEO)
        await w.whip.trickle(bundled, fragment)
        assert ("candidate", "ben", "one", 0) in w.node.asked
        assert "m=video" not in w.node.offered


async def test_an_offer_that_the_node_refuses_leaves_nothing_behind(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s0", who=known("ben"))
        w.node.faults["offer"] = ContractError("invalid", "the offer has no Opus")
        assert await refused(publish(w, known("anna"))) == "invalid"
        assert set(w.calls.live["a"].participants) == {"ben"}
        assert heard(w) == [("joined", "Anna"), ("left", "Anna")]
        assert w.node.asked[-1] == ("close_media", "a", "anna")
        assert not w.whip._made


async def test_an_offer_that_is_refused_leaves_the_earlier_session_as_it_was(tmp_path):
    async with world(tmp_path) as w:
        session = await publish(w, known("anna"))
        w.node.faults["offer"] = ContractError("invalid", "the offer has no Opus")
        assert await refused(publish(w, known("anna"))) == "invalid"
        assert await alive(w, session)


async def test_an_offer_without_audio_is_refused_before_a_call_begins(tmp_path):
    async with world(tmp_path) as w:
        assert await refused(publish(w, offer=SESSION + VIDEO + ONE)) == "invalid"
        nothing_left(w)


async def test_who_is_there_by_an_sfu_or_sends_by_a_socket_cannot_come_by_whip_too(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s0", who=known("ben"))
        await told(
            w,
            Arrived("a", Participant("carla", "Carla")),
            Publishing("a", "ben", publishing=True),
        )
        assert await refused(publish(w, known("carla"))) == "conflict"
        assert await refused(publish(w, known("ben"))) == "conflict"


async def test_who_listens_by_a_socket_may_send_by_whip_and_stays_when_that_ends(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s0", who=known("ben"), name="Benjamin")
        session = await publish(w, known("ben"))
        assert w.node.asked[-1] == ("offer", "a", "ben", "Benjamin")
        await w.whip.end(session)
        assert set(w.calls.live["a"].participants) == {"ben"}
        assert heard(w) == []


async def test_a_call_has_room_for_so_many_publishers(tmp_path):
    async with world(tmp_path, linger_seconds=1000) as w:
        sessions = [await publish(w, known(f"p{n}")) for n in range(MOST_SESSIONS)]
        assert await refused(publish(w)) == "overloaded"
        assert await publish(w, known("p0")), "who is there already may come again"
        await publish(w, call="b")
        await w.whip.end(sessions[1])
        await publish(w)


async def test_sessions_that_are_over_are_forgotten_in_time(tmp_path):
    async with world(tmp_path, linger_seconds=1000) as w:
        w.whip = WhipSessions(w.rooms, most_remembered=3)
        for n in range(10):
            await publish(w, known(f"p{n}"))
            await told(w, Departed("a", f"p{n}"))
        assert [s.participant for s in w.whip._made] == ["p7", "p8", "p9"]


async def test_who_comes_again_while_their_last_words_are_written_waits_for_them(tmp_path):
    async with world(tmp_path, linger_seconds=1000) as w:
        session = await publish(w, known("anna"))
        gate = w.node.gates["close_media"] = Gate()
        ending = asyncio.ensure_future(w.whip.end(session))
        await gate.reached.wait()
        again = asyncio.ensure_future(publish(w, known("anna")))
        await publish(w, known("ben"))
        assert [a for a in w.node.asked if a[0] == "offer"][1:] == [("offer", "a", "ben", "Ben")]
        gate.opened.set()
        await ending
        assert await alive(w, await again)
        assert not list(w.whip._turns)


async def test_one_who_comes_many_times_at_once_is_there_once(tmp_path):
    async with world(tmp_path, linger_seconds=1000) as w:
        sessions = await asyncio.gather(*(publish(w, known("anna")) for _ in range(10)))
        assert set(w.calls.live["a"].participants) == {"anna"}
        assert list(w.whip._made) == [sessions[-1]]
        assert await alive(w, sessions[-1])


async def test_a_server_that_goes_down_takes_nobody_in(tmp_path):
    async with world(tmp_path) as w:
        await publish(w, known("anna"))
        await w.calls.close(end_calls=True)
        assert await refused(publish(w, known("ben"))) == "unavailable"
        await told(w)
        nothing_left(w)


async def test_a_node_that_is_gone_does_not_hinder_the_end(tmp_path):
    async with world(tmp_path) as w:
        session = await publish(w, known("anna"))
        w.node.faults["close_media"] = ContractError("unavailable", "gone", 1000)
        await w.whip.end(session)
        assert not w.calls.live["a"].participants
