"""Which pages may use the HTTP API: those that may connect (Fetch standard, CORS protocol).

Tokens are in a header that no page sends by itself. But a server without a secret takes whatever
a page anywhere lets its visitors' browsers send, so that pages which may not are refused at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from signaling.origins import Origins

_API: Final = "/api/"
_REQUEST_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
_EXPOSED: Final = "Location, Retry-After, Content-Disposition"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def share(app: web.Application, origins: Origins) -> None:
    """Add the headers to what the API answers, errors and streams too."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        if not request.path.startswith(_API):
            return
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin and origins.allows(request):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED

    app.on_response_prepare.append(add)


def checked_origins(origins: Origins) -> Middleware:
    """What refuses other pages, and answers the questions of browsers (preflights)."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(_API):
            return await handler(request)
        origins.check(request)
        # No route takes OPTIONS: the router names those that the resource has.
        missed = request.match_info.http_exception
        asks = "Origin" in request.headers and "Access-Control-Request-Method" in request.headers
        if (
            request.method != "OPTIONS"
            or not asks
            or not isinstance(missed, web.HTTPMethodNotAllowed)
        ):
            return await handler(request)
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": ", ".join(sorted(missed.allowed_methods)),
                "Access-Control-Allow-Headers": _REQUEST_HEADERS,
                "Access-Control-Max-Age": "600",
            },
        )

    return check
