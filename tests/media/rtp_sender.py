"""Who sends plain RTP to a port: an SFU's side of the `rtp` source, over real UDP."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self

from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket
from aiortc.rtp import RtpPacket as WirePacket
from pylibsrtp import Policy, Session

from media.rtp import RtpPacket
from media.source import Connected, SourceEvent, Tell
from media.sources.rtp import RtpSource
from media.srtp import _SUITES, master_key
from signaling.sources import Rtp, Srtp
from tests.media.packets import stream, sweep_payloads
from tests.media.source_contract import Ear, listening

PAYLOAD_TYPE = 111
HERE = "127.0.0.1"
LAST = 999_001


class Clock:
    """Real time, which a test can let leap."""

    def __init__(self) -> None:
        self.leapt_seconds = 0.0
        self._stopped_at: float | None = None

    def __call__(self) -> float:
        real = time.monotonic() if self._stopped_at is None else self._stopped_at
        return real + self.leapt_seconds

    def stop(self) -> None:
        """Time passes by leaps only."""
        self._stopped_at = time.monotonic()


class Port:
    """A source for a test's settings, and where it listens once it is connected."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.settings = Rtp(**settings)
        self.address: tuple[str, int] | None = None
        self.connected = asyncio.Event()
        self.source = self.new_source()

    def new_source(self) -> RtpSource:
        port = self

        class Announcing(RtpSource):
            async def run(self, tell: Tell) -> None:
                def tell_both(event: SourceEvent) -> None:
                    if isinstance(event, Connected):
                        port.address = (event.details["address"], event.details["port"])
                        port.connected.set()
                    tell(event)

                await super().run(tell_both)

        self.source = Announcing(self.settings, [HERE], clock=self.clock)
        return self.source

    async def leap(self, seconds: float) -> None:
        """So much time passes at once, behind all that has been sent."""
        for _ in range(5):  # turns of the loop, in which it is read
            await asyncio.sleep(0)
        self.clock.leapt_seconds += seconds


class Sender:
    """A UDP socket, whose packets are protected where there are keys."""

    def __init__(
        self,
        port: Port,
        srtp: Srtp | None = None,
        host: str = HERE,
        payload_type: int = PAYLOAD_TYPE,
    ) -> None:
        self._port = port
        self._payload_type = payload_type
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, 0))
        self.address = self._socket.getsockname()
        self._session = session(srtp) if srtp else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send_bytes(self, data: bytes) -> None:
        if self._port.address:
            self._socket.sendto(data, self._port.address)

    def send(self, packets: Iterable[RtpPacket], payload_type: int | None = None) -> None:
        for packet in packets:
            data = wire(packet, payload_type or self._payload_type)
            self.send_bytes(self._session.protect(data) if self._session else data)

    def send_report(self, *ssrcs: int, ntp: int = 0x1111_2222_3333_4444) -> None:
        info = RtcpSenderInfo(ntp, 0, 0, 0)
        for ssrc in ssrcs:
            data = bytes(RtcpSrPacket(ssrc, info))
            self.send_bytes(self._session.protect_rtcp(data) if self._session else data)

    async def receive(self) -> bytes:
        async with asyncio.timeout(20):
            return await asyncio.get_running_loop().sock_recv(self._socket, 2048)

    async def pace(self, ssrc: int, first: int = 1000) -> None:
        """A tone, 20 ms a packet, on and on."""
        payloads = sweep_payloads(2.0)
        begin = time.monotonic()
        for n in itertools.count():
            packet = RtpPacket(
                (first + n) & 0xFFFF, n * 960 & 0xFFFFFFFF, ssrc, payloads[n % len(payloads)]
            )
            self.send([packet])
            await asyncio.sleep(max(0.0, begin + (n + 1) * 0.02 - time.monotonic()))


def session(keys: Srtp) -> Session:
    profile = _SUITES[keys.suite].profile
    return Session(Policy(master_key(keys), Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))


def wire(packet: RtpPacket, payload_type: int = PAYLOAD_TYPE) -> bytes:
    return WirePacket(
        payload_type, 0, packet.sequence_number, packet.timestamp, packet.ssrc, packet.payload
    ).serialize()


def speech(ssrc: int, seconds: float = 1.0, first: int = 1000) -> list[RtpPacket]:
    return stream(sweep_payloads(seconds), ssrc=ssrc, sequence_number=first)


def keys() -> Srtp:
    return Srtp(key=base64.b64encode(os.urandom(30)).decode())


@asynccontextmanager
async def call(**settings) -> AsyncIterator[tuple[Port, Ear]]:
    port = Port(**settings)
    async with listening(port.source) as ear:
        yield port, ear


async def seen(ear: Ear, sender: Sender) -> None:
    """All that was sent until now has been looked at: a last SSRC behind it shows it."""
    sender.send(speech(LAST, 0.1))
    await ear.until(lambda e: f"ssrc-{LAST}" in e.names)
