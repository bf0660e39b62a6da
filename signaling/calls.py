"""What can be done with calls, whichever door it comes through.

Every method raises `ContractError` with what the caller is to be told. A method that
changes a room does so before it first waits for anything else, or holds the room's lock.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

import structlog

from captions.types import SPOKEN, Caption
from signaling.bus import Bus
from signaling.errors import ContractError
from signaling.fanout import Fanout
from signaling.messages import (
    CallEvent,
    CallRef,
    Candidate,
    CreateCall,
    Join,
    Offer,
    Participant,
    Publishing,
    Signal,
    Update,
    Watch,
)
from signaling.node_api import NodeApi, NodeDirectory
from signaling.registry import Registry
from signaling.room import Room, Seat, call_to_wire
from signaling.store import CallRecord, TranscriptStore
from signaling.tokens import Identity
from signaling.transcripts import Transcripts
from turn.credentials import TurnServers

log = structlog.get_logger(__name__)

LINGER_SECONDS: Final = 30.0
"""How long an empty call waits for somebody to come back before it ends."""


class Sockets(Protocol):
    """What reaches clients; `signaling.socket` is the real one."""

    async def emit(self, event: str, payload: dict[str, Any], to: str) -> None:
        """Send to a socket or to all sockets of a group."""

    async def enter(self, socket: str, group: str) -> None:
        """Add a socket to a group."""

    async def leave(self, socket: str, group: str) -> None:
        """Remove a socket from a group."""


def call_group(call: str) -> str:
    """Everybody in a call, watchers too."""
    return f"call/{call}"


def feed_group(call: str, feed: str) -> str:
    """Everybody who reads this feed."""
    return f"feed/{call}/{feed}"


class Calls:
    """The calls that this gateway has people in."""

    def __init__(
        self,
        *,
        bus: Bus,
        registry: Registry,
        nodes: NodeDirectory,
        store: TranscriptStore,
        transcripts: Transcripts,
        turn: TurnServers,
        sockets: Sockets,
        tasks: asyncio.TaskGroup,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._bus = bus
        self._registry = registry
        self._nodes = nodes
        self._store = store
        self._transcripts = transcripts
        self._turn = turn
        self._sockets = sockets
        self._tasks = tasks
        self._linger_seconds = linger_seconds
        self._rooms: dict[str, Room] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._events: dict[str, asyncio.Task[None]] = {}
        self._lingering: dict[str, asyncio.Task[None]] = {}
        self._fanout = Fanout(bus, self._emit_caption, tasks)
        self.draining = False

    @property
    def rooms(self) -> dict[str, Room]:
        """The live calls by id; to look at, not to change."""
        return self._rooms

    # --- HTTP ---------------------------------------------------------------------------

    async def create(self, request: CreateCall) -> Room:
        """Create a call, or find it with the same settings."""
        call = request.call or f"c-{secrets.token_hex(8)}"
        settings = request.model_dump(exclude={"call"}, exclude_defaults=True)
        async with self._lock(call):
            room = self._rooms.get(call) or await self._open(call, settings)
            if room.ref is None:  # so far it has been watched at most
                kept = room.record.settings
                room.record = replace(room.record, settings=settings or kept)
            elif dict(room.record.settings) != settings:
                raise ContractError("conflict", "the call exists with other settings")
            await self._place(room)
            return room

    async def describe(self, call: str) -> dict[str, Any]:
        """A call as the API shows it; `not_found` where it was never there."""
        room = self._rooms.get(call)
        record = room.record if room else await self._store.call(call)
        if record is None:
            raise ContractError("not_found", "no such call")
        return call_to_wire(record, room, await self._transcripts.last_seq(call, SPOKEN))

    async def describe_all(self, limit: int, only: str | None = None) -> list[dict[str, Any]]:
        """The newest calls, or the one that has this id."""
        if only:
            record = await self._store.call(only)
            records = [record] if record else []
        else:
            records = await self._store.calls(limit)
        return [await self.describe(record.call) for record in records]

    async def end(self, call: str) -> None:
        """End a call for everybody; what was being said becomes final first."""
        async with self._lock(call):
            room = self._rooms.get(call)
            if room is None:
                if await self._store.call(call) is None:
                    raise ContractError("not_found", "no such call")
                return
            await self._close(room)

    # --- Socket.IO ----------------------------------------------------------------------

    async def join(self, socket: str, who: Identity, message: Join) -> tuple[Seat, dict[str, Any]]:
        """Become a participant; the seat and the acknowledgement."""
        self._check_draining()
        async with self._lock(message.call):
            room = self._rooms.get(message.call) or await self._open(message.call, {})
            await self._place(room)
            participant = Participant(
                id=who.subject or f"p-{secrets.token_hex(6)}",
                name=message.name or who.name or "Guest",
                language=message.language or str(room.record.settings.get("language", "auto")),
            )
            before = room.seat_of(participant.id)
            if before:  # the same person again: a reload, or a connection that died unseen
                await self._vacate(room, before)
            seat = Seat(socket, room.call, message.captions_language, participant.id)
            room.participants[participant.id] = participant
            state = await self._sit(room, seat, message.since)
            await self._tell_participant(room, "joined", participant, skip=socket)
            return seat, {
                "participant": participant.id,
                "participants": room.roster(),
                "ice_servers": self._turn.ice_servers(participant.id),
                **state,
            }

    async def watch(self, socket: str, message: Watch) -> tuple[Seat, dict[str, Any]]:
        """Read captions without being a participant; the call may begin later."""
        async with self._lock(message.call):
            room = self._rooms.get(message.call) or await self._open(message.call, {})
            seat = Seat(socket, room.call, message.captions_language)
            return seat, await self._sit(room, seat, message.since)

    async def welcome(self, seat: Seat) -> None:
        """Tell a new socket the call's state, for the notice that speech is captioned."""
        await self._sockets.emit("call:state", _state_of(self._room(seat)), seat.socket)

    async def update(self, seat: Seat, message: Update) -> dict[str, Any]:
        """Change what a participant or watcher said of themselves."""
        async with self._lock(seat.call):
            room = self._room(seat)
            if seat.participant is not None:
                await self._change(room, seat.participant, message)
            if message.captions_language and message.captions_language != seat.feed:
                await self._change_feed(seat, message.captions_language)
            if seat.participant is None:
                return {}
            return {"participant": room.participants[seat.participant].to_wire()}

    async def leave(self, seat: Seat) -> None:
        """Go, by wish or by a lost connection; what was being said becomes final."""
        async with self._lock(seat.call):
            room = self._rooms.get(seat.call)
            if room and room.seats.get(seat.socket) is seat:
                await self._vacate(room, seat)

    async def since(self, seat: Seat, seq: int) -> dict[str, Any]:
        """Finals of the seat's feed after `seq`."""
        captions = await self._transcripts.since(seat.call, seat.feed, seq)
        newest = captions[-1].seq if captions else None
        return {
            "captions": [caption.to_wire() for caption in captions],
            "seq": newest or await self._transcripts.last_seq(seat.call, seat.feed),
        }

    async def offer(self, seat: Seat, message: Offer) -> dict[str, Any]:
        """Connect a participant's audio; the acknowledgement with the answer."""
        async with self._lock(seat.call):  # the call may have ended while this waited
            room = self._room(seat)
            participant = self._participant(seat)
            await self._place(room)
            node = self._node(room)
        sdp = await node.offer(self._ref(room), participant, message.sdp)
        return {"sdp": sdp, "type": "answer"}

    async def candidate(self, seat: Seat, message: Candidate) -> None:
        """Add an ICE candidate to the participant's connection."""
        room = self._room(seat)
        participant = self._participant(seat)
        await self._node(room).candidate(self._ref(room), participant.id, message)

    async def close_media(self, seat: Seat) -> None:
        """Stop a participant's audio; idempotent."""
        room = self._room(seat)
        participant = self._participant(seat)
        if room.ref:
            await self._node(room).close_media(room.ref, participant.id)

    async def signal(self, seat: Seat, message: Signal) -> None:
        """Relay to another participant of the same call, and to nobody else."""
        sender = self._participant(seat)
        to = self._room(seat).seat_of(message.to)
        if to is None:
            raise ContractError("not_found", "no such participant in this call")
        await self._sockets.emit(
            "peer:signal", {"from": sender.id, "data": message.data}, to.socket
        )

    async def close(self) -> None:
        """Let every call go; open utterances become final. Idempotent."""
        self.draining = True

        async def let_go(call: str) -> None:
            async with self._lock(call):
                room = self._rooms.get(call)
                if room:
                    await self._close(room)

        await asyncio.gather(*(let_go(call) for call in list(self._rooms)))

    # --- inside -------------------------------------------------------------------------

    def _lock(self, call: str) -> asyncio.Lock:
        """The lock of a call; it lives as long as somebody holds or awaits it."""
        return self._locks.setdefault(call, asyncio.Lock())

    def _check_draining(self) -> None:
        if self.draining:
            raise ContractError("unavailable", "the server is going down", 1000)

    def _room(self, seat: Seat) -> Room:
        room = self._rooms.get(seat.call)
        if room is None or room.seats.get(seat.socket) is not seat:
            raise ContractError("conflict", "join a call first")
        return room

    def _participant(self, seat: Seat) -> Participant:
        room = self._room(seat)
        if seat.participant is None:
            raise ContractError("forbidden", "watchers cannot do that; join the call")
        return room.participants[seat.participant]

    def _ref(self, room: Room) -> CallRef:
        if room.ref is None:
            raise ContractError("conflict", "the call has no media yet; send an offer first")
        return room.ref

    def _node(self, room: Room) -> NodeApi:
        if room.node is None:
            raise ContractError("conflict", "the call has no media yet; send an offer first")
        return self._nodes.node(room.node)

    async def _open(self, call: str, settings: dict[str, Any]) -> Room:
        known = await self._store.call(call)
        self._check_draining()  # behind the last wait: `close` sees every room that opens
        record = (
            replace(known, ended_at_ms=None, settings=settings or known.settings)
            if known
            else CallRecord(call, int(time.time() * 1000), settings=settings)
        )
        room = self._rooms[call] = Room(record)
        self._linger(room)  # until somebody sits down; whatever fails now leaves nothing behind
        listening = asyncio.Event()
        self._events[call] = self._tasks.create_task(self._follow_events(room, listening))
        await listening.wait()
        return room

    async def _place(self, room: Room) -> None:
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

    async def _sit(self, room: Room, seat: Seat, since: int) -> dict[str, Any]:
        """Take a seat, wholly or not at all; what its socket is told of the call."""
        lingering = self._lingering.pop(room.call, None)
        if lingering:
            lingering.cancel()
        room.seats[seat.socket] = seat
        try:
            await self._fanout.follow(seat.call, seat.feed)
            await self._sockets.enter(seat.socket, call_group(seat.call))
            await self._sockets.enter(seat.socket, feed_group(seat.call, seat.feed))
            return {**await self.since(seat, since), **_state_of(room)}
        except BaseException:
            if seat.participant:  # nobody has been told of them
                room.participants.pop(seat.participant, None)
            await self._vacate(room, seat)
            raise

    async def _vacate(self, room: Room, seat: Seat) -> None:
        del room.seats[seat.socket]
        self._fanout.unfollow(seat.call, seat.feed)
        await self._sockets.leave(seat.socket, feed_group(seat.call, seat.feed))
        await self._sockets.leave(seat.socket, call_group(seat.call))
        participant = room.participants.pop(seat.participant, None) if seat.participant else None
        if participant:
            if room.ref:
                with _contained("media not closed"):  # a node that is gone receives nothing
                    await self._node(room).close_media(room.ref, participant.id)
            await self._tell_participant(room, "left", replace(participant, publishing=False))
            if participant.publishing and participant.captioned:
                await self._tell_state(room)
        if room.empty:
            self._linger(room)

    async def _change(self, room: Room, who: str, message: Update) -> None:
        before = room.participants[who]
        if before.updated(message) == before:
            return
        if room.ref:
            await self._node(room).update(room.ref, before.updated(message))
        # Meanwhile the node may have said that audio began or ceased to arrive.
        participant = room.participants[who] = room.participants[who].updated(message)
        await self._tell_participant(room, "updated", participant)
        if participant.captioned != before.captioned:
            await self._tell_state(room)

    async def _change_feed(self, seat: Seat, feed: str) -> None:
        await self._fanout.follow(seat.call, feed)
        await self._sockets.leave(seat.socket, feed_group(seat.call, seat.feed))
        self._fanout.unfollow(seat.call, seat.feed)
        seat.feed = feed
        await self._sockets.enter(seat.socket, feed_group(seat.call, feed))

    def _linger(self, room: Room) -> None:
        async def end_later() -> None:
            await asyncio.sleep(self._linger_seconds)
            async with self._lock(room.call):
                if room.empty and self._rooms.get(room.call) is room:
                    self._lingering.pop(room.call, None)
                    await self._close(room)

        if room.call not in self._lingering:
            self._lingering[room.call] = self._tasks.create_task(end_later())

    async def _close(self, room: Room) -> None:
        room.state = "ended"
        if room.ref:
            with _contained("call not ended on its node"):
                await self._node(room).end(room.ref)
            with _contained("call not released"):
                await self._registry.release(room.call, room.ref.epoch)
            record = replace(room.record, ended_at_ms=int(time.time() * 1000))
            with _contained("end of a call not kept"):
                await self._store.save_call(record)
        with _contained("listeners not ended"):
            await self._bus.end_call(room.call)
        await self._fanout.finish(room.call)
        await self._tell_state(room)
        for seat in list(room.seats.values()):
            await self._sockets.leave(seat.socket, feed_group(seat.call, seat.feed))
            await self._sockets.leave(seat.socket, call_group(seat.call))
        self._rooms.pop(room.call, None)
        self._events.pop(room.call).cancel()
        lingering = self._lingering.pop(room.call, None)
        if lingering:
            lingering.cancel()
        with _contained("ended call not forgotten"):
            await self._transcripts.flush()
            await self._bus.forget(room.call)

    async def _follow_events(self, room: Room, listening: asyncio.Event) -> None:
        with _contained("events of a call not followed"):
            async with self._bus.listen_events(room.call) as events:
                listening.set()
                async for event in events:
                    await self._take_event(room, event)
        listening.set()

    async def _take_event(self, room: Room, event: CallEvent) -> None:
        if isinstance(event, Publishing):
            await self._take_publishing(room, event)
        elif room.state not in (event.state, "ended"):
            room.state = event.state
            await self._tell_state(room, event.reason)

    async def _take_publishing(self, room: Room, event: Publishing) -> None:
        before = room.participants.get(event.participant)
        if before is None or before.publishing == event.publishing:
            return
        participant = replace(before, publishing=event.publishing)
        room.participants[participant.id] = participant
        await self._tell_participant(room, "updated", participant)
        await self._tell_state(room)

    async def _tell_participant(
        self, room: Room, event: str, participant: Participant, skip: str | None = None
    ) -> None:
        payload = {"event": event, "participant": participant.to_wire()}
        for seat in list(room.seats.values()):
            if seat.socket != skip:
                await self._sockets.emit("call:participant", payload, seat.socket)

    async def _tell_state(self, room: Room, reason: str | None = None) -> None:
        payload = _state_of(room) | ({"reason": reason} if reason else {})
        await self._sockets.emit("call:state", payload, call_group(room.call))

    async def _emit_caption(self, caption: Caption) -> None:
        await self._sockets.emit(
            "caption", caption.to_wire(), feed_group(caption.call, caption.feed)
        )


@contextmanager
def _contained(what: str) -> Iterator[None]:
    """A call's own fault, logged once: clean-up goes on, and so do the other calls."""
    try:
        yield
    except ContractError as error:
        log.info(what, code=error.code, why=error.message)
    except Exception:
        log.exception(what)


def _state_of(room: Room) -> dict[str, Any]:
    return {"state": room.state, "captioning": room.captioning}
