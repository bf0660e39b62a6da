"""The audio of an uploaded file, as the process that reads it hands it over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from typing import Final

import structlog

from signaling.files.messages import Begun, Ended, Failed, Piece, next_message

log = structlog.get_logger(__name__)

STALL_SECONDS: Final = 60.0
"""Without a word from the process for so long while it is listened to, it is taken for stuck."""

BROKEN: Final = "the file broke what reads it"
STUCK: Final = "the file could not be read in time"

_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""What the process is told of this one's, whose secrets are in it."""


class FileUnreadable(Exception):
    """Why, for whoever sent the file."""


async def read_file(
    descriptor: int, longest_seconds: float, stall_seconds: float = STALL_SECONDS
) -> AsyncGenerator[Begun | Piece]:
    """How long the file is, then its audio in order, no faster than it is taken.

    `descriptor` stays the caller's. `FileUnreadable` where there is no audio, or no more of it.
    To be closed (`aclosing`) where it is not read to the end: that ends the process.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)  # which the process shares
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "signaling.files.reader", str(descriptor), str(longest_seconds)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=(descriptor,),
        start_new_session=True,
        env={
            **{name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            "OPENBLAS_NUM_THREADS": "1",
        },
    )
    assert process.stdout
    try:
        while True:
            async with asyncio.timeout(stall_seconds):
                message = await next_message(process.stdout)
            match message:
                case Ended():
                    return
                case Failed(why):
                    raise FileUnreadable(why)
                case _:
                    yield message
    except TimeoutError:
        raise FileUnreadable(STUCK) from None
    except (EOFError, asyncio.IncompleteReadError):
        log.warning("the process that reads a file died")
        raise FileUnreadable(BROKEN) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # Read to its end, since asyncio sees no process end whose pipe is full. Shielded, so that a
        # cancelled caller leaves no zombie behind.
        await asyncio.shield(process.communicate())
