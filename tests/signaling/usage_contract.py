"""What every `signaling.usage.ledger.Ledger` must do. A subclass gives the fixture `store`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from captions.types import SPOKEN
from signaling.retention import DAY_MS
from signaling.store import CallRecord
from signaling.usage.ledger import KEPT_MS, Entry, Usage, UsageQuery
from tests.signaling.bus_contract import CALL
from tests.signaling.store_contract import numbered

MIDNIGHT_MS = 20_000 * DAY_MS
"""Of 2024-10-04."""


def entry(utterance: str, speech_ms: int = 1500, **more) -> Entry:
    fields = {"call": CALL, "feed": SPOKEN, "tenant": "acme", "said_at_ms": MIDNIGHT_MS}
    return Entry(utterance=utterance, speech_ms=speech_ms, **(fields | more))


async def sums(store, **query) -> list[Usage]:
    return await store.ledger.usage(UsageQuery(**query))


class LedgerContract:
    """Each test has a store of its own."""

    @pytest.fixture
    async def store(self):
        raise NotImplementedError

    async def test_of_nothing_there_is_no_sum(self, store):
        assert await sums(store) == []
        assert await sums(store, by="day") == []
        await store.ledger.record([])
        assert await sums(store) == []

    async def test_a_final_counts_once_however_often_it_is_recorded(self, store):
        for _ in range(3):
            await store.ledger.record([entry("u1"), entry("u2", 250)])
        await store.ledger.record([replace(entry("u1"), tenant="other", speech_ms=9999)])
        assert await sums(store) == [Usage("", 1750, 2)]
        assert await sums(store, tenant="other") == []

    async def test_translations_are_counted_by_language_and_are_no_speech(self, store):
        await store.ledger.record(
            [
                entry("u1"),
                entry("u1", 0, feed="de"),
                entry("u1", 0, feed="pt-BR"),
                entry("u2"),
                entry("u2", 0, feed="de"),
            ]
        )
        assert await sums(store) == [Usage("", 3000, 2, {"de": 2, "pt-BR": 1})]

    async def test_they_are_added_up_by_day_by_tenant_and_by_call(self, store):
        await store.ledger.record(
            [
                entry("u1", said_at_ms=MIDNIGHT_MS - 1),
                entry("u2", said_at_ms=MIDNIGHT_MS),
                entry("u3", said_at_ms=MIDNIGHT_MS + DAY_MS - 1, tenant=""),
                entry("u4", said_at_ms=MIDNIGHT_MS + 7, call="a.b:c"),
                entry("u4", 0, said_at_ms=MIDNIGHT_MS + 7, call="a.b:c", feed="de"),
            ]
        )
        assert await sums(store, by="day") == [
            Usage("2024-10-03", 1500, 1),
            Usage("2024-10-04", 4500, 3, {"de": 1}),
        ]
        assert await sums(store, by="tenant") == [
            Usage("", 1500, 1),
            Usage("acme", 4500, 3, {"de": 1}),
        ]
        assert await sums(store, by="call") == [
            Usage("a.b:c", 1500, 1, {"de": 1}),
            Usage(CALL, 4500, 3),
        ]
        assert [each.key for each in await sums(store, by="day", limit=1)] == ["2024-10-03"]

    async def test_it_is_asked_by_time_tenant_and_call(self, store):
        await store.ledger.record(
            [entry(f"u{n}", 1, said_at_ms=MIDNIGHT_MS + n) for n in range(10)]
            + [entry("x", 100, tenant="other"), entry("y", 1000, call="other")]
        )
        since, until = MIDNIGHT_MS + 2, MIDNIGHT_MS + 5
        assert await sums(store, since_ms=since, until_ms=until) == [Usage("", 3, 3)]
        assert await sums(store, since_ms=since) == [Usage("", 8, 8)]
        assert await sums(store, tenant="other") == [Usage("", 100, 1)]
        assert await sums(store, call="other") == [Usage("", 1000, 1)]
        assert await sums(store, call="other", tenant="other") == []

    async def test_it_outlives_erasure_and_retention_for_400_days(self, store):
        said = KEPT_MS + MIDNIGHT_MS
        await store.save_call(CallRecord(CALL, said, said + 1, {"retention_days": 1}))
        await store.save_captions([numbered(1, "hush")])
        await store.ledger.record([entry("u1", said_at_ms=said)])
        await store.erase(CALL, {})
        assert await store.captions(CALL) == []
        await store.expire(said + 2 * DAY_MS)
        assert await store.call(CALL) is None
        assert await sums(store) == [Usage("", 1500, 1)]
        await store.expire(said + KEPT_MS - 1)
        assert await sums(store) == [Usage("", 1500, 1)]
        await store.expire(said + KEPT_MS)
        assert await sums(store) == []
