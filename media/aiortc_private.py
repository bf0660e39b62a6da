"""The only file that knows aiortc's insides (1.16): its transports without its receiver.

aiortc gives a track decoded frames only, from a thread, behind a jitter buffer that a lost
packet stalls. Here RTP is taken from ICE where it arrives, before a queue and a task of its
own, and is decrypted with the keys that aiortc agreed on. All else stays aiortc's: ICE,
DTLS, RTCP. Packets are routed as a bundle's are to be (RFC 9143, 9.2), by MID and then by
SSRC; aiortc itself goes by SSRC alone.

`check` says what it relies on; a new aiortc that lacks it fails there, not in a call.
"""

# ruff: noqa: SLF001 - what the file is for

from __future__ import annotations

import asyncio
import functools
import inspect
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import structlog
from aioice import stun
from aioice.ice import Connection, StunProtocol
from aiortc import RTCDtlsTransport, RTCIceTransport, RTCPeerConnection, RTCRtpReceiver
from aiortc.rtcrtpparameters import (
    RTCRtcpFeedback,
    RTCRtpCodecParameters,
    RTCRtpReceiveParameters,
)
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtcrtptransceiver import RTCRtpTransceiver
from aiortc.rtp import is_rtcp
from pylibsrtp import Error as SrtpError

from media import rtp
from media.srtp import LARGEST_DATAGRAM_BYTES, Inbound
from media.udp import raise_receive_buffer
from signaling.opus_packet import RTP_CLOCK_RATE

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 256
"""Datagrams that wait for aiortc: before a connection is up, anybody's, and nobody reads them."""

_MOST_SSRCS: Final = 8  # of one track; each has a block in every receiver report

_MAY_ASK: Final = "_surtitle_may_ask"  # our own mark: for lost packets, again
_STATISTICS: Final = "_RTCRtpReceiver__remote_streams"
_STOP_DECODER: Final = "_RTCRtpReceiver__stop_decoder"
_LAST_REPORTS: Final = ("_RTCRtpReceiver__lsr", "_RTCRtpReceiver__lsr_time")

Deliver = Callable[[rtp.RtpPacket], list[int]]
"""Takes a packet; the sequence numbers that are missed."""


class AiortcChanged(RuntimeError):
    """The aiortc that is installed is not one that this file was written for."""


@functools.cache
def check() -> None:
    """`AiortcChanged` where something that is relied on here is not as it was."""
    _expect_parameters(Connection.data_received, ["self", "data", "component"])
    _expect_names(StunProtocol.datagram_received, "data_received")
    _expect_parameters(RTCRtpReceiver.receive, ["self", "parameters"])
    _expect_parameters(RTCRtpReceiver.stop, ["self"])
    _expect_parameters(RTCRtpReceiver._handle_disconnect, ["self"])
    _expect_parameters(getattr(RTCRtpReceiver, _STOP_DECODER, None), ["self"])
    _expect_parameters(RTCRtpReceiver._send_rtcp_nack, ["self", "media_ssrc", "lost"])
    _expect_parameters(StreamStatistics.add, ["self", "packet"])
    _expect_names(RTCDtlsTransport.__init__, "_rtp_router", "_rx_srtp", "_transport")
    _expect_names(RTCRtpReceiver.__init__, _STATISTICS)
    _expect_names(RTCRtpReceiver._run_rtcp, _STATISTICS)
    _expect_names(RTCDtlsTransport._recv_next, "_rx_srtp", "unprotect")
    _expect_names(RTCRtpTransceiver.__init__, "_codecs")
    _expect_names(RTCIceTransport.__init__, "_connection")
    _expect_names(Connection.__init__, "_protocols", "_queue", "_closing")
    _expect_names(Connection.connect, "query_consent")
    _expect_names(RTCRtpReceiver.__init__, *_LAST_REPORTS)
    _expect_names(StunProtocol.datagram_received, "stun", "parse_message")


def _expect_parameters(function: Any, parameters: list[str]) -> None:
    found = list(inspect.signature(function).parameters) if function else None
    if found != parameters:
        name = getattr(function, "__qualname__", "a method")
        raise AiortcChanged(f"{name} takes {found}, not {parameters}")


def _expect_names(function: Any, *names: str) -> None:
    for name in names:
        if name not in function.__code__.co_names:
            raise AiortcChanged(f"{function.__qualname__} does not use {name}")


_parse_stun = stun.parse_message


def _parse_stun_or_refuse(data: bytes) -> stun.Message:
    """What aioice takes for "no STUN" is a ValueError.

    All else that its parser raises would leave the socket's callback, with a traceback in the
    log for each datagram that anybody sends.
    """
    try:
        return _parse_stun(data)
    except Exception as error:
        raise ValueError(f"no STUN: {error!r:.200}") from None


stun.parse_message = _parse_stun_or_refuse


_query_consent = Connection.query_consent


