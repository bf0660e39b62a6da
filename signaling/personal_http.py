"""`/api/participants/{participant}`: what is kept of one person, for them or who manages calls."""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import web
from pydantic import TypeAdapter

from signaling.bearer import bearer
from signaling.calls import Calls
from signaling.messages import Id
from signaling.personal import exported
from signaling.query import valid
from signaling.store import TranscriptStore
from signaling.tokens import Authority
from signaling.transcripts import Transcripts

log = structlog.get_logger(__name__)

_ID: Final = TypeAdapter(Id)
_FLUSH_SECONDS: Final = 2.0


class PersonalHttp:
    """Two routes. A token for one call is for what is kept of them in that call."""

    def __init__(
        self,
        *,
        calls: Calls,
        store: TranscriptStore,
        transcripts: Transcripts,
        authority: Authority,
    ) -> None:
        self._calls = calls
        self._store = store
        self._transcripts = transcripts
        self._authority = authority

    def add_routes(self, app: web.Application) -> None:
        """Add them to an aiohttp application."""
        app.router.add_get("/api/participants/{participant}/export", self.export)
        app.router.add_delete("/api/participants/{participant}", self.erase)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """`GET`: as it comes from the store, however much it is."""
        participant, call = await self._whose(request)
        await self._transcripts.flush(_FLUSH_SECONDS)
        parts = exported(self._store, participant, call)
        first = await anext(parts)  # where the store is away there is a proper error
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = "application/json"
        await response.prepare(request)
        await response.write(first.encode())
        async for part in parts:
            await response.write(part.encode())
        return response

    async def erase(self, request: web.Request) -> web.Response:
        """`DELETE`: of calls that are over."""
        participant, call = await self._whose(request)
        await self._transcripts.flush(_FLUSH_SECONDS)
        erased = await self._calls.erase_participant(participant, call)
        log.info("participant erased", finals=erased)
        return web.Response(status=204)

    async def _whose(self, request: web.Request) -> tuple[str, str | None]:
        participant = valid(_ID, "participant", request.match_info["participant"])
        who = await self._authority.authenticate(bearer(request))
        if who.subject != participant:
            who.require("manage")
        return participant, None if who.call == "*" else who.call
