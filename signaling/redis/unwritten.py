"""Finals on their way to the store: a stream a shard, which all gateways write from together.

A channel says which shard has more, so that nobody asks in vain; all shards are looked at where
that may have been missed, and now and then for what a gateway took along when it died.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any, Final

from redis.exceptions import ResponseError

from captions.types import Caption
from signaling.bus import Unwritten
from signaling.redis.hub import Hub, Missed, Subscription
from signaling.redis.keys import SHARDS, UNWRITTEN_CHANNEL, tag, unwritten
from signaling.redis.link import Link, Script

GROUP: Final = "writers"

ABANDONED_SECONDS: Final = 15.0
"""After this long without acknowledgment a final is another writer's to write as well."""

_SWEEP_SECONDS: Final = 5.0
_QUEUE: Final = 1024

_ACKNOWLEDGE: Final = Script.named("acknowledge", before="forgetting")


class UnwrittenFinals:
    """What one writer has taken, and where there is more."""

    def __init__(self, link: Link, hub: Hub, consumer: str) -> None:
        self._link = link
        self._hub = hub
        self._consumer = consumer
        self._taken: dict[str, Caption] = {}  # by shard and id, in the order of taking
        self._dirty = set(range(SHARDS))
        self._with_group: set[int] = set()
        self._stack = AsyncExitStack()
        self._wakes: Subscription | None = None

    @staticmethod
    def stream(shard: int) -> str:
        """The key of a shard's stream."""
        return unwritten(shard)

    async def wait(self, limit: int) -> list[Unwritten]:
        """At least one, as soon as there is one; the oldest that were taken first."""
        if self._wakes is None:  # and keep listening while finals are written
            listening = self._hub.subscribe(UNWRITTEN_CHANNEL, queue_size=_QUEUE)
            self._wakes = await self._stack.enter_async_context(listening)
            self._dirty = set(range(SHARDS))
        while not self._taken:
            await self._read(limit)
            if not self._taken:
                await self._sleep(self._wakes)
        return self._oldest(limit)

    async def close(self) -> None:
        """Listen no longer. Idempotent."""
        await self._stack.aclose()
        self._wakes = None

    async def look(self, limit: int) -> list[Unwritten]:
        """What there is just now, possibly nothing."""
        self._dirty = set(range(SHARDS))
        await self._read(limit)
        return self._oldest(limit)

    async def acknowledge(self, entries: list[str], fence_seconds: int) -> None:
        """These are in the store."""
        for shard, ids in _by_shard(entries).items():
            await self._link.run(
                _ACKNOWLEDGE, [unwritten(shard)], [GROUP, tag(shard), fence_seconds, *ids]
            )
        for entry in entries:
            self._taken.pop(entry, None)

    def drop(self, call: str) -> None:
        """A call's words were erased."""
        self._taken = {e: caption for e, caption in self._taken.items() if caption.call != call}

    async def _read(self, limit: int) -> None:
        await self._make_groups(self._dirty - self._with_group)
        while self._dirty and len(self._taken) < limit:
            shard = self._dirty.pop()
            try:
                entries = await self._new(shard, limit)
            except BaseException:
                self._dirty.add(shard)
                raise
            if len(entries) >= limit:
                self._dirty.add(shard)
            self._take(shard, entries)

    async def _new(self, shard: int, limit: int) -> list[Any]:
        read = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", limit)
        try:
            answer = await self._link.do(*read, "STREAMS", unwritten(shard), ">")
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            self._with_group.discard(shard)  # lost with the memory of Redis
            await self._make_groups({shard})
            answer = await self._link.do(*read, "STREAMS", unwritten(shard), ">")
        if not answer:
            return []
        streams = answer.values() if isinstance(answer, dict) else (pair[1] for pair in answer)
        return [entry for entries in streams for entry in entries]

    async def _abandoned(self) -> None:
        """Take what another writer has had for too long."""
        idle_ms = round(ABANDONED_SECONDS * 1000)
        shards = range(SHARDS)
        await self._make_groups(set(shards) - self._with_group)
        answers = await self._link.do_all(
            [
                ("XAUTOCLAIM", unwritten(shard), GROUP, self._consumer, idle_ms, "0")
                for shard in shards
            ]
        )
        for shard, answer in zip(shards, answers, strict=True):
            self._take(shard, answer[1])

    def _take(self, shard: int, entries: Iterable[Any]) -> None:
        for stream_id, fields in entries:
            if fields:  # none of one that was erased meanwhile
                pairs = fields if isinstance(fields, dict) else _pairs(fields)
                caption = Caption.from_wire(json.loads(pairs["c"]))
                self._taken[f"{shard}/{stream_id}"] = caption.numbered(int(pairs["seq"]))

    async def _make_groups(self, shards: set[int]) -> None:
        if not shards:
            return
        for shard in shards:
            try:
                await self._link.do("XGROUP", "CREATE", unwritten(shard), GROUP, "0", "MKSTREAM")
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
        self._with_group |= shards

    async def _sleep(self, wakes: Subscription) -> None:
        try:
            async with asyncio.timeout(_SWEEP_SECONDS):
                self._wake(await wakes.get())
        except TimeoutError:
            self._dirty = set(range(SHARDS))
            await self._abandoned()

    def _wake(self, message: tuple[str, str] | Missed) -> None:
        if isinstance(message, Missed):
            self._dirty = set(range(SHARDS))
        else:
            self._dirty.add(int(message[1]))

    def _oldest(self, limit: int) -> list[Unwritten]:
        return [Unwritten(entry, caption) for entry, caption in list(self._taken.items())[:limit]]


def _by_shard(entries: Iterable[str]) -> dict[int, list[str]]:
    sorted_: defaultdict[int, list[str]] = defaultdict(list)
    for entry in entries:
        shard, _, stream_id = entry.partition("/")
        sorted_[int(shard)].append(stream_id)
    return dict(sorted_)


def _pairs(flat: Iterable[str]) -> dict[str, str]:
    return dict(zip(*[iter(flat)] * 2, strict=True))
