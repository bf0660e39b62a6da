"""What the WebSockets that take audio have in common: they send results while they listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from signaling.results import Results

FIRST_MESSAGE_SECONDS: Final = 10.0
"""How long who did not say in the request who they are may take to say it."""

HEARTBEAT_SECONDS: Final = 20.0


@asynccontextmanager
async def connected(
    request: web.Request,
    results: Results,
    *,
    largest_message_bytes: int,
    protocols: tuple[str, ...] = (),
) -> AsyncIterator[web.WebSocketResponse]:
    """The request's WebSocket; behind the block, and the last result, it is closed."""
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS,
        compress=False,
        max_msg_size=largest_message_bytes,
        protocols=protocols,
    )
    await socket.prepare(request)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(results.send_to(socket))
        try:
            yield socket
        finally:
            results.end()
    await socket.close()
