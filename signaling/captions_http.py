"""`/api/calls/{call}/captions`: a feed as Server-Sent Events, and finals from outside."""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

import structlog
from aiohttp import web

from captions.types import SPOKEN
from signaling.bearer import bearer
from signaling.bringing import Bringing, KeyReused
from signaling.brought import BringCaptions, idempotency_key
from signaling.errors import ContractError
from signaling.event_response import begun, last_event_id
from signaling.event_streams import EventStream
from signaling.limits.limiter import Limiter, holder
from signaling.messages import ClientMessage, Feed, Id, Profanity, checked
from signaling.readers import Readers, Wish
from signaling.tenure import Tenures, Unwarned
from signaling.tokens import Identity

log = structlog.get_logger(__name__)

LARGEST_BODY: Final = 128 * 1024
"""Bytes of captions that are brought; an order to a node holds thrice as much, as escapes are."""

PATH: Final = "/api/calls/{call}/captions"


class Read(ClientMessage):
    """`GET …/captions?language=&profanity=`, beside its token."""

    call: Id
    language: Feed = SPOKEN
    profanity: Profanity = "keep"


class Bring(ClientMessage):
    """`POST …/captions`, beside its body."""

    call: Id


class CaptionsHttp:
    """The routes."""

    def __init__(
        self,
        *,
        readers: Readers,
        bringing: Bringing,
        tenures: Tenures,
        limiter: Limiter | None = None,
    ) -> None:
        self._limiter = limiter or Limiter()
        self._readers = readers
        self._bringing = bringing
        self._tenures = tenures

    def add_routes(self, app: web.Application) -> None:
        """Add them to an aiohttp application."""
        app.router.add_get(PATH, self.read, allow_head=False)
        app.router.add_post(PATH, self.bring)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """`GET`: the feed from behind `Last-Event-ID`, until the call ends."""
        tenure = await self._tenures.begin(bearer(request))
        wish = _wish(request, tenure.who)
        if self._readers.draining:  # an error would be the end of an EventSource
            return await begun(request)
        lease = await self._limiter.hold({"connections_per_subject": holder(tenure.who)})
        stream = self._readers.streams.open(request.transport)
        tenure.start(Unwarned(stream.close))
        try:
            return await self._read(request, stream, wish)
        except ConnectionResetError:  # whoever read is gone, or was cut off
            log.debug("reader of events gone")
            return web.Response()
        finally:
            tenure.end()
            self._readers.streams.forget(stream)
            lease.release()

    async def bring(self, request: web.Request) -> web.Response:
        """`POST`: one caption, or several as `captions`; they are answered as they are numbered."""
        who = await self._tenures.authority.authenticate(bearer(request))
        call = checked(Bring, {"call": request.match_info["call"]}).call
        who.require("publish", call)
        key = idempotency_key(request.headers.getall("Idempotency-Key", []))
        body = await _json(request)
        if isinstance(body, dict) and "captions" not in body:
            body = {"captions": [body]}
        try:
            finals = await self._bringing.bring(call, who, key, checked(BringCaptions, body))
        except KeyReused:
            reason = "The Idempotency-Key stands for other captions"
            raise web.HTTPUnprocessableEntity(reason=reason) from None
        answer = {"call": call, "captions": [final.to_wire() for final in finals]}
        return web.json_response(answer, status=201)

    async def _read(
        self, request: web.Request, stream: EventStream, wish: Wish
    ) -> web.StreamResponse:
        seat = await self._readers.sit(stream, wish)
        try:
            replayed = await self._readers.finals(wish)
            if seat is None and not replayed and "Last-Event-ID" in request.headers:
                return web.Response(status=204)  # an EventSource comes no more
            response = await begun(request)
            async with aclosing(self._readers.events(stream, wish, replayed)) as events:
                async for data in events:
                    await response.write(data)
            return response
        finally:
            if seat:
                await self._readers.leave(seat)


def _wish(request: web.Request, who: Identity) -> Wish:
    given = {
        name: request.query[name] for name in ("language", "profanity") if name in request.query
    }
    asked = checked(Read, {**given, "call": request.match_info["call"]})
    who.require("watch", asked.call)
    masked = asked.profanity == "mask"
    return Wish(asked.call, asked.language, _last_event_id(request), masked)


def _last_event_id(request: web.Request) -> int:
    """The `seq` that the reader has got to, 0 from the beginning."""
    try:
        return last_event_id(request) or 0
    except ValueError:
        raise ContractError("invalid", "Last-Event-ID: a seq of the feed") from None


async def _json(request: web.Request) -> object:
    too_large = ContractError("too_large", f"the body has at most {LARGEST_BODY} bytes")
    if (request.content_length or 0) > LARGEST_BODY or len(await request.read()) > LARGEST_BODY:
        raise too_large
    try:
        return await request.json()
    except (ValueError, LookupError, RecursionError):  # LookupError: of the charset
        raise ContractError("invalid", "the body must be JSON") from None
