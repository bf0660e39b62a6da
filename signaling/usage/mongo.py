"""The ledger in the database of the transcript store. See `signaling.store_mongo`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from captions.types import SPOKEN
from signaling.usage.ledger import KEPT_MS, Entry, Grouping, Usage, UsageQuery, summed

Database = Any  # the driver's, which only `signaling.store_mongo` knows

Insert = Callable[[Database, str, Sequence[dict[str, Any]]], Awaitable[None]]
"""Puts documents into a collection; of one whose `_id` is there already nothing changes."""

INDEXES: Final[dict[str, Sequence[Mapping[str, Any]]]] = {
    "ledger": [
        {"keys": [("said_at_ms", 1)], "name": "by_time"},
        {"keys": [("tenant", 1), ("said_at_ms", 1)], "name": "by_tenant"},
        {"keys": [("call", 1)], "name": "of_call"},
    ],
}
"""By collection; `_id` names call, feed and utterance. `day` is that of `said_at_ms`."""

_DAY_MS: Final = 86_400_000

_KEYS: Final[dict[Grouping | None, str | None]] = {
    None: None,
    "day": "$day",
    "tenant": "$tenant",
    "call": "$call",
}


class MongoLedger:
    """See `signaling.usage.ledger.Ledger`."""

    def __init__(
        self, asked: Callable[[], AbstractAsyncContextManager[Database]], insert: Insert
    ) -> None:
        self._asked = asked
        self._insert = insert

    async def record(self, entries: Sequence[Entry]) -> None:
        """See `Ledger`."""
        async with self._asked() as db:
            await self._insert(db, "ledger", [_document(entry) for entry in entries])

    async def usage(self, query: UsageQuery) -> list[Usage]:
        """See `Ledger`."""
        time = {"$gte": query.since_ms, "$lt": query.until_ms}
        wanted: dict[str, Any] = {
            "said_at_ms": {k: v for k, v in time.items() if v is not None} or None,
            "tenant": query.tenant,
            "call": query.call,
        }
        key = _KEYS[query.by]
        async with self._asked() as db:
            rows = await db.ledger.aggregate(
                [
                    {"$match": {k: v for k, v in wanted.items() if v is not None}},
                    {
                        "$group": {
                            "_id": {"key": key, "feed": "$feed"},
                            "speech_ms": {"$sum": "$speech_ms"},
                            "number": {"$sum": 1},
                        }
                    },
                ]
            ).to_list(None)
        parts = [
            (
                _shown(row["_id"].get("key"), query.by),
                row["_id"]["feed"],
                row["speech_ms"],
                row["number"],
            )
            for row in rows
        ]
        return summed(parts, SPOKEN)[: query.limit]


async def expire(db: Database, now_ms: int) -> None:
    """Rows that are too old go."""
    await db.ledger.delete_many({"said_at_ms": {"$lte": now_ms - KEPT_MS}})


def _document(entry: Entry) -> dict[str, Any]:
    name = "/".join((entry.call, entry.feed, entry.utterance))
    return {"_id": name, **asdict(entry), "day": entry.said_at_ms // _DAY_MS}


def _shown(key: Any, by: Grouping | None) -> str:
    if by == "day":
        return datetime.fromtimestamp(key * _DAY_MS // 1000, UTC).strftime("%Y-%m-%d")
    return key or ""
