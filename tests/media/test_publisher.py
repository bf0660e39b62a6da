"""What a call's node publishes, whatever becomes of the bus meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from captions.types import SPOKEN, Caption
from media import publisher as publisher_module
from media.counts import NodeCounts
from media.pauses import Pauses
from media.publisher import KEPT_FINALS, Publisher
from signaling.bus import Fenced, MemoryBus, Unopened
from signaling.errors import Unreachable
from signaling.messages import CallRef
from tests.signaling.bus_contract import CALL, final, partial

REF = CallRef(CALL, 1, 0)


class Bus(MemoryBus):
    """`mood` is raised instead of an answer; `held` lets whoever publishes wait."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Exception | None = None
        self.held: asyncio.Event | None = None
        self.tried = 0
        self.published: list[Caption] = []
        self.restored: list[list[str]] = []

    async def _let(self) -> None:
        self.tried += 1
        if self.held:
            await self.held.wait()
        if self.mood:
            raise self.mood

    async def publish_final(self, epoch, caption, after=""):
        await self._let()
        numbered = await super().publish_final(epoch, caption, after)
        self.published.append(numbered)
        return numbered

    async def publish_partial(self, epoch, caption):
        await self._let()
        await super().publish_partial(epoch, caption)
        self.published.append(caption)

    async def restore(self, call, epoch, finals):
        if isinstance(self.mood, Unreachable):
            raise self.mood
        self.restored.append([caption.utterance for caption in finals])
        if self.mood is None:
            await super().restore(call, epoch, finals)


class World:
    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.counts = NodeCounts()
        self.told: list[Caption] = []
        self.fenced = 0
        self.publisher = Publisher(
            call=REF,
            bus=bus,
            counts=self.counts,
            on_published=self.told.append,
            on_fenced=self._fence,
        )

    def _fence(self) -> None:
        self.fenced += 1

    def put(self, *captions: Caption) -> None:
        for caption in captions:
            self.publisher.put(caption)

    def said(self) -> list[tuple[str, int, bool]]:
        return [(c.utterance, c.revision, c.final) for c in self.bus.published]

    async def until_tried(self, times: int) -> None:
        async with asyncio.timeout(5):
            while self.bus.tried < times:  # noqa: ASYNC110 - the bus is a stand-in
                await asyncio.sleep(0)


@asynccontextmanager
async def publishing(monkeypatch) -> AsyncIterator[World]:
    """At the end all that was put is published."""
    monkeypatch.setattr(
        publisher_module, "Pauses", lambda **_: Pauses(first_seconds=0.001, longest_seconds=0.01)
    )
    w = World(Bus())
    await w.bus.open_call(CALL, 1, {})
    running = asyncio.create_task(w.publisher.run())
    try:
        yield w
        w.publisher.close()
        async with asyncio.timeout(5):
            await running
    finally:
        running.cancel()


