"""Participants who send their audio to the node themselves, by `media:offer`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from aiortc.sdp import candidate_from_sdp

from media.aiortc_private import deliver_rtp, take_opus_only
from media.sdp import check_port, checked_offer, ice_user
from media.track import Track
from signaling.errors import ContractError
from signaling.messages import Candidate

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 10.0
"""Gathering on the host's own addresses takes milliseconds; a hang is a fault."""

_MOST_CANDIDATES: Final = 128


@dataclass(frozen=True, slots=True)
class TrackStarted:
    """A participant's audio begins to arrive."""

    participant: str
    track: Track


@dataclass(frozen=True, slots=True)
class TrackEnded:
    """The participant's audio will not go on: closed, left, or their connection died."""

    participant: str
    track: Track


SourceEvent = TrackStarted | TrackEnded


@dataclass(slots=True)
class _Peer:
    connection: RTCPeerConnection
    ice_user: str
    tracks: list[Track] = field(default_factory=list)
    candidates: int = 0


class DirectSource:
    """The receive-only peer of each participant of one call."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}
        self._events: asyncio.Queue[SourceEvent | None] = asyncio.Queue()
        self._closed = False

    async def events(self) -> AsyncIterator[SourceEvent]:
        """What happens, until the source is closed."""
        while (event := await self._events.get()) is not None:
            yield event

    async def offer(self, participant: str, sdp: str) -> str:
        """Answer an offer; it replaces the participant's connection unless it continues it."""
        offer = checked_offer(sdp)
        if self._closed:
            raise ContractError("unavailable", "the call has ended")
        peer = self._peers.get(participant)
        if peer is None or peer.ice_user != ice_user(sdp):
            await self.close_peer(participant)
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            peer = self._peers[participant] = _Peer(connection, ice_user(sdp))
            self._watch(participant, peer)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await peer.connection.setRemoteDescription(offer)
                take_opus_only(peer.connection)
                answer = await peer.connection.createAnswer()
                if answer is None:
                    raise ContractError("conflict", "a newer offer took this one's place")
                await peer.connection.setLocalDescription(answer)
        except ContractError:
            raise
        except TimeoutError:
            await self.close_peer(participant)
            raise ContractError("unavailable", "no answer could be made in time", 1000) from None
        except Exception as error:  # aiortc raises assertions and KeyErrors on odd offers
            await self.close_peer(participant)
            raise ContractError("invalid", f"the offer cannot be used: {error!r:.200}") from None
        return str(peer.connection.localDescription.sdp)

    async def candidate(self, participant: str, message: Candidate) -> None:
        """Add a remote candidate; names in `.local` are left to ICE's own discovery."""
        peer = self._peers.get(participant)
        if peer is None:
            raise ContractError("conflict", "send an offer first")
        if not message.candidate:
            return
        peer.candidates += 1
        if peer.candidates > _MOST_CANDIDATES:
            raise ContractError("rate_limited", "too many candidates", 1000)
        try:
            candidate = candidate_from_sdp(message.candidate.removeprefix("candidate:"))
            candidate.sdpMid = message.sdpMid
            candidate.sdpMLineIndex = message.sdpMLineIndex
            check_port(candidate)
            # A browser hides its addresses behind mDNS names. Its checks reach us all the
            # same and make peer-reflexive candidates (RFC 8445, 7.3.1.3): no lookup needed.
            if not candidate.ip.endswith(".local"):
                await peer.connection.addIceCandidate(candidate)
        except ContractError:
            raise
        except Exception as error:  # as with offers
            raise ContractError("invalid", f"not a candidate: {error!r:.200}") from None

    async def close_peer(self, participant: str) -> None:
        """Close a participant's connection; idempotent."""
        peer = self._peers.pop(participant, None)
        if peer:
            self._end_tracks(participant, peer)
            await peer.connection.close()

    async def close(self) -> None:
        """Close all connections; `events` ends. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for participant in list(self._peers):
            await self.close_peer(participant)
        self._events.put_nowait(None)

    def _watch(self, participant: str, peer: _Peer) -> None:
        connection = peer.connection

        def on_track(announced: MediaStreamTrack) -> None:
            if announced.kind != "audio":
                return
            track = Track()
            for receiver in connection.getReceivers():
                if receiver.track is announced:
                    deliver_rtp(receiver, track.take, track.close)
            peer.tracks.append(track)
            self._events.put_nowait(TrackStarted(participant, track))

        async def on_state() -> None:
            if connection.connectionState in ("failed", "closed"):
                log.info("connection ended", state=connection.connectionState)
                if self._peers.get(participant) is peer:
                    await self.close_peer(participant)

        connection.on("track", on_track)
        connection.on("connectionstatechange", on_state)

    def _end_tracks(self, participant: str, peer: _Peer) -> None:
        for track in peer.tracks:
            self._events.put_nowait(TrackEnded(participant, track))
        peer.tracks.clear()
