"""The token of an HTTP request (RFC 6750, 2.1)."""

from __future__ import annotations

from aiohttp import web


def bearer(request: web.Request) -> str | None:
    """What `Authorization: Bearer` carries; None without one."""
    header = request.headers.get("Authorization", "")
    return header[7:].strip() if header[:7].lower() == "bearer " else None
