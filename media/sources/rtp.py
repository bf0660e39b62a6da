"""Plain RTP with Opus to a UDP port of the node, RTCP on the same one (RFC 5761).

So mediasoup's PlainTransport and Janus's `rtp_forward` send it. There is no signaling: who
speaks is known by SSRC (`media/ssrcs.py`), who may send by address (`media/pin.py`) or, better,
by SRTP (`media/srtp.py`). Silence is no loss: there is nothing to reconnect to.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Final

import structlog

from captions.types import Caption
from media import rtp
from media.pin import Pin
from media.rtcp import (
    MOST_BLOCKS,
    is_rtcp,
    receiver_report,
    report_delay,
    sender_reports,
)
from media.source import Connected, Tell
from media.srtp import Protection
from media.ssrcs import SILENCE_SECONDS, Names, Stream, Streams
from media.udp import Address, bound_socket
from signaling.errors import ContractError
from signaling.sources import Rtp

log = structlog.get_logger(__name__)

LONGEST_DATAGRAM_BYTES: Final = 2048
MOST_AT_ONCE: Final = 100
"""Datagrams that are read before other tasks have their turn; some 4 ms of decoding."""

SWEEP_SECONDS: Final = 0.5
"""How often silence and the time of a report are looked at."""

_NO_EXTENSIONS: Final = rtp.ExtensionIds()  # none are negotiated


@dataclass(slots=True)
class RtpCounts:
    """Of `datagrams`, all that came, those that no track took, and why.

    They came from a `stranger`, were too `long`, `malformed` (or, with SRTP, not authentic, or
    replayed), of an `other_type`, or `unproven`: of an SSRC that does not count, or not yet (a
    track takes the first packet together with the second). `reports` are sender reports of
    SSRCs that count; `reports_sent` are ours.
    """

    datagrams: int = 0
    stranger: int = 0
    long: int = 0
    malformed: int = 0
    other_type: int = 0
    unproven: int = 0
    reports: int = 0
    reports_sent: int = 0


class RtpSource:
    """One call's port. See `CallSource`."""

    def __init__(
        self,
        settings: Rtp,
        addresses: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """The port is on the first of `addresses`. `clock` is in seconds and monotonic."""
        self.counts = RtpCounts()
        self._settings = settings
        self._addresses = addresses
        self._clock = clock
        self._silence_seconds = silence_seconds
        self._closed = asyncio.Event()
        self._told: set[str] = set()
        self._ssrc = secrets.randbits(32)
        self._cname = secrets.token_hex(8).encode()  # RFC 7022, 4.2: of this source only
        self._next_report_seconds = 0.0

    async def run(self, tell: Tell) -> None:
        """See `CallSource`."""
        if self._closed.is_set():
            return
        settings = self._settings
        self._pin = Pin(settings.sender)
        self._protection = Protection(settings.srtp) if settings.srtp else None
        self._streams = Streams(Names(settings.streams), tell, self._silence_seconds)
        self._socket = self._bind()
        loop = asyncio.get_running_loop()
        try:
            address, port = self._socket.getsockname()[:2]
            tell(
                Connected(
                    {
                        "address": address,
                        "port": port,
                        "payload_type": settings.payload_type,
                        "rtcp_mux": True,
                    }
                )
            )
            loop.add_reader(self._socket, self._read)
            await self._sweep_until_closed()
        finally:
            loop.remove_reader(self._socket)
            self._socket.close()
            self._streams.end()
            log.info("RTP port closed", refused=self._streams.refused, **asdict(self.counts))

    async def send(self, caption: Caption) -> None:
        """RTP has no way for captions."""

    async def close(self) -> None:
        """See `CallSource`."""
        self._closed.set()

    def _bind(self) -> socket.socket:
        if not self._addresses:
            raise ContractError("unavailable", "this node has no address for media")
        try:
            return bound_socket(self._addresses[0])
        except OSError as error:
            raise ContractError("unavailable", f"no port for RTP: {error}", 1000) from None

    async def _sweep_until_closed(self) -> None:
        self._next_report_seconds = self._clock() + self._report_delay() / 2  # RFC 3550, 6.2
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._closed.wait()
            now = self._clock()
            if now >= self._next_report_seconds:
                self._next_report_seconds = now + self._report_delay()
                self._report(now)
            self._streams.expire(now)
            self._pin.expire(now)

    def _read(self) -> None:
        """What waits at the port, without waiting."""
        now = self._clock()
        for _ in range(MOST_AT_ONCE):
            try:
                data, sender = self._socket.recvfrom(LONGEST_DATAGRAM_BYTES + 1)
            except BlockingIOError:
                return
            except OSError as error:
                self._tell_once("RTP port", error=str(error))
                return
            self._take(data, sender[:2], now)

    def _take(self, data: bytes, sender: Address, now: float) -> None:
        self.counts.datagrams += 1
        if not self._pin.takes(sender):
            self.counts.stranger += 1
            self._tell_once("RTP from a stranger; say which `sender` is meant", sender=sender)
        elif len(data) > LONGEST_DATAGRAM_BYTES:
            self.counts.long += 1
        else:
            try:
                if is_rtcp(data):
                    self._take_rtcp(data, now)
                else:
                    self._take_rtp(data, sender, now)
                self._pin.alive(now)
            except rtp.BadPacket as error:
                self.counts.malformed += 1
                self._tell_once("bad RTP", why=str(error))

    def _take_rtp(self, data: bytes, sender: Address, now: float) -> None:
        if self._protection:
            data = self._protection.rtp(data)
        packet = rtp.parse(data, _NO_EXTENSIONS, now)
        if packet.payload_type != self._settings.payload_type:
            self.counts.other_type += 1
            self._tell_once(
                f"RTP of payload type {packet.payload_type} came;"
                f" this call takes {self._settings.payload_type}"
            )
        elif self._streams.take(packet, sender):
            self._pin.set(sender)
        else:
            self.counts.unproven += 1

    def _take_rtcp(self, data: bytes, now: float) -> None:
        """Sender reports; a BYE ends nothing, whoever it names may go on."""
        if self._protection:
            data = self._protection.rtcp(data)
        for report in sender_reports(data):
            stream = self._streams.open.get(report.ssrc)
            if stream:
                self.counts.reports += 1
                stream.reception.sender_report(report.ntp_middle, now)

    def _report(self, now: float) -> None:
        """Tell each sender how its SSRCs arrive, on the port that they come from."""
        while self._ssrc in self._streams.open:  # RFC 3550, 8.2
            self._ssrc = secrets.randbits(32)

        def sender(stream: Stream) -> Address:
            return stream.sender

        streams = sorted(self._streams.open.values(), key=sender)
        for address, theirs in groupby(streams, key=sender):
            self._report_to(address, theirs, now)

    def _report_to(self, address: Address, streams: Iterable[Stream], now: float) -> None:
        blocks = [s.reception.block(s.ssrc, now) for s in streams]
        heard = [block for block in blocks if block]
        for at in range(0, len(heard), MOST_BLOCKS):
            data = receiver_report(self._ssrc, heard[at : at + MOST_BLOCKS], self._cname)
            if self._protection:
                data = self._protection.protected_rtcp(data)
            try:
                self._socket.sendto(data, address)
                self.counts.reports_sent += 1
            except OSError as error:  # a full buffer, an unreachable sender: the next will do
                self._tell_once("no report sent", error=str(error))

    @staticmethod
    def _report_delay() -> float:
        return report_delay(secrets.SystemRandom().random())

    def _tell_once(self, event: str, **fields: object) -> None:
        """Log the first of a kind: a sender can repeat itself a thousand times a second."""
        if event not in self._told:
            self._told.add(event)
            log.warning(event, **fields)
