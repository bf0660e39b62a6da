"""The finals of calls, wherever they are just now: still on the bus or in the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from captions.types import Caption
from signaling.bus import Bus, Unwritten
from signaling.contained import contained
from signaling.errors import Unreachable, told
from signaling.messages import Participant
from signaling.store import CallRecord, ParticipantRecord, TranscriptStore

log = structlog.get_logger(__name__)

BATCH = 500
"""Finals that one write to the store takes at most."""

_LONGEST_BACKOFF_SECONDS = 5.0

_ERASE_SECONDS = 2.0
"""How long an erasure waits for finals that are just being written."""


Written = Callable[[Sequence[Caption], Mapping[str, CallRecord]], Awaitable[None]]
"""Told of finals that are in the store, and of their calls, before they leave the bus.

Where it raises they are written again, and it is told again.
"""


class Transcripts:
    """Reads merge bus and store, so that a final somebody has seen is never missing."""

    def __init__(self, bus: Bus, store: TranscriptStore, written: Sequence[Written] = ()) -> None:
        self._bus = bus
        self._store = store
        self._told = written

    async def since(self, call: str, feed: str, seq: int) -> list[Caption]:
        """Finals after `seq`, in order of `seq`."""
        recent = await self._bus.since(call, feed, seq)
        if recent is not None:
            return recent
        # Before the finals: what is written in between is then in either.
        stored = (await self._store.last_seq(call)).get(feed, 0)
        kept = await self._store.captions(call, feed, seq)
        newest = max(seq, stored, *(caption.seq or 0 for caption in kept))
        behind = await self._bus.since(call, feed, newest)
        return kept + (behind or [])

    async def transcript(self, call: str, feed: str) -> list[Caption]:
        """All finals of a feed, in order of `start_ms`."""
        finals = await self.since(call, feed, 0)
        return sorted(finals, key=lambda caption: (caption.start_ms, caption.seq or 0))

    async def last_seq(self, call: str, feed: str) -> int:
        """The newest `seq` of a feed; of a live call the bus knows it, also without the store."""
        newest = await self._bus.last_seq(call, feed)
        return (await self._store.last_seq(call)).get(feed, 0) if newest is None else newest

    async def erase(self, call: str) -> int:
        """Erase a call's finals everywhere; how many the store had.

        What was said until now counts as said all the same.
        """
        if self._told:
            await self.flush(_ERASE_SECONDS)
        return await self._store.erase(call, await self._bus.erase(call))

    async def remember(self, call: str, participants: Sequence[Participant]) -> None:
        """Keep who is, or was until now, in a call; contained."""
        now_ms = int(time.time() * 1000)
        records = [ParticipantRecord(p.id, p.speaker, now_ms, now_ms) for p in participants]
        with contained("participants not kept"):
            await self._store.save_participants(call, records)

    async def write(self) -> None:
        """Carry finals from the bus to the store until cancelled; what fails is tried again."""
        backoff = 0.1
        while True:
            if await self._written_next():
                backoff = 0.1
            else:
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)

    async def flush(self, seconds: float = 10.0) -> None:
        """Write what is left, as at the end of the program."""
        try:
            async with asyncio.timeout(seconds):
                while batch := await self._bus.unwritten(BATCH):
                    if not await self._written(batch):
                        await asyncio.sleep(0.1)
        except TimeoutError:
            log.error("transcripts not written in time")

    async def _written_next(self) -> bool:
        try:
            return await self._written(await self._bus.take_unwritten(BATCH))
        except Unreachable:
            log.info("no finals to write: the bus is out of reach")
            return False

    async def _written(self, batch: list[Unwritten]) -> bool:
        try:
            finals = [entry.caption for entry in batch]
            await self._store.save_captions(finals)
            await self._tell(finals)
        except Exception as error:  # whatever the store's driver raises, finals wait on the bus
            log.error("transcripts not written", error=told(error), finals=len(batch))
            return False
        await self._bus.acknowledge(entry.entry for entry in batch)
        return True

    async def _tell(self, finals: list[Caption]) -> None:
        if not self._told:
            return
        found = [await self._store.call(call) for call in {final.call for final in finals}]
        records = {record.call: record for record in found if record}
        for tell in self._told:
            await tell(finals, records)
