"""Audio that comes without WebRTC: how it is encoded, and the line that it goes to a node by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from signaling.errors import ContractError
from signaling.opus_packet import RTP_CLOCK_RATE, packet_ticks

Encoding = Literal["linear16", "mulaw", "opus"]
SampleRate = Literal[8000, 16000, 48000]

LONGEST_CHUNK_SECONDS: Final = 1.0

LARGEST_CHUNK_BYTES: Final = 2 * 48_000
"""A second of the largest format."""

_OGG: Final = b"OggS"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Mono audio. `linear16` is signed and little-endian, `mulaw` G.711.

    Opus comes one packet a chunk; its `sample_rate` says nothing: a packet decodes to any.
    """

    encoding: Encoding = "linear16"
    sample_rate: SampleRate = 16000

    def __post_init__(self) -> None:
        if self.encoding not in get_args(Encoding):
            raise ContractError("invalid", f"encoding: one of {', '.join(get_args(Encoding))}")
        if self.sample_rate not in get_args(SampleRate):
            raise ContractError("invalid", "sample_rate: one of 8000, 16000, 48000 (Hz)")

    def seconds(self, chunk: bytes) -> float:
        """How much audio a chunk is.

        `ContractError` `invalid` or `too_large` where it cannot be such a chunk.
        """
        size = len(chunk)
        if not size:
            raise ContractError("invalid", "the chunk is empty")
        if self.encoding == "opus":
            if chunk.startswith(_OGG):
                raise ContractError("invalid", "send Opus packets, one a chunk, without Ogg")
            ticks = packet_ticks(chunk)
            if not ticks:
                raise ContractError("invalid", "no Opus packet of at most 1500 bytes and 120 ms")
            return ticks / RTP_CLOCK_RATE
        width = 2 if self.encoding == "linear16" else 1
        if size % width:
            raise ContractError("invalid", "the chunk ends within a sample of 16 bits")
        seconds = size / width / self.sample_rate
        if seconds > LONGEST_CHUNK_SECONDS:
            raise ContractError("too_large", "a chunk has at most a second of audio")
        return seconds


class AudioLine(Protocol):
    """Carries one participant's audio to the node that captions it."""

    async def send(self, chunk: bytes, at_ms: int) -> None:
        """Hand over the next audio; waits while the node has enough of it.

        `at_ms` is when its first sample was spoken, since the Unix epoch: half a second behind
        the end of the chunk before, there is a gap, and nearer there is none. Raises
        `ContractError`: `invalid` where it is not of the line's format, which goes on then;
        anything else where the line is gone.
        """

    async def close(self) -> None:
        """No more comes; returns when the last word is published. Idempotent."""
