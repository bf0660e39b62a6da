"""Where a client is, as far as it or the operator's proxy says: it orders TURN servers only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

_LONGEST: Final = 64


def region_of(request: web.BaseRequest, header: str) -> str:
    """What the query says (`region`), else the header of that name; empty where neither does.

    Nothing but a hint: one that nobody has set anything for is as good as none.
    """
    said = request.query.get("region", "") or (request.headers.get(header, "") if header else "")
    return said if len(said) <= _LONGEST else ""


def region_of_socket(environ: object, header: str) -> str:
    """The same of a Socket.IO connection's request, by what Engine.IO gives with it."""
    request = environ.get("aiohttp.request") if isinstance(environ, Mapping) else None
    return region_of(request, header) if isinstance(request, web.BaseRequest) else ""
