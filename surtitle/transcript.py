"""Transcripts by hand: `surtitle export`, `surtitle erase`, `surtitle archive`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from captions.formats import FORMATS
from signaling.bus import Bus, MemoryBus
from signaling.node_client import HttpNodes
from signaling.personal import erase_person, exported
from signaling.store import TranscriptStore
from signaling.transcripts import Transcripts
from surtitle.archive import archive_calls
from surtitle.settings import Settings, UserError
from surtitle.shared import Shared, shared
from surtitle.stores import transcript_store


async def export_call(data: Path, call: str, form: str, feed: str, mongo: str = "") -> None:
    """Write a call's transcript to standard output; `UserError` where there is none."""
    async with _store(data, mongo) as store:
        await _check(store, call, data)
        finals = await Transcripts(MemoryBus(), store).transcript(call, feed)
    sys.stdout.write(FORMATS[form].render(call, finals))


async def erase_call(data: Path, call: str, settings: Settings) -> None:
    """Erase a call's transcript; `UserError` where the call was never there.

    With Redis, what it and the call's node remember of it, too.
    """
    async with _store(data, settings.mongo) as store:
        await _check(store, call, data)
        if not settings.redis:
            count = await _erased(MemoryBus(), store, call)
        else:
            async with (
                shared(settings) as common,
                HttpNodes(common.registry, settings.secret) as nodes,
            ):
                await _forget_words(common, nodes, call)
                count = await _erased(common.bus, store, call)
                await _forget_words(common, nodes, call)  # what it published in between
    sys.stderr.write(f"erased {count} finals\n")


async def export_participant(data: Path, participant: str, mongo: str = "") -> None:
    """Write what is kept of somebody to standard output; see `signaling.personal.exported`."""
    async with _store(data, mongo) as store:
        async for part in exported(store, participant):
            sys.stdout.write(part)


async def erase_participant(data: Path, participant: str, settings: Settings) -> None:
    """Empty what somebody said, and forget where they were.

    `UserError` while one of those calls goes on; without Redis the server must not run.
    """
    async with _store(data, settings.mongo) as store:
        calls = await store.calls_of(participant)
        if settings.redis:
            async with shared(settings) as common:
                live = [call for call in sorted(calls) if await common.presence.read(call)]
            if live:
                raise UserError(f"the call {live[0]!r} goes on: end it first")
        count = await erase_person(store, participant, calls)
    sys.stderr.write(f"erased {count} finals in {len(calls)} calls\n")


async def _forget_words(common: Shared, nodes: HttpNodes, call: str) -> None:
    live = await common.presence.read(call)
    if live and live.node and live.ref:
        await nodes.node(live.node).forget_words(live.ref)


async def archive_to(
    data: Path, mongo: str, destination: str, older_than_days: float, *, delete: bool
) -> None:
    """Archive ended calls; says how many."""
    async with _store(data, mongo) as store:
        count = await archive_calls(store, destination, older_than_days, delete=delete)
    sys.stderr.write(f"archived {count} calls\n")


async def _erased(bus: Bus, store: TranscriptStore, call: str) -> int:
    return await Transcripts(bus, store).erase(call)


async def _check(store: TranscriptStore, call: str, data: Path) -> None:
    if await store.call(call) is None:
        raise UserError(f"no call {call!r} in {data}")


@asynccontextmanager
async def _store(data: Path, mongo: str) -> AsyncIterator[TranscriptStore]:
    if not mongo and not (data / "surtitle.db").is_file():
        raise UserError(f"no transcripts in {data} (--data names the folder)")
    async with transcript_store(mongo, data) as store:
        yield store
