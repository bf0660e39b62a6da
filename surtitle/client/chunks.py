"""PCM on its way: cut into chunks, kept until the server has them, and no faster than speech."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

SAMPLE_RATE: Final = 16_000
"""Samples a second, mono."""

BYTES_A_MS: Final = SAMPLE_RATE * 2 // 1000
"""Of signed 16-bit samples."""

CHUNK_MS: Final = 100
CHUNK_BYTES: Final = CHUNK_MS * BYTES_A_MS

LEAD_MS: Final = 500
"""How far audio may be ahead of its time, so that nothing is late for a busy machine's sake."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """`pcm` ends `end_ms` after the beginning of the audio."""

    pcm: bytes
    end_ms: float


class Chunks:
    """What is to be sent; at most `most` chunks, besides what is less than one."""

    def __init__(self, most: int, *, real_time: bool) -> None:
        """`real_time`: who puts audio in waits until it could have been spoken."""
        self.more = asyncio.Event()
        """Set where there is something new."""
        self.closed = False
        self._most = most
        self._real_time = real_time
        self._rest = b""
        self._end_ms = 0.0
        self._begun: float | None = None
        self._waiting: deque[Chunk] = deque()
        self._kept: deque[Chunk] = deque()
        self._room = asyncio.Event()

    @property
    def end_ms(self) -> float:
        """The length of what was put in, but for what is less than a chunk."""
        return self._end_ms

    @property
    def sent(self) -> int:
        """Chunks that were taken, and that the server does not have yet for sure."""
        return len(self._kept)

    @property
    def empty(self) -> bool:
        """Whether the server has all."""
        return not self._waiting and not self._kept

    async def put(self, pcm: bytes) -> None:
        """Wait for room, and for its time. Cancelled or closed, the rest of `pcm` is dropped."""
        pcm = self._rest + pcm
        self._rest = pcm[len(pcm) - len(pcm) % CHUNK_BYTES :]
        for at in range(0, len(pcm) - len(self._rest), CHUNK_BYTES):
            await self._have_room()
            if self._real_time:
                await self._have_time()
            if self.closed:
                return
            self._append(pcm[at : at + CHUNK_BYTES])

    def close(self) -> None:
        """Nothing more comes: what is less than a chunk goes as it is. Idempotent."""
        whole = self._rest[: len(self._rest) // 2 * 2]
        self._rest = b""
        if whole and not self.closed:
            self._append(whole)
        self.closed = True
        self.more.set()
        self._room.set()

    def take(self) -> Chunk | None:
        """The next chunk to send, kept until `received`; None for now."""
        if not self._waiting:
            return None
        chunk = self._waiting.popleft()
        self._kept.append(chunk)
        return chunk

    def received(self, end_ms: float) -> None:
        """The server has all up to there."""
        while self._kept and self._kept[0].end_ms <= end_ms:
            self._kept.popleft()
        self._room.set()
        self.more.set()

    def again(self) -> float:
        """What was sent and is not known to have been received is sent once more.

        Returns where in the audio that begins, in milliseconds.
        """
        self._waiting.extendleft(reversed(self._kept))
        self._kept.clear()
        first = self._waiting[0] if self._waiting else None
        return first.end_ms - len(first.pcm) / BYTES_A_MS if first else self._end_ms

    def _append(self, pcm: bytes) -> None:
        self._end_ms += len(pcm) / BYTES_A_MS
        self._waiting.append(Chunk(pcm, self._end_ms))
        self.more.set()

    async def _have_room(self) -> None:
        while len(self._waiting) + len(self._kept) >= self._most and not self.closed:
            self._room.clear()
            await self._room.wait()

    async def _have_time(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._begun is None or now > self._begun + self._end_ms / 1000:
            self._begun = now - self._end_ms / 1000  # the first, or behind a pause
        ahead = self._begun + (self._end_ms - LEAD_MS) / 1000 - now
        if ahead > 0:
            await asyncio.sleep(ahead)
