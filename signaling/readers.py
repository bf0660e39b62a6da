"""Readers of a feed by Server-Sent Events: seated in its call as watchers are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from captions.profanity import masked
from captions.types import Caption
from signaling.errors import ContractError
from signaling.event_response import HEARTBEAT, HEARTBEAT_SECONDS
from signaling.event_streams import (
    EventStream,
    EventStreams,
    Frame,
    end_frame,
    frame_of,
)
from signaling.lifecycle import CallEnded
from signaling.room import Seat
from signaling.rooms import Rooms
from signaling.store import TranscriptStore
from signaling.transcripts import Transcripts


@dataclass(frozen=True, slots=True)
class Wish:
    """A feed of a call, its finals from behind `since`; `masked`: without swear words."""

    call: str
    feed: str
    since: int
    masked: bool


class Readers:
    """Every method raises `ContractError` with what the caller is to be told."""

    def __init__(
        self,
        rooms: Rooms,
        transcripts: Transcripts,
        store: TranscriptStore,
        streams: EventStreams,
    ) -> None:
        self._rooms = rooms
        self._transcripts = transcripts
        self._store = store
        self.streams = streams

    @property
    def draining(self) -> bool:
        """Whether readers are to come again elsewhere."""
        return self._rooms.draining

    async def sit(self, stream: EventStream, wish: Wish) -> Seat | None:
        """What is published from now on comes to the stream. None where the call is over.

        `not_found` of one that never was. `leave` is due where there is a seat.
        """
        try:
            async with self._rooms.lock(wish.call):
                seat = await self._sit(stream, wish)
        except CallEnded:
            seat = None
        if seat is None:
            await self._rooms.lifecycle.gone(wish.call)
            if await self._store.call(wish.call) is None:
                raise ContractError("not_found", "no such call")
            stream.end()
        return seat

    async def _sit(self, stream: EventStream, wish: Wish) -> Seat | None:
        room = await self._rooms.find(wish.call)
        if room is None:
            return None
        seat = Seat(stream.id, wish.call, wish.feed, masked=wish.masked)
        try:
            await self._rooms.enter(room, seat)
            await self._rooms.appear(room, seat, None)
        except BaseException:
            await self._rooms.vacate(room, seat)
            raise
        return seat

    async def leave(self, seat: Seat) -> None:
        """Nobody reads there any more."""
        async with self._rooms.lock(seat.call):
            room = self._rooms.live.get(seat.call)
            if room:
                await self._rooms.vacate(room, seat)

    async def finals(self, wish: Wish) -> list[Caption]:
        """Those behind `since`, in order of `seq`."""
        finals = await self._transcripts.since(wish.call, wish.feed, wish.since)
        return [masked(final) for final in finals] if wish.masked else finals

    async def events(
        self, stream: EventStream, wish: Wish, replayed: list[Caption]
    ) -> AsyncGenerator[bytes]:
        """All that the reader is told, until the call ends or the stream is closed.

        Finals in order and each once: first those that are `replayed`, of since before the seat
        was taken. Partials as they come, comments where nobody speaks.
        """
        told = _Told(self, wish, await self._newest(wish))
        yield b"".join([told.data(frame_of(final)) for final in replayed])
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    frames = await stream.take()
            except TimeoutError:
                yield HEARTBEAT
                continue
            if not frames:
                break
            yield b"".join([await told.in_order(frame) for frame in frames])
        if stream.ended:
            yield end_frame(told.newest)

    async def _newest(self, wish: Wish) -> int:
        """Where the reader is; one who names a final that never was would be told nothing."""
        return min(wish.since, await self._transcripts.last_seq(wish.call, wish.feed))


class _Told:
    """What a reader knows: the finals up to `newest`."""

    def __init__(self, readers: Readers, wish: Wish, newest: int) -> None:
        self._readers = readers
        self._wish = wish
        self.newest = newest

    def data(self, frame: Frame) -> bytes:
        """What is to be sent of it: nothing of a final that is known."""
        if frame.seq is None:
            return frame.data
        if frame.seq <= self.newest:
            return b""
        self.newest = frame.seq
        return frame.data

    async def in_order(self, frame: Frame) -> bytes:
        """Likewise, behind what was missed before it."""
        missed = b""
        if frame.seq is not None and frame.seq > self.newest + 1:
            wish = Wish(self._wish.call, self._wish.feed, self.newest, self._wish.masked)
            finals = await self._readers.finals(wish)
            before = [final for final in finals if (final.seq or 0) < frame.seq]
            missed = b"".join([self.data(frame_of(final)) for final in before])
        return missed + self.data(frame)