async def _query_consent_while_open(self: Connection) -> None:
    """Ask, unless the connection is closed: `connect` may come to its end behind `close`.

    Then nothing would ever end the task, and it keeps the whole call.
    """
    if not self._closing:
        await _query_consent(self)


Connection.query_consent = _query_consent_while_open  # type: ignore[method-assign]


def agree_on_opus(connection: RTCPeerConnection, offer: str) -> None:
    """Between an offer and its answer: answer with Opus alone, with FEC and NACK.

    A browser sends in-band FEC (RFC 7587, 6.1) only to who says in the answer that it is of
    use. Lost packets are asked for again (RFC 4585, 6.2.1) where the offer says so, or says
    nothing at all of feedback on Opus: then it is left to the receiver (RFC 4585, 4.2).
    """
    feedback = _feedback(offer)
    for transceiver in connection.getTransceivers():
        if transceiver.kind != "audio":
            continue
        transceiver._codecs = [codec for codec in transceiver._codecs if _is_opus(codec)]
        for codec in transceiver._codecs:
            codec.parameters["useinbandfec"] = 1
            types = feedback.get(str(codec.payloadType), set()) | feedback.get("*", set())
            nack = RTCRtcpFeedback(type="nack")
            if "nack" in types and nack not in codec.rtcpFeedback:
                codec.rtcpFeedback.append(nack)
            setattr(transceiver.receiver, _MAY_ASK, not types or "nack" in types)


def _feedback(offer: str) -> dict[str, set[str]]:
    """The types of RTCP feedback (RFC 4585, 4.2) by payload type; `*` is all."""
    types: dict[str, set[str]] = {}
    for payload_type, feedback in re.findall(r"(?m)^a=rtcp-fb:(\S+) ([^\r\n]+)", offer):
        types.setdefault(payload_type, set()).add(feedback.rstrip())
    return types


def deliver_rtp(receiver: RTCRtpReceiver, deliver: Deliver, ended: Callable[[], None]) -> None:
    """Give the Opus packets of `receiver` to `deliver` from the time that it connects.

    To be called when its track is announced. `ended` is called once or more, when the
    connection is closed or lost. aiortc's own track stays silent.
    """
    check()
    _Bundle.of(receiver.transport)  # before its first datagram
    receive, stop, disconnect = receiver.receive, receiver.stop, receiver._handle_disconnect
    stopped = False

    async def receive_rtp(parameters: RTCRtpReceiveParameters) -> None:
        if stopped:  # closed while it connected: aiortc would begin, and nothing would end it
            return
        await receive(parameters)
        getattr(receiver, _STOP_DECODER)()  # an RTCP BYE would do no more than this
        _raise_receive_buffers(receiver.transport)
        _bound_keys(receiver.transport)
        _Bundle.of(receiver.transport).add(_Tap(receiver, parameters, deliver), parameters)

    async def stop_rtp() -> None:
        nonlocal stopped
        stopped = True
        ended()
        _Bundle.of(receiver.transport).discard(receiver)
        await stop()

    def handle_disconnect() -> None:
        ended()
        disconnect()

    receiver.receive = receive_rtp  # type: ignore[method-assign]
    receiver.stop = stop_rtp  # type: ignore[method-assign]
    receiver._handle_disconnect = handle_disconnect  # type: ignore[method-assign]


class _Tap:
    """One receiver: where its packets go, and what its receiver reports are made of."""

    def __init__(
        self, receiver: RTCRtpReceiver, parameters: RTCRtpReceiveParameters, deliver: Deliver
    ) -> None:
        self.receiver = receiver
        self.mid = parameters.muxId.encode()
        self.payload_types = {codec.payloadType for codec in parameters.codecs if _is_opus(codec)}
        self.ssrcs: deque[int] = deque()
        self._deliver = deliver
        self._statistics: dict[int, StreamStatistics] = getattr(receiver, _STATISTICS)
        self._may_ask = getattr(receiver, _MAY_ASK, False)

    def take(self, packet: rtp.RtpPacket) -> None:
        # RFC 3550, 6.4.2: what is reported is of each SSRC for itself. Not before it was
        # heard: aiortc's reports fail on statistics of nothing, and then so does its `stop`.
        if packet.ssrc not in self._statistics:
            self._statistics[packet.ssrc] = StreamStatistics(RTP_CLOCK_RATE)
        self._statistics[packet.ssrc].add(packet)  # type: ignore[arg-type]
        missing = self._deliver(packet)
        if missing and self._may_ask:
            self._ask(packet.ssrc, missing)

    def _ask(self, ssrc: int, missing: list[int]) -> None:
        """Ask the sender for packets again: at once or, where that has to wait, not at all."""
        asking = self.receiver._send_rtcp_nack(ssrc, missing)
        try:
            asking.send(None)
        except StopIteration:
            return
        except Exception as error:  # a connection that just closed, and what aiortc makes of it
            log.debug("lost packets not asked for", reason=repr(error))
        else:  # only a TURN channel that is being bound makes it wait
            asking.close()

    def learn(self, ssrc: int) -> int | None:
        """An SSRC is this track's from now on; the one that is forgotten for it."""
        self.ssrcs.append(ssrc)
        if len(self.ssrcs) <= _MOST_SSRCS:
            return None
        forgotten = self.ssrcs.popleft()
        self._statistics.pop(forgotten, None)
        for name in _LAST_REPORTS:
            getattr(self.receiver, name).pop(forgotten, None)
        return forgotten


