"""A call's feeds in other languages: when they begin, what they have, and when they end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from captions.types import SPOKEN, Caption
from media import translated as module
from media.counts import NodeCounts
from media.publisher import Publisher
from media.translated import MOST_FEEDS, Translated
from signaling.bus import MemoryBus
from signaling.errors import Unreachable
from signaling.messages import CallRef
from tests.media.scripted_translation import Scripted, backwards
from tests.signaling.bus_contract import CALL, final, partial


class World:
    def __init__(self, *, interrupted: bool = False) -> None:
        self.bus = MemoryBus()
        self.translation = Scripted()
        ref = CallRef(CALL, 1, 0)
        self.publisher = Publisher(call=ref, bus=self.bus, counts=NodeCounts())
        self.translated = Translated(
            CALL, self.bus, self.translation, self.publisher.put, interrupted=interrupted
        )

    def say(self, caption: Caption) -> None:
        """As a speaker's captions go."""
        self.publisher.put(caption)
        self.translated.take(caption)

    async def has(self, feed: str, *utterances: str) -> list[Caption]:
        """The feed's finals, as soon as they are these."""
        while True:
            finals = await self.bus.since(CALL, feed, 0) or []
            if len(finals) >= len(utterances):
                assert [caption.utterance for caption in finals] == list(utterances)
                return finals
            await asyncio.sleep(0.001)


@asynccontextmanager
async def a_call(*, interrupted: bool = False) -> AsyncIterator[World]:
    w = World(interrupted=interrupted)
    await w.bus.open_call(CALL, 1, {})
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(w.publisher.run())
        translating = tasks.create_task(w.translated.run())
        yield w
        w.translated.close()
        await asyncio.wait({translating})
        w.publisher.close()


async def test_nobody_translates_for_nobody():
    async with a_call() as w:
        w.translated.want(())
        w.say(final("u-1"))
        await w.has(SPOKEN, "u-1")
        assert w.translation.asked == []
        assert not w.translated.translates


async def test_each_language_that_is_read_has_its_own_feed_with_its_own_numbers():
    async with a_call() as w:
        w.translated.want({"pt", "de", "en", SPOKEN})
        assert w.translated.translates
        await asyncio.sleep(0.01)
        w.say(partial("u-1", 1, "one"))
        w.say(final("u-1", "one two"))
        for feed, text in (("pt", backwards("one two")), ("en", "one two")):
            (caption,) = await w.has(feed, "u-1")
            assert (caption.text, caption.seq, caption.feed) == (text, 1, feed)
        await w.has("de", "u-1")


async def test_who_begins_to_read_gets_the_talk_before_and_then_what_is_said():
    async with a_call() as w:
        for n in range(30):
            w.say(final(f"u-{n}"))
        await w.has(SPOKEN, *(f"u-{n}" for n in range(30)))
        w.translated.want({"pt"})
        await w.has("pt", *(f"u-{n}" for n in range(10, 30)))
        w.say(final("u-30"))
        await w.has("pt", *(f"u-{n}" for n in range(10, 31)))


async def test_who_reads_again_gets_what_was_said_meanwhile_and_nothing_twice():
    async with a_call() as w:
        w.translated.want({"pt"})
        await asyncio.sleep(0.01)
        w.say(final("u-1"))
        await w.has("pt", "u-1")
        w.translated.want(())
        await asyncio.sleep(0.01)
        w.say(final("u-2"))
        await w.has(SPOKEN, "u-1", "u-2")
        assert len(w.translation.asked) == 1
        w.translated.want({"pt"})
        await w.has("pt", "u-1", "u-2")


async def test_what_is_said_just_when_somebody_begins_to_read_is_in_their_feed():
    async with a_call() as w:
        w.translated.want({"pt", "de"})
        w.say(final("u-1"))
        await w.has("pt", "u-1")
        await w.has("de", "u-1")


