"""Seats of the gateway itself: sessions that speak in a call for a client without Socket.IO's `/`.

They sit where sockets sit, so that they join, move and end with a call as those do.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from signaling.audience import Sockets

Take = Callable[[str, dict[str, Any]], None]
"""Takes an event and its payload at once, without waiting; never raises."""


class InnerSockets:
    """The clients' sockets and those of the gateway itself. See `Sockets`."""

    def __init__(self, outer: Sockets) -> None:
        self._outer = outer
        self._takers: dict[str, Take] = {}
        self._groups: dict[str, set[str]] = {}

    def adopt(self, take: Take, socket: str = "") -> str:
        """A socket of the gateway itself; its id, by which others may know it."""
        socket = socket or f"inner-{secrets.token_hex(8)}"
        self._takers[socket] = take
        return socket

    def release(self, socket: str) -> None:
        """Nothing more is told to it. Idempotent."""
        self._takers.pop(socket, None)

    async def emit(self, event: str, payload: dict[str, Any], to: str) -> None:
        """See `Sockets`."""
        if to in self._takers:
            self._takers[to](event, payload)
            return
        for socket in tuple(self._groups.get(to, ())):
            if socket in self._takers:
                self._takers[socket](event, payload)
        await self._outer.emit(event, payload, to)

    async def enter(self, socket: str, group: str) -> None:
        """See `Sockets`."""
        if socket in self._takers:
            self._groups.setdefault(group, set()).add(socket)
        else:
            await self._outer.enter(socket, group)

    async def leave(self, socket: str, group: str) -> None:
        """See `Sockets`."""
        members = self._groups.get(group)
        if members and socket in members:
            members.discard(socket)
            if not members:
                del self._groups[group]
        else:
            await self._outer.leave(socket, group)
