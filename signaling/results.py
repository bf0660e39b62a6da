"""What waits to be sent to one client of a WebSocket: bounded, of partials only the newest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

MOST_WAITING: Final = 1000
"""Messages; who leaves more unread is cut off."""


class Results:
    """Put into by whoever has news, sent by one task."""

    def __init__(self) -> None:
        self._waiting: dict[object, Mapping[str, Any]] = {}  # in order; the key of a partial stays
        self._more = asyncio.Event()
        self._ended = False
        self.overflowed = False
        """Whether the client left too much unread."""

    def put(self, message: Mapping[str, Any], key: object = None) -> None:
        """Send a message behind those before it, in the place of an older one of this key."""
        key = object() if key is None else key
        self._waiting.pop(key, None)
        self._waiting[key] = message
        if len(self._waiting) > MOST_WAITING:
            self.overflowed = True
            self._waiting.clear()
            self._ended = True
        self._more.set()

    def end(self) -> None:
        """Nothing more comes: `send_to` returns behind what waits. Idempotent."""
        self._ended = True
        self._more.set()

    async def send_to(self, socket: web.WebSocketResponse) -> None:
        """Send until ended; returns early where the connection is lost."""
        try:
            while self._waiting or not self._ended:
                if not self._waiting:
                    self._more.clear()
                    await self._more.wait()
                    continue
                message = self._waiting.pop(next(iter(self._waiting)))
                await socket.send_str(json.dumps(message, separators=(",", ":")))
        except ConnectionError:
            self._ended = True
