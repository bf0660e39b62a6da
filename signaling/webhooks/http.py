"""`/api/webhooks`: what waits and what was given up, for who manages calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, get_args

from aiohttp import web

from signaling.bearer import bearer
from signaling.errors import ContractError
from signaling.query import number
from signaling.shared_call import now_ms
from signaling.store import TranscriptStore
from signaling.tokens import Authority
from signaling.webhooks.bodies import time_of
from signaling.webhooks.delivery import Delivery, DeliveryState

_STATES: Final[tuple[DeliveryState, ...]] = get_args(DeliveryState)


class WebhooksApi:
    """Whose token is for one call sees that one's."""

    def __init__(
        self, *, store: TranscriptStore, authority: Authority, stir: Callable[[], None]
    ) -> None:
        """`stir` is called when there is something to send."""
        self._deliveries = store.deliveries
        self._authority = authority
        self._stir = stir

    def add_routes(self, app: web.Application) -> None:
        """Add them to an aiohttp application."""
        app.router.add_get("/api/webhooks/deliveries", self.list_deliveries)
        app.router.add_post("/api/webhooks/deliveries/{id}/retry", self.retry)

    async def list_deliveries(self, request: web.Request) -> web.Response:
        """`GET /api/webhooks/deliveries`."""
        call = await self._managed_call(request)
        named = request.query.get("state", "dead")
        state = next((known for known in _STATES if known == named), None)
        if state is None:
            raise ContractError("invalid", f"state: one of {', '.join(_STATES)}")
        limit = number(request, "limit", 100, 1, 1000) or 100
        found = await self._deliveries.listed(state, call, limit)
        return web.json_response({"deliveries": [to_wire(delivery) for delivery in found]})

    async def retry(self, request: web.Request) -> web.Response:
        """`POST /api/webhooks/deliveries/{id}/retry`."""
        call = await self._managed_call(request)
        delivery = await self._deliveries.delivery(request.match_info["id"])
        if delivery is None or call not in (None, delivery.call):
            raise ContractError("not_found", "no such delivery")
        if delivery.state == "sent":
            raise ContractError("conflict", "it was taken already")
        again = replace(
            delivery, state="waiting", attempts=0, due_at_ms=now_ms(), settled_at_ms=None
        )
        await self._deliveries.enable(delivery.target)
        await self._deliveries.settle(again)
        self._stir()
        return web.json_response(to_wire(again))

    async def _managed_call(self, request: web.Request) -> str | None:
        who = await self._authority.authenticate(bearer(request))
        who.require("manage")
        return None if who.call == "*" else who.call


def to_wire(delivery: Delivery) -> dict[str, Any]:
    """The delivery of the public contract; of its target no more than the origin."""
    waits = delivery.state == "waiting"
    return {
        "id": delivery.id,
        "event": delivery.event,
        "call": delivery.call,
        "target": delivery.origin,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "status": delivery.status,
        "error": delivery.error,
        "created_at": time_of(delivery.created_at_ms),
        "next_attempt_at": time_of(delivery.due_at_ms) if waits else None,
    }
