"""A process that reads one uploaded file and says what is heard in it; it ends with its parent.

A process of its own, since what is read may be made to break whatever reads it: a fault, a bomb or
a loop in a demuxer is one file's end, and no gateway's. It reads what it was handed (anonymous
memory, by its descriptor) and nothing else: a playlist that names other files, or servers, is none
that it can read.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import IO, Any, Final, NoReturn

import av
import numpy as np
import numpy.typing as npt

from signaling.files.messages import (
    PIECE_SAMPLES,
    RATE,
    Begun,
    Ended,
    Failed,
    Piece,
    packed,
)

SHORTEST_GAP_SECONDS: Final = 0.5
"""Between two frames, by their times; less is how containers round."""

_MOST_MEMORY_BYTES: Final = 2 * 2**30
_MOST_CPU_SECONDS: Final = 3600
_MOST_BAD_PACKETS: Final = 10_000

_Pcm = npt.NDArray[np.int16]


class Unreadable(Exception):
    """What is wrong with the file, for people."""


@dataclass(slots=True)
class Reading:
    """PCM on its way into pieces. `at` is the sample of the file where what is held begins."""

    longest_seconds: float
    at: int = 0
    parts: list[_Pcm] = field(default_factory=list)
    held: int = 0

    def take(self, samples: _Pcm) -> Iterator[Piece]:
        """Pieces that are whole now."""
        self.parts.append(samples)
        self.held += len(samples)
        if self.at + self.held > self.longest_seconds * RATE:
            raise too_long(self.longest_seconds)
        while self.held >= PIECE_SAMPLES:
            yield from self._give(PIECE_SAMPLES)

    def flush(self) -> Iterator[Piece]:
        """All that is held."""
        if self.held:
            yield from self._give(self.held)

    def go_on_at(self, at: int) -> None:
        """Behind a `flush`: what comes now is of later."""
        self.at = max(self.at, at)
        if self.at > self.longest_seconds * RATE:
            raise too_long(self.longest_seconds)

    def _give(self, count: int) -> Iterator[Piece]:
        held = np.concatenate(self.parts)
        piece, rest = held[:count], held[count:]
        yield Piece(self.at * 1000 // RATE, piece.astype("<i2").tobytes())
        self.at += count
        self.parts, self.held = [rest], len(rest)


def too_long(longest_seconds: float) -> Unreadable:
    """Whether its header or what is in it says so."""
    return Unreadable(f"the file is longer than {longest_seconds / 3600:g} hours")


def read(file: IO[bytes], longest_seconds: float) -> Iterator[Begun | Piece]:
    """How long it is, then its audio in order. `Unreadable` where there is none (any more)."""
    try:
        with av.open(
            file, options={"protocol_whitelist": "none"}, io_open=_open_nothing
        ) as container:
            yield from _read(container, longest_seconds)
    except (av.FFmpegError, OSError, ValueError, EOFError, MemoryError) as error:
        raise Unreadable("the file cannot be read as audio or video") from error


def _read(container: Any, longest_seconds: float) -> Iterator[Begun | Piece]:
    stream = container.streams.best("audio")
    if stream is None:
        raise Unreadable("the file has no audio")
    stream.codec_context.thread_count = 1
    total = _seconds(stream.duration, stream.time_base) or _seconds(
        container.duration, Fraction(1, av.time_base)
    )
    if total and total > longest_seconds:
        raise too_long(longest_seconds)
    yield Begun(total)
    zero = _seconds(container.start_time, Fraction(1, av.time_base)) or 0.0
    reading, end, heard = Reading(longest_seconds), 0.0, False
    resampler, form = av.AudioResampler("s16", "mono", RATE), None
    for frame in _frames(container, stream):
        at = end if frame.pts is None else frame.pts * float(frame.time_base) - zero
        late = at - end > SHORTEST_GAP_SECONDS
        if (frame.format.name, frame.layout.name, frame.rate) != form or late:
            yield from _drained(reading, resampler)
            form = (frame.format.name, frame.layout.name, frame.rate)
            resampler = av.AudioResampler("s16", "mono", RATE)
        if late:
            yield from reading.flush()
            reading.go_on_at(round(at * RATE))
            end = at
        end += frame.samples / frame.rate
        frame.pts = None  # else the resampler would keep times of its own
        heard = True
        for resampled in resampler.resample(frame):
            yield from reading.take(resampled.to_ndarray()[0])
    yield from _drained(reading, resampler)
    yield from reading.flush()
    if not heard:
        raise Unreadable("the file has no audio that can be decoded")


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Frames with audio; packets that are broken are passed over, as players do."""
    bad = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            bad += 1
            if bad > _MOST_BAD_PACKETS:
                raise
            continue
        yield from (frame for frame in frames if frame.samples and frame.rate)


def _drained(reading: Reading, resampler: av.AudioResampler) -> Iterator[Piece]:
    for resampled in resampler.resample(None):
        yield from reading.take(resampled.to_ndarray()[0])


def _seconds(count: int | None, unit: Fraction | None) -> float | None:
    return float(count * unit) if count is not None and unit is not None else None


def _open_nothing(*_: object) -> NoReturn:
    raise PermissionError("a file may name no others")


def _limit() -> None:
    """What a file can make this process use, whatever is in it."""
    os.nice(10)
    os.chdir("/")
    for what, most in (
        (resource.RLIMIT_AS, _MOST_MEMORY_BYTES),
        (resource.RLIMIT_CPU, _MOST_CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),  # audio never lies on a disk
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))


def main() -> None:
    """`python -m signaling.files.reader DESCRIPTOR SECONDS`: messages on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody listens any more
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up among the messages
    av.logging.set_level(None)
    _limit()
    last: Ended | Failed = Ended()
    try:
        with os.fdopen(int(sys.argv[1]), "rb") as file:
            for message in read(file, float(sys.argv[2])):
                out.write(packed(message))
                out.flush()
    except Unreadable as error:
        last = Failed(str(error))
    out.write(packed(last))
    out.flush()


if __name__ == "__main__":
    main()
