"""A participant's track as the node hears it: RTP packets or PCM in, chunks of PCM out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Self

from captions.types import SAMPLE_RATE, PcmChunk, Samples
from media.receiver import ReceiveCounts, TrackReceiver
from media.rtp import RtpPacket

MOST_WAITING_SECONDS: Final = 10.0
"""Audio that waits for a reader that has fallen behind; the oldest makes room."""

ENOUGH_SECONDS: Final = 5.0
"""Who can wait with more audio does, while this much waits for the reader."""

SHORTEST_PCM_GAP: Final = SAMPLE_RATE // 2
"""PCM that is late by more samples than this has a gap before it; less is jitter."""


class Track:
    """`async for chunk in track`, by one reader, until it is closed.

    It is fed either by `take` or, where an SDK has received and decoded, by `put_pcm`.
    """

    def __init__(self) -> None:
        self.dropped_seconds = 0.0
        """Audio that the reader was too slow for."""
        self.on_close: Callable[[], None] = lambda: None
        """Called once, when it is closed."""
        self._receiver: TrackReceiver | None = None  # PCM needs none
        self._chunks: deque[PcmChunk] = deque()
        self._waiting_samples = 0
        self._pcm_end = 0
        self._pcm_zero_seconds: float | None = None  # when sample 0 of PCM was due
        self._closed = False
        self._refused = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    @property
    def counts(self) -> ReceiveCounts:
        """What became of its packets so far."""
        return self._receiver.counts if self._receiver else ReceiveCounts()

    @property
    def closed(self) -> bool:
        """Whether no more packets are taken."""
        return self._closed

    @property
    def refused(self) -> bool:
        """Whether its speaker does not want to be heard."""
        return self._refused

    def refuse(self) -> None:
        """Drop what nobody has read yet, and undecoded what comes until `agree`. Idempotent."""
        self._refused = True
        self._chunks.clear()
        self._waiting_samples = 0
        if self._receiver:
            self._receiver.forget()
        self._wake(self._writer)

    def agree(self) -> None:
        """Its speaker is to be heard, from the next packet on. Idempotent."""
        self._refused = False

    def take(self, packet: RtpPacket) -> list[int]:
        """Take a packet; those that come when it is closed are nobody's.

        Returns the sequence numbers that are missed: the sender may be asked for them again.
        """
        if self._closed:
            return []
        if self._receiver is None:
            self._receiver = TrackReceiver()
        if self._refused:
            self._receiver.refuse()
            return []
        self._put(self._receiver.receive(packet))
        return self._receiver.missing if self._receiver.waiting else []

    def put_pcm(self, samples: Samples, arrival_seconds: float) -> None:
        """Take PCM (`samples` changes owner) that came at a time of the monotonic clock.

        PCM has no time of its own: it follows what came before, unless it is later than that
        by `SHORTEST_PCM_GAP`. All lateness is against the first that came, so that a burst
        behind a stall makes no second gap. What comes when it is closed is nobody's.
        """
        if self._closed or self._refused or not len(samples):
            return
        seconds = len(samples) / SAMPLE_RATE
        if self._pcm_zero_seconds is None:
            self._pcm_zero_seconds = arrival_seconds - seconds
        self.put_pcm_at(
            samples, int((arrival_seconds - seconds - self._pcm_zero_seconds) * SAMPLE_RATE)
        )

    def put_pcm_at(self, samples: Samples, start: int) -> None:
        """Take PCM (`samples` changes owner) that begins at sample `start` of the track, about.

        It follows what came before unless it is later by `SHORTEST_PCM_GAP`.
        """
        if self._closed or self._refused or not len(samples):
            return
        start = start if start - self._pcm_end > SHORTEST_PCM_GAP else self._pcm_end
        self._pcm_end = start + len(samples)
        self._put([PcmChunk(start, samples)])

    async def room(self) -> None:
        """Wait, one writer of PCM, while `ENOUGH_SECONDS` of it wait; not once it is closed."""
        while self._waiting_samples >= ENOUGH_SECONDS * SAMPLE_RATE and not self._closed:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    def flush(self) -> list[PcmChunk]:
        """All there is, also what waits for lost packets: the sender has paused."""
        self._release()
        chunks = list(self._chunks)
        self._chunks.clear()
        self._waiting_samples = 0
        self._wake(self._writer)
        return chunks

    def close(self) -> None:
        """No more packets will come; the reader gets what there is. Idempotent."""
        if not self._closed:
            self._release()
            self._closed = True
            self._wake(self._reader)
            self._wake(self._writer)
            self.on_close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PcmChunk:
        """The next chunk. Cancelled, it has taken none."""
        while not self._chunks:
            if self._closed:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        chunk = self._chunks.popleft()
        self._waiting_samples -= len(chunk.samples)
        self._wake(self._writer)
        return chunk

    def _release(self) -> None:
        """Let go what waits for lost packets."""
        if self._receiver:
            self._put(self._receiver.flush())

    def _put(self, chunks: list[PcmChunk]) -> None:
        if not chunks:
            return
        for chunk in chunks:
            self._chunks.append(chunk)
            self._waiting_samples += len(chunk.samples)
        while self._waiting_samples > MOST_WAITING_SECONDS * SAMPLE_RATE:
            dropped = len(self._chunks.popleft().samples)
            self._waiting_samples -= dropped
            self.dropped_seconds += dropped / SAMPLE_RATE
        self._wake(self._reader)

    @staticmethod
    def _wake(waiting: asyncio.Future[None] | None) -> None:
        if waiting and not waiting.done():
            waiting.set_result(None)
