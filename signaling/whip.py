"""WHIP over HTTP (RFC 9725): `POST /whip/{call}`, and the session that it makes.

Errors are problem documents, as in the rest of the API. Trickle ICE is there (4.3.2), ICE
restarts are not (4.3.3): who wants one is told 422, keeps the session, and may `POST` anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import web
from multidict import CIMultiDict

from signaling.bearer import bearer
from signaling.errors import ContractError
from signaling.messages import LARGEST_SDP, ClientMessage, Id, Language, Name, checked
from signaling.region import region_of
from signaling.sdpfrag import LARGEST_FRAGMENT, Fragment, parse_fragment
from signaling.shared_call import WhipSession
from signaling.tokens import Authority, Identity
from signaling.whip_sessions import WhipSessions
from turn.credentials import TurnServers

log = structlog.get_logger(__name__)

SDP: Final = "application/sdp"
FRAGMENT: Final = "application/trickle-ice-sdpfrag"

_EXPOSED: Final = "Location, ETag, Link, Accept-Patch, Retry-After"
_REQUEST_HEADERS: Final = "Authorization, Content-Type, If-Match"


class Publish(ClientMessage):
    """`POST /whip/{call}?name=&language=`, beside its token and its offer."""

    call: Id
    name: Name | None = None
    language: Language | None = None


class Whip:
    """The routes of WHIP."""

    def __init__(
        self,
        *,
        sessions: WhipSessions,
        authority: Authority,
        turn: TurnServers,
        origins: Sequence[str],
    ) -> None:
        """`origins` are the web origins whose pages may publish, `*` for all."""
        self._sessions = sessions
        self._authority = authority
        self._turn = turn
        self._origins = frozenset(origins)

    def add_routes(self, app: web.Application) -> None:
        """Add them to an aiohttp application."""
        endpoint, session = "/whip/{call}", "/whip/{call}/{session}"
        app.router.add_post(endpoint, self.publish)
        app.router.add_get(endpoint, self.get_endpoint)
        app.router.add_options(endpoint, self.endpoint_options)
        app.router.add_patch(session, self.trickle)
        app.router.add_delete(session, self.end)
        app.router.add_get(session, self.get_session)
        app.router.add_options(session, self.session_options)
        app.on_response_prepare.append(self._share)

    async def publish(self, request: web.Request) -> web.Response:
        """`POST`: become a participant who sends what is offered (4.2)."""
        wish, who = await self._wish(request)
        sdp = await _text(request, SDP, LARGEST_SDP)
        session, answer = await self._sessions.create(wish.call, who, wish.name, wish.language, sdp)
        headers = CIMultiDict(
            {
                "Location": f"/whip/{wish.call}/{session.id}",
                "ETag": session.etag,
                "Accept-Patch": FRAGMENT,
                "Content-Type": SDP,
            }
        )
        headers.extend(self._links(session.participant, request))
        return web.Response(status=201, body=answer.encode(), headers=headers)

    async def trickle(self, request: web.Request) -> web.Response:
        """`PATCH`: candidates that were found since the offer (4.3.2)."""
        session, alive = await self._session(request)
        if not alive:
            raise ContractError("not_found", "the session is over")
        fragment = parse_fragment(await _text(request, FRAGMENT, LARGEST_FRAGMENT))
        _check_match(request, session, fragment)
        await self._sessions.trickle(session, fragment)
        return web.Response(status=204)

    async def end(self, request: web.Request) -> web.Response:
        """`DELETE`: whatever `If-Match` says (4.3.1)."""
        session, _ = await self._session(request)
        await self._sessions.end(session)
        return web.Response(status=200)

    async def get_endpoint(self, request: web.Request) -> web.Response:
        """`GET`: there is nothing to see, and that is no error (4.1)."""
        await self._wish(request)
        return web.Response(status=204)

    async def get_session(self, request: web.Request) -> web.Response:
        """`GET`: 204 while it lasts."""
        _, alive = await self._session(request)
        if not alive:
            raise ContractError("not_found", "the session is over")
        return web.Response(status=204)

    async def endpoint_options(self, request: web.Request) -> web.Response:
        """`OPTIONS`: what can be done; to who may publish also the ICE servers (4.6)."""
        headers = CIMultiDict({"Allow": "GET, HEAD, OPTIONS, POST", "Accept-Post": SDP})
        if "Access-Control-Request-Method" not in request.headers:
            try:
                _, who = await self._wish(request)
                headers.extend(self._links(who.subject or "guest", request))
            except ContractError as error:
                log.debug("no ICE servers", code=error.code)
        return web.Response(headers=headers)

    async def session_options(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """`OPTIONS` of a session; it does not tell whether that is there."""
        headers = {"Allow": "DELETE, GET, HEAD, OPTIONS, PATCH", "Accept-Patch": FRAGMENT}
        return web.Response(headers=headers)

    async def _wish(self, request: web.Request) -> tuple[Publish, Identity]:
        """What is asked for, and by whom; they may publish in this call."""
        given = {
            name: request.query[name] for name in ("name", "language") if request.query.get(name)
        }
        who = await self._authority.authenticate(bearer(request))
        wish = checked(Publish, {**given, "call": request.match_info["call"]})
        who.require("publish", wish.call)
        return wish, who

    async def _session(self, request: web.Request) -> tuple[WhipSession, bool]:
        """The session and whether it is alive.

        Whoever made it may do all with it, and who manages the call.
        """
        call = request.match_info["call"]
        who = await self._authority.authenticate(bearer(request))
        who.require("manage" if "manage" in who.grants else "publish", call)
        session, alive = await self._sessions.find(call, request.match_info["session"])
        who.require("publish" if who.subject == session.subject else "manage", call)
        return session, alive

    def _links(self, user: str, request: web.Request) -> list[tuple[str, str]]:
        """STUN and TURN servers as `Link` headers (4.6)."""
        links = []
        region = region_of(request, self._turn.region_header)
        for server in self._turn.ice_servers(user, region=region):
            parameters = ['rel="ice-server"']
            if "credential" in server:
                parameters += [
                    f'username="{server["username"]}"',
                    f'credential="{server["credential"]}"',
                    'credential-type="password"',
                ]
            links += [("Link", "; ".join([f"<{url}>", *parameters])) for url in server["urls"]]
        return links

    async def _share(self, request: web.Request, response: web.StreamResponse) -> None:
        """CORS for pages of the origins that may: errors can be read as well."""
        if not request.path.startswith("/whip/"):
            return
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if not origin or not self._origins & {origin, "*"}:
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        if request.method == "OPTIONS":
            allowed = response.headers.get("Allow", "")
            response.headers["Access-Control-Allow-Methods"] = allowed
            response.headers["Access-Control-Allow-Headers"] = _REQUEST_HEADERS
            response.headers["Access-Control-Max-Age"] = "600"


async def _text(request: web.Request, content_type: str, largest: int) -> str:
    if request.content_type != content_type:
        raise web.HTTPUnsupportedMediaType(reason=f"The body must be {content_type}")
    too_large = ContractError("too_large", f"the body has at most {largest} bytes")
    if (request.content_length or 0) > largest:
        raise too_large
    body = await request.read()
    if len(body) > largest:
        raise too_large
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise ContractError("invalid", "the body must be UTF-8") from None


def _check_match(request: web.Request, session: WhipSession, fragment: Fragment) -> None:
    """Refuse what is for another ICE session than that of the offer (4.3.1, RFC 9110, 13.1.1).

    Clients say `*` of any session with and without quotes, for candidates too.
    """
    given = [
        tag.strip() for value in request.headers.getall("If-Match", []) for tag in value.split(",")
    ]
    if not any(given):
        raise web.HTTPPreconditionRequired(reason="If-Match must carry the ETag of the session")
    if not {session.etag, "*", '"*"'} & set(given):
        raise web.HTTPPreconditionFailed(reason="If-Match is of another ICE session")
    if fragment.ufrags - session.ufrags:
        raise web.HTTPUnprocessableEntity(reason="ICE restarts are not supported: POST anew")