async def test_captions_are_published_in_the_order_in_which_they_were_put(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.put(partial("u1", 1), final("u1"), partial("u2", 1), final("u2"), final("u3"))
    assert w.said() == [("u1", 3, True), ("u2", 3, True), ("u3", 3, True)], "partials are late"
    assert [c.seq for c in w.told] == [1, 2, 3]
    assert (w.counts.finals, w.counts.partials) == (3, 0)


async def test_of_partials_that_wait_the_newest_of_each_utterance_is_published(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.bus.held = asyncio.Event()
        w.put(partial("u1", 1))
        await w.until_tried(1)
        w.put(partial("u1", 2), partial("u2", 1), partial("u1", 3), partial("u2", 2))
        w.bus.held.set()
    assert w.said() == [("u1", 1, False), ("u1", 3, False), ("u2", 2, False)]
    assert w.counts.partials == 3


async def test_a_partial_never_comes_behind_the_final_of_its_utterance(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.bus.held = asyncio.Event()
        w.put(partial("u0", 1))
        await w.until_tried(1)
        w.put(partial("u1", 1), final("u2"), final("u1"))
        w.bus.held.set()
    assert w.said() == [("u0", 1, False), ("u2", 3, True), ("u1", 3, True)]


async def test_utterances_of_two_feeds_do_not_replace_each_other(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.bus.held = asyncio.Event()
        w.put(partial("u0", 1))
        await w.until_tried(1)
        w.put(partial("u1", 1), partial("u1", 1, feed="de", language="de"))
        w.bus.held.set()
    assert [c.feed for c in w.bus.published] == ["spoken", "spoken", "de"]


async def test_while_the_bus_is_out_of_reach_finals_wait_and_partials_are_let_go(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.bus.mood = Unreachable()
        w.put(final("u1"), partial("u2", 1))
        await w.until_tried(3)
        w.put(final("u2"), partial("u3", 1))
        await w.until_tried(w.bus.tried + 3)
        assert w.bus.published == []
        assert [c.final for c in w.publisher._waiting] == [True, True]
        w.bus.mood = None
    assert w.said() == [("u1", 3, True), ("u2", 3, True)]
    assert [c.seq for c in w.told] == [1, 2], "each once"


async def test_a_minute_without_the_bus_costs_a_caption_for_each_final_and_nothing_more(
    monkeypatch,
):
    async with publishing(monkeypatch) as w:
        w.bus.mood = Unreachable()
        for n in range(100):
            for revision in range(1, 10):
                w.put(partial(f"u{n}", revision))
            w.put(final(f"u{n}"))
        await w.until_tried(2)
        assert len(w.publisher._waiting) == 100
        w.bus.mood = None


async def test_a_bus_that_knows_nothing_of_the_call_is_given_back_what_was_said(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.put(final("u1"), final("u2"))
        while len(w.told) < 2:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0)
        w.bus.mood = Unopened()
        w.put(final("u3"))
        await w.until_tried(4)
        w.bus.mood = None
    assert w.bus.restored[0] == ["u1", "u2"]
    assert [c.seq for c in w.told] == [1, 2, 3]


async def test_a_bus_without_its_newest_memory_gives_no_number_twice(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.put(final("u1"), final("u2"))
        while len(w.told) < 2:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0)
        kept = w.bus._feeds[(CALL, SPOKEN)]
        kept.last_seq, lost = 1, kept.finals.pop()
        del kept.by_utterance[lost.utterance]
        w.put(final("u3"))
    assert w.bus.restored == [["u1", "u2"]]
    assert [(c.utterance, c.seq) for c in kept.finals] == [("u1", 1), ("u2", 2), ("u3", 3)]


async def test_behind_an_erasure_no_bus_is_asked_for_what_was_before(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.put(final("u1"), final("u2"))
        while len(w.told) < 2:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0)
        w.publisher.forget_words()
        del w.bus._feeds[(CALL, SPOKEN)].by_utterance["u2"]
        w.put(final("u3"))
    assert w.told[-1].utterance == "u3"


async def test_a_bus_that_nobody_opens_is_not_asked_without_a_pause(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.bus.mood = Unopened()
        w.put(final("u1"))
        await w.until_tried(2)
        before = w.bus.tried
        await asyncio.sleep(0.05)
        assert w.bus.tried - before < 25, "a pause each time, of a few milliseconds here"
        w.bus.mood = None


async def test_what_is_kept_is_given_back_before_anything_else_is_said(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.put(final("u1"))
        while not w.told:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0)
        w.publisher.restore()
        w.put(final("u2"))
    assert w.bus.restored == [["u1"]]
    assert [c.seq for c in w.told] == [1, 2]


async def test_only_the_newest_finals_are_kept_for_that(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.put(*(final(f"u{n}") for n in range(KEPT_FINALS + 5)))
        while len(w.told) < KEPT_FINALS + 5:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0)
        w.publisher.restore()
    assert len(w.bus.restored[0]) == KEPT_FINALS
    assert w.bus.restored[0][0] == "u5"


async def test_erased_words_are_not_given_back(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.put(final("u1", "the secret word"))
        while not w.told:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0)
        w.publisher.forget_words()
        w.publisher.restore()
    assert w.bus.restored == [[]]
    assert "secret" not in repr(vars(w.publisher))


async def test_what_is_to_be_given_back_is_before_the_end(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.put(final("u1"))
        while not w.told:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0)
        w.publisher.close()
        w.publisher.restore()
    assert w.bus.restored == [["u1"]]


async def test_who_lost_the_call_publishes_nothing_more_and_says_so_once(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.put(final("u1"))
        while not w.told:  # noqa: ASYNC110 - it is a list
            await asyncio.sleep(0)
        await w.bus.open_call(CALL, 2, {})
        w.put(final("u2"), partial("u3", 1), final("u3"))
        while not w.publisher.fenced:  # noqa: ASYNC110 - it is a property
            await asyncio.sleep(0)
        w.put(final("u4"), partial("u5", 1))
        w.publisher.restore()
        w.publisher.fence()
    assert w.said() == [("u1", 3, True)]
    assert w.fenced == 1
    assert w.counts.finals_fenced == 3
    assert w.bus.restored == []


async def test_what_it_has_is_refused_too_where_the_call_was_lost_with_the_memory(monkeypatch):
    async with publishing(monkeypatch) as w:
        await w.bus.open_call(CALL, 2, {})
        w.publisher.restore()
        while not w.publisher.fenced:  # noqa: ASYNC110 - it is a property
            await asyncio.sleep(0)
    assert w.fenced == 1


async def test_the_end_waits_for_the_last_final_however_long_the_bus_is_away(monkeypatch):
    w = World(Bus())
    monkeypatch.setattr(
        publisher_module, "Pauses", lambda **_: Pauses(first_seconds=0.001, longest_seconds=0.01)
    )
    await w.bus.open_call(CALL, 1, {})
    w.bus.mood = Unreachable()
    running = asyncio.create_task(w.publisher.run())
    w.put(final("u1"))
    w.publisher.close()
    await w.until_tried(5)
    assert not running.done()
    w.bus.mood = None
    async with asyncio.timeout(5):
        await running
    assert [c.seq for c in w.told] == [1]


async def test_a_fault_of_ours_is_not_swallowed(monkeypatch):
    w = World(Bus())
    await w.bus.open_call(CALL, 1, {})
    w.bus.mood = RuntimeError("odd")
    w.put(final("u1"))
    with pytest.raises(RuntimeError, match="odd"):
        await w.publisher.run()


async def test_the_next_owner_s_final_of_an_utterance_is_the_one_there_is(monkeypatch):
    """Published, and then the answer was lost: it is published again."""
    async with publishing(monkeypatch) as w:
        await MemoryBus.publish_final(w.bus, 1, replace(final("u1"), text="first"))
        w.put(replace(final("u1"), text="again"))
    assert [(c.seq, c.text) for c in w.told] == [(1, "first")]


async def test_fenced_is_told_apart_from_not_there(monkeypatch):
    async with publishing(monkeypatch) as w:
        w.bus.mood = Fenced()
        w.put(final("u1"))
        while not w.publisher.fenced:  # noqa: ASYNC110 - it is a property
            await asyncio.sleep(0)
    assert w.bus.tried == 1


async def test_a_partial_takes_the_place_of_one_of_its_own_feed_only():
    bus = Bus()
    await bus.open_call(CALL, 1, {})
    publisher = Publisher(call=REF, bus=bus, counts=NodeCounts())
    publisher.put(partial("u-1", 1))
    publisher.put(partial("u-1", 1, feed="en"))
    publisher.put(partial("u-1", 2))
    publisher.close()
    await publisher.run()
    assert [(c.feed, c.revision) for c in bus.published] == [("en", 1), (SPOKEN, 2)]


async def test_each_feed_has_its_finals_kept_for_a_bus_that_loses_its_memory():
    bus = Bus()
    await bus.open_call(CALL, 1, {})
    publisher = Publisher(call=REF, bus=bus, counts=NodeCounts())
    for n in range(KEPT_FINALS):
        publisher.put(final(f"u-{n}"))
        publisher.put(final(f"u-{n}", feed="pt", language="pt"))
    publisher.close()
    await publisher.run()
    publisher.restore()
    await publisher.run()
    assert len(bus.restored[0]) == 2 * KEPT_FINALS


async def test_whoever_waits_for_what_was_put_waits_until_it_is_published_or_never_will_be(
    monkeypatch,
):
    async with publishing(monkeypatch) as w:
        await w.publisher.published()
        w.bus.held = asyncio.Event()
        w.put(final("u1"))
        waiting = asyncio.ensure_future(w.publisher.published())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        w.bus.held.set()
        async with asyncio.timeout(5):
            await waiting
        assert w.said() == [("u1", 3, True)]
        w.bus.held.clear()
        w.put(final("u2"))
        w.publisher.fence()
        await w.publisher.published()
        w.bus.held.set()
