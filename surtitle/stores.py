"""The transcript store of a process: MongoDB where its URL is given, else an SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from signaling.store import TranscriptStore
from signaling.store_sqlite import SqliteStore


@asynccontextmanager
async def transcript_store(mongo: str, data: Path) -> AsyncIterator[TranscriptStore]:
    """Open it; OSError where that fails."""
    if mongo:
        # Its driver is for those who have such a server.
        from signaling.store_mongo import MongoStore

        async with MongoStore(mongo) as store:
            yield store
    else:
        async with SqliteStore(data / "surtitle.db") as store:
            yield store
