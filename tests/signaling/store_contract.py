"""What every `signaling.store.TranscriptStore` must do. A subclass gives the fixture `store`."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from captions.types import SPOKEN, Caption
from signaling.retention import DAY_MS
from signaling.store import CallRecord, ParticipantRecord, Search
from tests.signaling.bus_contract import CALL, final

# The store outlives an example, so each takes a call of its own; a class for each
# implementation runs the same properties.
PROPERTY = settings(
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
NUMBERS = itertools.count()

# Retention is told the time, but MongoDB looks at its own clock, too, when nobody asks.
Y2100_MS = 4_102_444_800_000


def day(number: int) -> int:
    """Midnight of a day of 2100, in milliseconds since the Unix epoch."""
    return Y2100_MS + number * DAY_MS


# What JSON and UTF-8 can carry.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


def numbered(seq: int, text: str = "ask not", **more) -> Caption:
    return final(f"u{seq}", text, **({"start_ms": seq * 1000} | more)).numbered(seq)


def new_call() -> str:
    return f"call-{next(NUMBERS)}"


async def saved(store, *texts: str, call: str = CALL, started_at_ms: int = 0, **more):
    await store.save_call(CallRecord(call, started_at_ms))
    finals = [numbered(n, text, call=call, **more) for n, text in enumerate(texts, start=1)]
    await store.save_captions(finals)
    return finals


async def found(store, text: str = "", **more) -> list[str]:
    captions, _ = await store.search(Search(text=text, **more))
    return [caption.text for caption in captions]


def seen(who: str, name: str, first_seen_ms: int, last_seen_ms: int) -> ParticipantRecord:
    return ParticipantRecord(who, name, first_seen_ms, last_seen_ms)


class StoreContract:
    """Each test has a store of its own."""

    @pytest.fixture
    async def store(self):
        raise NotImplementedError

    # --- calls --------------------------------------------------------------------------

    async def test_what_one_person_said_is_emptied_and_they_were_never_there(self, store):
        call, other = new_call(), new_call()
        who, ben = f"p-{call}", f"b-{call}"
        for each in (call, other):
            await store.save_call(CallRecord(each, 0))
            await store.save_participants(
                each, [ParticipantRecord(who, "Anna", 1, 5), ParticipantRecord(ben, "Ben", 2, 6)]
            )
            finals = [
                numbered(1, "ask not", call=each, participant=who, speaker="Anna"),
                numbered(2, "what your", call=each, participant=ben),
            ]
            german = replace(finals[0], feed="de", text="frag nicht", source_text="ask not")
            await store.save_captions([*finals, replace(german, words=None, seq=1)])
        assert await store.calls_of(who) == {call, other}
        assert {c: p.name for c, p in await store.attendances(who)} == {call: "Anna", other: "Anna"}
        assert await store.erase_participant(who, {call}) == 2
        assert await store.calls_of(who) == {other}
        left, said = await store.captions(call)
        assert (left.seq, left.text, left.words, left.participant) == (1, "", (), "erased")
        assert left.speaker == "Anonymous"
        assert said.text == "what your"
        [german] = await store.captions(call, "de")
        assert (german.text, german.source_text) == ("", None)
        assert await found(store, "ask", call=call) == []
        assert await found(store, "ask", call=other) == ["ask not"]
        assert [p.id for p in await store.participants(call)] == [ben]
        await store.save_captions([numbered(1, "ask not", call=call, participant=who)])
        assert (await store.captions(call))[0].text == "", "a late writer brings nothing back"
        assert await store.has_all(call, {SPOKEN: 2, "de": 1})

    async def test_a_call_is_remembered_with_its_settings(self, store):
        record = CallRecord(
            CALL, 1_700_000_000_000, settings={"language": "de", "vocabulary": ["Größe", "日本"]}
        )
        await store.save_call(record)
        assert await store.call(CALL) == record
        ended = replace(record, ended_at_ms=1_700_000_060_000)
        await store.save_call(ended)
        assert await store.call(CALL) == ended
        await store.save_call(replace(record, settings={"language": "en"}))
        assert (await store.call(CALL)).settings == {"language": "en"}
        assert (await store.call(CALL)).ended_at_ms is None

    async def test_a_call_that_never_was_is_none(self, store):
        assert await store.call("nobody") is None
        assert await store.captions("nobody") == []
        assert await store.last_seq("nobody") == {}
        assert await store.erase("nobody", {}) == 0

    async def test_calls_are_listed_the_newest_first(self, store):
        for n in (2, 5, 1, 4, 3):
            await store.save_call(CallRecord(f"call-{n}", n))
        assert [r.call for r in await store.calls()] == [f"call-{n}" for n in (5, 4, 3, 2, 1)]
        assert [r.call for r in await store.calls(2)] == ["call-5", "call-4"]

    async def test_calls_that_ended_are_listed_by_their_end_the_last_first(self, store):
        for n in (2, 5, 1, 4, 3):
            await store.save_call(CallRecord(f"call-{n}", n, 100 - n))
        await store.save_call(CallRecord("live", 0))
        assert [r.call for r in await store.ended_before(98, 10)] == ["call-3", "call-4", "call-5"]
        assert await store.ended_before(96, 10) == [CallRecord("call-5", 5, 95)]
        assert [r.call for r in await store.ended_before(1000, 2)] == ["call-1", "call-2"]
        assert await store.ended_before(95, 10) == []
        await store.save_call(CallRecord("call-5", 5))  # it goes on
        assert await store.ended_before(96, 10) == []

    # --- participants -------------------------------------------------------------------

    async def test_who_was_there_is_remembered_in_the_order_they_came(self, store):
        anna, ben = seen("p-anna", "Anna Müller “🙂”", 5, 9), seen("p-ben", "$name", 3, 4)
        await store.save_participants(CALL, [anna, ben])
        await store.save_participants("other", [seen("p-anna", "A", 1, 2)])
        assert await store.participants(CALL) == [ben, anna]
        assert await store.participants("other") == [seen("p-anna", "A", 1, 2)]
        assert await store.participants("nobody") == []
        await store.save_participants(CALL, [])
        assert await store.participants(CALL) == [ben, anna]

    async def test_who_is_seen_again_was_there_all_the_time_under_the_newest_name(self, store):
        await store.save_participants(CALL, [seen("p", "Anna", 20, 30)])
        await store.save_participants(CALL, [seen("p", "Anna M.", 40, 50)])
        assert await store.participants(CALL) == [seen("p", "Anna M.", 20, 50)]
        await store.save_participants(CALL, [seen("p", "from before", 10, 25)])
        assert await store.participants(CALL) == [seen("p", "Anna M.", 10, 50)]
        await store.save_participants(CALL, [seen("p", "Anonymous", 10, 50)])
        assert await store.participants(CALL) == [seen("p", "Anonymous", 10, 50)]

    async def test_of_one_who_comes_twice_in_a_batch_both_are_taken(self, store):
        await store.save_participants(CALL, [seen("p", "b", 5, 9), seen("p", "a", 1, 2)])
        assert await store.participants(CALL) == [seen("p", "b", 1, 9)]

    # --- finals -------------------------------------------------------------------------

    async def test_a_final_comes_out_as_it_went_in(self, store):
        (kept,) = await saved(store, "¿Qué? “日本語” 🙂", speaker="Ana “the \\ one” <b>")
        assert await store.captions(CALL) == [kept]
        plain = replace(numbered(2), words=None, confidence=None, feed="de", language="de")
        await store.save_captions([plain])
        assert await store.captions(CALL, "de") == [plain]

    @PROPERTY
    @given(text=TEXTS, speaker=TEXTS, participant=st.from_regex(r"[A-Za-z0-9_.:-]{1,128}"))
    async def test_whatever_is_said_is_kept_to_the_letter(self, store, text, speaker, participant):
        finals = await saved(
            store, text, call=new_call(), speaker=speaker, participant=participant.strip()
        )
        assert await store.captions(finals[0].call) == finals

    async def test_finals_are_read_behind_a_number_in_order_and_by_feed(self, store):
        finals = await saved(store, *"abcde")
        await store.save_captions([numbered(1, "ä", feed="de")])
        for seq in range(6):
            assert await store.captions(CALL, since=seq) == finals[seq:]
        assert [c.text for c in await store.captions(CALL, "de")] == ["ä"]
        assert await store.captions(CALL, "fr") == []
        assert await store.last_seq(CALL) == {SPOKEN: 5, "de": 1}

    @PROPERTY
    @given(
        batches=st.lists(
            st.lists(st.tuples(st.integers(1, 9), st.sampled_from([SPOKEN, "de"])), max_size=6),
            max_size=6,
        )
    )
    async def test_each_final_is_kept_once_however_often_and_in_whatever_order_it_comes(
        self, store, batches
    ):
        call = new_call()
        await store.save_call(CallRecord(call, 0))
        for batch in batches:
            await store.save_captions([numbered(n, call=call, feed=feed) for n, feed in batch])
        for feed in (SPOKEN, "de"):
            brought = {n for batch in batches for n, of in batch if of == feed}
            assert [c.seq for c in await store.captions(call, feed)] == sorted(brought)
            assert (await store.last_seq(call)).get(feed, 0) == max(brought, default=0)
        spoken = {n for batch in batches for n, of in batch if of == SPOKEN}
        assert len(await found(store, call=call)) == len(spoken)

    async def test_one_final_is_found_by_its_utterance_until_it_is_erased(self, store):
        one, _ = await saved(store, "one", "two")
        await store.save_captions([german := numbered(1, "eins", feed="de")])
        assert await store.final(CALL, SPOKEN, "u1") == one
        assert await store.final(CALL, "de", "u1") == german
        assert await store.final(CALL, "de", "u2") is None
        assert await store.final("other", SPOKEN, "u1") is None
        await store.erase(CALL, {})
        assert await store.final(CALL, SPOKEN, "u1") is None

    async def test_it_is_known_whether_all_finals_up_to_a_number_are_there(self, store):
        assert await store.has_all(CALL, {})
        assert not await store.has_all(CALL, {SPOKEN: 1})
        await store.save_call(CallRecord(CALL, 0))
        await store.save_captions([numbered(1), numbered(3), numbered(1, feed="de")])
        assert not await store.has_all(CALL, {SPOKEN: 3})
        assert await store.has_all(CALL, {SPOKEN: 1, "de": 1})
        assert not await store.has_all(CALL, {SPOKEN: 1, "de": 2})
        await store.save_captions([numbered(2), numbered(4)])
        assert await store.has_all(CALL, {SPOKEN: 3})
        await store.erase(CALL, {SPOKEN: 5})
        assert await store.has_all(CALL, {SPOKEN: 5}), "what was erased is not missing"
        assert not await store.has_all(CALL, {SPOKEN: 6})
        await store.save_captions([numbered(6)])
        assert await store.has_all(CALL, {SPOKEN: 6})

    async def test_the_first_of_two_finals_of_an_utterance_stands(self, store):
        await saved(store, "the first")
        await store.save_captions([numbered(1, "the second")])
        assert [c.text for c in await store.captions(CALL)] == ["the first"]
        assert await found(store, "second") == []

    async def test_a_partial_is_never_kept_nor_what_came_with_it(self, store):
        await store.save_call(CallRecord(CALL, 0))
        for odd in (final("u2"), replace(numbered(2), final=False)):
            with pytest.raises(ValueError, match="finals"):
                await store.save_captions([numbered(1), odd])
        assert await store.captions(CALL) == []
        assert await found(store, "ask") == []

    async def test_an_empty_batch_is_nothing(self, store):
        await store.save_captions([])

    # --- erasing ------------------------------------------------------------------------

    async def test_what_is_erased_is_gone_from_every_feed_and_the_search(self, store):
        await saved(store, "one word", "two words")
        await store.save_captions([numbered(1, "ein Wort", feed="de")])
        await saved(store, "one word elsewhere", call="other")
        assert await store.erase(CALL, {SPOKEN: 2, "de": 1}) == 3
        assert await store.captions(CALL) == []
        assert await store.captions(CALL, "de") == []
        assert await found(store, "word") == ["one word elsewhere"]
        assert await store.last_seq(CALL) == {SPOKEN: 2, "de": 1}
        assert await store.call(CALL) is not None
        assert await store.erase(CALL, {}) == 0

    async def test_an_erased_final_that_comes_late_is_not_taken(self, store):
        finals = await saved(store, *"abc")
        await store.erase(CALL, {})
        await store.save_captions(finals)
        assert await store.captions(CALL) == []
        await store.save_captions([numbered(4, "d")])
        assert [c.text for c in await store.captions(CALL)] == ["d"]
        assert await found(store, "a") == []

    async def test_a_final_that_was_still_on_its_way_when_all_was_erased_is_not_taken(self, store):
        await saved(store, "a")
        assert await store.erase(CALL, {SPOKEN: 5, "de": 2}) == 1
        await store.save_captions([numbered(n, call=CALL) for n in range(1, 7)])
        await store.save_captions([numbered(n, feed="de") for n in range(1, 4)])
        assert [c.seq for c in await store.captions(CALL)] == [6]
        assert [c.seq for c in await store.captions(CALL, "de")] == [3]
        assert await store.last_seq(CALL) == {SPOKEN: 6, "de": 3}

    async def test_a_hole_below_what_was_erased_stays_empty(self, store):
        await store.save_call(CallRecord(CALL, 0))
        await store.save_captions([numbered(3)])
        await store.erase(CALL, {})
        await store.save_captions([numbered(2)])
        assert await store.captions(CALL) == []

    async def test_an_erasure_is_never_taken_back_by_a_later_smaller_one(self, store):
        await saved(store, *"abc")
        await store.erase(CALL, {SPOKEN: 9})
        await store.erase(CALL, {SPOKEN: 2})
        await store.save_captions([numbered(8)])
        assert await store.captions(CALL) == []
        assert await store.last_seq(CALL) == {SPOKEN: 9}

    async def test_who_was_there_is_erased_with_what_was_said(self, store):
        await saved(store, "a")
        await store.save_participants(CALL, [seen("p-anna", "Anna", 1, 2)])
        await store.save_participants("other", [seen("p-anna", "Anna", 1, 2)])
        await store.erase(CALL, {})
        assert await store.participants(CALL) == []
        assert len(await store.participants("other")) == 1

    @pytest.mark.parametrize("known", [True, False])
    async def test_an_erasure_among_late_writers_leaves_nothing(self, store, known):
        finals = await saved(store, *(f"word {n}" for n in range(12)))
        late = [numbered(n, f"word {n}") for n in range(13, 25)]
        if not known:
            await store.save_captions(late)
        await asyncio.gather(
            *(store.save_captions([*finals, *late][n::4]) for n in range(4)),
            store.erase(CALL, {SPOKEN: 24} if known else {}),
            *(store.save_captions([*finals, *late][n::3]) for n in range(3)),
        )
        assert await store.captions(CALL) == []
        assert await found(store, "word") == []
        assert await store.last_seq(CALL) == {SPOKEN: 24}
        assert await store.erase(CALL, {}) == 0

    # --- retention ----------------------------------------------------------------------

    async def test_a_call_is_kept_for_its_days_and_not_longer(self, store):
        week = {"retention_days": 7, "language": "de"}
        finals = await saved(store, "a", started_at_ms=day(0))
        await store.save_captions([numbered(1, "ä", feed="de")])
        await store.save_participants(CALL, [seen("p-anna", "Anna", 1, 2)])
        await saved(store, "b", call="for ever", started_at_ms=day(0))
        await store.save_call(CallRecord("for ever", day(0), day(1)))
        await store.save_call(CallRecord(CALL, day(0), day(1), week))
        assert await store.expire(day(8) - 1) == 0
        assert await store.captions(CALL) == finals
        assert await store.expire(day(8)) == 1
        assert await store.call(CALL) is None
        assert await store.captions(CALL) == []
        assert await store.captions(CALL, "de") == []
        assert await store.participants(CALL) == []
        assert await found(store) == ["b"]
        assert await store.expire(day(1000)) == 0
        assert [r.call for r in await store.calls()] == ["for ever"]

    async def test_a_live_call_does_not_expire_while_there_is_life_in_it(self, store):
        week = {"retention_days": 7}
        await store.save_call(CallRecord(CALL, day(0), settings=week))
        await store.save_call(CallRecord("seen", day(0), settings=week))
        await store.save_captions([numbered(1, start_ms=5 * DAY_MS)])
        await store.save_participants("seen", [seen("p", "Anna", day(0), day(6))])
        assert await store.expire(day(12) - 1) == 0
        assert await store.expire(day(12)) == 1
        assert await store.call(CALL) is None
        assert await store.captions(CALL) == []
        assert await store.expire(day(13)) == 1
        assert await store.participants("seen") == []

    async def test_a_call_whose_days_were_changed_or_that_goes_on_expires_by_the_new_rule(
        self, store
    ):
        await saved(store, "a", started_at_ms=day(0))
        await store.save_call(CallRecord(CALL, day(0), day(1), {"retention_days": 1}))
        await store.save_call(CallRecord(CALL, day(0), day(1), {"retention_days": 30}))
        assert await store.expire(day(3)) == 0
        await store.save_call(CallRecord(CALL, day(0), settings={"retention_days": 1}))
        await store.save_captions([numbered(2, "b", start_ms=40 * DAY_MS)])
        assert await store.expire(day(31)) == 0
        await store.save_call(CallRecord(CALL, day(0), day(41), {}))
        assert await store.expire(day(1000)) == 0
        assert len(await store.captions(CALL)) == 2

    async def test_a_call_of_an_expired_id_begins_anew(self, store):
        await saved(store, "a", "b", started_at_ms=day(0))
        await store.save_call(CallRecord(CALL, day(0), day(1), {"retention_days": 1}))
        assert await store.expire(day(2)) == 1
        seq = (await store.last_seq(CALL)).get(SPOKEN, 0) + 1
        await store.save_call(CallRecord(CALL, day(3)))
        await store.save_captions([numbered(seq, "c")])
        assert [c.text for c in await store.captions(CALL)] == ["c"]
        assert await found(store, since_ms=day(3)) == ["c"]
        assert await store.expire(day(1000)) == 0

    # --- searching ----------------------------------------------------------------------

    async def test_all_words_must_be_there_in_any_order(self, store):
        await saved(store, "ask not what your country can do", "ask what you can do", "my country")
        assert await found(store, "country ask") == ["ask not what your country can do"]
        assert await found(store, "can do") == [
            "ask what you can do",
            "ask not what your country can do",
        ]
        assert await found(store, "country dog") == []
        assert await found(store, "count") == [], "words, not parts of words"

    async def test_case_and_accents_do_not_matter(self, store):
        await saved(store, "Das CAFÉ in Việt Nam", "ΑΘΗΝΑ и Москва")
        for text in ("café", "cafe", "CAFE", "Cafe\u0301", "viet", "VIỆT"):
            assert await found(store, text) == ["Das CAFÉ in Việt Nam"], text
        for text in ("αθηνα", "МОСКВА"):
            assert await found(store, text) == ["ΑΘΗΝΑ и Москва"], text

    @pytest.mark.parametrize(
        "text",
        [
            '"ask not"',
            'ask"not',
            '"ask',
            "ask, not!",
            "ask*",
            "-ask",
            "+ask",
            "^ask",
            "(ask",
            "ask :",
            "ask -- not",
            "ask\x00not",
            "ask\tnot\n",
            "ask \ud800",
        ],
    )
    async def test_signs_in_a_query_are_not_operators(self, store, text):
        await saved(store, "ask not", "what for")
        assert await found(store, text) == ["ask not"]

    @pytest.mark.parametrize(
        "text", ["ask OR what", "ask NOT what", "NEAR(ask)", "text:ask", "ask AND not", "$where"]
    )
    async def test_operators_in_a_query_are_words(self, store, text):
        await saved(store, "ask not", "what for")
        assert await found(store, text) == []

    @PROPERTY
    @given(text=st.text(max_size=40))
    async def test_no_query_is_a_fault(self, store, text):
        await store.search(Search(text=text))

    async def test_a_query_of_very_many_words_is_no_fault(self, store):
        await saved(store, "ask not")
        assert await found(store, "ask " * 500) == ["ask not"]
        assert await found(store, " ".join(f"w{n}" for n in range(500))) == []

    async def test_a_query_without_words_finds_everything_and_one_of_signs_nothing(self, store):
        await saved(store, "one", "two")
        assert await found(store, "") == ["two", "one"]
        assert await found(store, "  ") == ["two", "one"]
        assert await found(store, "?!") == []

    async def test_speakers_are_found_by_their_names(self, store):
        await saved(store, "one", speaker="Anna Müller")
        assert await found(store, "muller") == ["one"]

    async def test_only_what_was_spoken_is_searched(self, store):
        await saved(store, "ask not")
        await store.save_captions([numbered(1, "frag ask nicht", feed="de")])
        assert await found(store, "ask") == ["ask not"]

    async def test_a_search_is_narrowed_by_call_participant_and_time(self, store):
        await saved(store, "a", "b", call="one", started_at_ms=100_000, participant="p-anna")
        await saved(store, "c", "d", call="two", started_at_ms=200_000, participant="p-ben")
        assert await found(store, call="one") == ["b", "a"]
        assert await found(store, call="nobody") == []
        assert await found(store, participant="p-ben") == ["d", "c"]
        assert await found(store, participant="p-ben", call="one") == []
        assert await found(store, since_ms=102_000) == ["d", "c", "b"]
        assert await found(store, until_ms=102_000) == ["a"]
        assert await found(store, since_ms=101_000, until_ms=201_000) == ["b", "a"]
        assert await found(store, "c", since_ms=201_000, participant="p-ben") == ["c"]

    @PROPERTY
    @given(count=st.integers(0, 12), limit=st.integers(1, 6), late=st.booleans())
    async def test_pages_hold_everything_once_also_while_more_is_said(
        self, store, count, limit, late
    ):
        call = new_call()
        await saved(store, *(f"word {n}" for n in range(count)), call=call)
        pages, cursor = [], None
        while True:
            page, cursor = await store.search(
                Search(text="word", call=call, limit=limit, cursor=cursor)
            )
            pages.append([caption.seq for caption in page])
            if late and len(pages) == 1:
                await store.save_captions([numbered(99, "word", call=call)])
            if cursor is None:
                break
        assert [seq for page in pages for seq in page] == list(range(count, 0, -1))
        assert all(len(page) == limit for page in pages[:-1])
        assert count == 0 or pages[-1], "no page is empty but the only one"
