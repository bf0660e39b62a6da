"""One call on a node: what its SFU tells reaches gateways in order, whatever happens there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from captions.translation import Translation
from captions.types import SPOKEN, Caption
from captions.window import ModelInfo
from media import call as call_module
from media.call import NodeCall
from media.captions_back import MOST_WAITING, CaptionsBack
from media.counts import NodeCounts
from media.source import Connected, Joined, Left, Lost, Recovered, TrackEnded, TrackStarted
from media.track import Track
from signaling.bus import MemoryBus
from signaling.errors import ContractError, Unreachable
from signaling.messages import (
    Arrived,
    CallEvent,
    CallHealth,
    CallOver,
    CallRef,
    Candidate,
    Departed,
    Participant,
    Publishing,
)
from signaling.presence import MemoryPresence, tell
from signaling.shared_call import Person, SharedCall, placed, with_person
from signaling.sources import Rtp
from signaling.store import CallRecord
from tests.media.test_sdp import CHROME
from tests.signaling.bus_contract import final

REF = CallRef("c", 1, 0)

FINAL = Caption(
    call="c",
    utterance="u-1",
    revision=1,
    participant="p-anna",
    speaker="Anna",
    language="en",
    source_language="en",
    text="hello",
    stable=5,
    final=True,
    start_ms=0,
    end_ms=500,
)


class Sfu:
    """A source that tells what the test wants, until it is closed or fails."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self._refusal = refusal
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent: list[Caption] = []

    async def run(self, tell) -> None:
        if self._refusal:
            raise self._refusal
        self.tell = tell
        tell(Connected({"port": 4000}))
        await self._over

    async def send(self, caption: Caption) -> None:
        self.sent.append(caption)

    async def close(self) -> None:
        self.end()

    def end(self, error: Exception | None = None) -> None:
        if not self._over.done():
            if error:
                self._over.set_exception(error)
            else:
                self._over.set_result(None)


class World:
    def __init__(self, call: NodeCall, presence: MemoryPresence, bus: MemoryBus) -> None:
        self.call = call
        self.presence = presence
        self.bus = bus
        self.told: list[CallEvent] = []
        self.running = asyncio.create_task(call.run())
        self._news = asyncio.Condition()

    async def tell(self, presence: MemoryPresence, event: CallEvent, epoch: int):
        async with self._news:
            self.told.append(event)
            self._news.notify_all()
        return await tell(presence, event, epoch)

    async def until_told(self, event: CallEvent) -> None:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: event in self.told)


@asynccontextmanager
async def a_call(monkeypatch, ref: CallRef = REF) -> AsyncIterator[World]:
    bus, presence = MemoryBus(), MemoryPresence()
    await bus.open_call("c", 1, {})
    await presence.change("c", lambda _: placed(SharedCall(CallRecord("c", 0)), "node-1", 1))
    await presence.change("c", lambda now: replace(now, source=Rtp()))
    call = NodeCall(
        ref=ref,
        scheduler=SimpleNamespace(forget=lambda *_: None, has_final_model=False, beat_factor=1.0),
        bus=bus,
        presence=presence,
        counts=NodeCounts(),
        model=ModelInfo("scripted", ("en", "de"), "cpu", 0.0),
        translation=Translation(),
    )
    w = World(call, presence, bus)
    monkeypatch.setattr(call_module, "tell", w.tell)
    yield w
    async with asyncio.timeout(5):
        await call.close()
        await w.running


async def test_a_call_is_captioned_as_it_is_set_from_then_on(monkeypatch):
    def with_settings(settings):
        def changed(now):
            return replace(now, record=replace(now.record, settings=settings))

        return changed

    async with a_call(monkeypatch) as w:
        await w.presence.change("c", with_settings({"profanity": "mask", "vocabulary": ["Ada"]}))
        await w.call.attach(Sfu(), "en")
        w.call._said(swearing := final("u-1", "oh shit", call="c", participant="p-anna"))
        while not (said := await w.bus.since("c", SPOKEN, 0)):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert said[0].text == "oh s***"
        speaker = w.call._new_speaker(Participant("p-anna", "Anna"), Track())
        assert speaker.vocabulary == ("Ada",)
        await w.presence.change("c", with_settings({}))
        await asyncio.sleep(0.01)
        w.call._said(replace(swearing, utterance="u-2"))
        while len(said := await w.bus.since("c", SPOKEN, 0)) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert said[1].text == "oh shit"


