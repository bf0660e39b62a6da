"""RTP packets of real Opus, and what a network does to them."""

from __future__ import annotations

import functools
import random
from fractions import Fraction

import av
import numpy as np

from media.rtp import RtpPacket

RATE = 48_000


@functools.cache
def tone(seconds: float, rate: int = RATE) -> np.ndarray:
    """A sweep with a beat: no two stretches of it are alike, and it is never silent."""
    t = np.arange(int(seconds * rate)) / rate
    sweep = np.sin(2 * np.pi * (200 + 60 * t) * t) * (0.7 + 0.3 * np.sin(2 * np.pi * 3 * t))
    return (sweep * 9000).astype(np.int16)


def encode(pcm: np.ndarray, *, fec: bool = False, packet_ms: int = 20) -> list[bytes]:
    """Opus payloads of 48 kHz mono, 32 kb/s; with FEC as a browser sends it under loss."""
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = RATE, "mono", "s16"
    codec.bit_rate, codec.time_base = 32_000, Fraction(1, RATE)
    codec.options = {"application": "voip", "frame_duration": str(packet_ms)}
    if fec:
        codec.options |= {"fec": "1", "packet_loss": "15"}
    frame_length = RATE * packet_ms // 1000
    payloads = []
    for at in range(0, len(pcm) - frame_length + 1, frame_length):
        frame = av.AudioFrame.from_ndarray(
            pcm[at : at + frame_length].reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        payloads += [bytes(packet) for packet in codec.encode(frame)]
    return payloads


@functools.cache
def sweep_payloads(seconds: float, fec: bool = False, packet_ms: int = 20) -> tuple[bytes, ...]:
    return tuple(encode(tone(seconds), fec=fec, packet_ms=packet_ms))


def stream(
    payloads: tuple[bytes, ...] | list[bytes],
    *,
    sequence_number: int = 1000,
    timestamp: int = 5000,
    ssrc: int = 77,
    packet_ms: int = 20,
    arrival_seconds: float = 0.0,
) -> list[RtpPacket]:
    """Packets as a sender without faults sends them."""
    return [
        RtpPacket(
            (sequence_number + n) & 0xFFFF,
            (timestamp + n * packet_ms * 48) & 0xFFFFFFFF,
            ssrc,
            payload,
            arrival_seconds=arrival_seconds + n * packet_ms / 1000,
        )
        for n, payload in enumerate(payloads)
    ]


def lose(packets: list[RtpPacket], rate: float, seed: int) -> list[RtpPacket]:
    """All but exactly a share of the packets; the first and the last come."""
    places = range(1, len(packets) - 1)
    lost = set(random.Random(seed).sample(places, round(rate * len(packets))))
    return [packet for n, packet in enumerate(packets) if n not in lost]


def displace(packets: list[RtpPacket], rate: float, most: int, seed: int) -> list[RtpPacket]:
    """A share of the packets comes behind 1 to `most` of its successors."""
    draw = random.Random(seed)
    places = [
        n + (0.5 + draw.randint(1, most) if n and draw.random() < rate else 0)
        for n in range(len(packets))
    ]
    return [packet for _, packet in sorted(zip(places, packets, strict=True), key=lambda p: p[0])]
