"""Participants who come by WHIP (RFC 9725): they send audio and have no socket.

A session is as alive as its participant is a guest of its room: when the node says that the
connection ended, or the call ends, it is over without anybody telling it so.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from signaling.audio_only import AudioOffer, audio_only
from signaling.errors import ContractError
from signaling.messages import Candidate, Participant, Update
from signaling.room import Room
from signaling.rooms import Rooms, contained
from signaling.sdpfrag import Fragment
from signaling.tokens import Identity

MOST_SESSIONS: Final = 64
"""At a time in one call."""

_MOST_REMEMBERED: Final = 256
"""Sessions whose connection ended first: OBS closes it and sends its `DELETE` then."""


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One publisher. `subject` is of the token that made it; `etag` of its ICE session."""

    id: str
    participant: str
    subject: str | None
    etag: str
    offer: AudioOffer
    room: Room


class WhipSessions:
    """The sessions of this gateway. Every method raises `ContractError`, as `Calls` does."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sessions: dict[str, Session] = {}
        # Who leaves waits for their last word; who comes again meanwhile waits for that.
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def create(
        self, call: str, who: Identity, name: str | None, language: str | None, sdp: str
    ) -> tuple[Session, str]:
        """Become a participant who sends; the session and the answer's SDP.

        Who is there by WHIP already goes on with the new connection, as after a restart.
        """
        offer = audio_only(sdp)
        self._rooms.check_draining()
        participant = who.subject or f"p-{secrets.token_hex(6)}"
        async with self._turn(call, participant), self._rooms.lock(call):
            room = self._rooms.live.get(call) or await self._rooms.open(call, {})
            self._check_place(room, participant)
            await self._rooms.place(room)
            joining = Participant(
                id=participant,
                name=who.name or name or "Guest",
                language=language or str(room.record.settings.get("language", "auto")),
            )
            answer = await self._connect(room, joining, offer)
            session = Session(
                id=secrets.token_urlsafe(24),
                participant=participant,
                subject=who.subject,
                etag=f'"{secrets.token_hex(8)}"',
                offer=offer,
                room=room,
            )
            self._remember(session)
            return session, answer

    def find(self, call: str, session_id: str) -> Session:
        """The session, alive or remembered; `not_found` otherwise."""
        session = self._sessions.get(session_id)
        if session is None or session.room.call != call:
            raise ContractError("not_found", "no such session")
        return session

    def is_alive(self, session: Session) -> bool:
        """Whether its participant is still in the call."""
        room = session.room
        return self._rooms.live.get(room.call) is room and session.participant in room.guests

    async def trickle(self, session: Session, fragment: Fragment) -> None:
        """Add the candidates that are for the audio; others are skipped."""
        room = session.room
        if not self.is_alive(session):
            raise ContractError("not_found", "the session is over")
        node = self._rooms.node(room)
        for mid, candidate in fragment.candidates:
            if mid is None or mid in session.offer.mids:
                message = Candidate(candidate=candidate, sdpMLineIndex=0)
                await node.candidate(self._rooms.ref(room), session.participant, message)
        if fragment.ended:
            ending = Candidate(sdpMLineIndex=0)
            await node.candidate(self._rooms.ref(room), session.participant, ending)

    async def end(self, session: Session) -> None:
        """End it; returns when the last word is final. Idempotent."""
        room = session.room
        async with self._turn(room.call, session.participant):
            if self._sessions.pop(session.id, None) is None or not self.is_alive(session):
                return
            async with self._rooms.lock(room.call):
                await self._rooms.dismiss_guest(room, session.participant)
            with contained("media not closed"):
                await self._rooms.node(room).close_media(self._rooms.ref(room), session.participant)

    def _turn(self, call: str, participant: str) -> asyncio.Lock:
        return self._turns.setdefault((call, participant), asyncio.Lock())

    def _check_place(self, room: Room, who: str) -> None:
        mine = [s for s in self._sessions.values() if s.room is room and self.is_alive(s)]
        if any(session.participant == who for session in mine):
            return
        if who in room.guests:
            raise ContractError("conflict", "this participant is in the call by its SFU")
        if who in room.participants and room.participants[who].publishing:
            raise ContractError("conflict", "this participant sends audio already: media:close")
        if len(mine) >= MOST_SESSIONS:
            raise ContractError("overloaded", "too many WHIP sessions in this call", 5000)

    async def _connect(self, room: Room, participant: Participant, offer: AudioOffer) -> str:
        """Take them into the call and offer their audio to the node; the answer."""
        who = participant.id
        again = who in room.guests
        if not again:
            await self._rooms.welcome_guest(room, participant)
        elif not room.seat_of(who):
            changes = Update(name=participant.name, language=participant.language)
            await self._rooms.change(room, who, changes)
        node, ref = self._rooms.node(room), self._rooms.ref(room)
        try:
            return offer.answer(await node.offer(ref, room.participants[who], offer.sdp))
        except BaseException:
            if not again:  # else the node says so, if the earlier connection is lost for it
                await self._rooms.dismiss_guest(room, who)
                with contained("media not closed"):
                    await node.close_media(ref, who)
            raise

    def _remember(self, session: Session) -> None:
        """Keep it instead of what it replaces, and forget the oldest that are over."""
        kept = [
            s
            for s in self._sessions.values()
            if s.room is not session.room or s.participant != session.participant
        ]
        over = [s for s in kept if not self.is_alive(s)]
        forgotten = {s.id for s in over[:-_MOST_REMEMBERED]}
        self._sessions = {s.id: s for s in kept if s.id not in forgotten}
        self._sessions[session.id] = session
