"""The life of rooms: they open, are placed, fill and empty, and end.

Whoever changes a room holds its lock (`Rooms.lock`), but for events of nodes, which change
one field at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final
from weakref import WeakValueDictionary

import structlog

from signaling.audience import Audience, Sockets
from signaling.bus import Bus
from signaling.errors import ContractError
from signaling.messages import (
    Arrived,
    CallEvent,
    CallHealth,
    CallOver,
    CallRef,
    Departed,
    Participant,
    Publishing,
    Update,
)
from signaling.node_api import NodeApi, NodeDirectory
from signaling.registry import Registry
from signaling.room import Room, Seat
from signaling.sources import AnySource
from signaling.store import CallRecord, TranscriptStore
from signaling.transcripts import Transcripts

log = structlog.get_logger(__name__)

LINGER_SECONDS: Final = 30.0
"""How long an empty call waits for somebody to come back before it ends."""


class Rooms:
    """The rooms of this gateway. Its tasks belong to the owner's TaskGroup."""

    def __init__(
        self,
        *,
        bus: Bus,
        registry: Registry,
        nodes: NodeDirectory,
        store: TranscriptStore,
        transcripts: Transcripts,
        sockets: Sockets,
        tasks: asyncio.TaskGroup,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._bus = bus
        self._registry = registry
        self._nodes = nodes
        self._store = store
        self._transcripts = transcripts
        self._tasks = tasks
        self._linger_seconds = linger_seconds
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._events: dict[str, asyncio.Task[None]] = {}
        self._lingering: dict[str, asyncio.Task[None]] = {}
        self.audience = Audience(bus, sockets, tasks)
        self.live: dict[str, Room] = {}
        self.draining = False

    def lock(self, call: str) -> asyncio.Lock:
        """The lock of a call; it lives as long as somebody holds or awaits it."""
        return self._locks.setdefault(call, asyncio.Lock())

    def check_draining(self) -> None:
        """Raise `ContractError` `unavailable` where no room may open any more."""
        if self.draining:
            raise ContractError("unavailable", "the server is going down", 1000)

    def ref(self, room: Room) -> CallRef:
        """The call as its node knows it; `conflict` before it was placed."""
        if room.ref is None:
            raise ContractError("conflict", "the call has no media yet; send an offer first")
        return room.ref

    def node(self, room: Room) -> NodeApi:
        """The node that has the call; `conflict` before it was placed."""
        if room.node is None:
            raise ContractError("conflict", "the call has no media yet; send an offer first")
        return self._nodes.node(room.node)

    async def open(self, call: str, settings: dict[str, Any]) -> Room:
        """Open a room; the call goes on where it was known before."""
        known = await self._store.call(call)
        self.check_draining()  # behind the last wait: `close` sees every room that opens
        if known:  # but for its SFU: what that wanted to know was not kept
            kept = {name: value for name, value in known.settings.items() if name != "source"}
            record = replace(known, ended_at_ms=None, settings=settings or kept)
        else:
            record = CallRecord(call, int(time.time() * 1000), settings=settings)
        room = self.live[call] = Room(record)
        self._linger(room)  # until somebody sits down; whatever fails now leaves nothing behind
        listening = asyncio.Event()
        self._events[call] = self._tasks.create_task(self._follow_events(room, listening))
        await listening.wait()
        return room

    async def place(self, room: Room) -> None:
        """Give the call a node, and remember it: from now on it counts as begun."""
        if room.ref:
            return
        placement = await self._registry.place(room.call)
        try:
            last_seq = await self._store.last_seq(room.call)
            await self._bus.open_call(room.call, placement.epoch, last_seq)
            await self._store.save_call(room.record)
        except BaseException:
            await self._registry.release(room.call, placement.epoch)
            raise
        room.node = placement.node
        room.ref = CallRef(room.call, placement.epoch, room.record.started_at_ms)

    async def start(self, room: Room, source: AnySource) -> None:
        """Join the (placed) call at its SFU; `ContractError` where that fails."""
        language = str(room.record.settings.get("language", "auto"))
        room.source_details = await self.node(room).start(self.ref(room), source, language)
        room.source = source
        self._stay(room)

    async def sit(self, room: Room, seat: Seat) -> None:
        """Take a seat, wholly or not at all: what is published from now on reaches it."""
        self._stay(room)
        room.seats[seat.socket] = seat
        try:
            await self.audience.enter(seat)
        except BaseException:
            await self.forsake(room, seat)
            raise

    async def forsake(self, room: Room, seat: Seat) -> None:
        """Undo `sit` before anybody has been told of the participant."""
        if seat.participant and seat.participant not in room.guests:
            room.participants.pop(seat.participant, None)
        await self.vacate(room, seat)

    async def vacate(self, room: Room, seat: Seat) -> None:
        """Empty a seat; what its participant was saying becomes final behind this.

        Who is a guest besides stays in the call.
        """
        del room.seats[seat.socket]
        await self.audience.leave(seat)
        if seat.participant:
            by_whip = seat.participant in room.guests and room.source.kind == "direct"
            if room.ref and seat.participant in room.participants and not by_whip:
                # Nobody waits for the last words of who leaves, least of all the lock.
                self._tasks.create_task(self._close_media(room, room.ref, seat.participant))
            if seat.participant not in room.guests:
                await self._remove(room, seat.participant)
        if room.empty:
            self._linger(room)

    async def welcome_guest(self, room: Room, participant: Participant) -> None:
        """Somebody is in the call without a socket, or is and their name changed."""
        self._stay(room)
        room.guests.add(participant.id)
        before = room.participants.get(participant.id)
        if before and room.seat_of(participant.id):
            # What they say of themselves on their socket stands above an SFU's word.
            with contained("a guest not described to the node"):
                await self.node(room).update(self.ref(room), before)
            return
        if before:
            participant = replace(before, name=participant.name)
        room.participants[participant.id] = participant
        if participant != before:
            await self.audience.tell_participant(
                room, "updated" if before else "joined", participant
            )

    async def dismiss_guest(self, room: Room, who: str) -> None:
        """A guest is gone; who has a socket besides stays in the call. Idempotent."""
        if who in room.guests:
            room.guests.discard(who)
            if not room.seat_of(who):
                await self._remove(room, who)
            if room.empty:
                self._linger(room)

    async def _remove(self, room: Room, who: str) -> None:
        participant = room.participants.pop(who, None)
        if participant:
            await self.audience.tell_participant(
                room, "left", replace(participant, publishing=False)
            )
            if participant.publishing and participant.captioned:
                await self.audience.tell_state(room)

    async def change(self, room: Room, who: str, message: Update) -> None:
        """Take what a participant says of themselves to the node and to everybody."""
        before = room.participants[who]
        if before.updated(message) == before:
            return
        if room.ref:
            await self.node(room).update(room.ref, before.updated(message))
        # Meanwhile the node may have said that audio began or ceased to arrive.
        participant = room.participants[who] = room.participants[who].updated(message)
        await self.audience.tell_participant(room, "updated", participant)
        if participant.captioned != before.captioned:
            await self.audience.tell_state(room)

    async def _close_media(self, room: Room, ref: CallRef, participant: str) -> None:
        with contained("media not closed"):  # a node that is gone receives nothing
            await self.node(room).close_media(ref, participant)

    def _stay(self, room: Room) -> None:
        lingering = self._lingering.pop(room.call, None)
        if lingering:
            lingering.cancel()

    def _linger(self, room: Room) -> None:
        async def end_later() -> None:
            await asyncio.sleep(self._linger_seconds)
            async with self.lock(room.call):
                if room.empty and self.live.get(room.call) is room:
                    self._lingering.pop(room.call, None)
                    await self.close(room)

        if room.call not in self._lingering:
            self._lingering[room.call] = self._tasks.create_task(end_later())

    async def close(self, room: Room) -> None:
        """End the call for everybody; every last word becomes final and is sent first."""
        room.state, room.reason = "ended", None
        if room.ref:
            with contained("call not ended on its node"):
                await self.node(room).end(room.ref)
            with contained("call not released"):
                await self._registry.release(room.call, room.ref.epoch)
            record = replace(room.record, ended_at_ms=int(time.time() * 1000))
            with contained("end of a call not kept"):
                await self._store.save_call(record)
        with contained("listeners not ended"):
            await self._bus.end_call(room.call)
        await self.audience.dismiss(room)
        self.live.pop(room.call, None)
        self._events.pop(room.call).cancel()
        self._stay(room)
        with contained("ended call not forgotten"):
            await self._transcripts.flush()
            await self._bus.forget(room.call)

    async def _follow_events(self, room: Room, listening: asyncio.Event) -> None:
        with contained("events of a call not followed"):
            async with self._bus.listen_events(room.call) as events:
                listening.set()
                async for event in events:
                    await self._take_event(room, event)
        listening.set()

    async def _take_event(self, room: Room, event: CallEvent) -> None:
        match event:
            case Publishing():
                await self._take_publishing(room, event)
            case Arrived(_, participant):
                await self.welcome_guest(room, participant)
            case Departed(_, who):
                await self.dismiss_guest(room, who)
            case CallHealth(_, state, reason):
                if room.state != "ended" and (room.state, room.reason) != (state, reason):
                    room.state, room.reason = state, reason
                    await self.audience.tell_state(room)
            case CallOver():
                self._tasks.create_task(self._end(room))  # which ends the task that runs this

    async def _end(self, room: Room) -> None:
        async with self.lock(room.call):
            if self.live.get(room.call) is room:
                await self.close(room)

    async def _take_publishing(self, room: Room, event: Publishing) -> None:
        before = room.participants.get(event.participant)
        if before is None or before.publishing == event.publishing:
            return
        participant = replace(before, publishing=event.publishing)
        room.participants[participant.id] = participant
        await self.audience.tell_participant(room, "updated", participant)
        await self.audience.tell_state(room)


@contextmanager
def contained(what: str) -> Iterator[None]:
    """A call's own fault, logged once: clean-up goes on, and so do the other calls."""
    try:
        yield
    except ContractError as error:
        log.info(what, code=error.code, why=error.message)
    except Exception:
        log.exception(what)
