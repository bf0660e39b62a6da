"""A UDP socket for media: bound to one address, with room for bursts."""

from __future__ import annotations

import socket
from typing import Final

RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Some 250 tracks on one socket overflow the default in one burst."""

_SO_RCVBUFFORCE: Final = 33

Address = tuple[str, int]
"""Host and port."""


def bound_socket(host: str) -> socket.socket:
    """A non-blocking socket on a port that the system picks; `OSError` where there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_DGRAM)
    try:
        found.setblocking(False)  # noqa: FBT003 - its only form
        found.bind((host, 0))
        raise_receive_buffer(found)
    except OSError:
        found.close()
        raise
    return found


def raise_receive_buffer(of: socket.socket) -> None:
    """Beyond net.core.rmem_max where this process may, else up to it."""
    try:
        of.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except OSError:
        of.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
