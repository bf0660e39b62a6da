"""The rooms of this gateway: they follow their calls, and have its sockets in them.

Whoever changes who sits in a room holds its lock (`Rooms.lock`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from weakref import WeakValueDictionary

import structlog

from signaling.audience import Audience, Sockets
from signaling.bus import Bus
from signaling.contained import contained
from signaling.errors import ContractError, Unreachable
from signaling.lifecycle import CallEnded, Lifecycle
from signaling.messages import Participant, Update
from signaling.presence import Presence
from signaling.room import Room, Seat
from signaling.shared_call import (
    Person,
    SharedCall,
    billed,
    interrupted,
    settled,
    unseated,
    with_person,
    with_readers,
    with_watchers,
    without_guest,
)
from signaling.sources import AnySource
from signaling.transcripts import Transcripts

log = structlog.get_logger(__name__)

_AGAIN_SECONDS: Final = 0.5
"""How soon a call is followed again that could not be."""

BACK: Final = "the server was away for a moment"


class Rooms:
    """Its tasks belong to the owner's TaskGroup."""

    def __init__(
        self,
        *,
        gateway: str,
        bus: Bus,
        presence: Presence,
        lifecycle: Lifecycle,
        transcripts: Transcripts,
        sockets: Sockets,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`gateway` is this gateway's id among all."""
        self.gateway = gateway
        self.lifecycle = lifecycle
        self.audience = Audience(bus, sockets, tasks)
        self.live: dict[str, Room] = {}
        self.draining = False
        self._presence = presence
        self._transcripts = transcripts
        self._tasks = tasks
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._followers: dict[str, asyncio.Task[None]] = {}

    def lock(self, call: str) -> asyncio.Lock:
        """The lock of a call; it lives as long as somebody holds or awaits it."""
        return self._locks.setdefault(call, asyncio.Lock())

    def check_draining(self) -> None:
        """Raise `ContractError` `unavailable` where no room may open any more."""
        if self.draining:
            raise ContractError("unavailable", "the server is going down", 1000)

    async def shared(self, call: str) -> SharedCall | None:
        """The call as it is, None where it is over."""
        room = self.live.get(call)
        return room.shared if room else await self._presence.read(call)

    # --- opening and ending -------------------------------------------------------------

    async def open(
        self, call: str, settings: dict[str, Any] | None = None, tenant: str = ""
    ) -> Room:
        """The call's room here; the call begins, or goes on, where nobody is in it anywhere.

        `tenant` is of whose token that happens with.
        """
        there = self.live.get(call)
        if there and there.shared.ending_since_ms is not None:
            await self.lifecycle.gone(call)
            await self.take(there, None)
        elif there:
            return there
        return await self._opened(
            await self.lifecycle.begin(call, settings or {}, self.check_draining, tenant)
        )

    async def going_on(self, call: str) -> SharedCall | None:
        """The newest version of a call that goes on; None where it is over, or ending."""
        shared = await self._presence.read(call)
        return None if shared is None or shared.ending_since_ms is not None else shared

    async def find(self, call: str) -> Room | None:
        """The room here of a call that goes on; None where it is over, or ending."""
        shared = await self.going_on(call)
        if shared is None:
            return None
        if call in self.live:
            return self.live[call]
        self.check_draining()
        return await self._opened(shared)

    async def _opened(self, shared: SharedCall) -> Room:
        call = shared.call
        room = self.live[call] = Room(shared)
        following = asyncio.Event()
        self._followers[call] = self._tasks.create_task(self._follow(room, following))
        await following.wait()
        if self.live.get(call) is not room:
            raise CallEnded
        return room

    async def place(self, room: Room) -> None:
        """Give the call a node, and remember it: from now on it counts as begun."""
        waits = room.shared.state == "recovering" and room.shared.source.kind != "direct"
        if room.shared.node is None and not waits:  # for a node that joins its SFU, too
            await self.take(room, await self.lifecycle.place(room.call))

    async def bill(self, room: Room, who: str, tenant: str) -> None:
        """Remember by whose token somebody comes in, before they can be heard."""
        if billed(room.shared, who, tenant) != room.shared:
            await self.change(room, lambda now: billed(now, who, tenant))

    async def start(self, room: Room, source: AnySource) -> None:
        """Join the (placed) call at its SFU; `ContractError` where that fails."""
        shared = room.shared
        node, ref = self.lifecycle.node(shared), self.lifecycle.ref(shared)
        details = await node.start(ref, source, self.lifecycle.language(shared))
        await self.change(
            room, lambda now: settled(replace(now, source=source, source_details=dict(details)))
        )

    async def close(self, room: Room) -> None:
        """End the call for everybody; every last word becomes final and is sent first."""
        await self.lifecycle.end(room.call)
        await self.take(room, None)

    async def restore(self) -> None:
        """What was shared is lost: bring back what this gateway knows of it."""
        for room in list(self.live.values()):
            with contained("call not restored"):
                await self._restore(room)

    async def _restore(self, room: Room) -> None:
        known = room.shared

        def restored(now: SharedCall | None) -> SharedCall:
            if now is None or now.version < known.version:
                return replace(known, reopen=True)
            mine = {
                who: person
                for who, person in known.people.items()
                if person.gateway == self.gateway and who not in now.people
            }
            watched_by = now.watched_by | (known.watched_by & {self.gateway})
            now = replace(now, people={**now.people, **mine}, watched_by=watched_by)
            return settled(with_readers(now, self.gateway, room.feeds))

        await self.take(room, await self._presence.change(room.call, restored))

    async def desert(self, room: Room) -> None:
        """This gateway goes and the call does not: follow it no longer, change nothing of it."""
        for seat in list(room.seats.values()):
            await self._clear(room, seat)
        self._unfollow(room)

    # --- who is in it -------------------------------------------------------------------

    async def enter(self, room: Room, seat: Seat) -> None:
        """Take a seat that nobody knows of yet: what is published from now on reaches it."""
        before = room.seat_of(seat.participant) if seat.participant else None
        if before:  # the same person again: a reload, or a connection that died unseen
            await self._clear(room, before)
        room.seats[seat.socket] = seat
        await self.audience.enter(seat)

    async def appear(self, room: Room, seat: Seat, participant: Participant | None) -> None:
        """Tell everybody of a seat. None of a watcher's.

        Who is in the call already goes on where they were: after a reload, from another
        gateway, or beside their presence at an SFU.
        """
        if participant is None:
            await self._tell_watchers(room)
        else:
            await self._appear(room, seat, participant)
        seat.taken = True
        await self.tell_readers(room)

    async def _appear(self, room: Room, seat: Seat, joining: Participant) -> None:
        known = joining.id in room.shared.people

        def seated(now: SharedCall) -> SharedCall:
            person = now.people.get(joining.id) or Person(joining)
            known_as = person.participant
            who = replace(
                joining,
                publishing=known_as.publishing,
                interrupted_at_ms=known_as.interrupted_at_ms,
                # What they did not want they still do not want: their audio may go on meanwhile.
                captioned=known_as.captioned,
                anonymous=known_as.anonymous,
            )
            return with_person(
                now,
                replace(person, participant=who, gateway=self.gateway, socket=seat.socket),
            )

        await self.change(room, seated)
        if known and room.shared.ref:
            who = room.participants[joining.id]
            with contained("somebody not described to the node"):  # it may just be dying
                await self.lifecycle.node(room.shared).update(room.shared.ref, who)

    async def vacate(self, room: Room, seat: Seat) -> None:
        """Empty a seat; what its participant was saying becomes final behind this.

        Who is a guest besides stays in the call.
        """
        if room.seats.get(seat.socket) is not seat:
            return
        await self._clear(room, seat)
        with contained("readers not told"):
            await self.tell_readers(room)
        who = seat.participant
        if who is None:
            with contained("watchers not counted"):
                await self._tell_watchers(room)
        else:
            before = room.shared
            person = before.people.get(who)
            mine = person is not None and person.socket == seat.socket
            with contained("leaving not told"):
                await self.change(room, lambda now: unseated(now, who, self.gateway, seat.socket))
            if mine and person and not person.whip:
                # Nobody waits for the last words of who leaves, least of all the lock.
                self._tasks.create_task(self.lifecycle.close_media(before, who))
        self._unfollow_unused(room)

    async def welcome_guest(self, room: Room, person: Person) -> None:
        """Somebody is in the call without a socket, or besides."""
        room.kept = True
        await self.change(room, lambda now: with_person(now, person))

    async def dismiss_guest(self, room: Room, who: str) -> None:
        """A guest is gone; who has a socket besides stays in the call. Idempotent."""
        await self.change(room, lambda now: without_guest(now, who))

    async def describe(self, room: Room, who: str, message: Update) -> None:
        """Take what a participant says of themselves to the node and to everybody."""
        before = room.participants[who]
        after = before.updated(message)
        if after == before:
            return
        if room.shared.ref:
            await self.lifecycle.node(room.shared).update(room.shared.ref, after)

        def described(now: SharedCall) -> SharedCall:
            person = now.people.get(who)
            if person is None:
                return now
            # Meanwhile the node may have said that audio began or ceased to arrive.
            return with_person(
                now, replace(person, participant=person.participant.updated(message))
            )

        await self.change(room, described)
        wishes = {message.captioned, message.anonymous} != {None}
        if wishes and room.shared.ref and who in room.participants:
            # By the version that has it: an offer of before may have come in between.
            with contained("a wish not told once more"):  # the node reads it in the call, too
                node = self.lifecycle.node(room.shared)
                await node.update(room.shared.ref, room.participants[who])

    # --- following ----------------------------------------------------------------------

    async def change(self, room: Room, transition: Callable[[SharedCall], SharedCall]) -> None:
        """Change the call for everybody; `conflict` where it is over."""

        def checked(now: SharedCall | None) -> SharedCall:
            if now is None or now.ending_since_ms is not None:
                raise CallEnded
            return transition(now)

        await self.take(room, await self._presence.change(room.call, checked))

    async def set(
        self, call: str, transition: Callable[[SharedCall | None], SharedCall]
    ) -> SharedCall:
        """Change a call, whether or not this gateway has anybody in it."""
        shared = await self._presence.change(call, transition)
        if shared is None:
            raise CallEnded
        room = self.live.get(call)
        if room:
            await self.take(room, shared)
        return shared

    async def take(self, room: Room, shared: SharedCall | None) -> None:
        """Take a version of the call, and tell the sockets here what is new; None: it is over."""
        async with room.taking:
            if self.live.get(room.call) is not room:
                return
            if shared is None:
                await self._over(room)
            elif shared.version > room.shared.version:
                before, room.shared = room.shared, shared
                await self._unseat_moved(room, before)
                await self.audience.tell_changes(room, before)
                self._remember(room.call, before.people, shared.people)
                if shared.ending_since_ms == 0 and before.ending_since_ms is None:
                    self._tasks.create_task(self._end(room.call))

    def _remember(self, call: str, before: Mapping[str, Person], now: Mapping[str, Person]) -> None:
        """Keep who was in the call: those who are here, and those whom no gateway has."""
        news = [
            now.get(who) or before[who]
            for who in before.keys() | now.keys()
            if _speaker(before.get(who)) != _speaker(now.get(who))
        ]
        seen = [p.participant for p in news if p.gateway in (None, self.gateway)]
        if seen:
            self._tasks.create_task(self._transcripts.remember(call, seen))

    async def _end(self, call: str) -> None:
        with contained("call that is over at its SFU not ended"):
            await self.lifecycle.end(call)

    async def _unseat_moved(self, room: Room, before: SharedCall) -> None:
        """Participants who sit elsewhere by now sit here no longer.

        Those whom others took for gone, since they took this gateway for dead, are back.
        """
        for seat in list(room.seats.values()):
            if not seat.taken or seat.participant is None:
                continue
            person, known = (call.people.get(seat.participant) for call in (room.shared, before))
            if person is None and known:
                who = known.participant
                if who.publishing:  # their audio was closed then; versions are times
                    who = interrupted(who, room.shared.version // 1000)
                self._tasks.create_task(self._return(room, seat, who))
            elif person and (person.gateway, person.socket) != (self.gateway, seat.socket):
                await self._clear(room, seat)
        watched = self.gateway in before.watched_by - room.shared.watched_by
        if (room.has_watchers and watched) or self._reads_otherwise(room):
            self._tasks.create_task(self._return(room, None, None))

    async def _return(self, room: Room, seat: Seat | None, participant: Participant | None) -> None:
        async with self.lock(room.call):
            if self.live.get(room.call) is room and not self.draining:
                with contained("somebody taken for gone not back"):
                    if seat is None or participant is None:
                        await self._tell_watchers(room)
                        await self.tell_readers(room)
                    elif room.seats.get(seat.socket) is seat:
                        await self._reappear(room, seat, participant)

    async def _reappear(self, room: Room, seat: Seat, participant: Participant) -> None:
        """Let somebody be in the call again, but for who came back by another gateway already."""
        me = Person(participant, gateway=self.gateway, socket=seat.socket)

        def seated(now: SharedCall) -> SharedCall:
            return now if participant.id in now.people else with_person(now, me)

        await self.change(room, seated)
        person = room.shared.people.get(participant.id)
        if seat.offered and person and person.socket == seat.socket:
            await self.audience.ask_for_offer(seat, BACK)

    async def _clear(self, room: Room, seat: Seat) -> None:
        room.seats.pop(seat.socket, None)
        await self.audience.leave(seat)

    async def _tell_watchers(self, room: Room) -> None:
        any_left = room.has_watchers
        if (self.gateway in room.shared.watched_by) != any_left:
            await self.change(room, lambda now: with_watchers(now, self.gateway, any_left=any_left))

    async def tell_readers(self, room: Room) -> None:
        """Tell the call's node what is read here, where that has changed."""
        if self._reads_otherwise(room):
            feeds = room.feeds
            await self.change(room, lambda now: with_readers(now, self.gateway, feeds))

    def _reads_otherwise(self, room: Room) -> bool:
        return room.shared.reads.get(self.gateway, frozenset()) != room.feeds

    def _unfollow_unused(self, room: Room) -> None:
        """A call that goes on elsewhere is none of this gateway's business any more."""
        if not room.seats and not room.kept and not room.shared.empty:
            self._unfollow(room)

    def _unfollow(self, room: Room) -> None:
        if self.live.get(room.call) is room:
            del self.live[room.call]
            self._followers.pop(room.call).cancel()

    async def _over(self, room: Room) -> None:
        del self.live[room.call]
        self._remember(room.call, room.shared.people, {})
        room.shared = replace(room.shared, state="ended", reason=None, people={})
        await self.audience.dismiss(room)
        room.seats.clear()
        follower = self._followers.pop(room.call)
        if follower is not asyncio.current_task():
            follower.cancel()
            await asyncio.wait({follower})

    async def _follow(self, room: Room, following: asyncio.Event) -> None:
        while self.live.get(room.call) is room:
            try:
                async with self._presence.follow(room.call) as versions:
                    following.set()
                    await self.take(room, await self._presence.read(room.call))
                    async for shared in versions:
                        await self.take(room, shared)
            except Unreachable:
                log.info("call not followed: what is shared is out of reach")
            except Exception:  # one call's fault must not be another's
                log.exception("call not followed")
            following.set()
            if self.live.get(room.call) is room:
                await asyncio.sleep(_AGAIN_SECONDS)


def _speaker(person: Person | None) -> str | None:
    return person.participant.speaker if person else None
