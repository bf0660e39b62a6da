"""Participants who come by WHIP (RFC 9725): they send audio and have no socket.

A session is as alive as its participant is a guest of the call by it: when the node says that
the connection ended, or the call ends, it is over without anybody telling it so. Every gateway
knows it, since it is part of what is shared of the call.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from dataclasses import replace
from typing import Final
from weakref import WeakValueDictionary

from signaling.audio_only import AudioOffer, audio_only
from signaling.contained import contained
from signaling.errors import ContractError
from signaling.messages import Candidate, Participant
from signaling.room import Room
from signaling.rooms import Rooms
from signaling.sdpfrag import Fragment
from signaling.shared_call import Person, SharedCall, WhipSession
from signaling.tokens import Identity

MOST_SESSIONS: Final = 64
"""At a time in one call."""

MOST_REMEMBERED: Final = 256
"""Sessions whose connection ended first: OBS closes it and sends its `DELETE` then."""


class WhipSessions:
    """The sessions of all gateways. Every method raises `ContractError`, as `Calls` does."""

    def __init__(self, rooms: Rooms, most_remembered: int = MOST_REMEMBERED) -> None:
        self._rooms = rooms
        self._made: deque[WhipSession] = deque(maxlen=most_remembered)
        # Who leaves waits for their last word; who comes again meanwhile waits for that.
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def create(
        self, call: str, who: Identity, name: str | None, language: str | None, sdp: str
    ) -> tuple[WhipSession, str]:
        """Become a participant who sends; the session and the answer's SDP.

        Who is there by WHIP already goes on with the new connection, as after a restart.
        """
        offer = audio_only(sdp)
        self._rooms.check_draining()
        participant = who.subject or f"p-{secrets.token_hex(6)}"
        session = WhipSession(
            id=secrets.token_urlsafe(24),
            call=call,
            participant=participant,
            subject=who.subject,
            etag=f'"{secrets.token_hex(8)}"',
            mids=offer.mids,
            ufrags=offer.ufrags,
        )
        async with self._turn(call, participant), self._rooms.lock(call):
            room = await self._rooms.open(call, tenant=who.tenant)
            _check_place(room.shared, participant)
            await self._rooms.bill(room, participant, who.tenant)
            await self._rooms.place(room)
            joining = Participant(
                id=participant,
                name=who.name or name or "Guest",
                language=language or self._rooms.lifecycle.language(room.shared),
            )
            answer = await self._connect(room, joining, session, offer)
            for made in [m for m in self._made if _replaces(session, m)]:
                self._made.remove(made)
            self._made.append(session)
            return session, answer

    async def find(self, call: str, session_id: str) -> tuple[WhipSession, bool]:
        """The session, and whether it is alive; `not_found` otherwise.

        Some that are over are remembered for a while where they were made.
        """
        shared = await self._rooms.shared(call)
        for person in shared.people.values() if shared else ():
            if person.whip and person.whip.id == session_id:
                return person.whip, True
        for session in self._made:
            if (session.call, session.id) == (call, session_id):
                return session, False
        raise ContractError("not_found", "no such session")

    async def trickle(self, session: WhipSession, fragment: Fragment) -> None:
        """Add the candidates that are for the audio; others are skipped."""
        shared = await self._rooms.shared(session.call)
        if shared is None or not _is_alive(shared, session):
            raise ContractError("not_found", "the session is over")
        node, ref = self._rooms.lifecycle.node(shared), self._rooms.lifecycle.ref(shared)
        for mid, candidate in fragment.candidates:
            if mid is None or mid in session.mids:
                message = Candidate(candidate=candidate, sdpMLineIndex=0)
                await node.candidate(ref, session.participant, message)
        if fragment.ended:
            await node.candidate(ref, session.participant, Candidate(sdpMLineIndex=0))

    async def end(self, session: WhipSession) -> None:
        """End it; returns when the last word is final. Idempotent."""
        call = session.call
        async with self._turn(call, session.participant):
            if session in self._made:
                self._made.remove(session)
            shared = await self._rooms.shared(call)
            if not shared or not _is_alive(shared, session):
                return
            async with self._rooms.lock(call):
                room = await self._rooms.open(call)
                await self._rooms.dismiss_guest(room, session.participant)
            await self._rooms.lifecycle.close_media(room.shared, session.participant)

    def _turn(self, call: str, participant: str) -> asyncio.Lock:
        return self._turns.setdefault((call, participant), asyncio.Lock())

    async def _connect(
        self, room: Room, joining: Participant, session: WhipSession, offer: AudioOffer
    ) -> str:
        """Take them into the call and offer their audio to the node; the answer."""
        who = joining.id
        before = room.shared.people.get(who)
        person = before or Person(joining)
        if not person.seated:  # what they say on a socket stands above what they say here
            said = replace(person.participant, name=joining.name, language=joining.language)
            person = replace(person, participant=said)
        await self._rooms.welcome_guest(room, replace(person, guest=True, whip=session))
        lifecycle = self._rooms.lifecycle
        try:
            node, ref = lifecycle.node(room.shared), lifecycle.ref(room.shared)
            return offer.answer(await node.offer(ref, room.participants[who], offer.sdp))
        except BaseException:
            with contained("WHIP participant not dismissed"):
                if before and before.whip:
                    # Else the node says so, if the earlier connection is lost for it.
                    await self._rooms.welcome_guest(room, before)
                else:
                    await self._rooms.dismiss_guest(room, who)
                    await lifecycle.close_media(room.shared, who)
            raise


def _is_alive(shared: SharedCall, session: WhipSession) -> bool:
    person = shared.people.get(session.participant)
    return person is not None and person.whip == session


def _replaces(session: WhipSession, other: WhipSession) -> bool:
    return (session.call, session.participant) == (other.call, other.participant)


def _check_place(shared: SharedCall, who: str) -> None:
    person = shared.people.get(who)
    if person and person.whip:
        return
    if person and person.guest:
        raise ContractError("conflict", "this participant is in the call by its SFU")
    if person and person.participant.publishing:
        raise ContractError("conflict", "this participant sends audio already: media:close")
    if sum(1 for p in shared.people.values() if p.whip) >= MOST_SESSIONS:
        raise ContractError("overloaded", "too many WHIP sessions in this call", 5000)
