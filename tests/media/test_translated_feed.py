"""One feed of a call in one language, with a translation that does what the test says."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from captions.types import Caption, Word
from media import translated_feed as module
from media.translated_feed import TranslatedFeed
from tests.media.scripted_translation import Scripted, backwards


def said(utterance: str, text: str, *, final: bool = False, revision: int = 1) -> Caption:
    return Caption(
        call="c",
        utterance=utterance,
        revision=revision,
        participant="p-ada",
        speaker="Ada",
        language="en",
        source_language="en",
        text=text,
        stable=len(text) if final else 0,
        final=final,
        start_ms=0,
        end_ms=1000,
        confidence=0.9,
        words=(Word(text, 0, 1000, 0.9),) if final else None,
    )


class World:
    def __init__(self, tag: str = "pt") -> None:
        self.translation = Scripted()
        self.out: list[Caption] = []
        self.feed = TranslatedFeed(tag, self.translation, self.out.append)

    @property
    def finals(self) -> list[Caption]:
        return [caption for caption in self.out if caption.final]

    async def until_out(self, count: int) -> None:
        while len(self.out) < count:  # noqa: ASYNC110 - what takes captions sets no event
            await asyncio.sleep(0.005)

    async def settle(self) -> None:
        """Until there is nothing left to do just now."""
        for _ in range(10):
            await asyncio.sleep(0)


@asynccontextmanager
async def running(tag: str = "pt") -> AsyncIterator[World]:
    w = World(tag)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(w.feed.run())
        yield w
        w.feed.close()


async def test_a_final_is_translated_and_says_what_it_is_of():
    async with running() as w:
        w.feed.take(said("u-1", "hello", final=True))
        await w.settle()
        (caption,) = w.out
        assert (caption.feed, caption.language, caption.source_language) == ("pt", "pt", "en")
        assert (caption.text, caption.source_text) == (backwards("hello"), "hello")
        assert caption.stable == len(caption.text)
        assert caption.words is None
        assert caption.confidence is None


async def test_what_is_spoken_in_the_language_of_the_feed_passes_as_it_is():
    async with running("en-GB") as w:
        w.feed.take(said("u-1", "hel"))
        w.feed.take(said("u-1", "hello", final=True, revision=2))
        assert [c.text for c in w.out] == ["hel", "hello"]
        assert w.out[1].words
        assert {c.feed for c in w.out} == {"en-GB"}
        assert w.translation.asked == []


async def test_what_nothing_translates_is_shown_as_it_was_spoken():
    async with running("xx") as w:
        w.feed.take(said("u-1", "hello", final=True))
        (caption,) = w.out
        assert (caption.text, caption.language, caption.source_text) == ("hello", "en", None)


async def test_finals_come_in_the_order_in_which_they_became_final():
    async with running() as w:
        w.translation.held = asyncio.Event()
        w.feed.take(said("u-1", "one"))
        for utterance, text in (("u-2", "two"), ("u-3", "three"), ("u-1", "one")):
            w.feed.take(said(utterance, text, final=True, revision=2))
        w.translation.held.set()
        await w.settle()
        assert [c.utterance for c in w.finals] == ["u-2", "u-3", "u-1"]


async def test_what_is_being_said_is_translated_at_a_beat(monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.05)
    async with running() as w:
        w.feed.take(said("u-1", "a", revision=1))
        await w.settle()
        w.feed.take(said("u-1", "a b", revision=2))
        w.feed.take(said("u-1", "a b c", revision=3))
        await w.settle()
        assert w.translation.asked == ["a"]
        await w.until_out(2)
        assert w.translation.asked == ["a", "a b c"]
        assert [c.revision for c in w.out] == [1, 2]
        assert not any(c.stable for c in w.out)


async def test_a_final_goes_before_what_is_being_said():
    async with running() as w:
        w.translation.held = asyncio.Event()
        w.feed.take(said("u-1", "one"))
        await w.settle()
        w.feed.take(said("u-2", "two"))
        w.feed.take(said("u-3", "three", final=True))
        w.translation.held.set()
        await w.settle()
        assert w.translation.asked == ["one", "three", "two"]


async def test_a_partial_is_not_told_behind_its_final():
    async with running() as w:
        w.translation.held = asyncio.Event()
        w.feed.take(said("u-1", "one"))
        await w.settle()
        w.feed.take(said("u-1", "one two", final=True, revision=2))
        w.translation.held.set()
        await w.settle()
        assert [c.text for c in w.out] == [backwards("one two")]
        w.feed.take(said("u-1", "late", revision=1))
        await w.settle()
        assert len(w.out) == 1


async def test_a_text_is_translated_once():
    async with running() as w:
        w.feed.take(said("u-1", "one"))
        await w.settle()
        w.feed.take(said("u-1", "one", final=True, revision=2))
        await w.settle()
        assert w.translation.asked == ["one"]
        assert w.finals[0].text == backwards("one")


async def test_a_final_whose_translation_fails_is_shown_as_it_was_spoken():
    async with running() as w:
        w.translation.broken = True
        w.feed.take(said("u-1", "hello", final=True))
        await w.settle()
        (caption,) = w.out
        assert (caption.text, caption.language, caption.final) == ("hello", "en", True)


async def test_revisions_of_an_utterance_stay_in_one_language_whatever_fails():
    async with running() as w:
        w.feed.take(said("u-1", "hel"))
        await w.settle()
        w.translation.broken = True
        w.feed.take(said("u-1", "hello", final=True, revision=2))
        await w.settle()
        assert [(c.language, c.text) for c in w.out] == [("pt", "leh"), ("pt", "hello")]
        assert [c.revision for c in w.out] == [1, 2]


async def test_a_final_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.02)
    async with running() as w:
        w.translation.held = asyncio.Event()
        w.feed.take(said("u-1", "hello", final=True))
        await w.until_out(1)
        assert w.out[0].text == "hello"


async def test_a_feed_that_nobody_reads_any_more_ends_what_it_began_and_begins_nothing():
    async with running() as w:
        w.feed.take(said("u-1", "one"))
        await w.settle()
        w.feed.wanted = False
        w.feed.take(said("u-2", "two", final=True))
        w.feed.take(said("u-1", "one two", final=True, revision=2))
        await w.settle()
        assert [c.utterance for c in w.finals] == ["u-1"]


async def test_what_was_said_before_goes_before_what_waits():
    async with running() as w:
        w.translation.held = asyncio.Event()
        w.feed.take(said("u-0", "now", final=True))
        await w.settle()
        w.feed.take(said("u-9", "later", final=True))
        w.feed.catch_up([said("u-1", "one", final=True), said("u-2", "two", final=True)])
        w.translation.held.set()
        await w.settle()
        assert [c.utterance for c in w.finals] == ["u-0", "u-1", "u-2", "u-9"]


async def test_what_was_said_before_stays_in_order_also_where_nothing_translates_it():
    async with running("xx") as w:
        w.feed.catch_up([said(f"u-{n}", "words", final=True) for n in range(3)])
        assert [c.utterance for c in w.finals] == ["u-0", "u-1", "u-2"]


async def test_a_feed_that_has_a_final_does_not_take_it_again():
    async with running() as w:
        w.feed.remember("u-1")
        w.feed.take(said("u-1", "one", final=True))
        await w.settle()
        assert w.out == []


async def test_what_was_erased_is_not_translated_any_more():
    async with running() as w:
        w.translation.held = asyncio.Event()
        w.feed.take(said("u-1", "one", final=True))
        await w.settle()
        w.feed.take(said("u-2", "secret", final=True))
        w.feed.forget_words()
        w.translation.held.set()
        await w.settle()
        assert "secret" not in w.translation.asked


async def test_what_the_recognizer_itself_translates_is_waited_for():
    async with running("en") as w:
        w.translation.knows = False
        german = replace(said("u-1", "hallo welt", final=True), language="de")
        w.feed.take(replace(german, final=False, text="hallo"), of_speech=True)
        w.feed.take(german, of_speech=True)
        await w.settle()
        assert w.out == []
        w.feed.take_translation("u-1", "hello world")
        (caption,) = w.out
        assert (caption.text, caption.language) == ("hello world", "en")
        assert caption.source_text == "hallo welt"
        w.feed.take(replace(german, utterance="u-2"), of_speech=True)
        w.feed.take_translation("u-2", None)
        assert (w.out[1].text, w.out[1].language) == ("hallo welt", "de")
        w.feed.take(replace(german, utterance="u-3"), of_speech=True)
        w.feed.give_up()
        assert [c.utterance for c in w.finals] == ["u-1", "u-2", "u-3"]


async def test_who_cancels_gets_what_was_said_as_it_was_spoken():
    w = World()
    w.translation.held = asyncio.Event()
    task = asyncio.create_task(w.feed.run())
    w.feed.take(said("u-1", "one", final=True))
    w.feed.take(said("u-2", "two", final=True))
    await w.settle()
    task.cancel()
    await asyncio.wait({task})
    w.feed.give_up()
    assert [c.text for c in w.finals] == ["one", "two"]


Step = tuple[str, str, bool]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["u-1", "u-2", "u-3"]), st.text("abc ", max_size=4), st.booleans()
        ),
        max_size=20,
    ),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
@settings(deadline=None)
def test_each_utterance_has_one_final_which_is_its_highest_revision(
    steps: list[Step], fails: list[bool]
):
    async def go() -> None:
        async with running() as w:
            ended: set[str] = set()
            for n, (utterance, text, final) in enumerate(steps):
                if utterance in ended:
                    continue
                w.translation.broken = fails[n]
                w.feed.take(said(utterance, text, final=final, revision=n + 1))
                if final:
                    ended.add(utterance)
                if fails[n]:
                    await w.settle()
        by_utterance = defaultdict(list)
        for caption in w.out:
            by_utterance[caption.utterance].append(caption)
        assert {c.utterance for c in w.finals} == ended
        for captions in by_utterance.values():
            revisions = [c.revision for c in captions]
            assert revisions == sorted(set(revisions))
            assert [c.final for c in captions[:-1]] == [False] * (len(captions) - 1)
            assert len({replace(c).key for c in captions}) == 1

    asyncio.run(go())
