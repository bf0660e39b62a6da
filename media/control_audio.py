"""Audio from a gateway in another process: a WebSocket for each line. See `orders.LISTEN_PATH`."""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import WSMsgType, web
from pydantic import ValidationError

from media.node import Node
from signaling.audio import LARGEST_CHUNK_BYTES, AudioLine
from signaling.errors import ContractError
from signaling.orders import ListenOrder, audio_of

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS: Final = 10.0


async def carry(request: web.Request, node: Node) -> web.WebSocketResponse:
    """Serve one line to its end; where the gateway is gone, what was said becomes final."""
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS, compress=False, max_msg_size=2 * LARGEST_CHUNK_BYTES
    )
    await socket.prepare(request)
    line: AudioLine | None = None
    try:
        async for message in socket:
            try:
                if message.type == WSMsgType.BINARY and line:
                    await line.send(*audio_of(message.data))
                elif message.type == WSMsgType.TEXT and line and not message.data:
                    await line.close()
                elif message.type == WSMsgType.TEXT and line is None:
                    order = ListenOrder.model_validate_json(message.data)
                    line = await node.listen(
                        order.call,
                        order.participant,
                        order.audio,
                        order.begins_at_ms,
                        background=order.background,
                    )
                else:
                    raise ContractError("invalid", "not what comes now")
            except ContractError as error:
                await socket.send_json({"error": error.to_wire()})
            except ValidationError:
                wire = ContractError("invalid", "the order cannot be read").to_wire()
                await socket.send_json({"error": wire})
            else:
                await socket.send_json({})
    except ConnectionError:
        log.info("the gateway of a line is gone")
    finally:
        if line:
            await line.close()
    return socket
