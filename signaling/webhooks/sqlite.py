"""Deliveries in the SQLite file of the transcript store. See `signaling.store_sqlite`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from typing import Any, Final, Protocol

import aiosqlite

from signaling.webhooks.delivery import DEAD_KEPT_MS, SENT_KEPT_MS, Delivery, DeliveryState

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS deliveries (
    id TEXT PRIMARY KEY,
    event TEXT NOT NULL,
    call TEXT NOT NULL,
    target TEXT NOT NULL,
    origin TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    about TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    settled_at_ms INTEGER
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, target, due_at_ms);
CREATE INDEX IF NOT EXISTS deliveries_of_call ON deliveries (call);
CREATE TABLE IF NOT EXISTS webhooks_disabled (
    target TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL
);
"""

_COLUMNS: Final = tuple(field.name for field in fields(Delivery))


class Rows(Protocol):
    """What reads, on its own."""

    def __call__(self, sql: str, *values: object) -> Awaitable[list[aiosqlite.Row]]:
        """The rows of a query."""


class SqliteDeliveries:
    """See `signaling.webhooks.delivery.Deliveries`."""

    def __init__(
        self,
        transaction: Callable[[], AbstractAsyncContextManager[aiosqlite.Connection]],
        rows: Rows,
    ) -> None:
        self._transaction = transaction
        self._rows = rows

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        """See `Deliveries`."""
        async with self._transaction() as db:
            await db.executemany(
                f"INSERT INTO deliveries ({', '.join(_COLUMNS)})"  # noqa: S608 - constants
                f" VALUES ({', '.join(':' + name for name in _COLUMNS)}) ON CONFLICT DO NOTHING",
                [_row(delivery) for delivery in deliveries],
            )

    async def due(self, now_ms: int) -> list[str]:
        """See `Deliveries`."""
        rows = await self._rows(
            "SELECT target FROM deliveries WHERE state = 'waiting' AND due_at_ms <= ?"
            " GROUP BY target ORDER BY min(due_at_ms)",
            now_ms,
        )
        return [row["target"] for row in rows]

    async def next_due_ms(self, after_ms: int) -> int | None:
        """See `Deliveries`."""
        [row] = await self._rows(
            "SELECT min(due_at_ms) AS due FROM deliveries"
            " WHERE state = 'waiting' AND due_at_ms > ?",
            after_ms,
        )
        due: int | None = row["due"]
        return due

    async def claim(self, target: str, now_ms: int, until_ms: int, limit: int) -> list[Delivery]:
        """See `Deliveries`."""
        async with self._transaction() as db:
            rows = await db.execute_fetchall(
                "UPDATE deliveries SET due_at_ms = ?, attempts = attempts + 1 WHERE id IN ("
                " SELECT id FROM deliveries"
                " WHERE state = 'waiting' AND target = ? AND due_at_ms <= ?"
                " ORDER BY due_at_ms, created_at_ms LIMIT ?) RETURNING *",
                (until_ms, target, now_ms, limit),
            )
            claimed = [_delivery(row) for row in rows]
        return sorted(claimed, key=lambda delivery: delivery.created_at_ms)

    async def settle(self, delivery: Delivery) -> None:
        """See `Deliveries`."""
        async with self._transaction() as db:
            await db.execute(
                "UPDATE deliveries SET due_at_ms = :due_at_ms, state = :state,"
                " attempts = :attempts, status = :status, error = :error,"
                " settled_at_ms = :settled_at_ms WHERE id = :id",
                _row(delivery),
            )

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """See `Deliveries`."""
        rows = await self._rows("SELECT * FROM deliveries WHERE id = ?", delivery_id)
        return _delivery(rows[0]) if rows else None

    async def listed(self, state: DeliveryState, call: str | None, limit: int) -> list[Delivery]:
        """See `Deliveries`."""
        rows = await self._rows(
            "SELECT * FROM deliveries WHERE state = ?1 AND (?2 IS NULL OR call = ?2)"
            " ORDER BY created_at_ms DESC, id LIMIT ?3",
            state,
            call,
            limit,
        )
        return [_delivery(row) for row in rows]

    async def count(self) -> dict[DeliveryState, int]:
        """See `Deliveries`."""
        rows = await self._rows(
            "SELECT state, count(*) AS number FROM deliveries"
            " WHERE state IN ('waiting', 'dead') GROUP BY state"
        )
        return {row["state"]: row["number"] for row in rows}

    async def forget(self, delivery_id: str) -> None:
        """See `Deliveries`."""
        async with self._transaction() as db:
            await db.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))

    async def disable(self, target: str, now_ms: int, why: str) -> None:
        """See `Deliveries`."""
        async with self._transaction() as db:
            await db.execute(
                "INSERT INTO webhooks_disabled VALUES (?, ?) ON CONFLICT DO NOTHING",
                (target, now_ms),
            )
            await db.execute(
                "UPDATE deliveries SET state = 'dead', error = ?, settled_at_ms = ?"
                " WHERE target = ? AND state = 'waiting'",
                (why, now_ms, target),
            )

    async def enable(self, target: str) -> None:
        """See `Deliveries`."""
        async with self._transaction() as db:
            await db.execute("DELETE FROM webhooks_disabled WHERE target = ?", (target,))

    async def disabled(self, targets: Collection[str]) -> set[str]:
        """See `Deliveries`."""
        rows = await self._rows(
            "SELECT target FROM webhooks_disabled WHERE target IN (SELECT value FROM json_each(?))",
            json.dumps(sorted(targets)),
        )
        return {row["target"] for row in rows}

    async def erase(self, db: aiosqlite.Connection, call: str) -> None:
        """What tells of a call's finals goes with them, in their transaction."""
        await db.execute(
            "DELETE FROM deliveries WHERE call = ? AND event = 'caption.final'", (call,)
        )

    async def expire(self, db: aiosqlite.Connection, now_ms: int) -> None:
        """What was settled long ago goes."""
        for state, kept_ms in (("sent", SENT_KEPT_MS), ("dead", DEAD_KEPT_MS)):
            await db.execute(
                "DELETE FROM deliveries WHERE state = ? AND settled_at_ms <= ?",
                (state, now_ms - kept_ms),
            )


def _row(delivery: Delivery) -> dict[str, Any]:
    row = {name: getattr(delivery, name) for name in _COLUMNS}
    return row | {"about": json.dumps(dict(delivery.about))}


def _delivery(row: aiosqlite.Row) -> Delivery:
    values = {name: row[name] for name in _COLUMNS}
    return Delivery(**values | {"about": json.loads(row["about"])})
