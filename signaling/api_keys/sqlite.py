"""API keys in the SQLite file of the transcript store. See `signaling.store_sqlite`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import aiosqlite

from signaling.api_keys.keys import ApiKey, scope_of

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS api_keys (
    digest TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    grants TEXT NOT NULL,
    call TEXT NOT NULL,
    tenant TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    revoked_at_ms INTEGER
) WITHOUT ROWID;
"""


class SqliteApiKeys:
    """See `signaling.api_keys.keys.ApiKeys`."""

    def __init__(
        self, transaction: Callable[[], AbstractAsyncContextManager[aiosqlite.Connection]]
    ) -> None:
        self._transaction = transaction

    async def add(self, digest: str, key: ApiKey) -> None:
        """See `ApiKeys`."""
        scope = key.scope
        row = (digest, key.id, scope.name, " ".join(scope.grants), scope.call, scope.tenant)
        async with self._transaction() as db:
            await db.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, key.created_at_ms, key.revoked_at_ms),
            )

    async def find(self, digest: str) -> ApiKey | None:
        """See `ApiKeys`."""
        async with self._transaction() as db:
            sql = "SELECT * FROM api_keys WHERE digest = ?"
            rows = list(await db.execute_fetchall(sql, (digest,)))
        return _key(rows[0]) if rows else None

    async def listed(self) -> list[ApiKey]:
        """See `ApiKeys`."""
        async with self._transaction() as db:
            sql = "SELECT * FROM api_keys ORDER BY created_at_ms DESC, id"
            return [_key(row) for row in await db.execute_fetchall(sql)]

    async def revoke(self, key_id: str, now_ms: int) -> bool:
        """See `ApiKeys`."""
        async with self._transaction() as db:
            sql = "UPDATE api_keys SET revoked_at_ms = coalesce(revoked_at_ms, ?) WHERE id = ?"
            return (await db.execute(sql, (now_ms, key_id))).rowcount > 0


def _key(row: aiosqlite.Row) -> ApiKey:
    scope = scope_of(row["name"], tuple(row["grants"].split()), row["call"], row["tenant"])
    return ApiKey(row["id"], scope, row["created_at_ms"], row["revoked_at_ms"])
