"""What can be done with calls, whichever door it comes through.

Every method raises `ContractError` with what the caller is to be told. A method that
changes who sits in a room holds the room's lock.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from captions.profanity import masked
from captions.types import SPOKEN
from signaling.audience import Sockets, state_of
from signaling.audio import AudioFormat, AudioLine
from signaling.bus import Bus, Letter
from signaling.contained import contained
from signaling.errors import ContractError
from signaling.lifecycle import CallEnded
from signaling.limits.limiter import Limiter
from signaling.messages import (
    Candidate,
    ChangeCall,
    CreateCall,
    Join,
    Offer,
    Participant,
    Signal,
    Update,
    Watch,
)
from signaling.personal import erase_person
from signaling.room import Room, Seat, call_to_wire
from signaling.rooms import Rooms
from signaling.shared_call import SharedCall, chosen
from signaling.sources import shown
from signaling.store import TranscriptStore
from signaling.tokens import Identity
from signaling.transcripts import Transcripts
from signaling.webhooks.targets import SETTING as WEBHOOK
from signaling.webhooks.targets import Targets
from turn.credentials import TurnServers

T = TypeVar("T")


class Calls:
    """The calls, as this gateway serves them."""

    def __init__(
        self,
        *,
        rooms: Rooms,
        bus: Bus,
        store: TranscriptStore,
        transcripts: Transcripts,
        turn: TurnServers,
        sockets: Sockets,
        targets: Targets | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        """`targets` reads the webhooks that calls name."""
        self._limiter = limiter or Limiter()
        self._targets = targets or Targets()
        self._rooms = rooms
        self._bus = bus
        self._store = store
        self._transcripts = transcripts
        self._turn = turn
        self._sockets = sockets

    @property
    def live(self) -> Mapping[str, Room]:
        """The calls that this gateway has somebody in, by id."""
        return self._rooms.live

    # --- HTTP ---------------------------------------------------------------------------

    async def create(self, request: CreateCall, tenant: str = "") -> SharedCall:
        """Create a call, or find it with the same settings; `tenant` is whose token this is."""
        call = request.call or f"c-{secrets.token_hex(8)}"
        settings = request.model_dump(exclude={"call", "source", "webhook"}, exclude_defaults=True)
        if request.source.kind != "direct":
            settings["source"] = shown(request.source)
        async with self._rooms.lock(call):
            there = await self._rooms.shared(call)
            begun = there is None
            if request.webhook:
                before = there.record.settings.get(WEBHOOK) if there else None
                settings[WEBHOOK] = self._targets.sealed(request.webhook, before)
            room = await self._rooms.open(call, settings, tenant)
            room.kept = True
            kept = room.shared.record.settings
            # Who joined or watched before it was created chose no settings.
            other = chosen(kept) != settings or room.shared.source != request.source
            if room.shared.created and other:
                raise ContractError("conflict", "the call exists with other settings")
            try:
                await self._rooms.bill(room, "", tenant)
                await self._rooms.place(room)
                if room.shared.source != request.source:
                    await self._rooms.start(room, request.source)
                await self._store.save_call(_created(room.shared, settings).record)
                await self._rooms.change(room, lambda now: _created(now, settings))
            except BaseException:
                if begun and not room.shared.people and not room.shared.watched_by:
                    await self._rooms.close(room)
                raise
            return room.shared

    async def describe(self, call: str) -> dict[str, Any]:
        """A call as the API shows it; `not_found` where it was never there."""
        shared = await self._rooms.shared(call)
        record = shared.record if shared else await self._store.call(call)
        if record is None:
            raise ContractError("not_found", "no such call")
        return call_to_wire(record, shared, await self._transcripts.last_seq(call, SPOKEN))

    async def describe_all(self, limit: int, only: str | None = None) -> list[dict[str, Any]]:
        """The newest calls, or the one that has this id."""
        if only:
            record = await self._store.call(only)
            records = [record] if record else []
        else:
            records = await self._store.calls(limit)
        return [await self.describe(record.call) for record in records]

    async def change(self, call: str, request: ChangeCall) -> SharedCall:
        """Change the settings of a call that goes on; `conflict` where it does not."""
        await self.describe(call)
        changes = request.model_dump(exclude_none=True)

        def changed(now: SharedCall | None) -> SharedCall:
            if now is None or now.ending_since_ms is not None:
                raise CallEnded
            settings = {**now.record.settings, **changes}
            return replace(now, record=replace(now.record, settings=settings))

        async with self._rooms.lock(call):
            shared = await self._rooms.set(call, changed)
            await self._store.save_call(shared.record)
        return shared

    async def end(self, call: str) -> None:
        """End a call for everybody; what was being said becomes final first."""
        async with self._rooms.lock(call):
            room = self._rooms.live.get(call)
            if room:
                await self._rooms.close(room)
            elif await self._rooms.shared(call):
                await self._rooms.lifecycle.end(call)
            elif await self._store.call(call) is None:
                raise ContractError("not_found", "no such call")

    async def erase(self, call: str) -> int:
        """Erase what was said, everywhere; how many finals the store had."""
        await self.describe(call)
        await self._forget_words(call)  # what waits there, or is being translated, is said no more
        erased = await self._transcripts.erase(call)
        await self._forget_words(call)  # what it published in between it must not bring back
        return erased

    async def erase_participant(self, participant: str, only: str | None = None) -> int:
        """Erase what somebody said, in one call or all; how many finals that were.

        `conflict` while one of those calls goes on: its words are in many hands.
        """
        calls = {c for c in await self._store.calls_of(participant) if only in (None, c)}
        for call in sorted(calls):
            if await self._rooms.shared(call):
                why = "they are or were in a call that goes on: end it first"
                raise ContractError("conflict", why)
        return await erase_person(self._store, participant, calls)

    async def _forget_words(self, call: str) -> None:
        shared = await self._rooms.shared(call)
        if shared and shared.ref:
            with contained("words not forgotten by the node"):
                await self._rooms.lifecycle.node(shared).forget_words(shared.ref)

    # --- Socket.IO ----------------------------------------------------------------------

    async def join(
        self, socket: str, who: Identity, message: Join, region: str = ""
    ) -> tuple[Seat, dict[str, Any]]:
        """Become a participant; the seat and the acknowledgement. `region` is where they are."""
        self._rooms.check_draining()
        return await self._in_time(message.call, lambda: self._join(socket, who, message, region))

    async def watch(
        self, socket: str, message: Watch, *, transcripts: bool = False
    ) -> tuple[Seat, dict[str, Any]]:
        """Read captions without being a participant; the call may begin later.

        `transcripts`: read each also as a `transcript`, as older clients do.
        """
        return await self._in_time(
            message.call, lambda: self._watch(socket, message, transcripts=transcripts)
        )

    async def take_place(
        self, socket: str, who: Identity, message: Join, settings: Mapping[str, Any]
    ) -> Seat:
        """Join for a session of the gateway's own; its audio will come by `listen`, or never.

        `settings` are the call's, where it begins.
        """
        self._rooms.check_draining()

        async def sit() -> Seat:
            async with self._rooms.lock(message.call):
                room = await self._rooms.open(message.call, dict(settings), who.tenant)
                participant = self._joining(room, who, message)
                await self._rooms.bill(room, participant.id, who.tenant)
                seat = Seat(socket, room.call, SPOKEN, participant.id)
                await self._rooms.enter(room, seat)
                try:
                    await self._rooms.appear(room, seat, participant)
                except BaseException:
                    await self._rooms.vacate(room, seat)
                    raise
                return seat

        return await self._in_time(message.call, sit)

    async def _in_time(self, call: str, enter: Callable[[], Awaitable[T]]) -> T:
        """Enter a call, or the next one of this id where it ends just then."""
        try:
            return await enter()
        except CallEnded:
            await self._rooms.lifecycle.gone(call)
            return await enter()

    async def _join(
        self, socket: str, who: Identity, message: Join, region: str
    ) -> tuple[Seat, dict[str, Any]]:
        async with self._rooms.lock(message.call):
            room = await self._rooms.open(message.call, tenant=who.tenant)
            participant = self._joining(room, who, message)
            await self._rooms.bill(room, participant.id, who.tenant)
            await self._rooms.place(room)
            mask = message.profanity == "mask"
            seat = Seat(socket, room.call, message.captions_language, participant.id, masked=mask)
            answer = await self._sit(room, seat, participant, message.since)
            return seat, {
                "participant": participant.id,
                "participants": room.shared.roster(),
                "ice_servers": self._turn.ice_servers(participant.id, region=region),
                **answer,
            }

    def _joining(self, room: Room, who: Identity, message: Join) -> Participant:
        return Participant(
            id=who.subject or f"p-{secrets.token_hex(6)}",
            name=message.name or who.name or "Guest",
            language=message.language or self._rooms.lifecycle.language(room.shared),
        )

    async def _watch(
        self, socket: str, message: Watch, *, transcripts: bool
    ) -> tuple[Seat, dict[str, Any]]:
        async with self._rooms.lock(message.call):
            room = await self._rooms.open(message.call)
            mask = message.profanity == "mask"
            seat = Seat(socket, room.call, message.captions_language, masked=mask)
            if transcripts:
                seat.transcripts_from_ms = room.shared.record.started_at_ms
            return seat, await self._sit(room, seat, None, message.since)

    async def welcome(self, seat: Seat) -> None:
        """Tell a new socket the call's state, for the notice that speech is captioned."""
        await self._sockets.emit("call:state", state_of(self._room(seat).shared), seat.socket)

    async def update(self, seat: Seat, message: Update) -> dict[str, Any]:
        """Change what a participant or watcher said of themselves."""
        async with self._rooms.lock(seat.call):
            room = self._room(seat)
            if seat.participant is not None:
                await self._rooms.describe(room, seat.participant, message)
            feed = message.captions_language or seat.feed
            mask = message.profanity == "mask" if message.profanity else seat.masked
            if (feed, mask) != (seat.feed, seat.masked):
                await self._rooms.audience.change_feed(seat, feed, masked=mask)
                await self._rooms.tell_readers(room)
            if seat.participant is None:
                return {}
            return {"participant": self._participant(seat).to_wire()}

    async def leave(self, seat: Seat) -> None:
        """Go, by wish or by a lost connection; what was being said becomes final."""
        async with self._rooms.lock(seat.call):
            room = self._rooms.live.get(seat.call)
            if room:
                await self._rooms.vacate(room, seat)

    async def since(self, seat: Seat, seq: int) -> dict[str, Any]:
        """Finals of the seat's feed after `seq`."""
        captions = await self._transcripts.since(seat.call, seat.feed, seq)
        if seat.masked:
            captions = [masked(caption) for caption in captions]
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
            self._check_tracks(room, participant.id)
            await self._rooms.place(room)
            shared = room.shared
            node, ref = self._rooms.lifecycle.node(shared), self._rooms.lifecycle.ref(shared)
            seat.offered = True
        sdp = await node.offer(ref, participant, message.sdp)
        return {"sdp": sdp, "type": "answer"}

    async def listen(
        self, seat: Seat, audio: AudioFormat, begins_at_ms: int, *, background: bool = False
    ) -> AudioLine:
        """Open a line for a participant's audio; see `NodeApi.listen`."""
        async with self._rooms.lock(seat.call):
            room = self._room(seat)
            participant = self._participant(seat)
            self._check_tracks(room, participant.id)
            await self._rooms.place(room)
            shared = room.shared
            node, ref = self._rooms.lifecycle.node(shared), self._rooms.lifecycle.ref(shared)
            seat.offered = True
        return await node.listen(ref, participant, audio, begins_at_ms, background=background)

    def seated(self, seat: Seat) -> bool:
        """Whether somebody still sits there."""
        room = self._rooms.live.get(seat.call)
        return room is not None and room.seats.get(seat.socket) is seat

    def started_at_ms(self, seat: Seat) -> int:
        """When its call started, since the Unix epoch."""
        return self._room(seat).shared.record.started_at_ms

    async def last_seq(self, call: str) -> int:
        """The newest final of what is spoken, 0 before the first."""
        return await self._transcripts.last_seq(call, SPOKEN)

    async def candidate(self, seat: Seat, message: Candidate) -> None:
        """Add an ICE candidate to the participant's connection."""
        shared = self._room(seat).shared
        participant = self._participant(seat)
        node, ref = self._rooms.lifecycle.node(shared), self._rooms.lifecycle.ref(shared)
        await node.candidate(ref, participant.id, message)

    async def close_media(self, seat: Seat) -> None:
        """Stop a participant's audio; idempotent."""
        shared = self._room(seat).shared
        participant = self._participant(seat)
        seat.offered = False
        if shared.ref:
            await self._rooms.lifecycle.node(shared).close_media(shared.ref, participant.id)

    async def signal(self, seat: Seat, message: Signal) -> None:
        """Relay to another participant of the same call, and to nobody else."""
        sender = self._participant(seat)
        to = self._room(seat).shared.people.get(message.to)
        if to is None or to.gateway is None or to.socket is None:
            raise ContractError("not_found", "no such participant in this call")
        payload = {"from": sender.id, "data": message.data}
        if to.gateway == self._rooms.gateway:
            await self._sockets.emit("peer:signal", payload, to.socket)
        else:
            await self._bus.post(to.gateway, Letter(to.socket, "peer:signal", payload))

    async def close(self, *, end_calls: bool) -> None:
        """Take nothing new. Idempotent.

        `end_calls`: they end with this gateway, and open utterances become final. Otherwise they
        go on: clients connect to another gateway, which is given time to seat them.
        """
        self._rooms.draining = True
        if end_calls:
            await asyncio.gather(*(self._let_go(call) for call in list(self._rooms.live)))
        else:
            await asyncio.gather(*(self._desert(call) for call in list(self._rooms.live)))

    async def _let_go(self, call: str) -> None:
        async with self._rooms.lock(call):
            room = self._rooms.live.get(call)
            if room:
                await self._rooms.close(room)

    async def _desert(self, call: str) -> None:
        async with self._rooms.lock(call):
            room = self._rooms.live.get(call)
            if room:
                await self._rooms.desert(room)

    def _room(self, seat: Seat) -> Room:
        room = self._rooms.live.get(seat.call)
        if room is None or not self.seated(seat):
            raise ContractError("conflict", "join a call first")
        return room

    def _check_tracks(self, room: Room, who: str) -> None:
        """`overloaded` where as many send audio as may, who is none of them yet."""
        # Of whose audio nothing has arrived yet, those of other gateways are not known.
        offered = {seat.participant for seat in room.seats.values() if seat.offered}
        people = room.participants.values()
        sending = {one.id for one in people if one.publishing or one.id in offered}
        most = self._limiter.limits.tracks_per_call
        if most and len(sending) >= most and who not in sending:
            raise self._limiter.refusal("tracks_per_call")

    def _participant(self, seat: Seat) -> Participant:
        room = self._room(seat)
        if seat.participant is None:
            raise ContractError("forbidden", "watchers cannot do that; join the call")
        participant = room.participants.get(seat.participant)
        if participant is None:
            raise ContractError("conflict", "join a call first")
        return participant

    async def _sit(
        self, room: Room, seat: Seat, participant: Participant | None, since: int
    ) -> dict[str, Any]:
        """Take a seat, wholly or not at all; what its socket is told of the call."""
        try:
            await self._rooms.enter(room, seat)
            captions = await self.since(seat, since)
            await self._rooms.appear(room, seat, participant)
        except BaseException:
            await self._rooms.vacate(room, seat)
            raise
        return {**captions, **state_of(room.shared)}


def _created(now: SharedCall, settings: Mapping[str, Any]) -> SharedCall:
    """The call with the settings that were chosen; those it has, where none were."""
    kept = now.record.settings
    told = {name: value for name, value in kept.items() if name not in chosen(kept)}
    record = replace(now.record, settings={**(settings or chosen(kept)), **told})
    return replace(now, record=record, created=True)
