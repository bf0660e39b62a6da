"""The bus on Redis. See `signaling.bus.Bus`."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final, Self

from captions.types import Caption
from signaling.bus import (
    KEPT_FINALS,
    KEPT_KEY_SECONDS,
    LISTENER_QUEUE,
    Fenced,
    Letter,
    Unopened,
    Unwritten,
)
from signaling.errors import Unreachable
from signaling.redis.hub import Hub, Missed, Subscription
from signaling.redis.keys import UNWRITTEN_CHANNEL, CallKeys, letters
from signaling.redis.link import Link, Script
from signaling.redis.unwritten import GROUP, UnwrittenFinals

FENCE_SECONDS: Final = 24 * 3600
"""How long an ended call's former owner is fenced, and an unfinished end leaves its keys."""

_RETRY_SECONDS: Final = 0.25

_PUBLISH_FINAL: Final = Script.named("publish_final", before="keep")
_PUBLISH_PARTIAL: Final = Script.named("publish_partial")
_RESTORE_FINAL: Final = Script.named("restore_final", before="keep")
_OPEN_CALL: Final = Script.named("open_call")
_END_CALL: Final = Script.named("end_call")
_FORGET: Final = Script.named("forget", before="forgetting")
_SINCE: Final = Script.named("since")
_ERASE: Final = Script.named("erase")
_CLAIM: Final = Script.named("claim")


