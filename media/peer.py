"""A WebRTC connection that only receives audio, each m-line a `Track`.

Whose m-line it is, its owner knows. Where an SFU gives an m-line to somebody else
(JSEP lets an inactive one be used again), the owner asks for a new track for it: neither
aiortc nor the packets would say so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import structlog
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.sdp import SessionDescription, candidate_from_sdp

from media.aiortc_private import agree_on_opus, deliver_rtp
from media.rtp import RtpPacket
from media.sdp import check_bundle, check_port
from media.track import Track
from signaling.errors import ContractError

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 10.0
"""Gathering on the host's own addresses takes milliseconds; a hang is a fault."""

_MOST_CANDIDATES: Final = 128
_ANY: Final[frozenset[int]] = frozenset()


class ReceivingPeer:
    """One connection. Used by one task at a time; `close` at any time."""

    def __init__(
        self,
        on_track: Callable[[str, Track], None] | None,
        on_ended: Callable[[], Awaitable[None]],
        ice_servers: Sequence[RTCIceServer] = (),
        *,
        dtls_passive: bool = False,
    ) -> None:
        """`on_track` takes the MID and track of each new m-line with audio, once.

        Without it there are no tracks but those that the owner asks for by `renew`.
        `on_ended` is called when the connection has failed or is closed, by either side.
        `dtls_passive` leaves the first word of DTLS to whoever offers: where they would drop
        ours, coming before they have finished ICE, it takes a second to be said again.
        """
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        self._tracks: dict[str, tuple[Track, frozenset[int]]] = {}
        self._dtls_passive = dtls_passive
        self._candidates = 0
        self._closed = False
        self._on_track = on_track
        self._on_ended = on_ended
        self.connection.on("track", self._announce)
        self.connection.on("connectionstatechange", self._state_changed)

    @property
    def connected(self) -> bool:
        """Whether media can arrive now."""
        return self.connection.connectionState == "connected"

    async def answer(self, sdp: str) -> str:
        """The answer to an offer whose size has been checked. `ContractError` on any fault."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
                agree_on_opus(self.connection, sdp)
                answer = await self.connection.createAnswer()
                if answer is None:
                    raise ContractError("conflict", "a newer offer took this one's place")
                if self._dtls_passive:
                    passive = answer.sdp.replace("a=setup:active\r\n", "a=setup:passive\r\n")
                    answer = RTCSessionDescription(passive, "answer")
                await self.connection.setLocalDescription(answer)
        except ContractError:
            raise
        except TimeoutError:
            raise ContractError("unavailable", "no answer could be made in time", 1000) from None
        except Exception as error:  # aiortc raises assertions and KeyErrors on odd offers
            raise ContractError("invalid", f"the offer cannot be used: {error!r:.200}") from None
        return str(self.connection.localDescription.sdp)

    async def offer(self) -> str:
        """An offer to receive one m-line of audio, Opus with FEC, its candidates in the SDP.

        `ContractError` `unavailable` where it cannot be made in time.
        """
        known = RTCRtpReceiver.getCapabilities("audio")
        assert known is not None  # of audio there always are some
        transceiver = self.connection.addTransceiver("audio", direction="recvonly")
        transceiver.setCodecPreferences(
            [c for c in known.codecs if c.mimeType.lower() == "audio/opus"]
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                made = await self.connection.createOffer()
                # RFC 7587, 6.1: whoever can use in-band FEC says so; aiortc does not.
                sdp = re.sub(
                    r"(a=rtpmap:(\d+) opus/.*\r\n)", r"\1a=fmtp:\2 useinbandfec=1\r\n", made.sdp
                )
                await self.connection.setLocalDescription(RTCSessionDescription(sdp, "offer"))
        except TimeoutError:
            raise ContractError("unavailable", "no offer could be made in time", 1000) from None
        return str(self.connection.localDescription.sdp)

    async def accept(self, sdp: str) -> None:
        """Connect by the answer, whose size has been checked, to our `offer`.

        `ContractError` `unavailable` on any fault: it is the server's.
        """
        try:
            check_bundle(SessionDescription.parse(sdp))
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        except Exception as error:  # as with offers
            message = f"the server's answer cannot be used: {error!r:.200}"
            raise ContractError("unavailable", message, 1000) from None

    async def add_candidate(self, candidate: Mapping[str, Any]) -> None:
        """As `take_candidate`, of a peer that nobody can tell of its odd candidates."""
        try:
            await self.take_candidate(candidate)
        except ContractError as error:
            log.info("candidate left out", why=error.logged)

    async def take_candidate(self, candidate: Mapping[str, Any]) -> None:
        """Add a remote candidate as `RTCIceCandidateInit` has it; nothing where it is the end.

        Names in `.local` are left out: nothing is looked up, and whoever hides their addresses
        behind them (a browser, mDNS) reaches us all the same, by checks that make
        peer-reflexive candidates (RFC 8445, 7.3.1.3). `ContractError` `rate_limited` or
        `invalid`.
        """
        text = candidate.get("candidate")
        if not text:
            return
        self._candidates += 1
        if self._candidates > _MOST_CANDIDATES:
            raise ContractError("rate_limited", "too many candidates", 1000)
        try:
            parsed = candidate_from_sdp(text.removeprefix("candidate:"))
            parsed.sdpMid = candidate.get("sdpMid")
            parsed.sdpMLineIndex = candidate.get("sdpMLineIndex")
            check_port(parsed)
            if not parsed.ip.endswith(".local"):
                await self.connection.addIceCandidate(parsed)
        except ContractError:
            raise
        except Exception as error:  # as with offers
            raise ContractError("invalid", f"not a candidate: {error!r:.200}") from None

    def renew(self, mid: str, ssrcs: frozenset[int] = _ANY) -> Track:
        """End the m-line's track; what arrives from now on is the new one's.

        Where `ssrcs` are given, only what comes by one of them: what belongs to whoever had
        the m-line before, or gets it next, is nobody's.
        """
        self.end(mid)
        track = Track()
        self._tracks[mid] = (track, ssrcs)
        return track

    def end(self, mid: str) -> None:
        """End the m-line's track; nobody gets what arrives until it is renewed."""
        track, _ = self._tracks.pop(mid, (None, None))
        if track:
            track.close()

    async def close(self) -> None:
        """Close the connection and end all tracks. Idempotent."""
        self._closed = True
        for mid in list(self._tracks):
            self.end(mid)
        await self.connection.close()

    def _announce(self, announced: MediaStreamTrack) -> None:
        if announced.kind != "audio" or self._closed:
            return
        for transceiver in self.connection.getTransceivers():
            if transceiver.receiver.track is announced:
                mid = str(transceiver.mid)
                deliver_rtp(
                    transceiver.receiver, partial(self._deliver, mid), partial(self.end, mid)
                )
                if self._on_track:
                    self._on_track(mid, self.renew(mid))

    def _deliver(self, mid: str, packet: RtpPacket) -> list[int]:
        track, ssrcs = self._tracks.get(mid, (None, _ANY))
        if track and (not ssrcs or packet.ssrc in ssrcs):
            return track.take(packet)
        return []

    async def _state_changed(self) -> None:
        if self.connection.connectionState in ("failed", "closed"):
            await self._on_ended()
