"""The transcript store of one machine: an SQLite file, written ahead (WAL)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import aiosqlite

from captions.types import SPOKEN, Caption
from signaling.api_keys.sqlite import SCHEMA as API_KEYS
from signaling.api_keys.sqlite import SqliteApiKeys
from signaling.personal import emptied
from signaling.retention import expires_at_ms
from signaling.store import ERASED, CallRecord, ParticipantRecord, Search
from signaling.usage.sqlite import SCHEMA as LEDGER
from signaling.usage.sqlite import SqliteLedger
from signaling.webhooks.sqlite import SCHEMA as DELIVERIES
from signaling.webhooks.sqlite import SqliteDeliveries

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA secure_delete = ON;
PRAGMA temp_store = MEMORY;
CREATE TABLE IF NOT EXISTS calls (
    call TEXT PRIMARY KEY,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    settings TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_by_start ON calls (started_at_ms);
CREATE INDEX IF NOT EXISTS calls_by_end ON calls (ended_at_ms);
CREATE TABLE IF NOT EXISTS participants (
    call TEXT NOT NULL,
    participant TEXT NOT NULL,
    name TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    PRIMARY KEY (call, participant)
);
CREATE TABLE IF NOT EXISTS finals (
    id INTEGER PRIMARY KEY,
    call TEXT NOT NULL,
    feed TEXT NOT NULL,
    utterance TEXT NOT NULL,
    seq INTEGER NOT NULL,
    participant TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    caption TEXT NOT NULL,
    UNIQUE (call, feed, utterance)
);
CREATE UNIQUE INDEX IF NOT EXISTS finals_by_seq ON finals (call, feed, seq);
CREATE INDEX IF NOT EXISTS finals_by_participant ON finals (participant, id);
CREATE INDEX IF NOT EXISTS participants_by_id ON participants (participant);
CREATE TABLE IF NOT EXISTS numbered (
    call TEXT NOT NULL,
    feed TEXT NOT NULL,
    last_seq INTEGER NOT NULL,
    erased_seq INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (call, feed)
);
CREATE VIRTUAL TABLE IF NOT EXISTS spoken_words USING fts5 (
    text, speaker, tokenize = 'unicode61 remove_diacritics 2'
);
"""

# The index keeps deleted words until its segments are merged.
_MERGE_INDEX: Final = "INSERT INTO spoken_words (spoken_words) VALUES ('optimize')"

# A call's last sign of life is the newest that somebody said in it or was seen.
_LIMITED_CALLS: Final = """
SELECT *, max(
    started_at_ms,
    started_at_ms + coalesce(
        (SELECT max(start_ms) FROM finals WHERE finals.call = calls.call), 0),
    coalesce(
        (SELECT max(last_seen_ms) FROM participants WHERE participants.call = calls.call), 0)
) AS last_sign_ms
FROM calls WHERE json_extract(settings, '$.retention_days') IS NOT NULL
"""