class _Bundle:
    """What arrives on one DTLS transport."""

    def __init__(self, transport: RTCDtlsTransport) -> None:
        # aiortc's own routing gets to know the SSRCs, so that sender reports find their way.
        self._router_ssrcs: dict[int, Any] = transport._rtp_router.ssrc_table
        self._taps: dict[bytes, _Tap] = {}
        self._by_ssrc: dict[int, _Tap] = {}
        self._ids = rtp.ExtensionIds()
        self._transport = transport
        connection = transport.transport._connection
        self._waiting: asyncio.Queue[Any] = connection._queue
        self._aiortc_takes = connection.data_received
        connection.data_received = self._receive  # type: ignore[method-assign]

    @classmethod
    def of(cls, transport: RTCDtlsTransport) -> _Bundle:
        """The bundle of a transport; it takes its RTP over the first time."""
        bundle = getattr(transport.transport._connection.data_received, "__self__", None)
        return bundle if isinstance(bundle, cls) else cls(transport)

    def add(self, tap: _Tap, parameters: RTCRtpReceiveParameters) -> None:
        """Begin or, negotiated again, go on with a receiver."""
        ids = {extension.uri: extension.id for extension in parameters.headerExtensions}
        self._ids = rtp.ExtensionIds(ids.get(rtp.MID_URI, 0), ids.get(rtp.AUDIO_LEVEL_URI, 0))
        known = self._taps.get(tap.mid)
        if known:
            known.payload_types = tap.payload_types
        else:
            self._taps[tap.mid] = tap
            for encoding in parameters.encodings:
                self._learn(encoding.ssrc, tap)

    def discard(self, receiver: RTCRtpReceiver) -> None:
        """No more packets for a receiver."""
        self._taps = {mid: t for mid, t in self._taps.items() if t.receiver is not receiver}
        self._by_ssrc = {s: t for s, t in self._by_ssrc.items() if t.receiver is not receiver}

    def _receive(self, data: bytes, component: int) -> None:
        """What came on ICE's socket, less STUN: told apart by its first bytes (RFC 7983, 7)."""
        if not 0 < len(data) <= LARGEST_DATAGRAM_BYTES:
            return  # aiortc would fail on it, and anybody may send it
        keys = self._transport._rx_srtp
        if keys is None or not 127 < data[0] < 192 or is_rtcp(data):
            self._leave_to_aiortc(data, component)
            return
        try:
            packet = rtp.parse(keys.unprotect(data), self._ids, time.monotonic())
        except (SrtpError, rtp.BadPacket) as error:
            log.debug("not RTP", reason=str(error))
            return
        tap = self._route(packet)
        if tap:
            tap.take(packet)

    def _leave_to_aiortc(self, data: bytes, component: int) -> None:
        if self._waiting.qsize() < MOST_WAITING:
            self._aiortc_takes(data, component)

    def _route(self, packet: rtp.RtpPacket) -> _Tap | None:
        known = self._by_ssrc.get(packet.ssrc)
        if packet.mid is not None:
            tap = self._taps.get(packet.mid)
        elif known is None and len(self._taps) == 1:
            tap = next(iter(self._taps.values()))
        else:
            tap = known
        if tap is None or packet.payload_type not in tap.payload_types:
            return None
        if tap is not known:
            self._learn(packet.ssrc, tap)
        return tap

    def _learn(self, ssrc: int, tap: _Tap) -> None:
        before = self._by_ssrc.get(ssrc)
        if before is tap:
            return
        self._by_ssrc[ssrc] = tap
        self._router_ssrcs[ssrc] = tap.receiver
        forgotten = tap.learn(ssrc)
        if forgotten is not None and self._by_ssrc.get(forgotten) is tap:
            del self._by_ssrc[forgotten]
            self._router_ssrcs.pop(forgotten, None)


def _is_opus(codec: RTCRtpCodecParameters) -> bool:
    return codec.mimeType.lower() == "audio/opus"


def _bound_keys(transport: RTCDtlsTransport) -> None:
    keys = transport._rx_srtp
    if not isinstance(keys, Inbound):
        transport._rx_srtp = Inbound(keys)  # type: ignore[assignment]


def _raise_receive_buffers(transport: RTCDtlsTransport) -> None:
    for protocol in transport.transport._connection._protocols:
        ice_socket = protocol.transport.get_extra_info("socket")
        if ice_socket:  # a TURN allocation has its socket further below
            raise_receive_buffer(ice_socket)
