"""Sessions of raw audio, whatever becomes of client, call and node; the node is a stand-in."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from captions.types import SPOKEN
from signaling import audio_session
from signaling.audio import AudioFormat
from signaling.audio_session import MOST_AHEAD_SECONDS, AudioSession
from signaling.audio_sessions import Nobody, Wish
from signaling.errors import ContractError
from signaling.messages import Join, Update
from signaling.shared_call import handed_over, lost, now_ms, placed
from signaling.tokens import Identity
from tests.signaling.bus_contract import final, partial
from tests.signaling.world import ANYBODY, Gate, code_of, known, nothing_left, world

CHUNK = bytes(3200)  # 100 ms


class Client:
    """Keeps what it is told. See `Outlet`."""

    def __init__(self):
        self.captions: list[dict] = []
        self.errors: list[str] = []
        self.over = asyncio.Event()
        self.news = asyncio.Event()

    def caption(self, caption):
        self.captions.append(caption)
        self.news.set()

    def error(self, error):
        self.errors.append(error.code)
        self.news.set()

    def ended(self):
        self.over.set()


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the test's own clock
            await asyncio.sleep(0.001)


async def publish(w, session, *captions) -> None:
    """The node's captions of what the session's speaker says."""
    shared = await w.presence.read(session.seat.call)
    for caption in captions:
        said = replace(caption, call=session.seat.call, participant=session.seat.participant)
        if said.final:
            await w.bus.publish_final(shared.epoch, said)
        else:
            await w.bus.publish_partial(shared.epoch, said)


async def test_a_session_is_a_participant_of_its_call_and_hears_its_own_captions(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s0", "a", known("anna"))
        client = Client()
        wish = Wish(call="a", name="Room 3", language="de")
        name, session = await w.sessions.open(known("room"), wish, client)
        people = (await w.presence.read("a")).people
        assert {who: p.participant.name for who, p in people.items()} == {
            "anna": "Anna",
            "room": "Room 3",
        }
        assert people["room"].participant.language == "de"
        assert w.node.lines == [], "nothing was said yet"
        session.send(CHUNK)
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        await publish(w, session, partial("u1", 1), final("u1"))
        other = replace(final("u2"), call="a", participant="anna")
        await w.bus.publish_final((await w.presence.read("a")).epoch, other)
        await until(lambda: len(client.captions) == 2)
        assert [c["final"] for c in client.captions] == [False, True]
        await w.sessions.finish(name)
        assert list((await w.presence.read("a")).people) == ["anna"]
        assert w.node.lines[0].closed
        assert [c["utterance"] for c in client.captions] == ["u1", "u1"]


async def test_a_private_session_s_call_ends_with_it_and_leaves_nothing(tmp_path):
    async with world(tmp_path) as w:
        wish = Wish(vocabulary=("Surtitle", "Ada"))
        name, session = await w.sessions.open(ANYBODY, wish, Client())
        session.send(CHUNK)
        await until(lambda: w.node.lines)
        call = session.seat.call
        assert (await w.presence.read(call)).record.settings["vocabulary"] == ["Surtitle", "Ada"]
        await w.sessions.finish(name)
        await w.settled()
        assert w.sessions.count == 0
        assert (await w.store.call(call)).ended_at_ms is not None
        assert not w.inner._takers
        assert not w.inner._groups
        nothing_left(w)


async def test_a_session_in_which_nothing_is_said_needs_no_node(tmp_path):
    async with world(tmp_path) as w:
        name, session = await w.sessions.open(ANYBODY, Wish(), Client())
        await w.sessions.finish(name)
        assert w.node.asked == []
        assert await w.store.call(session.seat.call) is None


async def test_chunks_keep_their_order_and_their_time(tmp_path):
    async with world(tmp_path) as w:
        _, session = await w.sessions.open(ANYBODY, Wish(), Client())
        chunks = [bytes([n]) * 3200 for n in range(20)]
        for chunk in chunks:
            session.send(chunk)
        await until(lambda: w.node.lines and len(w.node.lines[0].heard) == 20)
        [line] = w.node.lines
        assert [chunk for chunk, _ in line.heard] == chunks
        times = [at for _, at in line.heard]
        assert times == [line.begins_at_ms + 100 * n for n in range(20)]
        assert session.received_seconds == pytest.approx(2.0)


async def test_who_sends_too_much_at_once_is_told_to_wait(tmp_path):
    async with world(tmp_path) as w:
        w.node.gates["send"] = gate = Gate()
        _, session = await w.sessions.open(ANYBODY, Wish(), Client())
        second = bytes(32_000)
        for _ in range(round(MOST_AHEAD_SECONDS)):
            session.send(second)
        with pytest.raises(ContractError) as refused:
            session.send(CHUNK)
        assert code_of(refused) == "rate_limited"
        waiting = asyncio.ensure_future(session.room())
        await gate.reached.wait()
        assert not waiting.done()
        gate.opened.set()
        async with asyncio.timeout(5):
            await waiting
        session.send(CHUNK)


async def test_a_chunk_that_the_node_refuses_is_told_and_the_next_is_taken(tmp_path):
    async with world(tmp_path) as w:
        client = Client()
        wish = Wish(audio=AudioFormat("opus"))
        _, session = await w.sessions.open(ANYBODY, wish, client)
        session.send(b"\x08")
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        w.node.faults["send"] = ContractError("invalid", "no Opus packet")
        session.send(b"\x08bad")
        await until(lambda: client.errors)
        del w.node.faults["send"]
        session.send(b"\x08good")
        await until(lambda: len(w.node.lines[0].heard) == 2)
        assert client.errors == ["invalid"]
        assert len(w.node.lines) == 1


async def test_audio_goes_to_the_next_node_when_the_first_one_dies(tmp_path):
    async with world(tmp_path) as w:
        _, session = await w.sessions.open(ANYBODY, Wish(), Client())
        session.send(CHUNK)
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        w.node.gates["send"] = Gate()  # it hangs
        session.send(b"\x01" * 3200)
        await w.node.gates["send"].reached.wait()
        call = session.seat.call
        await w.presence.change(call, lambda now: lost(now, now_ms()))
        await w.presence.change(call, lambda now: placed(now, "node-1", now.epoch + 1))
        del w.node.gates["send"]
        await until(lambda: len(w.node.lines) == 2 and len(w.node.lines[1].heard) == 2)
        line = w.node.lines[1]
        assert [chunk for chunk, _ in line.heard] == [CHUNK, b"\x01" * 3200], "none was captioned"
        assert line.begins_at_ms == session.begins_at_ms


async def test_what_was_captioned_before_a_node_died_is_not_sent_to_the_next_one(tmp_path):
    async with world(tmp_path) as w:
        _, session = await w.sessions.open(ANYBODY, Wish(), client := Client())
        for n in range(4):
            session.send(bytes([n]) * 3200)
        await until(lambda: w.node.lines and len(w.node.lines[0].heard) == 4)
        captioned = replace(partial("u1", 1), end_ms=session.offset_ms + 200)
        await publish(w, session, captioned)
        await until(lambda: client.captions)
        w.node.faults["send"] = ContractError("unavailable", "the node does not answer")
        session.send(bytes([4]) * 3200)
        await until(lambda: len(w.node.lines) > 1)
        del w.node.faults["send"]
        await until(lambda: len(w.node.lines[-1].heard) == 3)
        assert [chunk[0] for chunk, _ in w.node.lines[-1].heard] == [2, 3, 4]


async def test_a_node_that_drains_speaks_the_last_words_of_what_it_was_sent(tmp_path):
    async with world(tmp_path) as w:
        _, session = await w.sessions.open(ANYBODY, Wish(), Client())
        session.send(CHUNK)
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        call = session.seat.call
        await w.presence.change(call, lambda now: handed_over(now, "node-1", now.epoch + 1))
        await until(lambda: len(w.node.lines) == 2)
        await until(lambda: w.node.lines[0].closed)
        session.send(b"\x01" * 3200)
        await until(lambda: w.node.lines[1].heard)


async def test_while_no_node_has_room_the_client_is_told_once_and_nothing_is_lost(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(audio_session, "_RETRY_SECONDS", 0.001)
    async with world(tmp_path) as w:
        client = Client()
        _, session = await w.sessions.open(ANYBODY, Wish(), client)
        w.node.faults["listen"] = ContractError("overloaded", "full", 2000)
        session.send(CHUNK)
        await until(lambda: len(w.node.asked) >= 3)
        assert client.errors == ["overloaded"]
        del w.node.faults["listen"]
        await until(
            lambda: w.node.lines and w.node.lines[0].heard == [(CHUNK, session.begins_at_ms)]
        )


async def test_audio_that_no_node_takes_in_time_is_lost_and_the_client_is_told(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(audio_session, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(audio_session, "NO_NODE_SECONDS", 0.02)
    async with world(tmp_path) as w:
        client = Client()
        _, session = await w.sessions.open(ANYBODY, Wish(), client)
        w.node.faults["listen"] = ContractError("unavailable", "gone", 2000)
        session.send(CHUNK)
        await until(lambda: len(client.errors) == 2)
        assert client.errors == ["unavailable", "unavailable"]
        del w.node.faults["listen"]
        session.send(b"\x01" * 3200)
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        assert w.node.lines[0].heard[0][0] == b"\x01" * 3200


async def test_the_end_waits_for_the_last_final(tmp_path):
    async with world(tmp_path) as w:
        client = Client()
        name, session = await w.sessions.open(ANYBODY, Wish(), client)
        w.node.gates["close_line"] = gate = Gate()
        session.send(CHUNK)
        finishing = asyncio.ensure_future(w.sessions.finish(name))
        await gate.reached.wait()
        await publish(w, session, final("u1"))
        gate.opened.set()
        async with asyncio.timeout(5):
            await finishing
        assert [c["utterance"] for c in client.captions] == ["u1"]
        with pytest.raises(ContractError) as refused:
            session.send(CHUNK)
        assert code_of(refused) == "conflict"


async def test_a_client_that_comes_back_in_time_goes_on_and_gets_what_it_missed(tmp_path):
    async with world(tmp_path) as w:
        before, after = Client(), Client()
        name, session = await w.sessions.open(known("phone"), Wish(), before)
        session.send(CHUNK)
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        await publish(w, session, final("u1"))
        await until(lambda: before.captions)
        w.sessions.let_wait(name, before)
        await publish(w, session, final("u2"))
        assert await w.sessions.resume(name, known("phone"), after) is session
        w.sessions.let_wait(name, before)  # the old connection's end is found late
        assert session.outlet is after
        missed = await session.since(1)
        assert [c["utterance"] for c in missed] == ["u2"]
        session.send(CHUNK)
        await until(lambda: len(w.node.lines[0].heard) == 2)
        assert len(before.captions) == 1


async def test_a_session_whose_client_stays_away_ends(tmp_path):
    async with world(tmp_path, resume_seconds=0.01) as w:
        client = Client()
        name, session = await w.sessions.open(known("phone"), Wish(), client)
        w.sessions.let_wait(name, client)
        assert isinstance(session.outlet, Nobody)
        await until(lambda: w.sessions.count == 0)
        with pytest.raises(ContractError) as refused:
            await w.sessions.resume(name, known("phone"), client)
        assert code_of(refused) == "not_found"


async def test_nobody_goes_on_with_the_session_of_somebody_else(tmp_path):
    async with world(tmp_path) as w:
        client = Client()
        name, _ = await w.sessions.open(known("phone"), Wish(), client)
        with pytest.raises(ContractError) as refused:
            await w.sessions.resume(name, known("mallory"), Client())
        assert code_of(refused) == "not_found"


async def test_a_session_ends_with_its_call(tmp_path):
    async with world(tmp_path) as w:
        client = Client()
        _, session = await w.sessions.open(known("room"), Wish(call="a"), client)
        session.send(CHUNK)
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        await w.calls.end("a")
        await client.over.wait()
        assert session.over


async def test_another_encoding_or_language_goes_on_in_the_same_session(tmp_path):
    async with world(tmp_path) as w:
        _, session = await w.sessions.open(known("room"), Wish(call="a"), Client())
        session.send(CHUNK)
        session.set_format(AudioFormat("mulaw", 8000))
        session.send(bytes(800))
        await until(lambda: len(w.node.lines) == 2 and w.node.lines[1].heard)
        await until(lambda: w.node.lines[0].closed)
        formats = [asked[3] for asked in w.node.asked if asked[0] == "listen"]
        assert formats == [AudioFormat(), AudioFormat("mulaw", 8000)]
        assert w.node.lines[1].heard[0][1] == session.begins_at_ms + 100
        await session.update(Update(language="pt"))
        assert (await w.presence.read("a")).people["room"].participant.language == "pt"


@pytest.mark.parametrize(
    ("who", "wish", "code"),
    [
        (Identity("p", None, "*", frozenset({"watch"})), Wish(), "forbidden"),
        (Identity("p", None, "b", frozenset({"publish"})), Wish(call="a"), "forbidden"),
        (ANYBODY, Wish(call="a", vocabulary=("Ada",)), "invalid"),
    ],
)
async def test_who_may_not_has_no_session(tmp_path, who, wish, code):
    async with world(tmp_path) as w:
        with pytest.raises(ContractError) as refused:
            await w.sessions.open(who, wish, Client())
        assert code_of(refused) == code
        assert w.sessions.count == 0
        assert not w.inner._takers


async def test_a_session_of_one_s_own_is_refused_where_no_node_takes_calls(tmp_path):
    async with world(tmp_path) as w:
        w.sessions._health.fleet = replace(w.sessions._health.fleet, takes_calls=False)
        with pytest.raises(ContractError) as refused:
            await w.sessions.open(ANYBODY, Wish(), Client())
        assert code_of(refused) == "overloaded"
        _, session = await w.sessions.open(ANYBODY, Wish(call="a"), Client())
        assert session.seat.feed == SPOKEN


async def test_a_session_ends_when_its_speaker_joins_anew(tmp_path):
    async with world(tmp_path) as w:
        before, after = Client(), Client()
        name, session = await w.sessions.open(known("room"), Wish(call="a"), before)
        session.send(CHUNK)
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        _, again = await w.sessions.open(known("room"), Wish(call="a"), after)
        w.node.faults["send"] = ContractError("conflict", "the line is closed")
        session.send(CHUNK)
        async with asyncio.timeout(5):
            await before.over.wait()
        del w.node.faults["send"]
        again.send(CHUNK)
        await until(lambda: w.node.lines[-1].heard)
        await w.sessions.finish(name)
        assert list((await w.presence.read("a")).people) == ["room"]
        assert after.errors == []


async def recording(w, client, *, private: bool) -> AudioSession:
    session = AudioSession(
        calls=w.calls,
        sockets=w.inner,
        outlet=client,
        audio=AudioFormat(),
        private=private,
        tasks=w.sessions._tasks,
        recorded=True,
    )
    await session.open(known("file"), Join(call="a"), {})
    return session


async def test_a_recording_keeps_its_own_time_and_its_gaps_and_stays_in_the_background(tmp_path):
    async with world(tmp_path) as w:
        session = await recording(w, Client(), private=True)
        for offset_ms in (0, 100, 205, 5_000, 4_000, 5_200):
            session.send(CHUNK, offset_ms)
        await until(lambda: w.node.lines and len(w.node.lines[0].heard) == 6)
        started_at_ms = (await w.presence.read("a")).record.started_at_ms
        times = [at_ms - started_at_ms for _, at_ms in w.node.lines[0].heard]
        assert times == [0, 100, 200, 5_000, 5_100, 5_200]
        assert [asked[-1] for asked in w.node.asked if asked[0] == "listen"] == [True]
        assert session.carried_seconds == pytest.approx(0.6)
        await session.finish()
        await w.settled()
        nothing_left(w)


async def test_a_recording_in_a_call_of_others_begins_when_it_comes(tmp_path):
    async with world(tmp_path) as w:
        await w.join("s0", "a", known("anna"))
        earlier = now_ms() - 60_000
        await w.presence.change(
            "a", lambda now: replace(now, record=replace(now.record, started_at_ms=earlier))
        )
        await w.settled()
        session = await recording(w, Client(), private=False)
        session.send(CHUNK, 1_000)
        assert session.offset_ms == pytest.approx(60_000, abs=5_000)
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        assert w.node.lines[0].heard[0][1] == session.begins_at_ms + 1_000
        await session.finish()
        assert list((await w.presence.read("a")).people) == ["anna"]


async def test_a_recording_waits_for_a_node_for_as_long_as_it_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_session, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(audio_session, "NO_NODE_SECONDS", 0.01)
    async with world(tmp_path) as w:
        session = await recording(w, Client(), private=True)
        w.node.faults["listen"] = ContractError("overloaded", "full", 2000)
        session.send(CHUNK)
        await until(lambda: len(w.node.asked) >= 30)
        del w.node.faults["listen"]
        await until(lambda: w.node.lines and w.node.lines[0].heard)
        assert w.node.lines[0].heard[0][0] == CHUNK


async def test_of_a_recording_all_that_has_no_final_goes_to_the_next_node(tmp_path):
    async with world(tmp_path) as w:
        session = await recording(w, Client(), private=True)
        second = bytes(32_000)
        for n in range(40):
            session.send(second, n * 1000)
        await until(lambda: w.node.lines and len(w.node.lines[0].heard) == 40)
        heard = replace(final("u1"), start_ms=0, end_ms=9_700)
        await publish(w, session, heard)
        await until(lambda: len(session._sent) == 31)
        w.node.lines[0].dies = True
        session.send(second, 40_000)
        await until(lambda: len(w.node.lines) == 2 and len(w.node.lines[1].heard) == 32)
        times = [at_ms - session.begins_at_ms for _, at_ms in w.node.lines[1].heard]
        assert times == [n * 1000 for n in range(9, 41)]


async def test_a_recording_whose_end_has_no_node_yet_waits_for_one(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_session, "_RETRY_SECONDS", 0.001)
    async with world(tmp_path) as w:
        session = await recording(w, Client(), private=True)
        w.node.faults["listen"] = ContractError("overloaded", "full", 2000)
        session.send(CHUNK)
        finishing = asyncio.ensure_future(session.finish())
        await until(lambda: len(w.node.asked) >= 10)
        del w.node.faults["listen"]
        async with asyncio.timeout(5):
            await finishing
        assert w.node.lines[0].heard[0][0] == CHUNK


async def test_a_recording_that_is_given_up_ends_though_its_node_takes_no_more(tmp_path):
    async with world(tmp_path) as w:
        session = await recording(w, Client(), private=True)
        w.node.gates["send"] = gate = Gate()  # all who speak now go before it
        w.node.on_close_media = lambda: (
            w.node.faults.update(send=ContractError("conflict", "the line is closed")),
            gate.opened.set(),
        )
        for _ in range(10):
            session.send(CHUNK)
        await gate.reached.wait()
        async with asyncio.timeout(5):
            await session.give_up()
        assert w.node.lines[0].heard == []
        assert w.node.lines[0].closed
        await w.settled()
        nothing_left(w)
