"""A receiver on a real ICE and DTLS transport, with real SRTP, whose network is a function."""

from __future__ import annotations

import asyncio
import os
import time

from aiortc import (
    RTCCertificate,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
    RTCRtpReceiver,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import SRTP_PROFILES, State
from aiortc.rtcrtpparameters import (
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpReceiveParameters,
)
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtp import RTCP_RTPFB_NACK, RtcpPacket, RtcpRtpfbPacket
from aiortc.rtp import RtpPacket as WirePacket
from av import AudioResampler
from pylibsrtp import Policy, Session

from media import aiortc_private
from media.aiortc_private import deliver_rtp
from media.rtp import RtpPacket
from media.track import Track

PAYLOAD_TYPE = 96
SSRC = 7

PARAMETERS = RTCRtpReceiveParameters(
    codecs=[
        RTCRtpCodecParameters(
            mimeType="audio/opus", clockRate=48_000, channels=2, payloadType=PAYLOAD_TYPE
        )
    ],
    muxId="0",
    rtcp=RTCRtcpParameters(),
)


class Receiving:
    """A receiver on a transport whose other end is `arrive`; what came out is in `heard`.

    What it asks for again comes `round_trip_seconds` later, if `resend` has it.
    """

    def __init__(
        self, kind: str, certificate: RTCCertificate, round_trip_seconds: float | None = None
    ) -> None:
        self.kind = kind
        self.resend: dict[int, bytes] = {}
        self._round_trip_seconds = round_trip_seconds
        self.heard: list[tuple[int, int, float]] = []  # start, samples, when
        ice = RTCIceTransport(RTCIceGatherer(iceServers=[]))
        ice._send = self._send
        self._ice_connection = ice._connection
        self._ice_connection._nominated = {1: None}  # as good as connected
        profile = SRTP_PROFILES[0]
        key = os.urandom(profile.key_length + profile.salt_length)
        self._protect = self._session(key, Policy.SSRC_ANY_OUTBOUND).protect
        self._transport = transport = RTCDtlsTransport(ice, [certificate])
        transport._rx_srtp = self._session(key, Policy.SSRC_ANY_INBOUND)
        transport._tx_srtp = self._session(key, Policy.SSRC_ANY_OUTBOUND)
        self._unprotect_rtcp = self._session(key, Policy.SSRC_ANY_INBOUND).unprotect_rtcp
        transport._state = State.CONNECTED
        transport._RTCDtlsTransport__handshake_done = True
        self._receiver = RTCRtpReceiver("audio", transport)
        self._receiver._track = RemoteStreamTrack("audio")
        self._receiver._set_rtcp_ssrc(1)
        setattr(self._receiver, aiortc_private._MAY_ASK, round_trip_seconds is not None)
        self.track = Track()

    @staticmethod
    def _session(key: bytes, direction: int) -> Session:
        return Session(
            Policy(key=key, ssrc_type=direction, srtp_profile=SRTP_PROFILES[0].libsrtp_profile)
        )

    async def _send(self, data: bytes) -> None:
        """Receiver reports go nowhere, but are made."""
        if self._round_trip_seconds is None:
            return
        for packet in RtcpPacket.parse(self._unprotect_rtcp(data)):
            if isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
                for datagram in filter(None, (self.resend.pop(n, None) for n in packet.lost)):
                    loop = asyncio.get_running_loop()
                    loop.call_later(self._round_trip_seconds, self.arrive, datagram)

    async def start(self) -> None:
        if self.kind != "aiortc":
            deliver_rtp(self._receiver, self.track.take, self.track.close)
        await self._receiver.receive(PARAMETERS)
        self._tasks = [
            asyncio.ensure_future(self._transport._RTCDtlsTransport__run()),
            asyncio.ensure_future(
                self._hear_aiortc() if self.kind == "aiortc" else self._hear_own()
            ),
        ]

    async def stop(self) -> None:
        await self._receiver.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def protected(self, packet: RtpPacket) -> bytes:
        wire = WirePacket(
            PAYLOAD_TYPE, 0, packet.sequence_number, packet.timestamp, SSRC, packet.payload
        )
        return self._protect(wire.serialize())

    def arrive(self, datagram: bytes) -> None:
        self._ice_connection.data_received(datagram, 1)

    async def _hear_own(self) -> None:
        async for chunk in self.track:
            self.heard.append((chunk.start, len(chunk.samples), time.monotonic()))

    async def _hear_aiortc(self) -> None:
        resampler, expected = None, None
        while True:
            try:
                frame = await self._receiver.track.recv()
            except MediaStreamError:
                return
            if frame.pts != expected:
                resampler = AudioResampler(format="s16", layout="mono", rate=16_000)
            expected = frame.pts + frame.samples
            start = frame.pts // 3
            for resampled in resampler.resample(frame):
                samples = resampled.to_ndarray()[0].copy()
                self.heard.append((start, len(samples), time.monotonic()))
                start += len(samples)
