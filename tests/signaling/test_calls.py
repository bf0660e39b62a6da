"""Calls, whatever happens at once or goes wrong half-way; node and sockets are stand-ins."""

from __future__ import annotations

import asyncio

import pytest

from captions.types import SPOKEN
from signaling.audience import call_group, feed_group
from signaling.errors import ContractError
from signaling.limits.limiter import Limiter
from signaling.messages import (
    CallHealth,
    Candidate,
    ChangeCall,
    CreateCall,
    Publishing,
    Signal,
    Update,
    Watch,
)
from signaling.socket import Connection, SocketServer
from signaling.tenure import Tenure, Tenures
from signaling.tokens import Everybody
from tests.signaling.bus_contract import final
from tests.signaling.world import ANYBODY, OFFER, Gate, code_of, known, nothing_left, world

# --- the life of a call ---------------------------------------------------------------------


async def test_a_call_lives_from_the_first_to_the_last_and_leaves_only_its_transcript(tmp_path):
    async with world(tmp_path) as w:
        anna = await w.join("s1", who=known("anna"))
        ben = await w.join("s2", who=known("ben"), captions_language="de")
        assert (await w.calls.offer(anna, OFFER)) == {"sdp": "answer", "type": "answer"}
        ref = w.calls.live["a"].shared.ref
        await w.bus.publish_final(ref.epoch, final("u1", call="a"))
        await w.calls.leave(anna)
        await w.calls.leave(ben)
        await w.lingered()
        nothing_left(w)
        assert [c.utterance for c in await w.store.captions("a")] == ["u1"]
        assert (await w.store.call("a")).ended_at_ms is not None
        assert w.node.asked[-1] == ("end", "a")


async def test_an_empty_call_waits_for_who_comes_back(tmp_path):
    async with world(tmp_path, linger_seconds=1000) as w:
        await w.calls.leave(await w.join("s1"))
        room = w.calls.live["a"]
        assert room.shared.empty_since_ms is not None
        await w.settled()
        await w.join("s2")
        assert w.calls.live["a"] is room
        assert room.shared.empty_since_ms is None


async def test_who_comes_back_just_when_an_empty_call_is_to_end_stays_in_it(tmp_path):
    async with world(tmp_path) as w:
        await w.calls.leave(await w.join("s1"))
        await w.keeper.look()
        await w.join("s2")
        await w.settled()
        assert set(w.calls.live["a"].seats) == {"s2"}