class SqliteStore:
    """See `signaling.store.TranscriptStore`. `async with` opens and closes the file.

    Opening raises OSError where the file cannot be the store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: aiosqlite.Connection | None = None
        # One connection: a transaction must not see another's statements in its middle.
        self._lock = asyncio.Lock()
        self.deliveries = SqliteDeliveries(self._transaction, self._rows)
        self.ledger = SqliteLedger(self._transaction)
        self.api_keys = SqliteApiKeys(self._transaction)

    async def __aenter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # aiosqlite leaves a thread behind where it cannot open a file.
            await asyncio.to_thread(lambda: sqlite3.connect(self._path).close())
            self._connection = await aiosqlite.connect(self._path)
            self._connection.row_factory = aiosqlite.Row
            await self._connection.executescript(_SCHEMA + DELIVERIES + LEDGER + API_KEYS)
        except BaseException as error:
            await self.__aexit__()  # its thread would keep the program alive
            if isinstance(error, sqlite3.Error):
                raise OSError(f"{self._path} cannot be opened as a store: {error}") from None
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        connection, self._connection = self._connection, None
        if connection:
            await connection.close()

    async def save_call(self, record: CallRecord) -> None:
        """See `TranscriptStore`."""
        async with self._transaction() as db:
            await db.execute(
                "INSERT INTO calls VALUES (?, ?, ?, ?) ON CONFLICT (call) DO UPDATE SET"
                " ended_at_ms = excluded.ended_at_ms, settings = excluded.settings",
                (
                    record.call,
                    record.started_at_ms,
                    record.ended_at_ms,
                    json.dumps(dict(record.settings)),
                ),
            )

    async def call(self, call: str) -> CallRecord | None:
        """See `TranscriptStore`."""
        rows = await self._rows("SELECT * FROM calls WHERE call = ?", call)
        return _record(rows[0]) if rows else None

    async def calls(self, limit: int = 100) -> list[CallRecord]:
        """See `TranscriptStore`."""
        rows = await self._rows("SELECT * FROM calls ORDER BY started_at_ms DESC LIMIT ?", limit)
        return [_record(row) for row in rows]

    async def ended_before(self, ms: int, limit: int) -> list[CallRecord]:
        """See `TranscriptStore`."""
        rows = await self._rows(
            "SELECT * FROM calls WHERE ended_at_ms < ? ORDER BY ended_at_ms DESC, call LIMIT ?",
            ms,
            limit,
        )
        return [_record(row) for row in rows]

    async def save_participants(self, call: str, participants: Sequence[ParticipantRecord]) -> None:
        """See `TranscriptStore`."""
        async with self._transaction() as db:
            await db.executemany(
                "INSERT INTO participants VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (call, participant) DO UPDATE SET"
                " name = iif(excluded.last_seen_ms >= last_seen_ms, excluded.name, name),"
                " first_seen_ms = min(first_seen_ms, excluded.first_seen_ms),"
                " last_seen_ms = max(last_seen_ms, excluded.last_seen_ms)",
                [
                    (call, who.id, who.name, who.first_seen_ms, who.last_seen_ms)
                    for who in participants
                ],
            )

    async def participants(self, call: str) -> list[ParticipantRecord]:
        """See `TranscriptStore`."""
        rows = await self._rows(
            "SELECT participant, name, first_seen_ms, last_seen_ms FROM participants"
            " WHERE call = ? ORDER BY first_seen_ms, participant",
            call,
        )
        return [ParticipantRecord(*row) for row in rows]

    async def save_captions(self, captions: Sequence[Caption]) -> None:
        """See `TranscriptStore`."""
        async with self._transaction() as db:
            for caption in captions:
                await self._save(db, caption)

    async def captions(self, call: str, feed: str = SPOKEN, since: int = 0) -> list[Caption]:
        """See `TranscriptStore`."""
        rows = await self._rows(
            "SELECT caption FROM finals WHERE call = ? AND feed = ? AND seq > ? ORDER BY seq",
            call,
            feed,
            since,
        )
        return [_caption(row) for row in rows]

    async def final(self, call: str, feed: str, utterance: str) -> Caption | None:
        """See `TranscriptStore`."""
        rows = await self._rows(
            "SELECT caption FROM finals WHERE call = ? AND feed = ? AND utterance = ?",
            call,
            feed,
            utterance,
        )
        return _caption(rows[0]) if rows else None

    async def has_all(self, call: str, numbers: Mapping[str, int]) -> bool:
        """See `TranscriptStore`."""
        for feed, seq in numbers.items():
            [row] = await self._rows(
                "SELECT coalesce(max(erased_seq), 0) AS erased,"
                " (SELECT count(*) FROM finals WHERE call = ?1 AND feed = ?2 AND seq <= ?3) AS kept"
                " FROM numbered WHERE call = ?1 AND feed = ?2",
                call,
                feed,
                seq,
            )
            if row["kept"] < seq - row["erased"]:
                return False
        return True

    async def last_seq(self, call: str) -> dict[str, int]:
        """See `TranscriptStore`."""
        rows = await self._rows("SELECT feed, last_seq FROM numbered WHERE call = ?", call)
        return {row["feed"]: row["last_seq"] for row in rows}

    async def erase(self, call: str, up_to: Mapping[str, int]) -> int:
        """See `TranscriptStore`."""
        async with self._transaction() as db:
            count = await _delete_what_was_said(db, call)
            await db.execute("UPDATE numbered SET erased_seq = last_seq WHERE call = ?", (call,))
            for feed, seq in up_to.items():
                await db.execute(
                    "INSERT INTO numbered VALUES (?, ?, ?, ?) ON CONFLICT (call, feed) DO UPDATE"
                    " SET last_seq = max(last_seq, excluded.last_seq),"
                    " erased_seq = max(erased_seq, excluded.erased_seq)",
                    (call, feed, seq, seq),
                )
            await self.deliveries.erase(db, call)
            await db.execute(_MERGE_INDEX)
        # Nor may what was erased linger in the write-ahead log.
        await self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    async def attendances(self, participant: str) -> list[tuple[str, ParticipantRecord]]:
        """See `TranscriptStore`."""
        rows = await self._rows(
            "SELECT call, participant, name, first_seen_ms, last_seen_ms FROM participants"
            " WHERE participant = ? ORDER BY first_seen_ms, call",
            participant,
        )
        return [(row[0], ParticipantRecord(*row[1:])) for row in rows]

    async def calls_of(self, participant: str) -> set[str]:
        """See `TranscriptStore`."""
        rows = await self._rows(
            "SELECT call FROM participants WHERE participant = ?1"
            " UNION SELECT call FROM finals WHERE participant = ?1",
            participant,
        )
        return {row["call"] for row in rows}

    async def erase_participant(self, participant: str, calls: Collection[str]) -> int:
        """See `TranscriptStore`."""
        count = 0
        async with self._transaction() as db:
            for call in sorted(calls):
                whose = (call, participant)
                rows = await db.execute_fetchall(
                    "SELECT id, caption FROM finals WHERE call = ? AND participant = ?", whose
                )
                for row in rows:
                    left = json.dumps(emptied(_caption(row)).to_wire(), ensure_ascii=False)
                    await db.execute(
                        "UPDATE finals SET participant = ?, caption = ? WHERE id = ?",
                        (ERASED, left, row["id"]),
                    )
                    await db.execute("DELETE FROM spoken_words WHERE rowid = ?", (row["id"],))
                    count += 1
                await db.execute(
                    "DELETE FROM participants WHERE call = ? AND participant = ?", whose
                )
            await db.execute(_MERGE_INDEX)
        await self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    async def expire(self, now_ms: int) -> int:
        """See `TranscriptStore`."""
        async with self._transaction() as db:
            rows = await db.execute_fetchall(_LIMITED_CALLS)
            over = [
                row["call"]
                for row in rows
                if (at_ms := expires_at_ms(_record(row), row["last_sign_ms"])) is not None
                and at_ms <= now_ms
            ]
            for call in over:
                await _delete_what_was_said(db, call)
                # Should the call go on all the same, this process's bus has its numbers.
                await db.execute("DELETE FROM numbered WHERE call = ?", (call,))
                await db.execute("DELETE FROM calls WHERE call = ?", (call,))
                await self.deliveries.erase(db, call)
            if over:
                await db.execute(_MERGE_INDEX)
            await self.deliveries.expire(db, now_ms)
            await self.ledger.expire(db, now_ms)
        if over:
            await self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(over)

    async def search(self, search: Search) -> tuple[list[Caption], int | None]:
        """See `TranscriptStore`."""
        # Neither NUL nor a lone surrogate can be in a query, nor in what is kept.
        text = search.text.replace("\0", " ").encode(errors="replace").decode()
        words = " ".join('"' + word.replace('"', '""') + '"' for word in text.split())
        conditions: dict[str, Any] = {
            "finals.id IN (SELECT rowid FROM spoken_words WHERE spoken_words MATCH ?)": words
            or None,
            "finals.call = ?": search.call,
            "participant = ?": search.participant,
            "started_at_ms + start_ms >= ?": search.since_ms,
            "started_at_ms + start_ms < ?": search.until_ms,
            "finals.id < ?": search.cursor,
            "feed = ?": SPOKEN,
        }
        wanted = {sql: value for sql, value in conditions.items() if value is not None}
        rows = await self._rows(
            "SELECT finals.id, caption FROM finals JOIN calls ON calls.call = finals.call WHERE "  # noqa: S608 - constants
            + " AND ".join(wanted)
            + " ORDER BY finals.id DESC LIMIT ?",
            *wanted.values(),
            search.limit + 1,
        )
        page = rows[: search.limit]
        cursor = page[-1]["id"] if len(rows) > search.limit else None
        return [_caption(row) for row in page], cursor

    async def _save(self, db: aiosqlite.Connection, caption: Caption) -> None:
        seq = caption.seq
        if seq is None or not caption.final:
            raise ValueError("only numbered finals are kept")
        erased = await db.execute_fetchall(
            "SELECT 1 FROM numbered WHERE call = ? AND feed = ? AND erased_seq >= ?",
            (caption.call, caption.feed, seq),
        )
        if erased:
            return
        inserted = await db.execute(
            "INSERT INTO finals (call, feed, utterance, seq, participant, start_ms, caption)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                caption.call,
                caption.feed,
                caption.utterance,
                seq,
                caption.participant,
                caption.start_ms,
                json.dumps(caption.to_wire(), ensure_ascii=False),
            ),
        )
        if inserted.rowcount and caption.feed == SPOKEN:
            await db.execute(
                "INSERT INTO spoken_words (rowid, text, speaker) VALUES (?, ?, ?)",
                (inserted.lastrowid, caption.text, caption.speaker),
            )
        await db.execute(
            "INSERT INTO numbered (call, feed, last_seq) VALUES (?, ?, ?)"
            " ON CONFLICT (call, feed) DO UPDATE SET last_seq = max(last_seq, excluded.last_seq)",
            (caption.call, caption.feed, seq),
        )

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._lock:
            db = self._db()
            try:
                yield db
                await db.commit()
            except BaseException:
                await db.rollback()
                raise

    async def _rows(self, sql: str, *values: object) -> list[aiosqlite.Row]:
        async with self._lock:
            return list(await self._db().execute_fetchall(sql, values))

    def _db(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise RuntimeError("the store is not open")
        return self._connection


async def _delete_what_was_said(db: aiosqlite.Connection, call: str) -> int:
    await db.execute(
        "DELETE FROM spoken_words WHERE rowid IN (SELECT id FROM finals WHERE call = ?)", (call,)
    )
    await db.execute("DELETE FROM participants WHERE call = ?", (call,))
    return (await db.execute("DELETE FROM finals WHERE call = ?", (call,))).rowcount


def _record(row: aiosqlite.Row) -> CallRecord:
    return CallRecord(
        row["call"], row["started_at_ms"], row["ended_at_ms"], json.loads(row["settings"])
    )


def _caption(row: aiosqlite.Row) -> Caption:
    return Caption.from_wire(json.loads(row["caption"]))
