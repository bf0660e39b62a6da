"""Presence on Redis: a hash a call, changed by compare and set. See `signaling.presence`."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from signaling.errors import Unreachable
from signaling.presence import Summary, Transition, successor, summary_of
from signaling.redis.hub import Hub, Missed, Subscription
from signaling.redis.keys import SHARDS, CallKeys, calls
from signaling.redis.link import Link, Script
from signaling.redis.wire import (
    Fields,
    call_of,
    fields_of,
    record_of,
    summary_from_text,
    summary_to_text,
)
from signaling.seal import Seal
from signaling.shared_call import SharedCall
from signaling.store import CallRecord

_CHANGE: Final = Script.named("change")
_FOLLOWER_QUEUE: Final = 256
_MOST_TRIES: Final = 100
_RETRY_SECONDS: Final = 0.25


class RedisPresence:
    """`seal` closes what only an SFU may know before it goes to Redis."""

    def __init__(self, link: Link, hub: Hub, seal: Seal) -> None:
        self._link = link
        self._hub = hub
        self._seal = seal
        self._summaries: dict[str, tuple[str, Summary]] = {}

    async def read(self, call: str) -> SharedCall | None:
        """See `Presence`."""
        return call_of(await self._fields(CallKeys.of(call)), self._seal)

    async def record(self, call: str) -> CallRecord | None:
        """See `Presence`."""
        text = await self._link.do("HGET", CallKeys.of(call).presence, "call")
        return record_of(text) if text else None

    async def change(self, call: str, transition: Transition) -> SharedCall | None:
        """See `Presence`."""
        keys = CallKeys.of(call)
        for attempt in range(_MOST_TRIES):
            before = await self._fields(keys)
            now = call_of(before, self._seal)
            becomes = transition(now)
            if becomes == now:
                return now
            if becomes is not None:
                becomes = successor(now, becomes)
            if await self._set(keys, before, now, becomes):
                return becomes
            # Somebody else was faster; by chance, so that many do not stay in step.
            await asyncio.sleep(random.uniform(0, 0.002 * min(attempt, 10)))  # noqa: S311
        raise Unreachable("the call changes faster than this can")

    @asynccontextmanager
    async def follow(self, call: str) -> AsyncIterator[AsyncIterator[SharedCall | None]]:
        """See `Presence`."""
        keys = CallKeys.of(call)
        async with self._hub.subscribe(keys.changes, queue_size=_FOLLOWER_QUEUE) as changes:
            yield self._versions(keys, changes, await self._fields(keys))

    async def summaries(self) -> Mapping[str, Summary]:
        """See `Presence`."""
        shards = await self._link.do_all([("HGETALL", calls(shard)) for shard in range(SHARDS)])
        # Most calls are as they were: reading the text of thousands again would hold up captions.
        before, self._summaries = self._summaries, {}
        for shard in shards:
            for call, text in _pairs(shard).items():
                known = before.get(call)
                if known is None or known[0] != text:
                    known = (text, summary_from_text(text))
                self._summaries[call] = known
        return {call: summary for call, (_, summary) in self._summaries.items()}

    async def _versions(
        self, keys: CallKeys, changes: Subscription, fields: Fields
    ) -> AsyncIterator[SharedCall | None]:
        told = 0  # the newest version that was yielded
        while True:
            message = await changes.get()
            if isinstance(message, Missed):
                fields = await self._fields_at_last(keys)
            else:
                change = json.loads(message[1])
                if change["was"] == fields.get("v", ""):
                    fields = _applied(fields, change)
                elif _version(fields) < int(change["v"] or 0) or not change["v"]:
                    fields = await self._fields_at_last(keys)
            shared = call_of(fields, self._seal)
            if shared is None:
                yield None
                return
            if shared.version > told:
                told = shared.version
                yield shared

    async def _fields(self, keys: CallKeys) -> Fields:
        return _pairs(await self._link.do("HGETALL", keys.presence))

    async def _fields_at_last(self, keys: CallKeys) -> Fields:
        while True:
            try:
                return await self._fields(keys)
            except Unreachable:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _set(
        self,
        keys: CallKeys,
        before: Fields,
        now: SharedCall | None,
        becomes: SharedCall | None,
    ) -> bool:
        after = fields_of(becomes, self._seal) if becomes else {}
        if now and becomes and "source" in after and now.source == becomes.source:
            after["source"] = before["source"]  # sealed anew it would look like a change
        sets = {name: text for name, text in after.items() if before.get(name) != text}
        gone = [name for name in before if name not in after]
        was, version = before.get("v", ""), after.get("v", "")
        message = json.dumps({"v": version, "was": was, "set": sets, "del": gone})
        sets.pop("v", None)
        done = await self._link.run(
            _CHANGE,
            [keys.presence, calls(keys.shard)],
            [
                was,
                version,
                keys.call,
                summary_to_text(summary_of(becomes)) if becomes else "",
                keys.changes,
                message,
                len(sets),
                *(part for pair in sets.items() for part in pair),
                *gone,
            ],
        )
        return bool(done)


def _applied(fields: Fields, change: Mapping[str, Any]) -> Fields:
    after = {**fields, **change["set"]}
    for name in change["del"]:
        after.pop(name, None)
    return after


def _version(fields: Fields) -> int:
    return int(fields.get("v", 0))


def _pairs(answer: Any) -> dict[str, str]:
    """HGETALL's answer, which is a list where the client does not know the command."""
    if isinstance(answer, dict):
        return answer
    return dict(zip(*[iter(answer)] * 2, strict=True))
