"""A track's RTP packets to PCM: 16 kHz, mono, by RTP timestamp.

A packet's way: `Reorder` (its place in the sequence) → `TrackClock` (its place in time) →
what stands for lost packets before it → its own audio. Pure: no I/O, no tasks, no clock
but the arrival that each packet carries.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from captions.types import SAMPLE_RATE, PcmChunk, Samples
from media.clock import TICKS, Pace, TrackClock
from media.opus import (
    CONCEAL_STEP,
    OpusDecoder,
    OpusError,
    has_fec,
)
from media.reorder import Released, Reorder
from media.rtp import RtpPacket
from signaling.opus_packet import RTP_CLOCK_RATE, frame_ticks, packet_ticks

LONGEST_CONCEALMENT: Final = SAMPLE_RATE * 60 // 1000
"""Samples made up for one hole; beyond, invented speech would do more harm than silence."""

SILENCE: Final = 127
"""The audio level of digital silence (RFC 6464, 3)."""

MOST_AHEAD_SECONDS: Final = 10.0
"""Audio that may come faster than it was spoken, such as behind a stall of the network."""

SSRC_CHANGE_SECONDS: Final = 0.2
"""So long after an SSRC took over, packets of the one before it are stragglers."""


@dataclass(slots=True)
class ReceiveCounts:
    """What became of a track's packets and of its audio, which is in samples at 16 kHz.

    Of `packets`, all that came, some were `duplicates`, `late` (or from nowhere in the
    sequence), `malformed` (no Opus in them), `early` (more audio than there was time for), or
    `refused` (their speaker does not want to be heard: not looked at, nor counted as anything
    else); all others gave audio, `silent` of them
    undecoded by their audio level. `lost` packets did not come in time, whether or not they
    came late. Of the audio that lost and
    malformed packets should have given, some was `recovered` by FEC and some `concealed`;
    `missing` is a gap.
    """

    packets: int = 0
    lost: int = 0
    duplicates: int = 0
    late: int = 0
    malformed: int = 0
    early: int = 0
    silent: int = 0
    refused: int = 0
    recovered: int = 0
    recovered_samples: int = 0
    concealed_samples: int = 0
    missing_samples: int = 0

    def add(self, other: ReceiveCounts) -> None:
        """Count another track's too."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class TrackReceiver:
    """One track from its first packet on, whatever SSRCs it comes by."""

    def __init__(self) -> None:
        self._counts = ReceiveCounts()
        self._reorder = Reorder()
        self._clock = TrackClock()
        self._pace = Pace(MOST_AHEAD_SECONDS)
        self._decoder = OpusDecoder()
        self._ssrc: int | None = None
        self._old_ssrc: int | None = None
        self._changed_seconds = 0.0
        self._end: int | None = None  # of the audio given; None before the first
        self._last_length = 0  # samples of the packet before
        self._unheard = 0  # packets before the next one that give no audio
        self._silent = False

    @property
    def counts(self) -> ReceiveCounts:
        """Up to date."""
        self._counts.duplicates = self._reorder.duplicates
        self._counts.late = self._reorder.late
        return self._counts

    @property
    def waiting(self) -> int:
        """Packets that wait for one before them."""
        return self._reorder.waiting

    @property
    def missing(self) -> list[int]:
        """Sequence numbers of the newest SSRC that may still come in time, sent again."""
        return self._reorder.missing

    def receive(self, packet: RtpPacket) -> list[PcmChunk]:
        """The audio that can be given now that `packet` came."""
        self._counts.packets += 1
        chunks: list[PcmChunk] = []
        ticks = packet_ticks(packet.payload)
        if not self._pace.takes(ticks / RTP_CLOCK_RATE, packet.arrival_seconds):
            self._counts.early += 1
            return chunks
        if packet.ssrc != self._ssrc and not self._change_ssrc(packet, chunks):
            return chunks
        for released in self._reorder.add(packet, ticks):
            self._play(released, chunks)
        return chunks

    def refuse(self) -> None:
        """Count a packet that may not be heard, whose payload nobody looks at."""
        self._counts.packets += 1
        self._counts.refused += 1

    def forget(self) -> None:
        """Drop what waits, undecoded; what comes next has nothing to do with what came before."""
        self._reorder.drop()
        self._clock.restart()
        self._decoder.reset()
        self._ssrc = None
        self._unheard = 0

    def flush(self) -> list[PcmChunk]:
        """The audio that waits for lost packets: they will not come."""
        chunks: list[PcmChunk] = []
        for released in self._reorder.flush():
            self._play(released, chunks)
        return chunks

    def _change_ssrc(self, packet: RtpPacket, chunks: list[PcmChunk]) -> bool:
        """Go on with another source's packets; False where this one is a straggler."""
        since_seconds = packet.arrival_seconds - self._changed_seconds
        if packet.ssrc == self._old_ssrc and since_seconds < SSRC_CHANGE_SECONDS:
            self._reorder.late += 1
            return False
        if self._ssrc is not None:
            chunks += self.flush()
            self._old_ssrc = self._ssrc
            self._changed_seconds = packet.arrival_seconds
            self._clock.restart()
            self._decoder.reset()
            self._unheard = 0
            self._reorder.begin_anew()
        self._ssrc = packet.ssrc
        return True

    def _play(self, released: Released, chunks: list[PcmChunk]) -> None:
        packet, lost = released
        self._counts.lost += lost
        self._unheard += lost
        ticks = packet_ticks(packet.payload)
        if not ticks:
            self._counts.malformed += 1
            self._unheard += 1
            return
        start = self._clock.place(packet.timestamp, packet.arrival_seconds, self._end or 0)
        if self._unheard:
            self._bridge(packet.payload, start, chunks)
        try:
            samples = self._samples(packet, ticks)
        except OpusError:
            self._counts.malformed += 1
            self._unheard += 1
            return
        self._unheard = 0
        self._last_length = len(samples)
        self._end = start + len(samples)
        chunks.append(PcmChunk(start, samples))

    def _samples(self, packet: RtpPacket, ticks: int) -> Samples:
        if packet.audio_level != SILENCE:
            self._silent = False
            return self._decoder.decode(packet.payload)
        if not self._silent:
            # What comes after the silence must not be joined to what was before it.
            self._silent = True
            self._decoder.reset()
        self._counts.silent += 1
        return np.zeros(ticks // TICKS, np.int16)

    def _bridge(self, payload: bytes, start: int, chunks: list[PcmChunk]) -> None:
        """Put something for the packets lost between the end and `start`.

        The part of a gap that no lost packet accounts for is the sender's own silence.
        """
        if self._end is None:
            return
        unheard = min(start - self._end, self._unheard * self._last_length)
        by_fec = frame_ticks(payload) // TICKS
        if by_fec > unheard or not has_fec(payload):
            by_fec = 0
        concealed = min(unheard - by_fec, LONGEST_CONCEALMENT) // CONCEAL_STEP * CONCEAL_STEP
        self._counts.missing_samples += unheard - by_fec - concealed
        if concealed:
            self._counts.concealed_samples += concealed
            chunks.append(PcmChunk(self._end, self._decoder.conceal(concealed)))
            self._end += concealed
        if by_fec:
            self._recover(payload, start - by_fec, by_fec, chunks)

    def _recover(self, payload: bytes, start: int, length: int, chunks: list[PcmChunk]) -> None:
        try:
            samples = self._decoder.decode_fec(payload, length)
        except OpusError:  # the payload will be counted as malformed where it is decoded
            self._counts.missing_samples += length
            return
        self._counts.recovered += 1
        self._counts.recovered_samples += length
        chunks.append(PcmChunk(start, samples))
        self._end = start + length
