"""The transcript store of many machines: MongoDB. Only this module knows its driver.

Nothing here needs transactions, so that a server without a replica set will do. What makes
up for them: everything can be done twice, and who writes looks afterwards whether what the
write rested on still holds (see `save_captions` and `signaling.mongo_agreement`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import structlog
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCursor, AsyncIOMotorDatabase
from pymongo import IndexModel, ReadPreference, ReturnDocument, UpdateOne, WriteConcern
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri

from captions.types import SPOKEN, Caption
from signaling import mongo_documents as documents
from signaling.api_keys import mongo as api_keys
from signaling.mongo_agreement import (
    BATCH,
    Key,
    align,
    delete,
    erased_seq,
    known_calls,
    standing,
    take_back,
)
from signaling.mongo_documents import INDEXES, Document, date
from signaling.personal import emptied
from signaling.retention import DAY_MS
from signaling.store import ERASED, CallRecord, ParticipantRecord, Search
from signaling.usage import mongo as usage
from signaling.webhooks import mongo as webhooks

log = structlog.get_logger(__name__)

Database = AsyncIOMotorDatabase[Document]

_DEFAULTS: Final = {
    "appname": "surtitle",
    # An outage is an error soon, while finals wait on the bus; never a hang.
    "serverSelectionTimeoutMS": 2500,
    "connectTimeoutMS": 2500,
    "socketTimeoutMS": 10_000,
}
"""Options of the connection that the URL may set otherwise."""

_REPLICATED_MS: Final = 5000
"""How long a majority of servers may take for a write until it counts as failed."""

_DUPLICATE_KEY: Final = 11000

_POSITIONS: Final = {"_id": "positions"}
"""The counter of finals; see `signaling.mongo_documents`."""


class StoreFailed(OSError):
    """MongoDB did not do what it was asked; the message says nothing of what was said."""


class MongoStore:
    """See `signaling.store.TranscriptStore`. `async with` opens and closes the connection.

    The URL's path is the database, `surtitle` without one. Writes wait for a majority of
    servers. Reads come from the primary, where what was erased is gone at once; only
    searches and lists of calls follow the URL's read preference, and may lag behind.

    Opening raises OSError where there is no such server; so does everything else later.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: AsyncIOMotorClient[Document] | None = None
        self._name = ""
        self.deliveries = webhooks.MongoDeliveries(self._asked, _insert_new)
        self.ledger = usage.MongoLedger(self._asked, _insert_new)
        self.api_keys = api_keys.MongoApiKeys(self._asked)

    async def __aenter__(self) -> Self:
        try:
            # Of mongodb+srv the servers are looked up here.
            parsed = await asyncio.to_thread(parse_uri, self._url)
            options: dict[str, Any] = {
                name: value for name, value in _DEFAULTS.items() if name not in parsed["options"]
            }
            self._name = parsed["database"] or "surtitle"
            self._client = AsyncIOMotorClient(self._url, tz_aware=True, **options)
        except (PyMongoError, ValueError):  # their messages may quote the URL, password and all
            raise OSError(
                "the URL of MongoDB cannot be used; it is like mongodb://HOST:27017/surtitle or "
                "mongodb://USER:PASSWORD@HOST/surtitle?authSource=admin, with signs in user and "
                "password percent-encoded"
            ) from None
        try:
            await self._prepare()
        except BaseException as error:
            await self.__aexit__()
            if isinstance(error, StoreFailed):
                where = parsed["fqdn"] or ",".join(f"{h}:{p}" for h, p in parsed["nodelist"])
                raise OSError(f"MongoDB at {where} cannot be opened as a store: {error}") from None
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        client, self._client = self._client, None
        if client:
            client.close()

    async def _prepare(self) -> None:
        async with self._asked() as db:
            parts = INDEXES | webhooks.INDEXES | usage.INDEXES | api_keys.INDEXES
            for collection, specs in parts.items():
                await db[collection].create_indexes([IndexModel(**spec) for spec in specs])
            newest = await db.finals.find_one({"feed": SPOKEN}, sort=[("position", -1)])
            last = newest["position"] if newest else 0
            try:
                await db.counters.update_one(
                    _POSITIONS, {"$setOnInsert": {"last": last}}, upsert=True
                )
            except DuplicateKeyError:
                log.debug("another process began to count")

    # --- calls --------------------------------------------------------------------------

    async def save_call(self, record: CallRecord) -> None:
        """See `TranscriptStore`."""
        async with self._asked() as db:
            await db.calls.update_one(
                {"_id": record.call},
                {
                    "$set": documents.call_fields(record),
                    "$setOnInsert": {"started_at_ms": record.started_at_ms},
                },
                upsert=True,
            )
            await align(db, record.call)

    async def call(self, call: str) -> CallRecord | None:
        """See `TranscriptStore`."""
        async with self._asked() as db:
            document = await db.calls.find_one({"_id": call})
        return documents.call_record(document) if document else None

    async def calls(self, limit: int = 100) -> list[CallRecord]:
        """See `TranscriptStore`."""
        async with self._asked(lagging=True) as db:
            newest = db.calls.find().sort([("started_at_ms", -1)])
            return [documents.call_record(found) for found in await _first(newest, limit)]

    async def ended_before(self, ms: int, limit: int) -> list[CallRecord]:
        """See `TranscriptStore`."""
        async with self._asked(lagging=True) as db:
            ended = db.calls.find({"ended_at_ms": {"$lt": ms}})
            newest = ended.sort([("ended_at_ms", -1), ("_id", 1)])
            return [documents.call_record(found) for found in await _first(newest, limit)]

    async def save_participants(self, call: str, participants: Sequence[ParticipantRecord]) -> None:
        """See `TranscriptStore`."""
        if not participants:
            return
        async with self._asked() as db:
            before = await known_calls(db, [call])
            expires_at = documents.expiry(before.get(call))
            await db.participants.bulk_write(
                [
                    UpdateOne(
                        {"call": call, "participant": who.id},
                        documents.widened(who, expires_at),
                        upsert=True,
                    )
                    for who in participants
                ]
            )
            if await known_calls(db, [call]) != before:
                await align(db, call)

    async def participants(self, call: str) -> list[ParticipantRecord]:
        """See `TranscriptStore`."""
        async with self._asked() as db:
            found = db.participants.find({"call": call})
            ordered = found.sort([("first_seen_ms", 1), ("participant", 1)])
            return [documents.participant_record(who) for who in await ordered.to_list(None)]

    # --- finals -------------------------------------------------------------------------

    async def save_captions(self, captions: Sequence[Caption]) -> None:
        """See `TranscriptStore`.

        An erasure may come at any point of this. Its order is: tombstone, then finals.
        Here it is: finals, then tombstone. So either it sees the finals, or this sees the
        tombstone and takes them back, as does whoever repeats this after a crash.
        """
        if any(caption.seq is None or not caption.final for caption in captions):
            raise ValueError("only numbered finals are kept")
        if not captions:
            return
        calls = sorted({caption.call for caption in captions})
        async with self._asked() as db:
            before = await known_calls(db, calls)
            erased = await erased_seq(db, calls)
            fresh = [c for c in captions if (c.seq or 0) > erased.get((c.call, c.feed), 0)]
            there_already = False
            for start in range(0, len(fresh), BATCH):
                there_already |= await _insert(db, fresh[start : start + BATCH], before)
            # Behind the finals: who reads up to the newest number finds them all.
            await _number(db, fresh, before)
            await take_back(db, captions, await erased_seq(db, calls))
            after = await known_calls(db, calls)
            for call in calls:
                if there_already or after.get(call) != before.get(call):
                    await align(db, call)

    async def captions(self, call: str, feed: str = SPOKEN, since: int = 0) -> list[Caption]:
        """See `TranscriptStore`."""
        async with self._asked() as db:
            found = db.finals.find({"call": call, "feed": feed, "seq": {"$gt": since}})
            finals = [_caption(final) for final in await found.sort("seq", 1).to_list(None)]
            # Behind the finals, so that not even a late writer shows what was erased before.
            return standing(finals, await erased_seq(db, [call]))

    async def final(self, call: str, feed: str, utterance: str) -> Caption | None:
        """See `TranscriptStore`."""
        async with self._asked() as db:
            key = {"call": call, "feed": feed, "utterance": utterance}
            found = await db.finals.find_one(key)
            finals = [_caption(found)] if found else []
            kept = standing(finals, await erased_seq(db, [call]))
        return kept[0] if kept else None

    async def has_all(self, call: str, numbers: Mapping[str, int]) -> bool:
        """See `TranscriptStore`."""
        async with self._asked() as db:
            erased = await erased_seq(db, [call])
            for feed, seq in numbers.items():
                gone = erased.get((call, feed), 0)
                wanted = {"call": call, "feed": feed, "seq": {"$gt": gone, "$lte": seq}}
                if await db.finals.count_documents(wanted) < seq - gone:
                    return False
        return True

    async def last_seq(self, call: str) -> dict[str, int]:
        """See `TranscriptStore`."""
        async with self._asked() as db:
            rows = await db.numbered.find({"call": call}).to_list(None)
        return {row["feed"]: row["last_seq"] for row in rows}

    async def search(self, search: Search) -> tuple[list[Caption], int | None]:
        """See `TranscriptStore`. A page may be short where some of it was just erased."""
        words = documents.query(search.text)
        if words is None:
            return [], None
        wanted = {
            "call": search.call,
            "participant": search.participant,
            "position": None if search.cursor is None else {"$lt": search.cursor},
        }
        said_at_ms = {"$ne": None, "$gte": search.since_ms, "$lt": search.until_ms}
        async with self._asked(lagging=True) as db:
            found = db.finals.find(
                {
                    "feed": SPOKEN,
                    "said_at_ms": {
                        k: v for k, v in said_at_ms.items() if v is not None or k == "$ne"
                    },
                    **{field: value for field, value in wanted.items() if value is not None},
                    **words,
                }
            )
            rows = await _first(found.sort("position", -1), search.limit + 1)
        page = rows[: search.limit]
        cursor = page[-1]["position"] if len(rows) > search.limit else None
        finals = [_caption(row) for row in page]
        async with self._asked() as db:
            erased = await erased_seq(db, {caption.call for caption in finals})
        return standing(finals, erased), cursor

    # --- forgetting ---------------------------------------------------------------------

    async def erase(self, call: str, up_to: Mapping[str, int]) -> int:
        """See `TranscriptStore`. The tombstone comes first; see `save_captions`."""
        async with self._asked() as db:
            # Also of finals whose writer has not come to `numbered`, and may be dead.
            newest: dict[str, int] = defaultdict(int, up_to)
            for collection, field in (("numbered", "last_seq"), ("finals", "seq")):
                rows = db[collection].aggregate(
                    [
                        {"$match": {"call": call}},
                        {"$group": {"_id": "$feed", "seq": {"$max": f"${field}"}}},
                    ]
                )
                for row in await rows.to_list(None):
                    newest[row["_id"]] = max(newest[row["_id"]], row["seq"])
            before = await known_calls(db, [call])
            for feed, seq in newest.items():
                await _raise(db, (call, feed), before.get(call), last_seq=seq, erased_seq=seq)
            if await known_calls(db, [call]) != before:
                await align(db, call)
            count = 0
            for (_, feed), seq in (await erased_seq(db, [call])).items():
                finals = {"call": call, "feed": feed, "seq": {"$lte": seq}}
                count += await delete(db, "finals", finals)
            await delete(db, "participants", {"call": call})
            await webhooks.erase(db, call)
        return count

    async def attendances(self, participant: str) -> list[tuple[str, ParticipantRecord]]:
        """See `TranscriptStore`."""
        async with self._asked() as db:
            found = db.participants.find({"participant": participant})
            ordered = found.sort([("first_seen_ms", 1), ("call", 1)])
            documents_found = await ordered.to_list(None)
        return [(each["call"], documents.participant_record(each)) for each in documents_found]

    async def calls_of(self, participant: str) -> set[str]:
        """See `TranscriptStore`."""
        async with self._asked() as db:
            seen = await db.participants.distinct("call", {"participant": participant})
            spoke = await db.finals.distinct("call", {"participant": participant, "feed": SPOKEN})
        return {*seen, *spoke}

    async def erase_participant(self, participant: str, calls: Collection[str]) -> int:
        """See `TranscriptStore`."""
        count = 0
        async with self._asked() as db:
            for call in sorted(calls):
                whose = {"call": call, "participant": participant}
                async for found in db.finals.find(whose):
                    left = {"participant": ERASED, "caption": emptied(_caption(found)).to_wire()}
                    words: Document = {"words": []} if "words" in found else {}
                    await db.finals.update_one({"_id": found["_id"]}, {"$set": {**left, **words}})
                    count += 1
                await delete(db, "participants", whose)
        return count

    async def expire(self, now_ms: int) -> int:
        """See `TranscriptStore`. MongoDB's own watch on `expires_at` may have been first."""
        async with self._asked() as db:
            await self._end_abandoned(db, now_ms)
            over = {"expires_at": {"$lte": date(now_ms)}}
            for collection in ("finals", "participants", "numbered"):
                await delete(db, collection, over)
            await webhooks.expire(db, now_ms)
            await usage.expire(db, now_ms)
            return await delete(db, "calls", over)

    async def _end_abandoned(self, db: Database, now_ms: int) -> None:
        """Date calls whose end nobody kept and that have been silent for long enough."""
        open_calls = db.calls.find(
            {
                "ended_at_ms": None,
                "expires_at": None,
                "settings.retention_days": {"$gt": 0},
                "started_at_ms": {"$lte": now_ms},
            }
        )
        async for document in open_calls:
            call = document["_id"]
            silent_since_ms = now_ms - int(document["settings"]["retention_days"] * DAY_MS)
            alive = (
                document["started_at_ms"] > silent_since_ms
                or await db.finals.find_one({"call": call, "said_at_ms": {"$gt": silent_since_ms}})
                or await db.participants.find_one(
                    {"call": call, "last_seen_ms": {"$gt": silent_since_ms}}
                )
            )
            if not alive:
                await db.calls.update_one(
                    {"_id": call, "ended_at_ms": None, "expires_at": None},
                    {"$set": {"expires_at": date(now_ms)}},
                )
                await align(db, call)

    @asynccontextmanager
    async def _asked(self, *, lagging: bool = False) -> AsyncIterator[Database]:
        """The database. What it answers in error is told without what was said."""
        if self._client is None:
            raise RuntimeError("the store is not open")
        try:
            yield self._client.get_database(
                self._name,
                read_preference=None if lagging else ReadPreference.PRIMARY,
                write_concern=WriteConcern("majority", wtimeout=_REPLICATED_MS, j=True),
                read_concern=ReadConcern("majority"),
            )
        except PyMongoError as error:
            raise StoreFailed(_told(error)) from None
        except (BSONError, UnicodeError) as error:
            raise ValueError(f"this cannot be kept in MongoDB: {type(error).__name__}") from None


