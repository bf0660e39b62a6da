"""What the namespaces of Socket.IO have in common: who connects, and how events are answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import socketio
import structlog

from signaling.errors import ContractError
from signaling.messages import Refresh, checked
from signaling.outbox import Outboxes
from signaling.tenure import Tenure, Tenures

log = structlog.get_logger(__name__)

C = TypeVar("C")
"""A connected client, as its namespace knows it."""

Handler = Callable[[C, object], Awaitable[dict[str, Any] | None]]


async def admitted(tenures: Tenures, auth: object) -> Tenure:
    """Of who the handshake's `auth` says it is; else Socket.IO's own refusal."""
    token = auth.get("token") if isinstance(auth, dict) else None
    try:
        return await tenures.begin(token if isinstance(token, str) else None)
    except ContractError as error:
        log.info("refused", code=error.code)
        raise socketio.exceptions.ConnectionRefusedError(error.code, error.to_wire()) from None


async def refreshed(tenure: Tenure, payload: object) -> dict[str, Any]:
    """Take the token of a `token:refresh`; its acknowledgement."""
    await tenure.refresh(checked(Refresh, payload).token)
    return {"expires_in_ms": tenure.expires_in_ms}


class SocketHolder:
    """A socket of a namespace, as its tenure knows it. See `Holder`."""

    def __init__(
        self, sio: socketio.AsyncServer, outboxes: Outboxes, socket: str, namespace: str = "/"
    ) -> None:
        self._sio = sio
        self._outboxes = outboxes
        self._socket = socket
        self._namespace = namespace

    def expiring(self, *, expired: bool, closes_in_ms: int) -> None:
        """See `Holder`."""
        told = {"expired": expired, "closes_in_ms": closes_in_ms}
        self._outboxes.send_now("token:expiring", told, self._socket, self._namespace)

    async def close(self) -> None:
        """See `Holder`."""
        await self._sio.disconnect(self._socket, namespace=self._namespace)


async def answered(
    event: str, client: C | None, handler: Handler[C] | None, payload: tuple[object, ...]
) -> dict[str, Any]:
    """The acknowledgement of any event: what goes wrong is told in it, and logged once."""
    try:
        if client is None:
            raise ContractError("conflict", "not connected")
        if handler is None:
            raise ContractError("invalid", "no such event")
        return {"ok": True, **(await handler(client, *(payload or ({},))[:1]) or {})}
    except ContractError as error:
        known = event if handler else "unknown"
        log.info("refused", event_name=known, code=error.code, why=error.logged)
        return {"ok": False, "error": error.to_wire()}
    except Exception:  # python-socketio would send no acknowledgement at all
        log.exception("event failed", event_name=event)
        failure = ContractError("unavailable", "the server could not do that", 1000)
        return {"ok": False, "error": failure.to_wire()}
