"""The ledger in the SQLite file of the transcript store. See `signaling.store_sqlite`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import astuple
from typing import Any, Final

import aiosqlite

from captions.types import SPOKEN
from signaling.usage.ledger import KEPT_MS, Entry, Grouping, Usage, UsageQuery, summed

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS ledger (
    call TEXT NOT NULL,
    feed TEXT NOT NULL,
    utterance TEXT NOT NULL,
    tenant TEXT NOT NULL,
    said_at_ms INTEGER NOT NULL,
    speech_ms INTEGER NOT NULL,
    PRIMARY KEY (call, feed, utterance)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ledger_by_time ON ledger (said_at_ms);
CREATE INDEX IF NOT EXISTS ledger_by_tenant ON ledger (tenant, said_at_ms);
"""

_KEYS: Final[dict[Grouping | None, str]] = {
    None: "''",
    "day": "date(said_at_ms / 1000, 'unixepoch')",
    "tenant": "tenant",
    "call": "call",
}


class SqliteLedger:
    """See `signaling.usage.ledger.Ledger`."""

    def __init__(
        self, transaction: Callable[[], AbstractAsyncContextManager[aiosqlite.Connection]]
    ) -> None:
        self._transaction = transaction

    async def record(self, entries: Sequence[Entry]) -> None:
        """See `Ledger`."""
        async with self._transaction() as db:
            await db.executemany(
                "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [astuple(entry) for entry in entries],
            )

    async def usage(self, query: UsageQuery) -> list[Usage]:
        """See `Ledger`."""
        conditions: dict[str, Any] = {
            "said_at_ms >= ?": query.since_ms,
            "said_at_ms < ?": query.until_ms,
            "tenant = ?": query.tenant,
            "call = ?": query.call,
        }
        wanted = {sql: value for sql, value in conditions.items() if value is not None}
        where = " AND ".join(wanted) or "TRUE"
        key = _KEYS[query.by]
        async with self._transaction() as db:
            rows = await db.execute_fetchall(
                f"WITH asked AS (SELECT {key} AS key, * FROM ledger WHERE {where}),"  # noqa: S608 - constants
                " keys AS (SELECT DISTINCT key FROM asked ORDER BY key LIMIT ?)"
                " SELECT key, feed, sum(speech_ms), count(*) FROM asked"
                " WHERE key IN (SELECT key FROM keys) GROUP BY key, feed",
                (*wanted.values(), query.limit),
            )
        return summed([(row[0], row[1], row[2], row[3]) for row in rows], SPOKEN)

    async def expire(self, db: aiosqlite.Connection, now_ms: int) -> None:
        """Rows that are too old go."""
        await db.execute("DELETE FROM ledger WHERE said_at_ms <= ?", (now_ms - KEPT_MS,))
