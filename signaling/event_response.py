"""The response that Server-Sent Events (WHATWG HTML, 9.2) are written to."""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web

HEARTBEAT: Final = b":\n\n"
"""A comment: it says to whatever is in between that the connection is in use."""

HEARTBEAT_SECONDS: Final = 15.0
"""Between comments where nothing happens: proxies close what is silent for a minute, or less."""

_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


async def begun(request: web.Request) -> web.StreamResponse:
    """A stream of events that is seen to be open."""
    response = web.StreamResponse(headers=_HEADERS)
    response.force_close()  # the next one is for another gateway, where this one goes
    await response.prepare(request)
    await response.write(HEARTBEAT)
    return response


def event_bytes(name: str, number: int | None, payload: dict[str, Any]) -> bytes:
    """One event as it is sent; with a `number` readers resume behind it."""
    numbered = "" if number is None else f"id: {number}\n"
    text = json.dumps(payload, separators=(",", ":"))
    return f"event: {name}\n{numbered}data: {text}\n\n".encode()


def last_event_id(request: web.Request) -> int | None:
    """The number that the reader has got to; None where it says none. ValueError for nonsense."""
    text = request.headers.get("Last-Event-ID", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError("no number")
    return int(text)
