"""Limits of HTTP requests: how many of a kind come from an address, what stays open, slow bodies.

Whose token it is is not known here: the doors count by subject.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from signaling.errors import ContractError
from signaling.limits.addresses import Addresses
from signaling.limits.limiter import Limiter

BODY_SECONDS: Final = 20.0
"""How long the body of a request may take; files have limits of their own."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CONNECTS: Final = "connects_per_address_per_minute"
_PROBES: Final = "probes_per_address_per_minute"
_PAGE: Final = "page_requests_per_address_per_minute"
_READS: Final = "reads_per_address_per_minute"
_WRITES: Final = "writes_per_address_per_minute"
_BROUGHT: Final = "brought_per_address_per_minute"
_WHIP: Final = "whip_requests_per_address_per_minute"
_UPLOADS: Final = "uploads_per_address_per_minute"

_CHEAP: Final = {_PROBES, _PAGE, CONNECTS}
"""Not worth asking the other gateways: what lasts is held, for which they are asked anyway."""

_LASTING: Final = {
    "/api/calls/{call}/captions",
    "/api/transcriptions/{job}/events",
    "/ws/v1/transcribe",
    "/ws/v1/telephony",
}
"""What is open for as long as its client likes, by GET."""

_SOCKET: Final = "/socket.io/"
_FILES: Final = "/api/transcriptions"


class HttpLimits:
    """`middleware` raises `ContractError` where a limit is hit."""

    def __init__(self, limiter: Limiter, addresses: Addresses) -> None:
        self.limiter = limiter
        self.addresses = addresses

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through to its handler."""
        address = self.addresses.key(request)
        kind = _kind(request)
        if kind in _CHEAP:
            self.limiter.admit_here(kind, address)
        elif kind:
            await self.limiter.admit(kind, address)
        if request.method == "GET" and _route(request) in _LASTING:
            lease = await self.limiter.hold({"connections_per_address": address})
            try:
                return await handler(request)
            finally:
                lease.release()
        if not request.can_read_body or kind == _UPLOADS:
            return await handler(request)
        try:
            async with asyncio.timeout(BODY_SECONDS) as limit:
                if request.path == _SOCKET:  # Engine.IO reads it by itself, and is soon done
                    return await handler(request)
                await request.read()  # and whoever wants it has it there
        except TimeoutError:
            if not limit.expired():
                raise
            raise ContractError("invalid", "the body does not come fast enough") from None
        return await handler(request)


def _route(request: web.Request) -> str:
    """As it was declared; empty where there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""


def _kind(request: web.Request) -> str:
    """The limit that counts such requests; empty for what belongs to a socket that is open."""
    route, reads = _route(request), request.method in ("GET", "HEAD", "OPTIONS")
    if route == _SOCKET:
        return "" if "sid" in request.query else CONNECTS
    if route in _LASTING:
        return CONNECTS if reads else _BROUGHT
    if route.startswith("/whip/"):
        return _WHIP
    if route.startswith("/api/"):
        uploads = route == _FILES and not reads
        return _UPLOADS if uploads else _READS if reads else _WRITES
    return _PROBES if route in ("/health", "/ready", "/metrics") else _PAGE
