"""What the process that reads a file tells its gateway: a kind, a length, and a body.

No pickles: what comes from a process that has read an uploaded file is not to be trusted with more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from struct import Struct
from typing import Final

RATE: Final = 16_000
"""Samples a second, mono, signed 16-bit little-endian: `AudioFormat()`."""

PIECE_SAMPLES: Final = RATE // 2

LARGEST_BODY: Final = 2 * PIECE_SAMPLES + 8

_HEAD: Final = Struct("!cI")
_OFFSET: Final = Struct("!Q")


@dataclass(frozen=True, slots=True)
class Begun:
    """The file can be read. `seconds` are what it says of its length, which may be nothing."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Piece:
    """Audio of at most half a second that begins `offset_ms` behind the file's beginning."""

    offset_ms: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """That was all."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot be read (any further); why, for people."""

    why: str


Message = Begun | Piece | Ended | Failed


def packed(message: Message) -> bytes:
    """The message as it goes over the pipe."""
    match message:
        case Begun(seconds):
            kind, body = b"B", str(seconds or 0.0).encode()
        case Piece(offset_ms, pcm):
            kind, body = b"P", _OFFSET.pack(offset_ms) + pcm
        case Failed(why):
            kind, body = b"F", why.encode()
        case Ended():
            kind, body = b"E", b""
    return _HEAD.pack(kind, len(body)) + body


async def next_message(pipe: asyncio.StreamReader) -> Message:
    """The next one; EOFError where the process ended without a last one, or says nonsense."""
    try:
        kind, length = _HEAD.unpack(await pipe.readexactly(_HEAD.size))
        if length > LARGEST_BODY:
            raise EOFError
        body = await pipe.readexactly(length)
        match kind:
            case b"B":
                return Begun(float(body) or None)
            case b"P":
                return Piece(_OFFSET.unpack_from(body)[0], body[_OFFSET.size :])
            case b"F":
                return Failed(body.decode())
            case b"E":
                return Ended()
    except ValueError:
        raise EOFError from None
    raise EOFError
