"""The node's control API over HTTP: what gateways ask of it. See `signaling.node_api`."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from aiohttp import web
from pydantic import ValidationError

from media.control_audio import carry
from media.node import Node
from signaling.errors import HTTP_STATUS, ContractError
from signaling.node_token import check_node_token
from signaling.orders import (
    LISTEN_PATH,
    ORDERS,
    PATH,
    WATCH_PATH,
    CandidateOrder,
    CloseMedia,
    OfferOrder,
    Order,
    Publish,
    Start,
    UpdateOrder,
)

log = structlog.get_logger(__name__)

SIGN_OF_LIFE_SECONDS: Final = 10.0

LARGEST_ORDER: Final = 512 * 1024
"""Bytes: an offer of 64 KiB, each of which may be an escape of six in JSON, and all else."""


class Control:
    """The routes. Errors are `{"error": {"code", "message", "retry_after_ms"}}`."""

    def __init__(self, node: Node, secret: str, previous_secret: str = "") -> None:
        self._node = node
        self._secret = secret
        self._previous = previous_secret

    def add_routes(self, app: web.Application) -> None:
        """Add them to an aiohttp application."""
        app.router.add_post(f"{PATH}/{{order}}", self._take)
        app.router.add_get(WATCH_PATH, self._watched)
        app.router.add_get(LISTEN_PATH, self._listen)

    async def _watched(self, request: web.Request) -> web.StreamResponse:
        """Say that the node lives, until it does not: by itself, or by the connection's end."""
        try:
            self._check(request)
        except ContractError as error:
            return _answer(error)
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b".")
                await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
        except ConnectionResetError:  # whoever watched does so no longer
            return response

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check(request)
        except ContractError as error:
            return _answer(error)
        return await carry(request, self._node)

    async def _take(self, request: web.Request) -> web.Response:
        try:
            self._check(request)
            return web.json_response(await self._do(await _order(request)))
        except ContractError as error:
            log.info("order refused", code=error.code, why=error.logged)
            return _answer(error)
        except Exception:  # the gateway must be told something; logged here once
            log.exception("order failed")
            return _answer(ContractError("unavailable", "the media node could not do that", 1000))

    def _check(self, request: web.Request) -> None:
        check_node_token(self._secret, _bearer(request), self._node.id, self._previous)

    async def _do(self, named: tuple[str, Order]) -> dict[str, Any]:
        node = self._node
        name, order = named
        match order:
            case Start():
                return {"details": dict(await node.start(order.call, order.source, order.language))}
            case OfferOrder():
                return {"sdp": await node.offer(order.call, order.participant, order.sdp)}
            case Publish():
                finals = await node.publish(order.call, order.captions)
                return {"captions": [final.to_wire() for final in finals]}
            case CandidateOrder():
                await node.candidate(order.call, order.participant, order.candidate)
            case CloseMedia():
                await node.close_media(order.call, order.participant)
            case UpdateOrder():
                await node.update(order.call, order.participant)
            case _ if name == "end":
                await node.end(order.call)
            case _:
                await node.forget_words(order.call)
        return {}


def _answer(error: ContractError) -> web.Response:
    return web.json_response({"error": error.to_wire()}, status=HTTP_STATUS[error.code])


async def _order(request: web.Request) -> tuple[str, Order]:
    name = request.match_info["order"]
    model = ORDERS.get(name)
    if model is None:
        raise ContractError("not_found", "no such order")
    try:
        return name, model.model_validate_json(await request.read())
    except web.HTTPRequestEntityTooLarge:
        raise ContractError("too_large", "the order is too large") from None
    except ValidationError:
        raise ContractError("invalid", "the order cannot be read") from None


def _bearer(request: web.Request) -> str | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else None
