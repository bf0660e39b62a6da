"""Deliveries in the database of the transcript store. See `signaling.store_mongo`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, fields
from typing import Any, Final

from signaling.webhooks.delivery import DEAD_KEPT_MS, SENT_KEPT_MS, Delivery, DeliveryState

Database = Any  # the driver's, which only `signaling.store_mongo` knows

Insert = Callable[[Database, str, Sequence[dict[str, Any]]], Awaitable[None]]
"""Puts documents into a collection; of one whose `_id` is there already nothing changes."""

INDEXES: Final[dict[str, Sequence[Mapping[str, Any]]]] = {
    "deliveries": [
        {"keys": [("state", 1), ("target", 1), ("due_at_ms", 1)], "name": "due"},
        {"keys": [("state", 1), ("created_at_ms", -1)], "name": "newest"},
        {"keys": [("call", 1)], "name": "of_call"},
    ],
}
"""By collection; `_id` is a delivery's id. `webhooks_disabled` has targets by `_id`."""

_CHANGES: Final = ("due_at_ms", "state", "attempts", "status", "error", "settled_at_ms")


class MongoDeliveries:
    """See `signaling.webhooks.delivery.Deliveries`."""

    def __init__(
        self, asked: Callable[[], AbstractAsyncContextManager[Database]], insert: Insert
    ) -> None:
        self._asked = asked
        self._insert = insert

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        """See `Deliveries`."""
        async with self._asked() as db:
            await self._insert(db, "deliveries", [_document(each) for each in deliveries])

    async def due(self, now_ms: int) -> list[str]:
        """See `Deliveries`."""
        async with self._asked() as db:
            rows = await db.deliveries.aggregate(
                [
                    {"$match": {"state": "waiting", "due_at_ms": {"$lte": now_ms}}},
                    {"$group": {"_id": "$target", "due": {"$min": "$due_at_ms"}}},
                ]
            ).to_list(None)
        return [row["_id"] for row in sorted(rows, key=lambda row: row["due"])]

    async def next_due_ms(self, after_ms: int) -> int | None:
        """See `Deliveries`."""
        async with self._asked() as db:
            rows = await db.deliveries.aggregate(
                [
                    {"$match": {"state": "waiting", "due_at_ms": {"$gt": after_ms}}},
                    {"$group": {"_id": None, "due": {"$min": "$due_at_ms"}}},
                ]
            ).to_list(None)
        return rows[0]["due"] if rows else None

    async def claim(self, target: str, now_ms: int, until_ms: int, limit: int) -> list[Delivery]:
        """See `Deliveries`."""
        claimed: list[Delivery] = []
        async with self._asked() as db:
            while len(claimed) < limit:
                found = await db.deliveries.find_one_and_update(
                    {"state": "waiting", "target": target, "due_at_ms": {"$lte": now_ms}},
                    {"$set": {"due_at_ms": until_ms}, "$inc": {"attempts": 1}},
                    sort=[("due_at_ms", 1), ("created_at_ms", 1)],
                    return_document=True,  # as it is afterwards
                )
                if found is None:
                    break
                claimed.append(_delivery(found))
        return claimed

    async def settle(self, delivery: Delivery) -> None:
        """See `Deliveries`."""
        async with self._asked() as db:
            await db.deliveries.update_one(
                {"_id": delivery.id},
                {"$set": {name: getattr(delivery, name) for name in _CHANGES}},
            )

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """See `Deliveries`."""
        async with self._asked() as db:
            found = await db.deliveries.find_one({"_id": delivery_id})
        return _delivery(found) if found else None

    async def listed(self, state: DeliveryState, call: str | None, limit: int) -> list[Delivery]:
        """See `Deliveries`."""
        wanted = {"state": state} if call is None else {"state": state, "call": call}
        async with self._asked() as db:
            found = db.deliveries.find(wanted).sort([("created_at_ms", -1), ("_id", 1)])
            return [_delivery(each) for each in await found.limit(limit).to_list(limit)]

    async def count(self) -> dict[DeliveryState, int]:
        """See `Deliveries`."""
        states: tuple[DeliveryState, ...] = ("waiting", "dead")
        async with self._asked() as db:
            return {
                state: await db.deliveries.count_documents({"state": state}) for state in states
            }

    async def forget(self, delivery_id: str) -> None:
        """See `Deliveries`."""
        async with self._asked() as db:
            await db.deliveries.delete_one({"_id": delivery_id})

    async def disable(self, target: str, now_ms: int, why: str) -> None:
        """See `Deliveries`."""
        async with self._asked() as db:
            await db.webhooks_disabled.update_one(
                {"_id": target}, {"$setOnInsert": {"at_ms": now_ms}}, upsert=True
            )
            await db.deliveries.update_many(
                {"target": target, "state": "waiting"},
                {"$set": {"state": "dead", "error": why, "settled_at_ms": now_ms}},
            )

    async def enable(self, target: str) -> None:
        """See `Deliveries`."""
        async with self._asked() as db:
            await db.webhooks_disabled.delete_one({"_id": target})

    async def disabled(self, targets: Collection[str]) -> set[str]:
        """See `Deliveries`."""
        async with self._asked() as db:
            found = db.webhooks_disabled.find({"_id": {"$in": sorted(targets)}})
            return {each["_id"] for each in await found.to_list(None)}


async def erase(db: Database, call: str) -> None:
    """What tells of a call's finals goes with them."""
    await db.deliveries.delete_many({"call": call, "event": "caption.final"})


async def expire(db: Database, now_ms: int) -> None:
    """What was settled long ago goes."""
    for state, kept_ms in (("sent", SENT_KEPT_MS), ("dead", DEAD_KEPT_MS)):
        await db.deliveries.delete_many(
            {"state": state, "settled_at_ms": {"$lte": now_ms - kept_ms}}
        )


def _document(delivery: Delivery) -> dict[str, Any]:
    values = asdict(delivery)
    return {"_id": values.pop("id"), **values}


def _delivery(document: Mapping[str, Any]) -> Delivery:
    values = {field.name: document[field.name] for field in fields(Delivery) if field.name != "id"}
    return Delivery(id=document["_id"], **values)
