"""HTTP: calls, transcripts, health, metrics, the page. Errors are RFC 9457 documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
from aiohttp import web
from pydantic import StringConstraints, TypeAdapter

from captions.formats import FORMATS
from captions.types import SPOKEN
from signaling.bearer import bearer
from signaling.calls import Calls
from signaling.errors import HTTP_STATUS, ContractError
from signaling.health import Health
from signaling.messages import ChangeCall, CreateCall, Feed, Id, checked
from signaling.metrics import CONTENT_TYPE, Metrics
from signaling.quality import Quality, Report
from signaling.query import number, valid
from signaling.region import region_of
from signaling.room import call_to_wire
from signaling.store import Search, TranscriptStore
from signaling.tokens import Authority, Grant, Identity
from signaling.transcripts import Transcripts
from turn.credentials import TurnServers

log = structlog.get_logger(__name__)

LARGEST_BODY: Final = 256 * 1024

_PAGE: Final = Path(__file__).parent / "page"
_ID: Final = TypeAdapter(Id)
_FEED: Final = TypeAdapter(Feed)
_QUERY: Final = TypeAdapter(Annotated[str, StringConstraints(max_length=1000)])

# Media of other participants and the recorded speaker are the page's own or blobs.
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:; "
        "media-src 'self' blob: mediastream:; style-src 'self' 'unsafe-inline'; "
        "frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

# The element, and the contract, are for every page.
_SHARED_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(error: ContractError) -> web.Response:
    """The error as a problem document."""
    headers = {}
    if error.code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, -(-error.retry_after_ms // 1000)))
    return web.Response(
        status=HTTP_STATUS[error.code],
        text=json.dumps(error.to_problem()),
        content_type="application/problem+json",
        headers=headers,
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong becomes a problem document, and is logged once."""
    try:
        return await handler(request)
    except ContractError as error:
        log.info("refused", method=request.method, code=error.code, why=error.logged)
        return problem(error)
    except web.HTTPRequestEntityTooLarge:
        return problem(ContractError("too_large", f"a body has at most {LARGEST_BODY} bytes"))
    except web.HTTPNotFound:
        return problem(ContractError("not_found", "no such resource"))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        document = {"type": "about:blank", "title": error.reason, "status": error.status}
        return web.Response(
            status=error.status,
            text=json.dumps({**document, "code": "invalid", "detail": error.reason}),
            content_type="application/problem+json",
            headers={k: v for k, v in error.headers.items() if k.lower() == "allow"},
        )
    except Exception:  # aiohttp would answer with a page of its own
        log.exception("request failed", method=request.method)
        return problem(ContractError("unavailable", "the server could not do that", 1000))


