"""What can be done with calls, whichever door it comes through.

Every method raises `ContractError` with what the caller is to be told. A method that
changes a room holds the room's lock.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from captions.types import SPOKEN
from signaling.audience import Sockets, state_of
from signaling.errors import ContractError
from signaling.messages import (
    Candidate,
    CreateCall,
    Join,
    Offer,
    Participant,
    Signal,
    Update,
    Watch,
)
from signaling.room import Room, Seat, call_to_wire
from signaling.rooms import Rooms
from signaling.sources import shown
from signaling.store import TranscriptStore
from signaling.tokens import Identity
from signaling.transcripts import Transcripts
from turn.credentials import TurnServers


class Calls:
    """The calls that this gateway has people in."""

    def __init__(
        self,
        *,
        rooms: Rooms,
        store: TranscriptStore,
        transcripts: Transcripts,
        turn: TurnServers,
        sockets: Sockets,
    ) -> None:
        self._rooms = rooms
        self._store = store
        self._transcripts = transcripts
        self._turn = turn
        self._sockets = sockets

    @property
    def live(self) -> Mapping[str, Room]:
        """The live calls by id."""
        return self._rooms.live

    # --- HTTP ---------------------------------------------------------------------------

    async def create(self, request: CreateCall) -> Room:
        """Create a call, or find it with the same settings."""
        call = request.call or f"c-{secrets.token_hex(8)}"
        settings = request.model_dump(exclude={"call", "source"}, exclude_defaults=True)
        if request.source.kind != "direct":
            settings["source"] = shown(request.source)
        async with self._rooms.lock(call):
            there = self._rooms.live.get(call)
            room = there or await self._rooms.open(call, settings)
            kept = room.record.settings
            # Who joined or watched before it was created chose no settings.
            if room.created and (dict(kept) != settings or room.source != request.source):
                raise ContractError("conflict", "the call exists with other settings")
            room.record = replace(room.record, settings=settings or kept)
            try:
                await self._rooms.place(room)
                if room.source != request.source:
                    await self._rooms.start(room, request.source)
                await self._store.save_call(room.record)
                room.created = True
            except BaseException:
                room.record = replace(room.record, settings=kept)
                if there is None:
                    await self._rooms.close(room)
                raise
            return room

    async def describe(self, call: str) -> dict[str, Any]:
        """A call as the API shows it; `not_found` where it was never there."""
        room = self._rooms.live.get(call)
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
        async with self._rooms.lock(call):
            room = self._rooms.live.get(call)
            if room is None:
                if await self._store.call(call) is None:
                    raise ContractError("not_found", "no such call")
                return
            await self._rooms.close(room)

    # --- Socket.IO ----------------------------------------------------------------------

    async def join(self, socket: str, who: Identity, message: Join) -> tuple[Seat, dict[str, Any]]:
        """Become a participant; the seat and the acknowledgement."""
        self._rooms.check_draining()
        async with self._rooms.lock(message.call):
            room = self._rooms.live.get(message.call) or await self._rooms.open(message.call, {})
            await self._rooms.place(room)
            participant = Participant(
                id=who.subject or f"p-{secrets.token_hex(6)}",
                name=message.name or who.name or "Guest",
                language=message.language or str(room.record.settings.get("language", "auto")),
            )
            before = room.seat_of(participant.id)
            if before:  # the same person again: a reload, or a connection that died unseen
                await self._rooms.vacate(room, before)
            seat = Seat(socket, room.call, message.captions_language, participant.id)
            guest = room.participants.get(participant.id)
            if guest:  # in the call by its SFU already: now they speak for themselves
                participant = replace(participant, publishing=guest.publishing)
                await self._rooms.node(room).update(self._rooms.ref(room), participant)
            room.participants[participant.id] = participant
            state = await self._sit(room, seat, message.since)
            event = "updated" if guest else "joined"
            await self._rooms.audience.tell_participant(room, event, participant, skip=socket)
            return seat, {
                "participant": participant.id,
                "participants": room.roster(),
                "ice_servers": self._turn.ice_servers(participant.id),
                **state,
            }

    async def watch(self, socket: str, message: Watch) -> tuple[Seat, dict[str, Any]]:
        """Read captions without being a participant; the call may begin later."""
        async with self._rooms.lock(message.call):
            room = self._rooms.live.get(message.call) or await self._rooms.open(message.call, {})
            seat = Seat(socket, room.call, message.captions_language)
            return seat, await self._sit(room, seat, message.since)

    async def welcome(self, seat: Seat) -> None:
        """Tell a new socket the call's state, for the notice that speech is captioned."""
        await self._sockets.emit("call:state", state_of(self._room(seat)), seat.socket)

    async def update(self, seat: Seat, message: Update) -> dict[str, Any]:
        """Change what a participant or watcher said of themselves."""
        async with self._rooms.lock(seat.call):
            room = self._room(seat)
            if seat.participant is not None:
                await self._rooms.change(room, seat.participant, message)
            if message.captions_language and message.captions_language != seat.feed:
                await self._rooms.audience.change_feed(seat, message.captions_language)
            if seat.participant is None:
                return {}
            return {"participant": room.participants[seat.participant].to_wire()}

    async def leave(self, seat: Seat) -> None:
        """Go, by wish or by a lost connection; what was being said becomes final."""
        async with self._rooms.lock(seat.call):
            room = self._rooms.live.get(seat.call)
            if room and room.seats.get(seat.socket) is seat:
                await self._rooms.vacate(room, seat)

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
        async with self._rooms.lock(seat.call):  # the call may have ended while this waited
            room = self._room(seat)
            participant = self._participant(seat)
            await self._rooms.place(room)
            node = self._rooms.node(room)
        sdp = await node.offer(self._rooms.ref(room), participant, message.sdp)
        return {"sdp": sdp, "type": "answer"}

    async def candidate(self, seat: Seat, message: Candidate) -> None:
        """Add an ICE candidate to the participant's connection."""
        room = self._room(seat)
        participant = self._participant(seat)
        await self._rooms.node(room).candidate(self._rooms.ref(room), participant.id, message)

    async def close_media(self, seat: Seat) -> None:
        """Stop a participant's audio; idempotent."""
        room = self._room(seat)
        participant = self._participant(seat)
        if room.ref:
            await self._rooms.node(room).close_media(room.ref, participant.id)

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
        self._rooms.draining = True

        async def let_go(call: str) -> None:
            async with self._rooms.lock(call):
                room = self._rooms.live.get(call)
                if room:
                    await self._rooms.close(room)

        await asyncio.gather(*(let_go(call) for call in list(self._rooms.live)))

    def _room(self, seat: Seat) -> Room:
        room = self._rooms.live.get(seat.call)
        if room is None or room.seats.get(seat.socket) is not seat:
            raise ContractError("conflict", "join a call first")
        return room

    def _participant(self, seat: Seat) -> Participant:
        room = self._room(seat)
        if seat.participant is None:
            raise ContractError("forbidden", "watchers cannot do that; join the call")
        return room.participants[seat.participant]

    async def _sit(self, room: Room, seat: Seat, since: int) -> dict[str, Any]:
        """Take a seat, wholly or not at all; what its socket is told of the call."""
        await self._rooms.sit(room, seat)
        try:
            return {**await self.since(seat, since), **state_of(room)}
        except BaseException:
            await self._rooms.forsake(room, seat)
            raise
