"""What every `signaling.bus.Bus` must do. A subclass gives the fixture `bus`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from captions.types import SPOKEN, Caption, Word
from signaling.bus import KEPT_FINALS, LISTENER_QUEUE, Fenced, Letter, Unopened

CALL = "standup-42"


def final(utterance: str, text: str = "ask not", *, call: str = CALL, **more) -> Caption:
    """A final that has no number yet, as a node publishes it."""
    fields = {
        "revision": 3,
        "participant": "p-anna",
        "speaker": "Anna",
        "language": "en",
        "source_language": "en",
        "stable": len(text),
        "final": True,
        "start_ms": 1000,
        "end_ms": 1900,
        "confidence": 0.9,
        "words": (Word(text, 1000, 1900, 0.9),),
    }
    return Caption(call=call, utterance=utterance, text=text, **(fields | more))


def partial(utterance: str, revision: int, text: str = "ask", **more) -> Caption:
    return replace(
        final(utterance, text, **more),
        revision=revision,
        final=False,
        stable=0,
        words=None,
        confidence=None,
    )


async def everything(messages) -> list:
    """What a listener hears until the call ends."""
    return [message async for message in messages]


class BusContract:
    """Each test has a bus of its own."""

    @pytest.fixture
    async def bus(self):
        raise NotImplementedError

    # --- numbers ------------------------------------------------------------------------

    async def test_finals_are_numbered_from_1_without_holes_for_each_feed(self, bus):
        await bus.open_call(CALL, 1, {})
        spoken = [await bus.publish_final(1, final(f"u{n}")) for n in range(4)]
        german = [
            await bus.publish_final(1, final(f"u{n}", feed="de", language="de")) for n in range(2)
        ]
        assert [c.seq for c in spoken] == [1, 2, 3, 4]
        assert [c.seq for c in german] == [1, 2]
        assert await bus.last_seq(CALL, SPOKEN) == 4
        assert await bus.last_seq(CALL, "de") == 2

    async def test_the_newest_numbers_of_all_feeds_are_known_until_the_call_is_forgotten(self, bus):
        assert await bus.numbers(CALL) == {}
        await bus.open_call(CALL, 1, {"fr": 7})
        for n in range(3):
            await bus.publish_final(1, final(f"u{n}"))
        await bus.publish_final(1, final("u0", feed="pt-BR", language="pt"))
        assert await bus.numbers(CALL) == {SPOKEN: 3, "pt-BR": 1, "fr": 7}
        await bus.end_call(CALL)
        assert await bus.numbers(CALL) == {SPOKEN: 3, "pt-BR": 1, "fr": 7}

    async def test_calls_are_numbered_apart(self, bus):
        for call in ("a", "b"):
            await bus.open_call(call, 1, {})
            assert (await bus.publish_final(1, final("u", call=call))).seq == 1

    async def test_finals_published_at_once_have_all_numbers_and_each_its_own(self, bus):
        await bus.open_call(CALL, 1, {})
        published = await asyncio.gather(*(bus.publish_final(1, final(f"u{n}")) for n in range(50)))
        assert sorted(c.seq for c in published) == list(range(1, 51))

    async def test_an_idempotency_key_stands_for_what_came_first_with_it(self, bus):
        claims = await asyncio.gather(*(bus.claim(CALL, "k", "one") for _ in range(10)))
        assert sorted(claims, key=str) == [None] + ["one"] * 9
        assert await bus.claim(CALL, "k", "two") == "one"
        assert await bus.claim(CALL, "l", "two") is None
        assert await bus.claim("another", "k", "two") is None
        await bus.open_call(CALL, 1, {})
        await bus.end_call(CALL)
        await bus.forget(CALL)
        assert await bus.claim(CALL, "k", "three") == "one"

    async def test_numbers_go_on_behind_those_of_the_store(self, bus):
        await bus.open_call(CALL, 3, {SPOKEN: 7})
        assert await bus.last_seq(CALL, SPOKEN) == 7
        assert (await bus.publish_final(3, final("u"))).seq == 8
        assert (await bus.publish_final(3, final("u", feed="de"))).seq == 1

    async def test_numbers_never_go_back_to_a_store_that_lags_behind(self, bus):
        await bus.open_call(CALL, 1, {})
        for n in range(3):
            await bus.publish_final(1, final(f"u{n}"))
        await bus.open_call(CALL, 2, {SPOKEN: 1})
        assert (await bus.publish_final(2, final("u3"))).seq == 4

    async def test_of_an_unknown_call_nothing_is_remembered(self, bus):
        assert await bus.last_seq("nobody", SPOKEN) is None
        assert await bus.since("nobody", SPOKEN, 0) is None, "the store may know it"

    async def test_in_a_call_that_begins_nothing_has_been_said(self, bus):
        await bus.open_call(CALL, 1, {})
        for feed in (SPOKEN, "de"):
            assert await bus.last_seq(CALL, feed) == 0
            assert await bus.since(CALL, feed, 0) == []

    # --- once ---------------------------------------------------------------------------

    async def test_a_final_published_again_keeps_its_number_and_is_told_once(self, bus):
        await bus.open_call(CALL, 1, {})
        async with bus.listen(CALL, SPOKEN) as heard:
            first = await bus.publish_final(1, final("u1"))
            await bus.publish_final(1, final("u2"))
            assert await bus.publish_final(1, final("u1")) == first
            await bus.end_call(CALL)
            assert [c.utterance for c in await everything(heard)] == ["u1", "u2"]
        assert [c.seq for c in await bus.since(CALL, SPOKEN, 0)] == [1, 2]
        assert [u.caption.seq for u in await bus.unwritten(10)] == [1, 2]

    async def test_a_final_published_again_by_the_next_owner_is_the_same_one(self, bus):
        await bus.open_call(CALL, 1, {})
        first = await bus.publish_final(1, final("u1"))
        await bus.open_call(CALL, 2, {})
        assert await bus.publish_final(2, final("u1")) == first

    async def test_an_utterance_has_a_final_in_each_feed(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.publish_final(1, final("u1", "frag nicht", feed="de", language="de"))
        assert [c.text for c in await bus.since(CALL, SPOKEN, 0)] == ["ask not"]
        assert [c.text for c in await bus.since(CALL, "de", 0)] == ["frag nicht"]

    # --- fences -------------------------------------------------------------------------

    async def test_an_owner_of_before_can_publish_nothing(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.open_call(CALL, 2, {})
        with pytest.raises(Fenced):
            await bus.publish_final(1, final("u1"))
        with pytest.raises(Fenced):
            await bus.publish_partial(1, partial("u1", 1))
        assert await bus.since(CALL, SPOKEN, 0) == []
        assert await bus.unwritten(10) == []
        assert (await bus.publish_final(2, final("u1"))).seq == 1

    async def test_opening_with_an_old_epoch_does_not_lower_the_fence(self, bus):
        await bus.open_call(CALL, 5, {})
        await bus.open_call(CALL, 4, {})
        with pytest.raises(Fenced):
            await bus.publish_final(4, final("u1"))

    async def test_after_the_end_of_a_call_its_owner_can_publish_nothing(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.end_call(CALL)
        with pytest.raises(Fenced):
            await bus.publish_final(1, final("u2"))
        with pytest.raises(Fenced):
            await bus.publish_partial(1, partial("u2", 1))
        await bus.acknowledge(u.entry for u in await bus.unwritten(10))
        await bus.forget(CALL)
        with pytest.raises(Fenced):
            await bus.publish_final(1, final("u3"))
        assert await bus.unwritten(10) == []

    async def test_a_node_that_drains_publishes_until_the_next_one_is_the_only_one(self, bus):
        await bus.open_call(CALL, 1, {})
        assert (await bus.publish_final(1, final("u1"))).seq == 1
        assert (await bus.publish_final(2, final("u2"))).seq == 2
        assert (await bus.publish_final(1, final("u3"))).seq == 3
        await bus.open_call(CALL, 2, {})
        with pytest.raises(Fenced):
            await bus.publish_final(1, final("u4"))

    async def test_a_fence_is_of_one_call(self, bus):
        await bus.open_call("a", 9, {})
        await bus.open_call("b", 1, {})
        assert (await bus.publish_final(1, final("u", call="b"))).seq == 1

    # --- listeners ----------------------------------------------------------------------

    async def test_every_listener_hears_everything_in_order_and_then_the_end(self, bus):
        await bus.open_call(CALL, 1, {})
        async with bus.listen(CALL, SPOKEN) as one, bus.listen(CALL, SPOKEN) as other:
            for n in range(5):
                await bus.publish_partial(1, partial(f"u{n}", 1))
                await bus.publish_final(1, final(f"u{n}"))
            await bus.end_call(CALL)
            said = await everything(one)
            assert [(c.utterance, c.final) for c in said] == [
                (f"u{n}", kind) for n in range(5) for kind in (False, True)
            ]
            assert await everything(other) == said

    async def test_a_caption_comes_out_as_it_went_in(self, bus):
        await bus.open_call(CALL, 1, {})
        sent = final("u1", "¿Qué?\n“日本語” 🙂 \x00 </script>", speaker="Ana \\ José")
        async with bus.listen(CALL, SPOKEN) as heard:
            await bus.publish_partial(1, partial("u1", 1, sent.text))
            await bus.publish_final(1, sent)
            await bus.end_call(CALL)
            assert await everything(heard) == [partial("u1", 1, sent.text), sent.numbered(1)]
        assert await bus.since(CALL, SPOKEN, 0) == [sent.numbered(1)]
        assert [u.caption for u in await bus.unwritten(10)] == [sent.numbered(1)]

    async def test_a_listener_hears_its_feed_and_no_other(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.open_call("other", 1, {})
        async with bus.listen(CALL, "de") as heard:
            await bus.publish_final(1, final("u1"))
            await bus.publish_final(1, final("u1", call="other", feed="de"))
            await bus.publish_final(1, final("u2", feed="de"))
            await bus.end_call(CALL)
            assert [c.utterance for c in await everything(heard)] == ["u2"]

    async def test_partials_are_passed_on_and_forgotten(self, bus):
        await bus.open_call(CALL, 1, {})
        async with bus.listen(CALL, SPOKEN) as heard:
            await bus.publish_partial(1, partial("u1", 1))
            assert (await anext(heard)).revision == 1
        assert await bus.since(CALL, SPOKEN, 0) == []
        assert await bus.unwritten(10) == []
        assert await bus.last_seq(CALL, SPOKEN) == 0

    async def test_who_listens_later_hears_only_what_comes_then(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        async with bus.listen(CALL, SPOKEN) as heard:
            await bus.publish_final(1, final("u2"))
            assert (await anext(heard)).utterance == "u2"

    async def test_a_slow_listener_loses_the_oldest_and_holds_nobody_up(self, bus):
        await bus.open_call(CALL, 1, {})
        many = LISTENER_QUEUE + 50
        async with bus.listen(CALL, SPOKEN) as slow, bus.listen(CALL, SPOKEN) as brisk:
            for revision in range(1, many + 1):
                await bus.publish_partial(1, partial("u1", revision))
                assert (await anext(brisk)).revision == revision
            await bus.end_call(CALL)
            late = [caption.revision for caption in await everything(slow)]
            assert late == list(range(many - len(late) + 1, many + 1)), "the newest, in order"
            assert 0 < len(late) <= LISTENER_QUEUE
            assert await everything(brisk) == []

    async def test_a_listener_that_left_is_not_missed(self, bus):
        await bus.open_call(CALL, 1, {})
        async with bus.listen(CALL, SPOKEN):
            pass
        async with bus.listen(CALL, SPOKEN) as heard:
            await bus.publish_final(1, final("u1"))
            assert (await anext(heard)).seq == 1

    async def test_the_end_of_a_call_ends_the_listeners_of_all_its_feeds_and_of_no_other(self, bus):
        for call in (CALL, "other"):
            await bus.open_call(call, 1, {})
        async with (
            bus.listen(CALL, SPOKEN) as spoken,
            bus.listen(CALL, "de") as german,
            bus.listen("other", SPOKEN) as other,
        ):
            await bus.publish_final(1, final("u1"))
            await bus.end_call(CALL)
            assert [c.utterance for c in await everything(spoken)] == ["u1"]
            assert await everything(german) == []
            await bus.publish_final(1, final("u2", call="other"))
            assert (await anext(other)).utterance == "u2"

    async def test_ending_a_call_twice_or_one_that_never_was_changes_nothing(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        for call in (CALL, CALL, "nobody"):
            await bus.end_call(call)
        assert [c.seq for c in await bus.since(CALL, SPOKEN, 0)] == [1]

    async def test_a_call_that_ended_can_begin_again(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.end_call(CALL)
        await bus.open_call(CALL, 2, {SPOKEN: 1})
        async with bus.listen(CALL, SPOKEN) as heard:
            await bus.publish_final(2, final("u2"))
            assert (await anext(heard)).seq == 2

    async def test_a_call_that_never_opened_ends_for_those_who_wait_for_it(self, bus):
        async with bus.listen(CALL, SPOKEN) as heard:
            await bus.end_call(CALL)
            assert await everything(heard) == []
        await bus.open_call(CALL, 1, {})
        await bus.end_call(CALL)
        await bus.forget(CALL)
        async with bus.listen(CALL, SPOKEN) as waiting:
            await bus.open_call(CALL, 2, {})
            await bus.publish_final(2, final("u1"))
            await bus.end_call(CALL)
            assert [c.utterance for c in await everything(waiting)] == ["u1"]

    async def test_a_number_that_was_given_is_not_given_again(self, bus):
        """As by a Redis that comes back without its newest writes."""
        await bus.open_call(CALL, 1, {})
        first = await bus.publish_final(1, final("u1"))
        lost = final("u2").numbered(2)
        await bus.open_call(CALL, 1, {SPOKEN: 2})  # which the store may have told
        with pytest.raises(Unopened):
            await bus.publish_final(1, final("u3"), after="u2")
        assert await bus.publish_final(1, final("u1"), after="u2") == first, "that it knows"
        await bus.restore(CALL, 1, [first, lost])
        assert (await bus.publish_final(1, final("u3"), after="u2")).seq == 3
        assert [c.seq for c in await bus.since(CALL, SPOKEN, 0)] == [1, 2, 3]

    async def test_a_hole_is_not_remembered(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.open_call(CALL, 2, {SPOKEN: 3})
        last = await bus.publish_final(2, final("u4"))
        assert await bus.since(CALL, SPOKEN, 0) is None, "the store has 2 and 3"
        assert await bus.since(CALL, SPOKEN, 3) == [last]

    # --- what is remembered -------------------------------------------------------------

    async def test_finals_are_told_again_behind_a_number(self, bus):
        await bus.open_call(CALL, 1, {})
        finals = [await bus.publish_final(1, final(f"u{n}")) for n in range(5)]
        for seq in range(6):
            assert await bus.since(CALL, SPOKEN, seq) == finals[seq:]
        assert await bus.since(CALL, SPOKEN, 99) == []

    async def test_what_is_only_in_the_store_is_not_remembered(self, bus):
        await bus.open_call(CALL, 1, {SPOKEN: 7})
        assert await bus.since(CALL, SPOKEN, 0) is None
        assert await bus.since(CALL, SPOKEN, 6) is None
        assert await bus.since(CALL, SPOKEN, 7) == []
        await bus.publish_final(1, final("u8"))
        assert await bus.since(CALL, SPOKEN, 6) is None
        assert [c.seq for c in await bus.since(CALL, SPOKEN, 7)] == [8]

    async def test_a_long_call_is_remembered_in_part_and_says_so(self, bus):
        await bus.open_call(CALL, 1, {})
        last = KEPT_FINALS + 10
        for n in range(1, last + 1):
            await bus.publish_final(1, final(f"u{n}"))
        assert await bus.since(CALL, SPOKEN, 0) is None
        newest = await bus.since(CALL, SPOKEN, last - 3)
        assert [c.seq for c in newest] == [last - 2, last - 1, last]

    # --- on the way to the store --------------------------------------------------------

    async def test_finals_wait_until_they_are_acknowledged_oldest_first(self, bus):
        await bus.open_call(CALL, 1, {})
        for n in range(1, 6):
            await bus.publish_final(1, final(f"u{n}"))
        batch = await bus.take_unwritten(3)
        assert [u.caption.seq for u in batch] == [1, 2, 3]
        assert [u.caption.seq for u in await bus.unwritten(10)] == [1, 2, 3, 4, 5]
        await bus.acknowledge(u.entry for u in batch)
        rest = await bus.take_unwritten(10)
        assert [u.caption.seq for u in rest] == [4, 5]
        await bus.acknowledge(u.entry for u in rest)
        await bus.acknowledge(u.entry for u in rest)
        assert await bus.unwritten(10) == []

    async def test_a_writer_waits_for_the_next_final(self, bus):
        await bus.open_call(CALL, 1, {})
        waiting = asyncio.ensure_future(bus.take_unwritten(10))
        await bus.publish_final(1, final("u1"))
        assert [u.caption.utterance for u in await waiting] == ["u1"]

    async def test_finals_of_all_calls_and_feeds_wait(self, bus):
        for call in ("a", "b"):
            await bus.open_call(call, 1, {})
            await bus.publish_final(1, final("u1", call=call))
            await bus.publish_final(1, final("u1", call=call, feed="de"))
        waiting = {(u.caption.call, u.caption.feed) for u in await bus.unwritten(10)}
        assert waiting == {("a", SPOKEN), ("a", "de"), ("b", SPOKEN), ("b", "de")}

    # --- what is left open --------------------------------------------------------------

    async def test_the_newest_partial_of_an_utterance_is_kept_until_its_final(self, bus):
        await bus.open_call(CALL, 1, {})
        for revision in (1, 2):
            await bus.publish_partial(1, partial("u1", revision))
        await bus.publish_partial(1, partial("u2", 1))
        await bus.publish_partial(1, partial("u1", 1, feed="de", language="de"))
        left = {(c.feed, c.utterance): c.revision for c in await bus.left_open(CALL)}
        assert left == {(SPOKEN, "u1"): 2, (SPOKEN, "u2"): 1, ("de", "u1"): 1}
        await bus.publish_final(1, final("u1"))
        await bus.publish_partial(1, partial("u1", 9))
        left = {(c.feed, c.utterance) for c in await bus.left_open(CALL)}
        assert left == {(SPOKEN, "u2"), ("de", "u1")}
        await bus.erase(CALL)
        assert await bus.left_open(CALL) == []

    async def test_what_is_left_open_outlasts_an_owner_and_not_the_call(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_partial(1, partial("u1", 1))
        await bus.open_call(CALL, 2, {})
        assert [c.utterance for c in await bus.left_open(CALL)] == ["u1"]
        await bus.end_call(CALL)
        await bus.forget(CALL)
        assert await bus.left_open(CALL) == []
        assert await bus.left_open("nobody") == []

    # --- restoring ----------------------------------------------------------------------

    async def test_what_a_node_still_has_comes_back_under_its_numbers(self, bus):
        await bus.open_call(CALL, 1, {})
        async with bus.listen(CALL, SPOKEN) as heard:
            finals = [final(f"u{n}").numbered(n) for n in (3, 4)]
            german = final("u4", feed="de", language="de").numbered(1)
            await bus.restore(CALL, 1, [*finals, german])
            await bus.restore(CALL, 1, [*finals, german])
            assert await bus.since(CALL, SPOKEN, 2) == finals
            assert await bus.since(CALL, "de", 0) == [german]
            assert (await bus.publish_final(1, final("u5"))).seq == 5
            assert (await bus.publish_final(1, final("u3"))).seq == 3
            await bus.end_call(CALL)
            assert [c.seq for c in await everything(heard)] == [3, 4, 5], "each once"
        waiting = [(u.caption.feed, u.caption.seq) for u in await bus.unwritten(10)]
        assert sorted(waiting) == [("de", 1), (SPOKEN, 3), (SPOKEN, 4), (SPOKEN, 5)]

    async def test_who_lost_a_call_restores_nothing(self, bus):
        await bus.open_call(CALL, 2, {})
        with pytest.raises(Fenced):
            await bus.restore(CALL, 1, [final("u1").numbered(1)])
        assert await bus.since(CALL, SPOKEN, 0) == []
        await bus.end_call(CALL)
        with pytest.raises(Fenced):
            await bus.restore(CALL, 2, [final("u1").numbered(1)])

    # --- letters ------------------------------------------------------------------------

    async def test_a_letter_reaches_its_gateway_and_no_other(self, bus):
        letter = Letter(
            "socket-1", "peer:signal", {"from": "p-ben", "data": {"sdp": "v=0 \U0001f642"}}
        )
        async with bus.letters("g1") as one, bus.letters("g2") as two:
            await bus.post("g1", letter)
            await bus.post("g2", Letter("socket-2", "peer:signal", {}))
            assert await anext(one) == letter
            assert (await anext(two)).socket == "socket-2"
        await bus.post("g1", letter)

    # --- erasing ------------------------------------------------------------------------

    async def test_what_is_erased_is_gone_and_numbers_go_on(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.publish_final(1, final("u2"))
        await bus.publish_final(1, final("u1", feed="de"))
        assert await bus.erase(CALL) == {SPOKEN: 2, "de": 1}
        assert await bus.unwritten(10) == []
        assert await bus.since(CALL, SPOKEN, 0) is None
        assert await bus.since(CALL, SPOKEN, 2) == []
        assert (await bus.publish_final(1, final("u3"))).seq == 3
        assert [c.seq for c in await bus.since(CALL, SPOKEN, 2)] == [3]

    async def test_an_erased_final_published_again_does_not_come_back(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.erase(CALL)
        async with bus.listen(CALL, SPOKEN) as heard:
            assert (await bus.publish_final(1, final("u1"))).seq == 1
            await bus.end_call(CALL)
            assert await everything(heard) == []
        assert await bus.unwritten(10) == []
        assert await bus.since(CALL, SPOKEN, 1) == []

    async def test_erasing_is_of_one_call(self, bus):
        for call in ("a", "b"):
            await bus.open_call(call, 1, {})
            await bus.publish_final(1, final("u1", call=call))
        await bus.erase("a")
        assert await bus.erase("nobody") == {}
        assert [u.caption.call for u in await bus.unwritten(10)] == ["b"]
        assert [c.seq for c in await bus.since("b", SPOKEN, 0)] == [1]

    # --- forgetting ---------------------------------------------------------------------

    async def test_an_ended_call_that_the_store_has_is_forgotten(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.acknowledge(u.entry for u in await bus.unwritten(10))
        await bus.end_call(CALL)
        await bus.forget(CALL)
        assert await bus.last_seq(CALL, SPOKEN) is None
        assert await bus.since(CALL, SPOKEN, 0) is None
        await bus.open_call(CALL, 2, {SPOKEN: 1})
        assert (await bus.publish_final(2, final("u2"))).seq == 2

    async def test_forgetting_leaves_what_the_store_has_not(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.end_call(CALL)
        await bus.forget(CALL)
        assert [c.seq for c in await bus.since(CALL, SPOKEN, 0)] == [1]
        waiting = await bus.unwritten(10)
        assert [u.caption.seq for u in waiting] == [1]
        await bus.acknowledge(u.entry for u in waiting)
        assert await bus.last_seq(CALL, SPOKEN) is None, "forgotten once it is written"

    async def test_a_call_that_began_again_before_it_was_written_is_not_forgotten(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.end_call(CALL)
        await bus.forget(CALL)
        await bus.open_call(CALL, 2, {})
        await bus.acknowledge(u.entry for u in await bus.unwritten(10))
        assert (await bus.publish_final(2, final("u2"))).seq == 2
        with pytest.raises(Fenced):
            await bus.publish_final(1, final("u3"))

    async def test_a_call_that_began_again_is_not_forgotten_by_who_ended_it(self, bus):
        await bus.open_call(CALL, 1, {})
        await bus.publish_final(1, final("u1"))
        await bus.end_call(CALL)
        await bus.acknowledge(u.entry for u in await bus.unwritten(10))
        await bus.open_call(CALL, 2, {SPOKEN: 1})
        await bus.forget(CALL)
        assert (await bus.publish_final(2, final("u2"))).seq == 2

    async def test_forgetting_is_of_one_call(self, bus):
        for call in ("a", "b"):
            await bus.open_call(call, 1, {})
            await bus.publish_final(1, final("u1", call=call))
        await bus.acknowledge(u.entry for u in await bus.unwritten(10))
        await bus.end_call("a")
        await bus.forget("a")
        assert await bus.last_seq("a", SPOKEN) is None
        assert [c.seq for c in await bus.since("b", SPOKEN, 0)] == [1]
