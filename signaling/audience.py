"""Whom a call reaches: the sockets of its seats here, in groups, and what they are told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Protocol

from captions.profanity import masked
from captions.types import Caption
from signaling.bus import Bus
from signaling.fanout import Fanout
from signaling.messages import Participant
from signaling.older_clients import Transcribed
from signaling.room import Room, Seat
from signaling.shared_call import MOVED, Person, SharedCall


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


def feed_group(call: str, feed: str, *, masked: bool = False) -> str:
    """Everybody who reads this feed, with swear words masked or as it is."""
    return f"feed/{call}/{feed}" + ("/masked" if masked else "")


def transcript_group(feed_group: str) -> str:
    """Those of them who are also told a `transcript` for each caption."""
    return f"{feed_group}/transcript"


def _group_of(seat: Seat) -> str:
    return feed_group(seat.call, seat.feed, masked=seat.masked)


def state_of(shared: SharedCall) -> dict[str, Any]:
    """The payload of `call:state`."""
    reason = {"reason": shared.reason} if shared.reason else {}
    return {"state": shared.state, "captioning": shared.captioning} | reason


class Audience:
    """The sockets in this gateway's calls. Its tasks belong to the owner's TaskGroup."""

    def __init__(self, bus: Bus, sockets: Sockets, tasks: asyncio.TaskGroup) -> None:
        self._sockets = sockets
        self._masked: dict[str, set[str]] = {}  # sockets, by the group that reads a feed masked
        self._transcribed: dict[str, Transcribed] = {}  # by the feed's group
        self.fanout = Fanout(bus, self._emit_caption, tasks)

    async def enter(self, seat: Seat) -> None:
        """What is published from now on reaches the seat."""
        await self.fanout.follow(seat.call, seat.feed)
        await self._sockets.enter(seat.socket, call_group(seat.call))
        await self._enter_feed(seat)

    async def leave(self, seat: Seat) -> None:
        """Nothing more reaches the seat."""
        self.fanout.unfollow(seat.call, seat.feed)
        await self._leave_feed(seat)
        await self._sockets.leave(seat.socket, call_group(seat.call))

    async def change_feed(self, seat: Seat, feed: str, *, masked: bool) -> None:
        """Let a seat read another feed, or read it otherwise."""
        await self.fanout.follow(seat.call, feed)
        await self._leave_feed(seat)
        self.fanout.unfollow(seat.call, seat.feed)
        seat.feed, seat.masked = feed, masked
        await self._enter_feed(seat)

    async def dismiss(self, room: Room) -> None:
        """The call has ended: everybody is told, behind the last caption."""
        await self.fanout.finish(room.call)
        await self._tell_state(room)
        for seat in list(room.seats.values()):
            await self._leave_feed(seat)
            await self._sockets.leave(seat.socket, call_group(seat.call))

    async def ask_for_offer(self, seat: Seat, reason: str) -> None:
        """Nobody has the participant's audio any more."""
        await self._sockets.emit("media:reoffer", {"reason": reason}, seat.socket)

    async def tell_changes(self, room: Room, before: SharedCall) -> None:
        """Tell everybody here what is new in the call since `before`."""
        now = room.shared
        for who, person in before.people.items():
            if who not in now.people:
                await self._tell_participant(room, "left", person.participant)
        for who, person in now.people.items():
            await self._tell_person(room, before.people.get(who), person)
        if state_of(now) != state_of(before):
            await self._tell_state(room)
        if now.node and before.epoch not in (0, now.epoch):
            await self._ask_for_offers(room)

    async def _tell_person(self, room: Room, before: Person | None, now: Person) -> None:
        # Who has just come is told in the acknowledgement.
        skip = now.socket if before is None or before.socket != now.socket else None
        known = before.participant if before else None
        event = "updated" if before else "joined"
        await self._tell_participant(room, event, now.participant, skip, known)

    async def _tell_participant(
        self,
        room: Room,
        event: str,
        participant: Participant,
        skip: str | None = None,
        known: Participant | None = None,
    ) -> None:
        """Tell whom it is news, where they are `known` as they were.

        Names of who is anonymous are for those in the call, who meet them: not for watchers.
        """
        if event == "left":
            participant = replace(participant, publishing=False)
        for seat in list(room.seats.values()):
            inside = seat.participant is not None
            wire = participant.to_wire() if inside else participant.to_outside()
            before = known and (known.to_wire() if inside else known.to_outside())
            if seat.socket != skip and wire != before:
                payload = {"event": event, "participant": wire}
                await self._sockets.emit("call:participant", payload, seat.socket)

    async def _ask_for_offers(self, room: Room) -> None:
        """The call has another node, which has nobody's audio yet."""
        for seat in list(room.seats.values()):
            if seat.participant and (seat.offered or seat.participant in room.shared.awaited):
                await self.ask_for_offer(seat, MOVED)

    async def _tell_state(self, room: Room) -> None:
        await self._sockets.emit("call:state", state_of(room.shared), call_group(room.call))

    async def _enter_feed(self, seat: Seat) -> None:
        group = _group_of(seat)
        if seat.masked:
            self._masked.setdefault(group, set()).add(seat.socket)
        await self._sockets.enter(seat.socket, group)
        if seat.transcripts_from_ms is not None:
            known = self._transcribed.setdefault(group, Transcribed(seat.transcripts_from_ms))
            known.sockets.add(seat.socket)
            await self._sockets.enter(seat.socket, transcript_group(group))

    async def _leave_feed(self, seat: Seat) -> None:
        """Also of a seat that did not get as far as to enter it."""
        group = _group_of(seat)
        readers = self._masked.get(group)
        if readers:
            readers.discard(seat.socket)
            if not readers:
                del self._masked[group]
        older = self._transcribed.get(group)
        if older:
            older.sockets.discard(seat.socket)
            if not older.sockets:
                del self._transcribed[group]
        if seat.transcripts_from_ms is not None:
            await self._sockets.leave(seat.socket, transcript_group(group))
        await self._sockets.leave(seat.socket, group)

    async def _emit_caption(self, caption: Caption) -> None:
        call, feed = caption.call, caption.feed
        await self._emit_to(feed_group(call, feed), caption)
        group = feed_group(call, feed, masked=True)
        if group in self._masked:
            await self._emit_to(group, masked(caption))

    async def _emit_to(self, group: str, caption: Caption) -> None:
        await self._sockets.emit("caption", caption.to_wire(), group)
        older = self._transcribed.get(group)
        if older:
            transcript = older.transcript(caption)
            await self._sockets.emit("transcript", transcript, transcript_group(group))
