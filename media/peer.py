"""A WebRTC connection that only receives audio, each m-line a `Track`.

Whose m-line it is, its owner knows. Where an SFU gives an m-line to somebody else
(JSEP lets an inactive one be used again), the owner asks for a new track for it: neither
aiortc nor the packets would say so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)

from media.aiortc_private import deliver_rtp, take_opus_only
from media.rtp import RtpPacket
from media.track import Track
from signaling.errors import ContractError

ANSWER_SECONDS: Final = 10.0
"""Gathering on the host's own addresses takes milliseconds; a hang is a fault."""


class ReceivingPeer:
    """One connection. Used by one task at a time; `close` at any time."""

    def __init__(
        self,
        on_track: Callable[[str, Track], None],
        on_ended: Callable[[], Awaitable[None]],
        ice_servers: Sequence[RTCIceServer] = (),
    ) -> None:
        """`on_track` takes the MID and track of each new m-line with audio, once.

        `on_ended` is called when the connection has failed or is closed, by either side.
        """
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        self._tracks: dict[str, Track] = {}
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
                take_opus_only(self.connection)
                answer = await self.connection.createAnswer()
                if answer is None:
                    raise ContractError("conflict", "a newer offer took this one's place")
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
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        except Exception as error:  # as with offers
            message = f"the server's answer cannot be used: {error!r:.200}"
            raise ContractError("unavailable", message, 1000) from None

    def renew(self, mid: str) -> Track:
        """End the m-line's track; what arrives from now on is the new one's."""
        self.end(mid)
        self._tracks[mid] = Track()
        return self._tracks[mid]

    def end(self, mid: str) -> None:
        """End the m-line's track; nobody gets what arrives until it is renewed."""
        track = self._tracks.pop(mid, None)
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
                self._on_track(mid, self.renew(mid))

    def _deliver(self, mid: str, packet: RtpPacket) -> None:
        track = self._tracks.get(mid)
        if track:
            track.take(packet)

    async def _state_changed(self) -> None:
        if self.connection.connectionState in ("failed", "closed"):
            await self._on_ended()
