"""Participants whose audio a gateway carries to the node: phones, bots, older clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from captions.types import SAMPLE_RATE
from media.raw_audio import RawDecoder
from media.track import Track
from signaling.audio import AudioFormat
from signaling.errors import ContractError


class Line:
    """One participant's audio on its way into their track. See `AudioLine`."""

    def __init__(
        self,
        audio: AudioFormat,
        begins_at_ms: int,
        finish: Callable[[Track], Awaitable[None]],
    ) -> None:
        """`finish` ends the track, and returns when its last word is published."""
        self.track = Track()
        self._begins_at_ms = begins_at_ms
        self._audio = audio
        self._decoder = RawDecoder(audio)
        self._finish = finish

    async def send(self, chunk: bytes, at_ms: int) -> None:
        """See `AudioLine`. What its speaker does not want to be heard is not decoded."""
        if self.track.refused and not self.track.closed:
            self._decoder = RawDecoder(self._audio)  # resampling held some of it back
            return
        samples = self._decoder.decode(chunk)
        if not self.track.closed:
            await self.track.room()
        if self.track.closed:
            raise ContractError("conflict", "the line is closed")
        start = (at_ms - self._begins_at_ms) * SAMPLE_RATE // 1000
        self.track.put_pcm_at(samples, start)

    async def close(self) -> None:
        """See `AudioLine`."""
        self.track.put_pcm_at(self._decoder.flush(), 0)
        await self._finish(self.track)


class Lines:
    """The lines of one call, one a participant."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}

    @property
    def tracks(self) -> set[Track]:
        """The tracks that are open."""
        return {line.track for line in self._lines.values() if not line.track.closed}

    def add(self, participant: str, line: Line) -> None:
        """A participant's audio comes by this line from now on; one before it is closed."""
        self.drop(participant)
        self._lines[participant] = line

    def drop(self, participant: str) -> None:
        """Take no more of what a participant sends. Idempotent."""
        before = self._lines.pop(participant, None)
        if before:
            before.track.close()

    def close(self) -> None:
        """Take no more of anybody. Idempotent."""
        for participant in list(self._lines):
            self.drop(participant)