def _told(error: PyMongoError) -> str:
    """An error without what it quotes: commands hold captions, keys and names."""
    if isinstance(error, ConnectionFailure):
        text = str(error).partition(", Timeout:")[0].partition(", full error")[0]
        return f"{type(error).__name__}: {text}"
    if isinstance(error, OperationFailure):
        details = error.details or {}
        return f"{type(error).__name__} {error.code} {details.get('codeName', '')}".rstrip()
    return type(error).__name__


async def _first(cursor: AsyncIOMotorCursor[Document], limit: int) -> list[Document]:
    # To MongoDB a limit of 0 is none.
    return await cursor.limit(limit).to_list(limit) if limit > 0 else []


def _caption(document: Document) -> Caption:
    return Caption.from_wire(document["caption"])


async def _insert(db: Database, finals: Sequence[Caption], calls: Mapping[str, Document]) -> bool:
    """Keep what is not there; whether any was."""
    counter = await db.counters.find_one_and_update(
        _POSITIONS, {"$inc": {"last": len(finals)}}, return_document=ReturnDocument.AFTER
    )
    if counter is None:
        raise StoreFailed("the collection `counters` was emptied; it is filled at the next start")
    first = counter["last"] - len(finals) + 1
    try:
        written = await db.finals.bulk_write(
            [
                UpdateOne(
                    {"call": final.call, "feed": final.feed, "utterance": final.utterance},
                    {"$setOnInsert": documents.final_fields(final, calls.get(final.call), n)},
                    upsert=True,
                )
                for n, final in enumerate(finals, start=first)
            ],
            ordered=False,
        )
    except BulkWriteError as error:
        # Somebody else wrote the same at the same time, or another utterance has the number.
        if not _only_duplicates(error):
            raise
        return True
    return written.matched_count > 0


