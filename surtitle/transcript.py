"""`surtitle export` and `surtitle erase`: transcripts by hand, from the embedded store."""

from __future__ import annotations

import sys
from pathlib import Path

from captions.formats import FORMATS
from signaling.bus import MemoryBus
from signaling.store_sqlite import SqliteStore
from signaling.transcripts import Transcripts
from surtitle.settings import UserError


async def export_call(data: Path, call: str, form: str, feed: str) -> None:
    """Write a call's transcript to standard output; `UserError` where there is none."""
    async with _store(data) as store:
        if await store.call(call) is None:
            raise UserError(f"no call {call!r} in {data}")
        finals = await Transcripts(MemoryBus(), store).transcript(call, feed)
    sys.stdout.write(FORMATS[form].render(call, finals))


async def erase_call(data: Path, call: str) -> None:
    """Erase a call's transcript; `UserError` where the call was never there."""
    async with _store(data) as store:
        if await store.call(call) is None:
            raise UserError(f"no call {call!r} in {data}")
        count = await store.erase(call, {})
    sys.stderr.write(f"erased {count} finals\n")


def _store(data: Path) -> SqliteStore:
    path = data / "surtitle.db"
    if not path.is_file():
        raise UserError(f"no transcripts in {data} (--data names the folder)")
    return SqliteStore(path)