async def test_what_an_sfu_tells_reaches_the_gateways_in_order(monkeypatch):
    async with a_call(monkeypatch) as w:
        sfu, track = Sfu(), Track()
        assert await w.call.attach(sfu, "de") == {"port": 4000}
        sfu.tell(Joined("p-anna", "Anna"))
        sfu.tell(TrackStarted("p-anna", track))
        sfu.tell(Lost("the SFU is gone"))
        assert w.call.lost == "the SFU is gone"
        sfu.tell(Recovered())
        await w.until_told(CallHealth("c", "live"))
        sfu.tell(TrackEnded("p-anna", track))
        sfu.tell(Left("p-anna"))
        await w.until_told(Publishing("c", "p-anna", publishing=False))
    anna = Participant("p-anna", "Anna", "de")
    assert w.told[0] == Arrived("c", anna)
    assert sorted(map(repr, w.told[1:4])) == sorted(
        map(
            repr,
            [
                CallHealth("c", "recovering", "the SFU is gone"),
                CallHealth("c", "live"),
                Publishing("c", "p-anna", publishing=True),
            ],
        )
    )
    assert Departed("c", "p-anna") in w.told
    assert not w.call.participants
    assert not w.call.streams


async def test_a_refusal_leaves_the_call_as_it_was_and_another_try_may_do(monkeypatch):
    async with a_call(monkeypatch) as w:
        for refusal, code in (
            (ContractError("forbidden", "wrong PIN"), "forbidden"),
            (RuntimeError("a fault of ours"), "unavailable"),
        ):
            with pytest.raises(ContractError) as error:
                await w.call.attach(Sfu(refusal), "auto")
            assert error.value.code == code
        await w.call.attach(Sfu(), "auto")
        with pytest.raises(ContractError) as error:
            await w.call.attach(Sfu(), "auto")
        assert error.value.code == "conflict"
    assert not [event for event in w.told if isinstance(event, CallOver)]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (None, "the call is over at its SFU"),
        (ContractError("forbidden", "kicked"), "kicked"),
        (RuntimeError("a fault of ours"), "the call is over at its SFU"),
    ],
)
async def test_a_call_that_is_over_at_its_sfu_is_over(monkeypatch, fault, reason):
    async with a_call(monkeypatch) as w:
        sfu, track = Sfu(), Track()
        await w.call.attach(sfu, "auto")
        sfu.tell(Joined("p-anna", "Anna"))
        sfu.tell(TrackStarted("p-anna", track))
        track.close()
        sfu.end(fault)
        await w.until_told(CallOver("c", reason))
        async with asyncio.timeout(5):
            await w.running


async def test_what_a_participant_says_of_themselves_stands_above_the_sfu_s_word(monkeypatch):
    async with a_call(monkeypatch) as w:
        sfu = Sfu()
        await w.call.attach(sfu, "auto")
        sfu.tell(Joined("p-anna", "anna@sfu"))
        w.call.update(Participant("p-anna", "Anna", "fr"))
        sfu.tell(Joined("p-anna", "somebody"))
        assert w.call.participants["p-anna"] == Participant("p-anna", "Anna", "fr")
        sfu.tell(Left("p-anna"))
        assert "p-anna" in w.call.participants
        await w.call.close_media("p-anna")
        assert not w.call.participants


async def test_what_was_said_on_a_socket_before_the_sfu_names_somebody_is_what_counts(monkeypatch):
    async with a_call(monkeypatch) as w:
        anna = Participant("p-anna", "Anna", "de")
        await w.presence.change("c", lambda now: with_person(now, Person(anna, "g1", "s1")))
        sfu = Sfu()
        await w.call.attach(sfu, "auto")
        sfu.tell(Joined("p-anna", "Speaker 1"))
        await w.until_told(Arrived("c", Participant("p-anna", "Speaker 1")))
        await asyncio.sleep(0)
        assert w.call.participants["p-anna"] == anna


async def test_a_call_that_has_another_owner_is_dropped_without_another_word(monkeypatch):
    async with a_call(monkeypatch) as w:
        sfu, track = Sfu(), Track()
        await w.call.attach(sfu, "auto")
        sfu.tell(Joined("p-anna", "Anna"))
        sfu.tell(TrackStarted("p-anna", track))
        await w.until_told(Publishing("c", "p-anna", publishing=True))
        await w.bus.open_call("c", 2, {})
        w.call._publisher.put(FINAL)
        async with asyncio.timeout(5):
            await w.running
        assert await w.bus.since("c", "spoken", 0) == []
        assert not w.call.streams


async def test_captions_go_back_to_the_sfu_and_a_newer_one_stands_for_those_that_wait():
    sfu = Sfu()
    back = CaptionsBack(sfu)
    for revision in range(1, 4):
        back.put(replace(FINAL, revision=revision, final=revision == 3))
    back.put(replace(FINAL, utterance="u-2"))
    back.close()
    await back.run()
    assert [(c.utterance, c.revision) for c in sfu.sent] == [("u-1", 3), ("u-2", 1)]


