"""What the kernel may hold for a client, and the end of a connection to one that does not read."""

from __future__ import annotations

import asyncio
import socket as sockets
import struct
from typing import Final

_KERNEL_BYTES: Final = 128 * 2**10
"""Left to itself the kernel takes 4 MiB for one client, minutes of captions."""


def bound_buffer(transport: asyncio.Transport | None) -> None:
    """Let the kernel hold little for this client."""
    _set(transport, sockets.SO_SNDBUF, _KERNEL_BYTES)


def abort(transport: asyncio.Transport | None) -> None:
    """Close a connection without waiting for who does not read."""
    if transport:
        # Else the kernel would go on offering what it holds, for a quarter of an hour.
        _set(transport, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _set(transport: asyncio.Transport | None, option: int, value: int | bytes) -> None:
    sock = transport and transport.get_extra_info("socket")
    if sock and sock.fileno() >= 0:
        sock.setsockopt(sockets.SOL_SOCKET, option, value)