async def test_a_feed_begins_also_while_another_is_being_begun(monkeypatch):
    async with a_call() as w:
        begun, go_on, last_seq = asyncio.Event(), asyncio.Event(), w.bus.last_seq

        async def slow(call: str, feed: str) -> int | None:
            begun.set()
            await go_on.wait()
            return await last_seq(call, feed)

        monkeypatch.setattr(w.bus, "last_seq", slow)
        w.translated.want({"pt"})
        await begun.wait()
        w.translated.want({"pt", "de"})
        go_on.set()
        w.say(final("u-1"))
        await w.has("pt", "u-1")
        await w.has("de", "u-1")


async def test_a_node_that_takes_over_translates_what_the_one_before_could_not_any_more():
    async with a_call() as w:
        for n in range(3):
            await w.bus.publish_final(1, final(f"u-{n}"))
        await w.bus.publish_final(1, final("u-0", feed="pt", language="pt"))
        w.translated.want({"pt"})
        await w.has("pt", "u-0", "u-1", "u-2")


async def test_all_that_a_node_which_died_had_yet_to_translate_is_translated_by_the_next():
    async with a_call(interrupted=True) as w:
        for n in range(80):
            await w.bus.publish_final(1, final(f"u-{n}"))
        for n in range(20, 30):  # as of who came to read it when 20 had been said
            await w.bus.publish_final(1, final(f"u-{n}", feed="pt", language="pt"))
        w.translated.want({"pt", "de"})
        await w.has("pt", *(f"u-{n}" for n in range(20, 80)))
        await w.has("de", *(f"u-{n}" for n in range(80)))
        w.translated.want({"pt", "de", "fr"})
        await w.has("fr", *(f"u-{n}" for n in range(60, 80)))


async def test_a_call_that_ends_waits_for_the_translation_of_its_last_words():
    async with a_call() as w:
        w.translated.want({"pt"})
        await asyncio.sleep(0.01)
        w.translation.held = asyncio.Event()
        w.say(final("u-1", "bye"))
        asyncio.get_running_loop().call_later(0.05, w.translation.held.set)
    (caption,) = await w.has("pt", "u-1")
    assert caption.text == backwards("bye")


async def test_a_call_that_ends_does_not_wait_for_a_translator_that_hangs(monkeypatch):
    monkeypatch.setattr(module, "CLOSING_SECONDS", 0.05)
    async with a_call() as w:
        w.translated.want({"pt"})
        await asyncio.sleep(0.01)
        w.translation.held = asyncio.Event()
        for n in range(3):
            w.say(final(f"u-{n}", "bye"))
    finals = await w.has("pt", "u-0", "u-1", "u-2")
    assert {caption.text for caption in finals} == {"bye"}


async def test_a_feed_begins_with_what_is_said_now_where_the_bus_is_away(monkeypatch):
    async with a_call() as w:

        async def away(*_: object) -> int:
            raise Unreachable("scripted")

        monkeypatch.setattr(w.bus, "last_seq", away)
        w.translated.want({"pt"})
        await asyncio.sleep(0.01)
        w.say(final("u-1"))
        await w.has("pt", "u-1")


async def test_a_fault_shows_what_was_said_as_it_was_spoken_and_harms_nothing_else(monkeypatch):
    async with a_call() as w:
        w.translated.want({"pt"})
        await asyncio.sleep(0.01)

        async def fault(*_: object, **__: object) -> str:
            raise RuntimeError("scripted")

        monkeypatch.setattr(w.translation, "translate", fault)
        w.say(final("u-1", "one"))
        (caption,) = await w.has("pt", "u-1")
        assert (caption.text, caption.language) == ("one", "en")
        monkeypatch.undo()
        w.say(final("u-2", "two"))
        assert (await w.has("pt", "u-1", "u-2"))[1].text == backwards("two")


async def test_a_call_has_so_many_feeds_and_no_more():
    async with a_call() as w:
        letters = itertools.product("abcdefg", repeat=2)
        w.translated.want({"pt"} | {"".join(two) for two in letters})
        await asyncio.sleep(0.05)
        w.say(final("u-1"))
        await w.has(SPOKEN, "u-1")
        await asyncio.sleep(0.05)
        assert len(w.translation.asked) == MOST_FEEDS
        await w.has("pt", "u-1")