async def test_an_sfu_that_is_too_slow_for_captions_loses_the_oldest():
    back = CaptionsBack(Sfu())
    for number in range(MOST_WAITING + 2):
        back.put(replace(FINAL, utterance=f"u-{number}"))
    assert back.dropped == 2


async def test_an_sfu_that_takes_no_captions_is_tried_again_with_the_next():
    class Refusing(Sfu):
        async def send(self, caption):
            await super().send(caption)
            raise ConnectionError("no data channel")

    sfu = Refusing()
    back = CaptionsBack(sfu)
    back.put(FINAL)
    back.put(replace(FINAL, utterance="u-2"))
    back.close()
    await back.run()
    assert len(sfu.sent) == 2


async def test_audio_that_was_offered_since_is_not_closed_by_an_order_that_comes_late(monkeypatch):
    """Who was taken for gone is back, and the order of before is still on its way."""
    async with a_call(monkeypatch) as w:
        await w.call.offer(Participant("p-anna", "Anna"), CHROME, version=7)
        await w.call.close_media("p-anna", version=6)
        await w.call.direct.candidate("p-anna", Candidate())  # which takes a connection
        await w.call.close_media("p-anna", version=7)
        with pytest.raises(ContractError):
            await w.call.direct.candidate("p-anna", Candidate())
        assert not w.call.participants


async def test_what_is_brought_goes_the_way_of_what_is_said(monkeypatch):
    def set_so(now):
        settings = {"profanity": "mask", "captions_languages": ["de"]}
        return replace(now, record=replace(now.record, settings=settings))

    async with a_call(monkeypatch) as w:
        await w.presence.change("c", set_so)
        sfu = Sfu()
        await w.call.attach(sfu, "en")
        brought = [final(f"x-{n}", f"shit {n}", call="c", words=None) for n in range(3)]
        numbered = await w.call.publish(brought)
        assert [(c.text, c.seq) for c in numbered] == [("s*** 0", 1), ("s*** 1", 2), ("s*** 2", 3)]
        assert await w.call.publish(brought[1:]) == numbered[1:], "once is enough"
        assert await w.bus.since("c", SPOKEN, 0) == numbered
        while len(await w.bus.since("c", "de", 0)) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        while len(sfu.sent) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert sfu.sent == numbered


async def test_what_is_brought_into_a_call_that_others_have_by_now_is_a_conflict(monkeypatch):
    async with a_call(monkeypatch) as w:
        await w.bus.open_call("c", 2, {})
        for _ in range(2):
            with pytest.raises(ContractError) as error:
                await w.call.publish([final("x-1", call="c")])
            assert error.value.code == "conflict"


async def test_who_brings_while_the_bus_is_away_comes_again_and_it_is_there_once(monkeypatch):
    monkeypatch.setattr(call_module, "PUBLISH_SECONDS", 0.05)
    async with a_call(monkeypatch) as w:

        async def away(*_):
            raise Unreachable("scripted")

        with monkeypatch.context() as patched:
            patched.setattr(w.bus, "publish_final", away)
            for _ in range(2):
                with pytest.raises(ContractError) as error:
                    await w.call.publish([final("x-1", call="c")])
                assert error.value.code == "unavailable"
        monkeypatch.setattr(call_module, "PUBLISH_SECONDS", 5.0)
        [numbered] = await w.call.publish([final("x-1", call="c")])
        assert await w.bus.since("c", SPOKEN, 0) == [numbered]


async def test_no_more_is_brought_than_may_wait_for_the_bus(monkeypatch):
    monkeypatch.setattr(call_module, "PUBLISH_SECONDS", 0.05)
    monkeypatch.setattr("media.brought.MOST_WAITING", 3)
    async with a_call(monkeypatch) as w:

        async def away(*_):
            raise Unreachable("scripted")

        with monkeypatch.context() as patched:
            patched.setattr(w.bus, "publish_final", away)
            for numbers, code in (((1, 2), "unavailable"), ((3, 4), "overloaded")):
                with pytest.raises(ContractError) as error:
                    await w.call.publish([final(f"x-{n}", call="c") for n in numbers])
                assert error.value.code == code


async def test_what_was_brought_is_not_kept_when_it_is_erased(monkeypatch):
    async with a_call(monkeypatch) as w:
        await w.call.publish([final("x-1", call="c")])
        await w.bus.erase("c")
        w.call.forget_words()
        [known] = await w.call.publish([final("x-1", call="c")])
        assert (known.seq, known.text) == (1, "")
        assert not await w.bus.since("c", SPOKEN, 1)
