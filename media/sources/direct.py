"""Participants who send their audio to the node themselves: `media:offer`, and WHIP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from captions.types import Caption
from media.peer import ReceivingPeer
from media.sdp import checked_offer, ice_user
from media.source import Connected, Joined, Left, Tell, TrackEnded, TrackStarted
from media.track import Track
from signaling.errors import ContractError
from signaling.messages import Candidate, Participant

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 30.0
"""How long an answered offer may take to connect: ICE by itself waits for ever."""


@dataclass(slots=True)
class _Sender:
    """One participant's connection."""

    ice_user: str
    tracks: list[Track] = field(default_factory=list)
    expected: asyncio.Task[None] | None = None


class DirectSource:
    """The receive-only peer of each participant of one call. See `CallSource`."""

    def __init__(self, connect_seconds: float = CONNECT_SECONDS) -> None:
        self._connect_seconds = connect_seconds
        self._tasks = asyncio.TaskGroup()
        self._tell: Tell | None = None
        self._running = asyncio.Event()
        self._senders: dict[str, tuple[_Sender, ReceivingPeer]] = {}
        self._closed = asyncio.Event()

    @property
    def tracks(self) -> set[Track]:
        """The tracks that are open."""
        return {track for sender, _ in self._senders.values() for track in sender.tracks}

    async def run(self, tell: Tell) -> None:
        """See `CallSource`."""
        self._tell = tell
        tell(Connected())
        async with self._tasks:
            self._running.set()
            try:
                await self._closed.wait()
            finally:
                for participant in list(self._senders):
                    await self.close_peer(participant)

    async def send(self, caption: Caption) -> None:
        """Participants read their captions from the gateway."""

    async def close(self) -> None:
        """See `CallSource`."""
        self._closed.set()

    async def offer(self, participant: Participant, sdp: str) -> str:
        """Answer an offer; it replaces the participant's connection unless it continues it.

        Waits until `run` has begun.
        """
        await self._running.wait()
        checked_offer(sdp)
        if self._closed.is_set() or self._tell is None:
            raise ContractError("unavailable", "the call has ended")
        sender, peer = self._senders.get(participant.id, (None, None))
        if sender is None or peer is None or sender.ice_user != ice_user(sdp):
            known = await self._drop(participant.id)
            if not known:
                self._tell(Joined(participant.id, participant.name, participant.language))
            sender, peer = self._connect(participant.id, ice_user(sdp), self._tell)
        try:
            return await peer.answer(sdp)
        except ContractError as error:
            if error.code != "conflict":
                await self.close_peer(participant.id)
            raise

    async def candidate(self, participant: str, message: Candidate) -> None:
        """Add a remote candidate; see `ReceivingPeer.take_candidate`."""
        if participant not in self._senders:
            raise ContractError("conflict", "send an offer first")
        _, peer = self._senders[participant]
        await peer.take_candidate(message.model_dump())

    async def close_peer(self, participant: str) -> None:
        """Close a participant's connection; idempotent."""
        if await self._drop(participant) and self._tell and participant not in self._senders:
            self._tell(Left(participant))  # unless they came again while this closed

    async def _expect(self, participant: str, sender: _Sender, peer: ReceivingPeer) -> None:
        await asyncio.sleep(self._connect_seconds)
        if self._senders.get(participant, (None, None))[0] is sender and not peer.connected:
            log.info("never connected")
            await self.close_peer(participant)

    async def _drop(self, participant: str) -> bool:
        """Close a participant's connection, whether or not they have left; False for none."""
        sender, peer = self._senders.pop(participant, (None, None))
        if not sender or not peer or not self._tell:
            return False
        for track in sender.tracks:
            self._tell(TrackEnded(participant, track))
        if sender.expected and sender.expected is not asyncio.current_task():
            sender.expected.cancel()
        await peer.close()
        return True

    def _connect(self, participant: str, user: str, tell: Tell) -> tuple[_Sender, ReceivingPeer]:
        sender = _Sender(user)

        def on_track(mid: str, track: Track) -> None:  # noqa: ARG001 - all are the participant's
            sender.tracks.append(track)
            tell(TrackStarted(participant, track))

        async def on_ended() -> None:
            if self._senders.get(participant, (None, None))[0] is sender:
                log.info("connection ended", state=peer.connection.connectionState)
                await self.close_peer(participant)

        peer = ReceivingPeer(on_track, on_ended)
        self._senders[participant] = (sender, peer)
        sender.expected = self._tasks.create_task(self._expect(participant, sender, peer))
        return sender, peer