async def test_a_call_that_ended_begins_again_and_its_numbers_go_on(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s1")
        first = w.calls.live["a"].shared.ref
        await w.bus.publish_final(first.epoch, final("u1", call="a"))
        await w.calls.end("a")
        nothing_left(w)
        await w.join("s2", since=1)
        again = w.calls.live["a"].shared.ref
        assert again.epoch > first.epoch
        assert again.started_at_ms == first.started_at_ms
        assert (await w.bus.publish_final(again.epoch, final("u2", call="a"))).seq == 2


async def test_everybody_is_told_of_the_end_behind_the_last_caption(tmp_path):
    async with world(tmp_path) as w:
        seat = await w.join("s1")
        ref = w.calls.live["a"].shared.ref
        for n in range(3):
            await w.bus.publish_final(ref.epoch, final(f"u{n}", call="a"))
        await w.calls.end("a")
        events = [event for to, event, _ in w.sockets.sent if to == "s1"]
        assert events == ["caption"] * 3 + ["call:state"]
        assert w.sockets.heard("s1", "call:state")[-1] == {"state": "ended", "captioning": False}
        for attempt in (
            w.calls.offer(seat, OFFER),
            w.calls.update(seat, Update(name="Ann")),
            w.calls.candidate(seat, Candidate()),
            w.calls.close_media(seat),
            w.calls.signal(seat, Signal(to="p")),
        ):
            with pytest.raises(ContractError) as refused:
                await attempt
            assert code_of(refused) == "conflict"
        await w.calls.leave(seat)
        nothing_left(w)


async def test_ending_what_is_over_is_fine_and_what_never_was_is_not_found(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s1")
        await w.calls.end("a")
        await w.calls.end("a")
        with pytest.raises(ContractError) as refused:
            await w.calls.end("nobody")
        assert code_of(refused) == "not_found"
        nothing_left(w)


async def test_a_person_who_comes_again_takes_the_place_of_their_old_connection(tmp_path):
    async with world(tmp_path, linger_seconds=1000) as w:
        other = await w.join("s0")
        old = await w.join("s1", who=known("anna"))
        new = await w.join("s2", who=known("anna"))
        room = w.calls.live["a"]
        assert set(room.seats) == {"s0", "s2"}
        assert [e["event"] for e in w.sockets.heard("s0", "call:participant")] == ["joined"]
        await w.calls.leave(old)
        assert room.seats["s2"] is new, "the old connection's end is nobody's business"
        await w.calls.signal(other, Signal(to="anna", data=1))
        assert w.sockets.heard("s2", "peer:signal") == [{"from": other.participant, "data": 1}]


async def test_a_watcher_sees_a_call_begin_with_whatever_settings_it_is_created(tmp_path):
    async with world(tmp_path) as w:
        await w.calls.watch("s1", Watch(call="a"))
        assert await w.store.call("a") is None, "watching begins no call"
        shared = await w.calls.create(CreateCall(call="a", language="de"))
        assert shared.ref
        assert (await w.store.call("a")).settings == {"language": "de"}
        assert (await w.calls.create(CreateCall(call="a", language="de"))) == shared
        with pytest.raises(ContractError) as refused:
            await w.calls.create(CreateCall(call="a", language="fr"))
        assert code_of(refused) == "conflict"
        await w.bus.publish_final(shared.epoch, final("u1", call="a"))
        await w.calls.end("a")
        assert len(w.sockets.heard("s1", "caption")) == 1


async def test_a_watcher_cannot_do_what_participants_can(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s0")
        seat, _ = await w.calls.watch("s1", Watch(call="a"))
        for attempt in (
            w.calls.offer(seat, OFFER),
            w.calls.candidate(seat, Candidate()),
            w.calls.close_media(seat),
            w.calls.signal(seat, Signal(to="p")),
        ):
            with pytest.raises(ContractError) as refused:
                await attempt
            assert code_of(refused) == "forbidden"
        assert await w.calls.update(seat, Update(captions_language="de")) == {}
        assert w.sockets.groups[feed_group("a", "de")] == {"s1"}


async def test_who_changes_the_feed_reads_the_new_one_and_not_the_old(tmp_path):
    async with world(tmp_path) as w:
        seat = await w.join("s1")
        await w.calls.update(seat, Update(captions_language="de"))
        ref = w.calls.live["a"].shared.ref
        await w.bus.publish_final(ref.epoch, final("u1", call="a"))
        await w.bus.publish_final(ref.epoch, final("u1", call="a", feed="de"))
        await w.calls.end("a")
        assert [c["feed"] for c in w.sockets.heard("s1", "caption")] == ["de"]
        nothing_left(w)


async def test_what_people_read_is_shared_while_they_read_it(tmp_path):
    async with world(tmp_path) as w:

        async def feeds():
            return (await w.presence.read("a")).feeds

        anna = await w.join("s1", captions_language="de")
        assert await feeds() == {"de"}
        ben = await w.join("s2", captions_language="de")
        watcher, _ = await w.calls.watch("s3", Watch(call="a", captions_language="pt"))
        assert await feeds() == {"de", "pt"}
        await w.calls.update(anna, Update(captions_language="fr"))
        assert await feeds() == {"de", "pt", "fr"}
        await w.calls.leave(ben)
        await w.calls.leave(watcher)
        assert await feeds() == {"fr"}
        await w.calls.update(anna, Update(captions_language="spoken"))
        assert await feeds() == set()


async def test_a_call_may_want_languages_whoever_reads_them(tmp_path):
    async with world(tmp_path) as w:
        await w.calls.create(CreateCall(call="a", captions_languages=["pt"]))
        assert (await w.presence.read("a")).feeds == {"pt"}


async def test_an_older_client_reads_each_caption_of_its_feed_as_a_transcript_too(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s0")
        seat, _ = await w.calls.watch("s1", Watch(call="a", profanity="mask"), transcripts=True)
        await w.calls.update(seat, Update(captions_language="de"))
        ref = w.calls.live["a"].shared.ref
        for feed, text in ((SPOKEN, "ask"), ("de", "was zum arsch")):
            said = final("u1", text, call="a", feed=feed, language="de", end_ms=1900)
            await w.bus.publish_final(ref.epoch, said)
        await w.settled()
        assert w.sockets.heard("s1", "transcript") == [
            {
                "call_uuid": "a",
                "speaker": "Anna",
                "transcript": "was zum a****",
                "is_partial": False,
                "timestamp": ref.started_at_ms + 1900,
            }
        ]
        assert [c["text"] for c in w.sockets.heard("s1", "caption")] == ["was zum a****"]
        assert not w.sockets.heard("s0", "transcript")
        await w.calls.leave(seat)
        assert not w.rooms.audience._transcribed
        await w.calls.watch("s1", Watch(call="a"))
        await w.bus.publish_final(ref.epoch, final("u2", call="a"))
        await w.settled()
        assert len(w.sockets.heard("s1", "caption")) == 2
        assert len(w.sockets.heard("s1", "transcript")) == 1, "it watches as others do by now"
        await w.calls.watch("s2", Watch(call="a"), transcripts=True)
        await w.calls.end("a")
        nothing_left(w)
        assert not w.rooms.audience._transcribed


async def test_who_wants_no_swear_words_reads_none_and_the_others_do(tmp_path):
    async with world(tmp_path) as w:
        anna = await w.join("s1", profanity="mask")
        await w.join("s2")
        ref = w.calls.live["a"].shared.ref
        await w.bus.publish_final(ref.epoch, final("u1", "oh shit", call="a"))
        await w.settled()
        assert [c["text"] for c in w.sockets.heard("s1", "caption")] == ["oh s***"]
        assert [c["text"] for c in w.sockets.heard("s2", "caption")] == ["oh shit"]
        since = await w.calls.since(anna, 0)
        assert [c["text"] for c in since["captions"]] == ["oh s***"]
        await w.calls.update(anna, Update(profanity="keep"))
        await w.bus.publish_final(ref.epoch, final("u2", "shit again", call="a"))
        await w.settled()
        assert [c["text"] for c in w.sockets.heard("s1", "caption")] == ["oh s***", "shit again"]
        await w.calls.update(anna, Update(profanity="mask", captions_language="de"))
        await w.bus.publish_final(
            ref.epoch, final("u1", "arsch", call="a", feed="de", language="de")
        )
        await w.calls.end("a")
        assert w.sockets.heard("s1", "caption")[-1]["text"] == "a****"
        assert not w.rooms.audience._masked
        nothing_left(w)


async def test_settings_of_a_call_that_goes_on_can_be_changed_and_are_kept(tmp_path):
    async with world(tmp_path) as w:
        await w.calls.create(CreateCall(call="a", vocabulary=["Okonkwo"], language="en"))
        await w.calls.change("a", ChangeCall(profanity="mask", captions_languages=["pt"]))
        shared = await w.presence.read("a")
        expected = {
            "vocabulary": ["Okonkwo"],
            "language": "en",
            "profanity": "mask",
            "captions_languages": ["pt"],
        }
        assert dict(shared.record.settings) == expected
        assert dict((await w.store.call("a")).settings) == expected
        assert w.calls.live["a"].shared.feeds == {"pt"}
        await w.calls.end("a")
        for call, code in (("a", "conflict"), ("b", "not_found")):
            with pytest.raises(ContractError) as refused:
                await w.calls.change(call, ChangeCall(profanity="keep"))
            assert code_of(refused) == code


# --- at once --------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["offer", "update", "join", "watch", "leave"])
async def test_what_waits_for_the_end_of_a_call_finds_it_ended(tmp_path, what):
    async with world(tmp_path) as w:
        seat = await w.join("s1")
        gate = w.node.gates["end"] = Gate()
        ending = asyncio.ensure_future(w.calls.end("a"))
        await gate.reached.wait()
        waiting = asyncio.ensure_future(
            {
                "offer": lambda: w.calls.offer(seat, OFFER),
                "update": lambda: w.calls.update(seat, Update(captions_language="de", name="X")),
                "join": lambda: w.join("s2"),
                "watch": lambda: w.calls.watch("s2", Watch(call="a")),
                "leave": lambda: w.calls.leave(seat),
            }[what]()
        )
        await asyncio.sleep(0)  # it is at the lock now; sooner or later makes no difference
        gate.opened.set()
        await ending
        if what in ("offer", "update"):
            with pytest.raises(ContractError) as refused:
                await waiting
            assert code_of(refused) == "conflict"
        else:
            await waiting
        assert w.node.asked == [("end", "a")], "the node hears nothing of a call that it left"
        if what in ("join", "watch"):
            assert set(w.calls.live["a"].seats) == {"s2"}, "in a call that begins anew"
        else:
            nothing_left(w)


async def test_many_who_come_at_once_are_in_one_call(tmp_path):
    async with world(tmp_path) as w:
        await asyncio.gather(*(w.join(f"s{n}") for n in range(20)))
        room = w.calls.live["a"]
        assert len(room.seats) == len(room.participants) == 20
        assert len(w.rooms._followers) == 1
        await asyncio.gather(*(w.calls.leave(seat) for seat in list(room.seats.values())))
        await w.lingered()
        nothing_left(w)


async def test_audio_that_begins_while_a_name_changes_is_not_forgotten(tmp_path):
    async with world(tmp_path) as w:
        seat = await w.join("s1", who=known("anna"))
        gate = w.node.gates["update"] = Gate()
        changing = asyncio.ensure_future(w.calls.update(seat, Update(name="Ann")))
        await gate.reached.wait()
        room = w.calls.live["a"]
        await w.told(Publishing("a", "anna", publishing=True))
        gate.opened.set()
        answer = await changing
        assert answer["participant"]["publishing"] is True
        assert answer["participant"]["name"] == "Ann"
        assert room.shared.captioning


async def test_a_socket_that_dies_while_it_joins_leaves_the_call_again(tmp_path):
    tenures = Tenures(Everybody(), asyncio.TaskGroup())
    server = SocketServer(tenures, [])
    async with world(tmp_path) as w:
        server.attach(w.calls)
        server._connections["s1"] = Connection(
            "s1", Tenure(tenures, None, ANYBODY), await Limiter().hold({})
        )
        gate = w.store.gates["call"] = Gate()
        joining = asyncio.ensure_future(server._event("call:join", "s1", {"call": "a"}))
        await gate.reached.wait()
        dying = asyncio.ensure_future(server._disconnect("s1", "transport close"))
        await asyncio.sleep(0)  # sooner or later makes no difference
        gate.opened.set()
        await joining
        await dying
        assert server.connected == 0
        assert w.calls.live["a"].shared.empty, "no seat without a socket"
        await w.lingered()
        nothing_left(w)


# --- half-way -------------------------------------------------------------------------------


async def test_a_call_that_no_node_takes_leaves_nothing_behind(tmp_path):
    async with world(tmp_path, capacity=0) as w:
        for attempt in (w.join("s1"), w.calls.create(CreateCall(call="a"))):
            with pytest.raises(ContractError) as refused:
                await attempt
            assert code_of(refused) == "overloaded"
        assert await w.store.call("a") is None
        await w.lingered()
        nothing_left(w)


@pytest.mark.parametrize("fault", ["captions", "last_seq", "save_call", "call"])
async def test_a_join_that_fails_half_way_leaves_nobody_in_the_call(tmp_path, fault):
    async with world(tmp_path) as w:
        ended = await w.join("s0")
        await w.bus.publish_final(w.calls.live["a"].shared.ref.epoch, final("u1", call="a"))
        await w.calls.end("a")
        w.store.faults.add(fault)
        with pytest.raises(ConnectionError):
            await w.join("s1")
        w.store.faults.clear()
        if "a" in w.calls.live:
            assert w.calls.live["a"].shared.empty
            await w.lingered()
        nothing_left(w)
        seat = await w.join("s2")
        ref = w.calls.live["a"].shared.ref
        assert (await w.bus.publish_final(ref.epoch, final("u2", call="a"))).seq == 2
        assert (await w.calls.since(seat, 0))["seq"] == 2
        assert ended is not seat


async def test_a_join_that_fails_half_way_is_told_to_nobody_and_the_others_stay(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s1", who=known("anna"))
        w.sockets.fault = ValueError("this socket is not connected")
        with pytest.raises(ValueError, match="not connected"):
            await w.join("s2", who=known("ben"))
        with pytest.raises(ValueError, match="not connected"):
            await w.calls.watch("s3", Watch(call="a"))
        w.sockets.fault = None
        room = w.calls.live["a"]
        assert set(room.seats) == {"s1"}
        assert set(room.participants) == {"anna"}
        assert w.sockets.heard("s1", "call:participant") == []
        assert room.shared.empty_since_ms is None
        ref = room.shared.ref
        await w.bus.publish_final(ref.epoch, final("u1", call="a"))
        await w.calls.end("a")
        assert len(w.sockets.heard("s1", "caption")) == 1


@pytest.mark.parametrize("fault", [ContractError("unavailable", "no answer"), RuntimeError("odd")])
async def test_who_leaves_a_faulty_node_s_call_has_left_all_the_same(tmp_path, fault):
    async with world(tmp_path) as w:
        await w.join("s1")
        ben = await w.join("s2", who=known("ben"))
        w.node.faults["close_media"] = fault
        await w.calls.leave(ben)
        assert [e["event"] for e in w.sockets.heard("s1", "call:participant")] == ["joined", "left"]
        assert w.sockets.groups[call_group("a")] == {"s1"}


@pytest.mark.parametrize("fault", [ContractError("unavailable", "no answer"), RuntimeError("odd")])
async def test_a_call_whose_node_is_faulty_or_gone_ends_all_the_same(tmp_path, fault):
    async with world(tmp_path) as w:
        await w.join("s1")
        w.node.faults["end"] = fault
        await w.calls.end("a")
        nothing_left(w)
        await w.join("s1", call="b")
        w.nodes.gone = True
        await w.calls.end("b")
        nothing_left(w)
        for call in "ab":
            assert (await w.store.call(call)).ended_at_ms is not None
        assert len(w.sockets.heard("s1", "call:state")) == 2


async def test_while_a_node_is_gone_its_participants_are_told_so(tmp_path):
    async with world(tmp_path) as w:
        seat = await w.join("s1", who=known("anna"))
        w.nodes.gone = True
        for attempt in (
            w.calls.offer(seat, OFFER),
            w.calls.candidate(seat, Candidate()),
            w.calls.close_media(seat),
            w.calls.update(seat, Update(captioned=False)),
        ):
            with pytest.raises(ContractError) as refused:
                await attempt
            assert code_of(refused) == "unavailable"
        assert w.calls.live["a"].participants["anna"].captioned, "the node does not know it"


async def test_a_store_that_is_down_keeps_no_call_from_ending_and_brings_down_no_other(tmp_path):
    async with world(tmp_path) as w:
        seat = await w.join("s1")
        await w.join("s2", call="b")
        w.store.faults.add("save_call")
        await w.calls.leave(seat)
        await w.lingered()
        assert set(w.calls.live) == {"b"}
        await w.bus.publish_final(w.calls.live["b"].shared.ref.epoch, final("u1", call="b"))
        await w.calls.end("b")
        assert len(w.sockets.heard("s2", "caption")) == 1
        nothing_left(w)


async def test_a_caption_that_cannot_be_sent_brings_no_other_feed_down(tmp_path, monkeypatch):
    async with world(tmp_path) as w:
        await w.join("s1")
        await w.join("s2", captions_language="de")
        emit = w.sockets.emit

        async def faulty(event, payload, to):
            if to == feed_group("a", SPOKEN):
                raise RuntimeError("odd")
            await emit(event, payload, to)

        monkeypatch.setattr(w.sockets, "emit", faulty)
        ref = w.calls.live["a"].shared.ref
        await w.bus.publish_final(ref.epoch, final("u1", call="a"))
        await w.bus.publish_final(ref.epoch, final("u1", call="a", feed="de"))
        await w.calls.end("a")
        assert len(w.sockets.heard("s2", "caption")) == 1


async def test_a_word_on_health_after_the_end_does_not_revive_a_call(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s1")
        room = w.calls.live["a"]
        await w.told(CallHealth("a", "degraded", "busy"))
        assert room.shared.state == "degraded"
        await w.calls.end("a")
        await w.told(CallHealth("a", "live"))
        assert room.shared.state == "ended"
        nothing_left(w)
        states = [s["state"] for s in w.sockets.heard("s1", "call:state")]
        assert states == ["degraded", "ended"]


# --- going down -----------------------------------------------------------------------------


async def test_who_drains_takes_nobody_in_and_begins_nothing(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s1")
        await w.calls.close(end_calls=True)
        for attempt in (
            w.join("s2"),
            w.calls.watch("s2", Watch(call="a")),
            w.calls.create(CreateCall(call="b")),
        ):
            with pytest.raises(ContractError) as refused:
                await attempt
            assert code_of(refused) == "unavailable"
            assert refused.value.retry_after_ms
        nothing_left(w)
        await w.calls.close(end_calls=True)


@pytest.mark.parametrize("kind", ["join", "watch", "create"])
async def test_a_call_that_is_about_to_open_while_the_server_drains_does_not(tmp_path, kind):
    async with world(tmp_path) as w:
        gate = w.store.gates["call"] = Gate()
        opening = asyncio.ensure_future(
            {
                "join": lambda: w.join("s1"),
                "watch": lambda: w.calls.watch("s1", Watch(call="a")),
                "create": lambda: w.calls.create(CreateCall(call="a")),
            }[kind]()
        )
        await gate.reached.wait()
        await w.calls.close(end_calls=True)
        gate.opened.set()
        with pytest.raises(ContractError) as refused:
            await opening
        assert code_of(refused) == "unavailable"
        nothing_left(w)


async def test_calls_are_drained_at_once_and_not_one_behind_the_other(tmp_path):
    async with world(tmp_path) as w:
        for n in range(5):
            await w.join(f"s{n}", call=f"call-{n}")
        gate = w.node.gates["end"] = Gate()
        closing = asyncio.ensure_future(w.calls.close(end_calls=True))
        await gate.reached.wait()
        await asyncio.sleep(0)
        assert len(w.node.asked) == 5
        gate.opened.set()
        await closing
        nothing_left(w)


async def test_who_comes_back_while_their_seat_is_still_there_stays_as_they_wished(tmp_path):
    async with world(tmp_path) as w:
        seat = await w.join("s1", who=known("anna"))
        await w.calls.update(seat, Update(captioned=False, anonymous=True))
        await w.join("s2", who=known("anna"))
        anna = w.calls.live["a"].participants["anna"]
        assert not anna.captioned
        assert anna.anonymous


async def test_a_wish_is_told_to_the_node_by_the_version_of_the_call_that_has_it(tmp_path):
    async with world(tmp_path) as w:
        versions = []
        update = w.node.update

        async def noting(call, participant):
            versions.append((call.version, participant.captioned))
            await update(call, participant)

        w.node.update = noting
        seat = await w.join("s1", who=known("anna"))
        await w.calls.update(seat, Update(captioned=False))
        shared = w.calls.live["a"].shared
        assert versions[-1] == (shared.version, False), "an offer of before undoes nothing"
        assert not shared.participants["anna"].captioned