class Api:
    """The routes of the public contract."""

    def __init__(
        self,
        *,
        calls: Calls,
        store: TranscriptStore,
        transcripts: Transcripts,
        authority: Authority,
        turn: TurnServers,
        health: Health,
        metrics: Metrics,
        voices: Path | None,
        language: str = "auto",
    ) -> None:
        """`voices` is a folder of recordings for the page's recorded speaker.

        `language` is the BCP 47 tag of who does not say what they speak.
        """
        self._language = language
        self._calls = calls
        self._store = store
        self._transcripts = transcripts
        self._authority = authority
        self._turn = turn
        self._health = health
        self._metrics = metrics
        self._voices = voices
        self._quality = Quality()
        metrics.add(self._quality.readings)

    def add_routes(self, app: web.Application) -> None:
        """Add them to an aiohttp application."""
        app.router.add_post("/api/calls", self.create_call)
        app.router.add_get("/api/calls", self.list_calls)
        app.router.add_get("/api/calls/{call}", self.get_call)
        app.router.add_patch("/api/calls/{call}", self.change_call)
        app.router.add_delete("/api/calls/{call}", self.end_call)
        app.router.add_get("/api/calls/{call}/transcript", self.get_transcript)
        app.router.add_delete("/api/calls/{call}/transcript", self.erase_transcript)
        app.router.add_post("/api/calls/{call}/quality", self.take_quality)
        app.router.add_get("/api/transcripts", self.search)
        app.router.add_get("/api/ice-servers", self.ice_servers)
        app.router.add_get("/api/languages", self.languages)
        app.router.add_get("/health", self.get_health)
        app.router.add_get("/ready", self.get_ready)
        app.router.add_get("/metrics", self.get_metrics)
        app.router.add_get("/", _send(_PAGE / "index.html", _PAGE_HEADERS))
        for file in _PAGE.glob("*.*"):
            if file.name != "index.html":
                app.router.add_get(f"/{file.name}", _send(file, _PAGE_HEADERS))
        app.router.add_get("/docs", _send(_PAGE / "docs.html", _PAGE_HEADERS))
        app.router.add_get("/search", _send(_PAGE / "search.html", _PAGE_HEADERS))
        for file in (*_PAGE.glob("client/*.js"), *_PAGE.glob("docs/*.yaml")):
            path = file.relative_to(_PAGE).as_posix()
            app.router.add_get(f"/{path}", _send(file, _SHARED_HEADERS))
        if self._voices:
            app.router.add_static("/voices", self._voices)
        if (_PAGE / "assets").is_dir():
            app.router.add_static("/assets", _PAGE / "assets")

    async def create_call(self, request: web.Request) -> web.Response:
        """`POST /api/calls`."""
        who = await self._identify(request, "manage")
        message = checked(CreateCall, await _json(request))
        # Whose token is for one call may create that one, by its name.
        who.require("manage", message.call or "*")
        shared = await self._calls.create(message, who.tenant)
        seq = await self._transcripts.last_seq(shared.call, SPOKEN)
        return web.json_response(
            call_to_wire(shared.record, shared, seq),
            status=201,
            headers={"Location": f"/api/calls/{shared.call}"},
        )

    async def list_calls(self, request: web.Request) -> web.Response:
        """`GET /api/calls`."""
        who = await self._identify(request, "read")
        limit = number(request, "limit", 100, 1, 1000) or 100
        only = None if who.call == "*" else who.call
        return web.json_response({"calls": await self._calls.describe_all(limit, only)})

    async def get_call(self, request: web.Request) -> web.Response:
        """`GET /api/calls/{call}`."""
        return web.json_response(await self._calls.describe(await self._call(request, "read")))

    async def change_call(self, request: web.Request) -> web.Response:
        """`PATCH /api/calls/{call}`."""
        call = await self._call(request, "manage")
        shared = await self._calls.change(call, checked(ChangeCall, await _json(request)))
        seq = await self._transcripts.last_seq(call, SPOKEN)
        return web.json_response(call_to_wire(shared.record, shared, seq))

    async def end_call(self, request: web.Request) -> web.Response:
        """`DELETE /api/calls/{call}`."""
        await self._calls.end(await self._call(request, "manage"))
        return web.Response(status=204)

    async def get_transcript(self, request: web.Request) -> web.Response:
        """`GET /api/calls/{call}/transcript`."""
        call = await self._call(request, "read")
        wanted = request.query.get("format", "json")
        if wanted not in FORMATS:
            raise ContractError("invalid", f"format: one of {', '.join(FORMATS)}")
        feed = valid(_FEED, "language", request.query.get("language", SPOKEN))
        await self._calls.describe(call)
        captions = await self._transcripts.transcript(call, feed)
        chosen = FORMATS[wanted]
        return web.Response(
            body=chosen.render(call, captions).encode(),
            headers={
                "Content-Type": chosen.media_type,
                "Content-Disposition": f'inline; filename="{call}.{chosen.extension}"',
                "X-Content-Type-Options": "nosniff",
            },
        )

    async def erase_transcript(self, request: web.Request) -> web.Response:
        """`DELETE /api/calls/{call}/transcript`."""
        call = await self._call(request, "manage")
        erased = await self._calls.erase(call)
        log.info("transcript erased", finals=erased)
        return web.Response(status=204)

    async def take_quality(self, request: web.Request) -> web.Response:
        """`POST /api/calls/{call}/quality`."""
        call = await self._call(request, "join")
        report = checked(Report, await _json(request))
        await self._calls.describe(call)
        self._quality.take(report)
        return web.Response(status=204)

    async def search(self, request: web.Request) -> web.Response:
        """`GET /api/transcripts`."""
        query = request.query
        call = valid(_ID, "call", query["call"]) if "call" in query else None
        participant = query.get("participant")
        if participant is not None:
            valid(_ID, "participant", participant)
        who = await self._identify(request, "read", call)
        found, cursor = await self._store.search(
            Search(
                text=valid(_QUERY, "q", query.get("q", "")),
                call=call or (None if who.call == "*" else who.call),
                participant=participant,
                since_ms=number(request, "from", None, 0, 2**53),
                until_ms=number(request, "to", None, 0, 2**53),
                limit=number(request, "limit", 50, 1, 500) or 50,
                cursor=number(request, "cursor", None, 0, 2**63 - 1),
            )
        )
        body: dict[str, Any] = {"captions": [caption.to_wire() for caption in found]}
        if cursor is not None:
            body["cursor"] = str(cursor)
        return web.json_response(body)

    async def ice_servers(self, request: web.Request) -> web.Response:
        """`GET /api/ice-servers`."""
        who = await self._identify(request, None)
        servers = self._turn.ice_servers(
            who.subject or "guest", region=region_of(request, self._turn.region_header)
        )
        return web.json_response({"ice_servers": servers})

    async def languages(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """`GET /api/languages`."""
        fleet = self._health.fleet
        return web.json_response(
            {
                "language": self._language,
                "english_only": fleet.english_only,
                "captions": sorted(fleet.targets),
            }
        )

    async def get_health(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """`GET /health`."""
        well, body = await self._health.report()
        return web.json_response(body, status=200 if well else 503)

    async def get_ready(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """`GET /ready`."""
        ready = self._health.ready
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def get_metrics(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """`GET /metrics`."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _identify(
        self, request: web.Request, grant: Grant | None, call: str | None = None
    ) -> Identity:
        who = await self._authority.authenticate(bearer(request))
        if grant:
            who.require(grant, call)
        return who

    async def _call(self, request: web.Request, grant: Grant) -> str:
        call = valid(_ID, "call", request.match_info["call"])
        await self._identify(request, grant, call)
        return call


def _send(file: Path, headers: Mapping[str, str]) -> Handler:
    async def send(request: web.Request) -> web.StreamResponse:  # noqa: ARG001
        if not await asyncio.to_thread(file.is_file):
            raise ContractError("not_found", "the page is not built: run `make setup`")
        return web.FileResponse(file, headers=headers)

    return send


async def _json(request: web.Request) -> object:
    try:
        return await request.json()
    except (ValueError, LookupError, RecursionError):  # LookupError: of the charset
        raise ContractError("invalid", "the body must be JSON") from None
