"""An audio line to a node in another process: a WebSocket. See `orders.LISTEN_PATH`."""

from __future__ import annotations

from typing import Any, Final

import aiohttp

from signaling.errors import ContractError
from signaling.orders import audio_frame, told

HEARTBEAT_SECONDS: Final = 10.0

OPEN_SECONDS: Final = 5.0

CLOSE_SECONDS: Final = 20.0
"""The last words are recognized."""


class HttpLine:
    """See `AudioLine`. What it carries is of one `ListenOrder`, which `open` has sent."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._closed = False

    async def open(self, order: str) -> None:
        """Send the order, JSON; `ContractError` as the node answers."""
        try:
            await self._ask(self._socket.send_str(order), OPEN_SECONDS)
        except BaseException:
            await self._socket.close()
            raise

    async def send(self, chunk: bytes, at_ms: int) -> None:
        """See `AudioLine`. Cancelled, the chunk may or may not be there."""
        if self._closed:
            raise ContractError("conflict", "the line is closed")
        # For as long as the node wants it to wait: whether that lives, the heartbeat tells.
        await self._ask(self._socket.send_bytes(audio_frame(chunk, at_ms)), None)

    async def close(self) -> None:
        """See `AudioLine`."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._ask(self._socket.send_str(""), CLOSE_SECONDS)
        finally:
            await self._socket.close()

    async def _ask(self, sending: Any, seconds: float | None) -> None:
        try:
            await sending
            answer = await self._socket.receive_json(timeout=seconds)
        except (aiohttp.ClientError, ConnectionError, TimeoutError, TypeError, ValueError):
            raise ContractError("unavailable", "the media node does not answer", 1000) from None
        if "error" in answer:
            raise told(answer["error"])
