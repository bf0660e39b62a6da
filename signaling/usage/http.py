"""`GET /api/usage`: how much was said, for who manages all calls."""

from __future__ import annotations

from typing import Any, Final, get_args

from aiohttp import web
from pydantic import TypeAdapter

from captions.types import SPOKEN
from signaling.bearer import bearer
from signaling.errors import ContractError
from signaling.messages import Id
from signaling.query import number, valid
from signaling.store import TranscriptStore
from signaling.tokens import Authority, Tenant
from signaling.usage.ledger import Grouping, Usage, UsageQuery, summed

MOST_ROWS: Final = 10_000

_GROUPINGS: Final[tuple[Grouping, ...]] = get_args(Grouping)
_ID: Final = TypeAdapter(Id)
_TENANT: Final = TypeAdapter(Tenant)


class UsageApi:
    """One route."""

    def __init__(self, *, store: TranscriptStore, authority: Authority) -> None:
        self._ledger = store.ledger
        self._authority = authority

    def add_routes(self, app: web.Application) -> None:
        """Add it to an aiohttp application."""
        app.router.add_get("/api/usage", self.get_usage)

    async def get_usage(self, request: web.Request) -> web.Response:
        """`GET /api/usage`."""
        who = await self._authority.authenticate(bearer(request))
        who.require("manage", "*")
        query = _query(request)
        rows = await self._ledger.usage(query)
        if len(rows) > MOST_ROWS:
            raise ContractError("too_large", f"more than {MOST_ROWS} rows: narrow from and to")
        parts = [(("", SPOKEN, row.speech_ms, row.captions)) for row in rows]
        parts += [("", feed, 0, count) for row in rows for feed, count in row.translated.items()]
        total = next(iter(summed(parts, SPOKEN)), Usage())
        body: dict[str, Any] = {"total": _to_wire(total)}
        if query.by:
            body["rows"] = [{query.by: row.key, **_to_wire(row)} for row in rows]
        return web.json_response(body)


def _query(request: web.Request) -> UsageQuery:
    query = request.query
    by = next((known for known in _GROUPINGS if known == query.get("by")), None)
    if by is None and "by" in query:
        raise ContractError("invalid", f"by: one of {', '.join(_GROUPINGS)}")
    return UsageQuery(
        since_ms=number(request, "from", None, 0, 2**53),
        until_ms=number(request, "to", None, 0, 2**53),
        tenant=valid(_TENANT, "tenant", query["tenant"]) if "tenant" in query else None,
        call=valid(_ID, "call", query["call"]) if "call" in query else None,
        by=by,
        limit=MOST_ROWS + 1,
    )


def _to_wire(usage: Usage) -> dict[str, Any]:
    return {
        "speech_seconds": usage.speech_ms / 1000,
        "captions": usage.captions,
        "translated": dict(usage.translated),
    }
