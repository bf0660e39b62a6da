"""A light Socket.IO client: one protocol on one TCP connection, thousands to a process.

WebSocket only, no reconnection, and it can stop reading, which real clients do by accident.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

BROWSER_OFFER = "permessage-deflate; client_max_window_bits"

_TEXT, _CLOSE = 0x1, 0x8
_PONG_FRAME = b"\x81\x81\x00\x00\x00\x003"  # Engine.IO's "3"; a mask of zeros changes nothing


def _frame(text: str) -> bytes:
    """A masked frame, as clients send them."""
    body = text.encode()
    size = len(body)
    if size < 126:
        head = bytes((0x80 | _TEXT, 0x80 | size))
    elif size < 2**16:
        head = bytes((0x80 | _TEXT, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | _TEXT, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + b"\x00\x00\x00\x00" + body


class LightClient(asyncio.Protocol):
    """`hear` gets every event's JSON (`["caption",{…}]`) as bytes, when it is read."""

    def __init__(self, hear: Callable[[bytes], None], lost: Callable[[], None] | None = None):
        self._hear = hear
        self._tell_lost = lost
        self._buffer = bytearray()
        self._upgraded = False
        self._inflate: Any = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._asked = 0
        self.lost = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        hear: Callable[[bytes], None],
        lost: Callable[[], None] | None = None,
        *,
        offer: str = BROWSER_OFFER,
        receive_buffer: int = 0,
        token: str | None = None,
    ) -> LightClient:
        """To `url` and through Socket.IO's CONNECT. `offer` are WebSocket extensions."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(
            lambda: cls(hear, lost), parts.hostname, parts.port
        )
        assert client.transport
        if receive_buffer:
            sock = client.transport.get_extra_info("socket")
            sock.setsockopt(1, 8, receive_buffer)  # SOL_SOCKET, SO_RCVBUF
        extensions = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
        client.transport.write(
            (
                f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
                "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0\r\n"
                "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n"
                f"{extensions}\r\n"
            ).encode()
        )
        client.write("40" + (json.dumps({"token": token}) if token else ""))
        await client._ready
        return client

    def write(self, text: str) -> None:
        assert self.transport
        self.transport.write(_frame(text))

    async def ask(self, event: str, payload: Any) -> dict[str, Any]:
        """An event and its acknowledgement."""
        self._asked += 1
        answer = self._answers[self._asked] = asyncio.get_running_loop().create_future()
        self.write(f"42{self._asked}{json.dumps([event, payload])}")
        return await answer

    def close(self) -> None:
        if self.transport:
            self.transport.abort()

    # --- asyncio's --------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.lost.set()
        for waiting in (self._ready, *self._answers.values()):
            if not waiting.done():
                waiting.set_exception(ConnectionError("the server closed the connection"))
                waiting.exception()  # whoever asked may be gone
        if self._tell_lost:
            self._tell_lost()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._upgraded:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(buffer[:end]).lower()
            assert head.startswith(b"http/1.1 101"), head
            if b"permessage-deflate" in head:
                self._inflate = zlib.decompressobj(-15)
            self._upgraded = True
            del buffer[: end + 4]
        at = 0
        while (took := self._take(buffer, at)) > at:
            at = took
        if at:
            del buffer[:at]

    def _take(self, buffer: bytearray, at: int) -> int:
        """Read the frame at `at`, where it is there as a whole; what follows it."""
        if len(buffer) < at + 2:
            return at
        first, size, body = buffer[at], buffer[at + 1], at + 2
        if size >= 126:
            body += 2 if size == 126 else 8
            if len(buffer) < body:
                return at
            size = int.from_bytes(buffer[at + 2 : body], "big")
        end = body + size
        if len(buffer) < end:
            return at
        text = bytes(buffer[body:end])
        if first & 0x40:
            text = self._inflate.decompress(text + b"\x00\x00\xff\xff")
        if first & 0x0F == _TEXT:
            self._packet(text)
        elif first & 0x0F == _CLOSE and self.transport:
            self.transport.close()
        return end

    def _packet(self, text: bytes) -> None:
        kind = text[:2]
        if kind == b"42":
            self._hear(text[2:])
        elif kind == b"43":
            start = text.index(b"[")
            answer = self._answers.pop(int(text[2:start]))
            if not answer.done():
                answer.set_result(json.loads(text[start:])[0])
        elif kind == b"2":
            if self.transport:
                self.transport.write(_PONG_FRAME)
        elif kind == b"40":
            self._ready.set_result(None)
        elif kind == b"44":
            self._ready.set_exception(ConnectionError(text.decode()))