async def _insert_new(db: Database, collection: str, new: Sequence[Document]) -> None:
    """Keep what is not there yet, by `_id`."""
    updates = [
        UpdateOne({"_id": each["_id"]}, {"$setOnInsert": _rest(each)}, upsert=True) for each in new
    ]
    for start in range(0, len(updates), BATCH):
        try:
            await db[collection].bulk_write(updates[start : start + BATCH], ordered=False)
        except BulkWriteError as error:
            if not _only_duplicates(error):
                raise


def _rest(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "_id"}


def _only_duplicates(error: BulkWriteError) -> bool:
    """Whether all that failed is there already: somebody else wrote it at the same time."""
    details: Mapping[str, Any] = error.details or {}
    codes = {failed.get("code") for failed in details.get("writeErrors", ())}
    return codes == {_DUPLICATE_KEY} and not details.get("writeConcernErrors")


async def _number(db: Database, finals: Sequence[Caption], calls: Mapping[str, Document]) -> None:
    newest: dict[Key, int] = defaultdict(int)
    for final in finals:
        newest[final.call, final.feed] = max(newest[final.call, final.feed], final.seq or 0)
    for key, seq in newest.items():
        await _raise(db, key, calls.get(key[0]), last_seq=seq)


async def _raise(db: Database, key: Key, call: Document | None, **numbers: int) -> None:
    """Raise numbers of a call and feed; they never fall."""
    row = {"call": key[0], "feed": key[1]}
    update = {
        "$max": numbers,
        "$setOnInsert": {"expires_at": documents.expiry_of_numbers(call)},
    }
    try:
        await db.numbered.update_one(row, update, upsert=True)
    except DuplicateKeyError:  # two inserted it at once; now it is there
        await db.numbered.update_one(row, update)
