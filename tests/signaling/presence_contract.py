"""What every `signaling.presence.Presence` must do. A subclass gives the fixture `presence`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from signaling.errors import ContractError
from signaling.messages import Arrived, CallHealth, Participant, Publishing
from signaling.presence import Presence, tell
from signaling.shared_call import (
    Person,
    SharedCall,
    WhipSession,
    placed,
    settled,
    with_person,
    with_watchers,
    without_person,
)
from signaling.sources import Janus, Rtp, RtpStream, Srtp
from signaling.store import CallRecord

RECORD = CallRecord("standup-42", 1_700_000_000_000, settings={"language": "de", "words": ["ü"]})
ANNA = Person(Participant("p-anna", 'Anna 🙂 \\ "x"', "pt-BR"), "g1", "socket-1")


def begun(now: SharedCall | None) -> SharedCall:
    return now or settled(SharedCall(RECORD))


def with_anna(now: SharedCall | None) -> SharedCall:
    return with_person(begun(now), ANNA)


def over(now: SharedCall | None) -> None:
    return None


class PresenceContract:
    """Each test has calls of its own."""

    @pytest.fixture
    async def presence(self):
        raise NotImplementedError

    @pytest.fixture
    async def other(self, presence):
        """The same, as another process has it."""
        return presence

    async def test_the_record_of_a_call_is_read_alone_while_it_goes_on(self, presence, other):
        assert await presence.record("standup-42") is None
        await presence.change("standup-42", with_anna)
        assert await other.record("standup-42") == RECORD
        await presence.change("standup-42", over)
        assert await other.record("standup-42") is None

    async def test_a_call_begins_changes_and_is_over(self, presence: Presence, other: Presence):
        assert await presence.read("standup-42") is None
        first = await presence.change("standup-42", begun)
        assert first.record == RECORD
        assert await other.read("standup-42") == first
        second = await other.change("standup-42", with_anna)
        assert second.version > first.version
        assert second.people == {"p-anna": ANNA}
        assert await presence.read("standup-42") == second
        assert await presence.change("standup-42", over) is None
        assert await other.read("standup-42") is None
        assert await other.change("standup-42", over) is None

    async def test_a_call_that_begins_again_is_a_later_version(self, presence):
        before = await presence.change("standup-42", begun)
        for _ in range(20):
            before = await presence.change("standup-42", with_anna)
            before = await presence.change("standup-42", lambda now: without_person(now, "p-anna"))
        await presence.change("standup-42", over)
        assert (await presence.change("standup-42", begun)).version > before.version

    async def test_everything_comes_back_as_it_went_in(self, presence, other):
        whip = WhipSession(
            "id", "standup-42", "p-ben", None, '"e"', frozenset({"0", "1"}), frozenset({"uf"})
        )
        ben = Person(
            Participant("p-ben", "Ben", captioned=False, anonymous=True, interrupted_at_ms=5),
            guest=True,
            whip=whip,
        )
        call = replace(
            SharedCall(replace(RECORD, ended_at_ms=None)),
            created=True,
            source=Janus(url="wss://x.example", room=5, pin="hush", captions_back=True),
            source_details={"port": 4000, "list": [1, None, {"a": "ü"}]},
            node="node-1",
            epoch=1_795_794_490_888_123,
            state="recovering",
            reason="why",
            people={"p-anna": ANNA, "p-ben": ben},
            watched_by=frozenset({"g1", "g2"}),
            reads={"g1": frozenset({"de", "pt-BR"})},
            awaited=frozenset({"p-anna"}),
            leaving=("node-0", 7),
            interrupted_at_ms=1,
            moved_at_ms=2,
            empty_since_ms=None,
            ending_since_ms=0,
            ending_by="somebody",
        )
        stored = await presence.change("standup-42", lambda now: call)
        assert replace(stored, version=0) == call
        assert await other.read("standup-42") == stored
        rtp = Rtp(streams=[RtpStream(ssrc=1, name="A")], srtp=Srtp(key="k" * 40), sender="1.2.3.4")
        stored = await other.change("standup-42", lambda now: replace(now, source=rtp))
        assert (await presence.read("standup-42")).source == rtp

    async def test_what_changes_nothing_is_no_new_version(self, presence):
        before = await presence.change("standup-42", with_anna)
        assert await presence.change("standup-42", with_anna) == before
        assert await presence.change("standup-42", lambda now: now) == before

    async def test_a_refusal_changes_nothing_and_reaches_the_caller(self, presence):
        await presence.change("standup-42", begun)
        before = await presence.read("standup-42")

        def refuse(now):
            raise ContractError("conflict", "no")

        with pytest.raises(ContractError, match="no"):
            await presence.change("standup-42", refuse)
        assert await presence.read("standup-42") == before

    async def test_changes_at_the_same_time_are_all_kept(self, presence, other):
        await presence.change("standup-42", begun)

        async def come(by: Presence, n: int):
            person = Person(Participant(f"p{n}", f"P {n}"), "g1", f"s{n}")
            await by.change("standup-42", lambda now: with_person(now, person))

        await asyncio.gather(*(come((presence, other)[n % 2], n) for n in range(30)))
        assert set((await presence.read("standup-42")).people) == {f"p{n}" for n in range(30)}

    async def test_of_many_who_place_a_call_at_once_one_does(self, presence, other):
        await presence.change("standup-42", begun)
        won = []

        async def claim(by: Presence, n: int):
            mine = False

            def transition(now):
                nonlocal mine
                mine = now.node is None
                return placed(now, f"node-{n}", n) if mine else now

            await by.change("standup-42", transition)
            if mine:
                won.append(n)

        await asyncio.gather(*(claim((presence, other)[n % 2], n) for n in range(1, 21)))
        assert len(won) == 1
        assert (await other.read("standup-42")).node == f"node-{won[0]}"

    async def test_who_follows_hears_the_newest_version_and_then_the_end(self, presence, other):
        await presence.change("standup-42", begun)
        async with other.follow("standup-42") as versions:
            newest = await presence.change("standup-42", with_anna)
            async for version in versions:
                if version == newest:
                    break
            for n in range(200):
                newest = await presence.change(
                    "standup-42",
                    lambda now, n=n: replace(now, source_details={"n": n}),
                )
            seen = []
            async for version in versions:
                seen.append(version)
                if version == newest:
                    break
            assert [v.version for v in seen] == sorted({v.version for v in seen})
            await presence.change("standup-42", over)
            rest = [version async for version in versions]
            assert rest == [None]

    async def test_who_follows_hears_of_their_call_only(self, presence):
        async with presence.follow("standup-42") as versions:
            await presence.change("other", lambda now: SharedCall(CallRecord("other", 0)))
            mine = await presence.change("standup-42", begun)
            assert await anext(versions) == mine

    async def test_a_call_is_summed_up_while_it_is_there(self, presence):
        await presence.change("standup-42", begun)
        (summary,) = (await presence.summaries()).values()
        assert summary.node is None
        assert summary.empty_since_ms is not None
        await presence.change("standup-42", with_anna)
        await presence.change(
            "standup-42",
            lambda now: placed(with_watchers(now, "g2", any_left=True), "node-1", 5),
        )
        summaries = await presence.summaries()
        assert list(summaries) == ["standup-42"]
        summary = summaries["standup-42"]
        assert (summary.node, summary.state) == ("node-1", "live")
        assert summary.gateways == {"g1", "g2"}
        assert (summary.empty_since_ms, summary.ending_since_ms) == (None, None)
        assert summary.moving_since_ms is None
        assert not summary.astray
        await presence.change("standup-42", over)
        assert await presence.summaries() == {}

    async def test_a_node_s_word_counts_while_it_owns_the_call(self, presence):
        await presence.change("standup-42", lambda now: placed(begun(now), "node-1", 5))
        await tell(presence, Arrived("standup-42", Participant("p-anna", "Anna")), 5)
        assert list((await presence.read("standup-42")).people) == ["p-anna"]
        await tell(presence, Publishing("standup-42", "p-anna", publishing=True), 4)
        assert not (await presence.read("standup-42")).captioning
        await tell(presence, Publishing("standup-42", "p-anna", publishing=True), 5)
        assert (await presence.read("standup-42")).captioning
        assert await tell(presence, CallHealth("nobody", "live"), 5) is None
        assert await presence.read("nobody") is None
