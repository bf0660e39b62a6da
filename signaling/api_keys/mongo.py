"""API keys in the database of the transcript store. See `signaling.store_mongo`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Any, Final

from signaling.api_keys.keys import ApiKey, scope_of

Database = Any  # the driver's, which only `signaling.store_mongo` knows

INDEXES: Final[dict[str, Sequence[Mapping[str, Any]]]] = {
    "api_keys": [{"keys": [("id", 1)], "name": "by_id", "unique": True}],
}
"""By collection; `_id` is the hash of a key's secret."""


class MongoApiKeys:
    """See `signaling.api_keys.keys.ApiKeys`."""

    def __init__(self, asked: Callable[[], AbstractAsyncContextManager[Database]]) -> None:
        self._asked = asked

    async def add(self, digest: str, key: ApiKey) -> None:
        """See `ApiKeys`."""
        async with self._asked() as db:
            await db.api_keys.insert_one(
                {
                    "_id": digest,
                    "id": key.id,
                    **asdict(key.scope),
                    "grants": list(key.scope.grants),
                    "created_at_ms": key.created_at_ms,
                    "revoked_at_ms": key.revoked_at_ms,
                }
            )

    async def find(self, digest: str) -> ApiKey | None:
        """See `ApiKeys`."""
        async with self._asked() as db:
            found = await db.api_keys.find_one({"_id": digest})
        return _key(found) if found else None

    async def listed(self) -> list[ApiKey]:
        """See `ApiKeys`."""
        async with self._asked() as db:
            newest = db.api_keys.find().sort([("created_at_ms", -1), ("id", 1)])
            return [_key(found) for found in await newest.to_list(None)]

    async def revoke(self, key_id: str, now_ms: int) -> bool:
        """See `ApiKeys`."""
        async with self._asked() as db:
            await db.api_keys.update_one(
                {"id": key_id, "revoked_at_ms": None}, {"$set": {"revoked_at_ms": now_ms}}
            )
            return await db.api_keys.find_one({"id": key_id}) is not None


def _key(found: Mapping[str, Any]) -> ApiKey:
    scope = scope_of(found["name"], tuple(found["grants"]), found["call"], found["tenant"])
    return ApiKey(found["id"], scope, found["created_at_ms"], found["revoked_at_ms"])