class RedisBus:
    """`async with` closes what it keeps open. Its hub has to run."""

    def __init__(self, link: Link, hub: Hub) -> None:
        self._link = link
        self._hub = hub
        self._unwritten = UnwrittenFinals(link, hub, consumer=secrets.token_hex(8))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._unwritten.close()

    async def open_call(self, call: str, epoch: int, last_seq: Mapping[str, int]) -> None:
        """See `Bus`."""
        keys = CallKeys.of(call)
        numbers = [part for pair in last_seq.items() for part in pair]
        await self._link.run(_OPEN_CALL, [keys.bus], [keys.base, epoch, *numbers])

    async def publish_final(self, epoch: int, caption: Caption, after: str = "") -> Caption:
        """See `Bus`."""
        keys, args = _of_final(epoch, caption)
        answer = await self._link.run(_PUBLISH_FINAL, keys, [*args, after])
        if isinstance(answer, str):
            raise _refusal(answer, epoch)
        seq, *body = answer
        known = body and body[0]
        return (_from_text(known) if known else caption).numbered(int(seq))

    async def publish_partial(self, epoch: int, caption: Caption) -> None:
        """See `Bus`."""
        keys, feed = CallKeys.of(caption.call), caption.feed
        answer = await self._link.run(
            _PUBLISH_PARTIAL,
            [keys.bus, keys.open, keys.seen(feed)],
            [epoch, keys.live(feed), _to_text(caption), feed, caption.utterance],
        )
        if answer != "ok":
            raise _refusal(answer, epoch)

    async def left_open(self, call: str) -> list[Caption]:
        """See `Bus`."""
        return [_from_text(t) for t in await self._link.do("HVALS", CallKeys.of(call).open)]

    async def restore(self, call: str, epoch: int, finals: Sequence[Caption]) -> None:  # noqa: ARG002
        """See `Bus`."""
        for final in finals:
            keys, args = _of_final(epoch, final)
            answer = await self._link.run(_RESTORE_FINAL, keys, [*args, final.seq or 0])
            if answer == "fenced":
                raise _refusal(answer, epoch)

    @asynccontextmanager
    async def listen(self, call: str, feed: str) -> AsyncIterator[AsyncIterator[Caption]]:
        """See `Bus`."""
        keys = CallKeys.of(call)
        channels = (keys.live(feed), keys.end)
        async with self._hub.subscribe(*channels, queue_size=LISTENER_QUEUE) as messages:
            known, seq, fence, ended = await self._link.do(
                "HMGET", keys.bus, "open", f"n:{feed}", "fence", "ended"
            )
            newest = int(seq or 0) if known else None
            # An end of before may still be on its way.
            ends_from = int(fence or 0) + (0 if known and not ended else 1)
            yield self._captions(call, feed, messages, newest, ends_from)

    async def since(self, call: str, feed: str, seq: int) -> list[Caption] | None:
        """See `Bus`."""
        found = await self._since(call, feed, seq)
        return found[2] if found else None

    async def last_seq(self, call: str, feed: str) -> int | None:
        """See `Bus`."""
        keys = CallKeys.of(call)
        known, newest = await self._link.do("HMGET", keys.bus, "open", f"n:{feed}")
        return int(newest or 0) if known else None

    async def claim(self, call: str, key: str, fingerprint: str) -> str | None:
        """See `Bus`."""
        keys = [CallKeys.of(call).claim(key)]
        known = await self._link.run(_CLAIM, keys, [fingerprint, KEPT_KEY_SECONDS])
        return str(known) if known else None

    async def numbers(self, call: str) -> dict[str, int]:
        """See `Bus`."""
        answer = await self._link.do("HGETALL", CallKeys.of(call).bus)
        pairs = (
            answer.items() if isinstance(answer, dict) else zip(*[iter(answer)] * 2, strict=True)
        )
        return {name[2:]: int(value) for name, value in pairs if name[:2] == "n:" and int(value)}

    async def take_unwritten(self, limit: int) -> list[Unwritten]:
        """See `Bus`."""
        return await self._unwritten.wait(limit)

    async def unwritten(self, limit: int) -> list[Unwritten]:
        """See `Bus`."""
        return await self._unwritten.look(limit)

    async def acknowledge(self, entries: Iterable[int | str]) -> None:
        """See `Bus`."""
        await self._unwritten.acknowledge([str(entry) for entry in entries], FENCE_SECONDS)

    async def erase(self, call: str) -> dict[str, int]:
        """See `Bus`."""
        keys = CallKeys.of(call)
        self._unwritten.drop(call)
        answer = await self._link.run(
            _ERASE, [keys.bus, self._unwritten.stream(keys.shard)], [keys.base, call, GROUP]
        )
        return {feed: int(seq) for feed, seq in zip(*[iter(answer)] * 2, strict=True)}

    async def end_call(self, call: str) -> None:
        """See `Bus`."""
        keys = CallKeys.of(call)
        await self._link.run(_END_CALL, [keys.bus], [keys.base, keys.end, FENCE_SECONDS])

    async def forget(self, call: str) -> None:
        """See `Bus`."""
        keys = CallKeys.of(call)
        await self._link.run(_FORGET, [keys.bus], [keys.base, FENCE_SECONDS])

    async def post(self, gateway: str, letter: Letter) -> None:
        """See `Bus`."""
        await self._link.do("PUBLISH", letters(gateway), json.dumps(asdict(letter)))

    @asynccontextmanager
    async def letters(self, gateway: str) -> AsyncIterator[AsyncIterator[Letter]]:
        """See `Bus`."""

        async def read(messages: Subscription) -> AsyncIterator[Letter]:
            while True:
                message = await messages.get()
                if not isinstance(message, Missed):
                    yield Letter(**json.loads(message[1]))

        async with self._hub.subscribe(letters(gateway), queue_size=LISTENER_QUEUE) as messages:
            yield read(messages)

    async def _captions(
        self, call: str, feed: str, messages: Subscription, newest: int | None, ends_from: int
    ) -> AsyncIterator[Caption]:
        """Finals in order and each once, whatever was missed; partials as they come.

        Comes to its end with that of an owner whose epoch is `ends_from` or later.
        """
        end = CallKeys.of(call).end
        while True:
            message = await messages.get()
            if isinstance(message, Missed):
                ended, last, missed = await self._at_last(call, feed, newest or 0)
                for caption in missed:
                    yield caption
                if ended and newest is not None and messages.empty:
                    return  # its last message is one of those missed
                if newest is not None or not ended:
                    newest = max(newest or 0, last)
                continue
            if message[0] == end:
                whose = message[1]
                if newest is None if whose == "unopened" else int(whose) >= ends_from:
                    return
                continue
            number, _, body = message[1].partition("\n")
            if not number:
                yield _from_text(body)
                continue
            final = _from_text(body).numbered(int(number))
            async for caption in self._in_order(newest, final):
                newest = caption.seq
                yield caption

    async def _in_order(self, newest: int | None, final: Caption) -> AsyncIterator[Caption]:
        """A final, behind what was missed before it; nothing where it was told already."""
        seq = final.seq or 0
        if newest is not None and seq > newest + 1:
            _, _, missed = await self._at_last(final.call, final.feed, newest)
            for caption in missed:
                newest = caption.seq
                yield caption
        if newest is None or seq > newest:
            yield final

    async def _at_last(self, call: str, feed: str, seq: int) -> tuple[bool, int, list[Caption]]:
        """As `_since`, as soon as it can be had; nothing of what is not remembered."""
        while True:
            try:
                found = await self._since(call, feed, seq)
            except Unreachable:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return (found[0], found[1], found[2] or []) if found else (False, 0, [])

    async def _since(
        self, call: str, feed: str, seq: int
    ) -> tuple[bool, int, list[Caption] | None] | None:
        """Whether the call has ended, the newest number, and the finals behind `seq`.

        No list where some of them are not remembered; None of a call that is not known.
        """
        keys = CallKeys.of(call)
        answer = await self._link.run(_SINCE, [keys.bus, keys.finals(feed)], [feed, seq])
        if not answer:
            return None
        newest, ended, remembered, *finals = answer
        if not remembered:
            return bool(ended), int(newest), None
        pairs = zip(*[iter(finals)] * 2, strict=True)
        captions = [_from_text(body).numbered(int(number)) for number, body in pairs]
        return bool(ended), int(newest), captions


def _of_final(epoch: int, caption: Caption) -> tuple[list[str], list[str | int]]:
    """The keys and arguments that scripts take a final by."""
    keys, feed = CallKeys.of(caption.call), caption.feed
    return (
        [
            keys.bus,
            keys.finals(feed),
            keys.seen(feed),
            UnwrittenFinals.stream(keys.shard),
            keys.open,
        ],
        [
            epoch,
            feed,
            caption.utterance,
            _to_text(caption),
            KEPT_FINALS,
            caption.call,
            keys.live(feed),
            UNWRITTEN_CHANNEL,
            keys.shard,
        ],
    )


def _refusal(answer: str, epoch: int) -> Exception:
    if answer == "unopened":
        return Unopened("the bus does not know the call, or the final before")
    return Fenced(f"epoch {epoch} of the call is over")


def _to_text(caption: Caption) -> str:
    """Its number stands beside it."""
    return json.dumps(caption.to_wire() | {"seq": None})


def _from_text(text: str) -> Caption:
    wire: dict[str, Any] = json.loads(text)
    return Caption.from_wire(wire)
