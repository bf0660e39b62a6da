"""How documents of one call agree without transactions: what is done behind a write.

An erasure writes its tombstone (`numbered.erased_seq`), then deletes. A writer writes, then
looks for a tombstone and takes back what it covers. Whichever comes later sees the other;
who reads looks at the tombstone as well, for a writer that died in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from captions.types import Caption
from signaling.mongo_documents import Document, expiry, expiry_of_numbers

Database = Any  # the driver's, which only `signaling.store_mongo` knows

Key = tuple[str, str]
"""Call and feed."""

BATCH: Final = 100
"""Documents that one command writes or deletes at most, so that each ends in time."""


def standing(finals: list[Caption], erased: Mapping[Key, int]) -> list[Caption]:
    """Those that are not erased."""
    return [c for c in finals if (c.seq or 0) > erased.get((c.call, c.feed), 0)]


async def known_calls(db: Database, calls: Collection[str]) -> dict[str, Document]:
    """The documents of those calls that are there, by id."""
    found = await db.calls.find({"_id": {"$in": list(calls)}}).to_list(None)
    return {document["_id"]: document for document in found}


async def erased_seq(db: Database, calls: Collection[str]) -> dict[Key, int]:
    """The newest erased `seq` by call and feed."""
    if not calls:
        return {}
    rows = await db.numbered.find({"call": {"$in": list(calls)}}).to_list(None)
    return {(row["call"], row["feed"]): row.get("erased_seq", 0) for row in rows}


async def take_back(db: Database, finals: Sequence[Caption], erased: Mapping[Key, int]) -> None:
    """Delete what of `finals` is erased; it may be there, from now or from before a crash."""
    covered: dict[Key, list[int]] = defaultdict(list)
    for final in finals:
        if (final.seq or 0) <= erased.get((final.call, final.feed), 0):
            covered[final.call, final.feed].append(final.seq or 0)
    for (call, feed), numbers in covered.items():
        await db.finals.delete_many({"call": call, "feed": feed, "seq": {"$in": numbers}})


async def delete(db: Database, collection: str, condition: Document) -> int:
    """Delete what meets the condition, in batches; how many there were."""
    count = 0
    while found := await db[collection].find(condition, {"_id": 1}).limit(BATCH).to_list(BATCH):
        ids = [document["_id"] for document in found]
        # The condition again: a call may have begun anew in between.
        deleted = await db[collection].delete_many({**condition, "_id": {"$in": ids}})
        count += deleted.deleted_count
    return count


async def align(db: Database, call: str) -> None:
    """Let the documents of a call have its dates, whoever else does so at the same time.

    Each writer does this behind its own write and until the call has not changed in the
    meantime, so the last one has seen the newest record.
    """
    aligned = None
    while (record := await db.calls.find_one({"_id": call})) not in (None, aligned):
        assert record
        at, numbers_at = expiry(record), expiry_of_numbers(record)
        await db.finals.update_many(
            # Of a call that was not known when its final came, the date is another, too.
            {"call": call, "expires_at": {"$ne": at}},
            [
                {
                    "$set": {
                        "expires_at": at,
                        "said_at_ms": {"$add": [record["started_at_ms"], "$caption.start_ms"]},
                    }
                }
            ],
        )
        for collection, when in (("participants", at), ("numbered", numbers_at)):
            await db[collection].update_many(
                {"call": call, "expires_at": {"$ne": when}}, {"$set": {"expires_at": when}}
            )
        aligned = record
