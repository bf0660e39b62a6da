"""The door before aiohttp: who has connected is nobody's business before a request has a head.

aiohttp waits for a head as long as for the next request of a connection, and any number of clients
may send theirs a byte at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

import structlog
from aiohttp import web

from signaling.limits.addresses import Addresses
from signaling.limits.limiter import Limiter

log = structlog.get_logger(__name__)

HEAD_SECONDS: Final = 10.0
"""From connecting to the end of the first request's head."""

KEEPALIVE_SECONDS: Final = 75.0
"""Between requests of a connection: longer than proxies keep those that they do not use."""

_LARGEST_HEAD: Final = 64 * 1024
"""Bytes at which aiohttp is to say what is wrong with it."""

_END: Final = b"\r\n\r\n"
_LIMIT: Final = "silent_connections_per_address"


class Front(web.BaseSite):
    """A site of `runner` on TCP; port 0 picks one."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        limiter: Limiter,
        addresses: Addresses,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        super().__init__(runner)
        self.head_seconds = head_seconds
        self._host = host
        self._port = port
        self._limiter = limiter
        self._addresses = addresses
        self._silent: set[_Silent] = set()
        self._counts: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """See `web.BaseSite`."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """See `web.BaseSite`."""
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Silent(self), self._host, self._port, backlog=self._backlog
        )

    async def stop(self) -> None:
        """See `web.BaseSite`."""
        await super().stop()
        for silent in tuple(self._silent):
            silent.abort()

    def enter(self, silent: _Silent, peer: Any) -> bool:
        """Whether one more may be silent; `leave` is due in any case."""
        silent.key = self._addresses.peer_key(peer)
        self._silent.add(silent)
        if silent.key is None:
            return True
        self._counts[silent.key] += 1
        most = self._limiter.limits.silent_connections_per_address
        if not most or self._counts[silent.key] <= most:
            return True
        self._limiter.refusal(_LIMIT)
        return False

    def leave(self, silent: _Silent) -> None:
        """It has sent a head, or is gone. Idempotent."""
        if silent not in self._silent:
            return
        self._silent.discard(silent)
        if silent.key is not None:
            self._counts[silent.key] -= 1
            if not self._counts[silent.key]:
                del self._counts[silent.key]

    def serve(self, transport: asyncio.Transport, head: bytes) -> None:
        """Let aiohttp have the connection, from its first byte."""
        assert self._runner.server
        protocol = self._runner.server()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(head)


class _Silent(asyncio.Protocol):
    """A connection whose first head is not there yet."""

    def __init__(self, front: Front) -> None:
        self.key: str | None = None
        self._front = front
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._front.enter(self, transport.get_extra_info("peername")):
            self.abort()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._front.head_seconds, self.abort)

    def data_received(self, data: bytes) -> None:
        searched = max(0, len(self._head) - len(_END) + 1)
        self._head += data
        if self._head.find(_END, searched) < 0 and len(self._head) < _LARGEST_HEAD:
            return
        self._leave()
        transport, self._transport = self._transport, None
        if transport and not transport.is_closing():
            self._front.serve(transport, bytes(self._head))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        self._leave()

    def abort(self) -> None:
        """Close it without a word."""
        self._leave()
        if self._transport:
            self._transport.abort()

    def _leave(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._front.leave(self)
