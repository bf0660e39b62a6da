"""Every route and event of the contract, and whom each refuses: one gateway for all of them.

What is in docs/openapi.yaml, docs/asyncapi.yaml or the gateway's own routes and not in the tables
here fails a test, and so does what is here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import socketio
import yaml

from signaling.tokens import GRANTS, Grant, SharedSecret
from tests.contract import document, resolve
from tests.recordings import ROOT
from tests.signaling.deliveries_contract import delivery
from tests.signaling.test_webhooks import SECRET, Stage, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINE, OTHER = "mine", "other"


def token(*grants: str, call: str = MINE, secret: str = SECRET, seconds: int = 3600) -> str:
    return SharedSecret(secret).issue("p-anna", call, grants, None, seconds)


NOBODY = {
    "no token": None,
    "rubbish": "rubbish",
    "a garbled one": token(*GRANTS)[:-8] + "AAAAAAAA",
    "another secret's": token(*GRANTS, secret=SECRET + "!"),
    "one that has expired": token(*GRANTS, call="*", seconds=-60),
}


def without(*grants: Grant) -> str:
    return token(*(g for g in GRANTS if g not in grants), call="*")


def elsewhere() -> str:
    return token(*GRANTS, call=OTHER)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory):
    async with stage(tmp_path_factory.mktemp("grants")) as running:
        await running.begin(MINE)
        await running.begin(OTHER)
        await running.store.deliveries.add([delivery("dead", call=MINE, state="dead")])
        running.job = await posted_file(running)
        yield running


async def posted_file(a: Stage) -> str:
    headers = {"Authorization": f"Bearer {token('publish')}"}
    reply = await a.http.post(f"/api/transcriptions?call={MINE}", data=b"x", headers=headers)
    assert reply.status == 202
    return (await reply.json())["job"]


# --- HTTP -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Public:
    """Needs no token."""

    why: str


@dataclass(frozen=True)
class Guarded:
    """Needs one of `grants`; without any, a good token. `path` is one that is served.

    `elsewhere` is what a token for another call is answered where that is not 403; `why` so.
    """

    grants: tuple[Grant, ...] = ()
    path: str = ""
    body: Any = None
    elsewhere: int = 403
    why: str = ""


def one(grant: Grant, *others: Grant, **more: Any) -> Guarded:
    return Guarded((grant, *others), **more)


OWN = "lists what its call has, and no other's"
THEIRS = "is of what they said in the token's call; of oneself, any good token"
HIDDEN = "does not tell whether there is one"

ROUTES: dict[tuple[str, str], Public | Guarded] = {
    ("GET", "/api/calls"): one("read", elsewhere=200, why=OWN),
    ("POST", "/api/calls"): one("manage", body={"call": MINE}),
    ("GET", "/api/calls/{call}"): one("read"),
    ("PATCH", "/api/calls/{call}"): one("manage", body={}),
    ("GET", "/api/calls/{call}/captions"): one("watch"),
    ("POST", "/api/calls/{call}/captions"): one("publish", body={"captions": []}),
    ("GET", "/api/calls/{call}/transcript"): one("read"),
    ("DELETE", "/api/calls/{call}/transcript"): one("manage"),
    ("POST", "/api/calls/{call}/quality"): one("join", body={}),
    ("GET", "/api/transcripts"): one("read", path=f"/api/transcripts?call={MINE}"),
    ("GET", "/api/transcriptions"): one("read", elsewhere=200, why=OWN),
    ("POST", "/api/transcriptions"): one("publish", path=f"/api/transcriptions?call={MINE}"),
    ("GET", "/api/transcriptions/{job}"): one("read", elsewhere=404, why=HIDDEN),
    ("GET", "/api/transcriptions/{job}/events"): one("read", elsewhere=404, why=HIDDEN),
    ("DELETE", "/api/transcriptions/{job}"): one("publish", "manage", elsewhere=404, why=HIDDEN),
    ("GET", "/api/participants/{participant}/export"): one("manage", elsewhere=200, why=THEIRS),
    ("DELETE", "/api/participants/{participant}"): one("manage", elsewhere=204, why=THEIRS),
    ("GET", "/api/ice-servers"): Guarded(elsewhere=200, why="relays are the same for all calls"),
    ("GET", "/api/usage"): one("manage"),
    ("GET", "/api/webhooks/deliveries"): one("manage", elsewhere=200, why=OWN),
    ("POST", "/api/webhooks/deliveries/{id}/retry"): one("manage", elsewhere=404, why=HIDDEN),
    ("GET", "/whip/{call}"): one("publish"),
    ("POST", "/whip/{call}"): one("publish"),
    ("GET", "/whip/{call}/{session}"): one("publish", "manage"),
    ("PATCH", "/whip/{call}/{session}"): one("publish", "manage"),
    ("DELETE", "/whip/{call}/{session}"): one("publish", "manage"),
    ("DELETE", "/api/calls/{call}"): one("manage"),
    ("OPTIONS", "/whip/{call}"): Public("CORS asks without a token; ICE servers need one"),
    ("OPTIONS", "/whip/{call}/{session}"): Public("CORS asks without a token"),
    ("GET", "/api/languages"): Public("what the page offers before anybody has a token"),
    ("GET", "/health"): Public("for load balancers"),
    ("GET", "/ready"): Public("for load balancers"),
    ("GET", "/metrics"): Public("for Prometheus; nothing of calls, people or words is in it"),
    ("GET", "/"): Public("the page"),
    ("GET", "/docs"): Public("the contract"),
    ("GET", "/search"): Public("the page; what it searches needs a token"),
}

DOORS = {"/socket.io/", "/ws/v1/transcribe", "/ws/v1/telephony"}
"""Paths whose events are in the other tables."""


def documented_routes() -> set[tuple[str, str]]:
    paths = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["paths"]
    return {
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if method != "parameters"
    }


def is_file(path: str) -> bool:
    """Of the page, as it was built."""
    return path.startswith(("/assets", "/voices", "/client/", "/docs/")) or "." in path


async def test_every_route_of_the_contract_and_of_the_gateway_is_in_the_table(here):
    served = {
        (route.method, route.resource.canonical)
        for route in here.gateway._app.router.routes()
        if route.resource and route.method != "HEAD"  # as GET
    }
    paths = {(method, path) for method, path in served if path not in DOORS and not is_file(path)}
    assert paths == set(ROUTES)
    assert documented_routes() <= set(ROUTES)
    assert {path for _, path in served} >= DOORS


async def test_what_needs_no_token_is_documented_so():
    paths = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())["paths"]
    for method, path in documented_routes():
        public = paths[path][method.lower()].get("security") == []
        assert public == isinstance(ROUTES[method, path], Public), (method, path)


async def answered(a: Stage, method: str, path: str, bearer: str | None, rule: Any) -> int:
    url = getattr(rule, "path", "") or path
    for name, value in {
        "call": MINE,
        "session": "s",
        "id": "dead",
        "job": a.job,
        "participant": "p-ben",
    }.items():
        url = url.replace(f"{{{name}}}", value)
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    body = getattr(rule, "body", None)
    async with (
        aiohttp.ClientSession(a.gateway.url) as http,
        http.request(method, url, json=body, headers=headers) as reply,
    ):
        return reply.status


GUARDED = [(*route, rule) for route, rule in ROUTES.items() if isinstance(rule, Guarded)]
PUBLIC = [(*route, rule) for route, rule in ROUTES.items() if isinstance(rule, Public)]


@pytest.mark.parametrize(("method", "path", "rule"), GUARDED)
async def test_a_route_refuses_who_may_not_and_serves_who_may(here, method, path, rule):
    for what, bad in NOBODY.items():
        assert await answered(here, method, path, bad, rule) == 401, what
    if rule.grants:
        assert await answered(here, method, path, without(*rule.grants), rule) == 403
    assert await answered(here, method, path, elsewhere(), rule) == rule.elsewhere, rule.why
    for grant in rule.grants or GRANTS:
        good = token(grant, call="*" if path == "/api/usage" else MINE)
        assert await answered(here, method, path, good, rule) not in (401, 403), grant


@pytest.mark.parametrize(("method", "path", "rule"), PUBLIC)
async def test_what_is_public_says_why_and_needs_no_token(here, method, path, rule):
    assert rule.why
    assert await answered(here, method, path, None, rule) not in (401, 403)


async def test_lists_are_of_the_token_s_own_call(here):
    headers = {"Authorization": f"Bearer {elsewhere()}"}
    async with aiohttp.ClientSession(here.gateway.url, headers=headers) as http:
        calls = (await (await http.get("/api/calls")).json())["calls"]
        assert {call["call"] for call in calls} == {OTHER}
        jobs = await (await http.get("/api/transcriptions")).json()
        assert jobs == {"transcriptions": []}
        deliveries = await (await http.get("/api/webhooks/deliveries")).json()
        assert deliveries == {"deliveries": []}


# --- Socket.IO ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """Needs `grant` of the call that `payload` names, or else of the one the socket is in.

    Without `grant` it is about the place that the socket has: `why` that needs none.
    """

    grant: Grant | None = None
    payload: Any = field(default_factory=dict)
    why: str = ""


PLACE = "of the socket's own place, which it has by a grant: without it, conflict"

ROOT_EVENTS = {
    "call:join": Event("join", {"call": MINE}),
    "call:watch": Event("watch", {"call": MINE}),
    "subscribe-call": Event("watch", MINE),
    "media:offer": Event("publish", {"sdp": "v=0", "type": "offer"}),
    "media:candidate": Event("publish", {"candidate": ""}),
    "call:update": Event(payload={"name": "A"}, why=PLACE),
    "captions:since": Event(payload={"since": 0}, why=PLACE),
    "media:close": Event(why=PLACE),
    "peer:signal": Event(payload={"to": "p-ben", "data": 1}, why=PLACE),
    "token:refresh": Event(payload={"token": token()}, why="whose token is not good is told so"),
    "call:leave": Event(why="whoever is nowhere may go, too"),
}

TRANSCRIBE_EVENTS = {
    "start_transcription": Event("publish", {"call": MINE}),
    "audio_chunk": Event(payload={"chunk": bytes(3200)}, why=PLACE),
    "stop_transcription": Event(why=PLACE),
    "token:refresh": Event(payload={"token": token()}, why="whose token is not good is told so"),
}

WEBSOCKET_MESSAGES = {
    "configure": Event("publish", {"type": "configure", "config": {"call": MINE}}),
    "audio": Event("publish", {"type": "audio", "data": "AAAAAA=="}),
    "token": Event(payload={"type": "token", "token": token()}, why="says who it is"),
    "keep_alive": Event(payload={"type": "keep_alive"}, why="does nothing"),
    "close_stream": Event(payload={"type": "close_stream"}, why="closes what is one's own"),
}

TELEPHONY_MESSAGES = {"metadata": Event("publish", {"call": MINE})}

TABLES = {
    "root": ROOT_EVENTS,
    "transcribe": TRANSCRIBE_EVENTS,
    "websocket": WEBSOCKET_MESSAGES,
    "telephony": TELEPHONY_MESSAGES,
}


def taken(channel: str) -> Iterator[str]:
    for operation in document()["operations"].values():
        if operation["channel"]["$ref"] == f"#/channels/{channel}":
            for message in operation["messages"] if operation["action"] == "receive" else ():
                yield resolve(message["$ref"])["name"]


async def test_every_event_of_the_contract_and_of_the_gateway_is_in_a_table(here):
    assert set(TABLES) == set(document()["channels"])
    for channel, table in TABLES.items():
        assert set(taken(channel)) == set(table), channel
    sockets = here.gateway._sockets
    assert set(sockets._handlers) == set(ROOT_EVENTS)
    assert set(sockets.transcribe._handlers) == set(TRANSCRIBE_EVENTS)


class Socket:
    """`async with` connects to a namespace."""

    def __init__(self, a: Stage, bearer: str | None, namespace: str = "/") -> None:
        self._client = socketio.AsyncClient(reconnection=False)
        self._url, self._bearer, self._namespace = a.gateway.url, bearer, namespace
        self.refusals: list[Any] = []
        self._client.on("connect_error", self.refusals.append, namespace=namespace)

    async def __aenter__(self):
        auth = {"token": self._bearer} if self._bearer else None
        with suppress(socketio.exceptions.ConnectionError):
            await self._client.connect(
                self._url, auth=auth, transports=["websocket"], namespaces=[self._namespace]
            )
        return self

    async def __aexit__(self, *_):
        await self._client.disconnect()

    async def code(self, event: str, payload: Any) -> str:
        """The error's code, empty where there is none."""
        answer = await self._client.call(event, payload, namespace=self._namespace)
        return "" if answer["ok"] else answer["error"]["code"]


@pytest.mark.parametrize("namespace", ["/", "/transcribe"])
@pytest.mark.parametrize("what", NOBODY)
async def test_a_handshake_refuses_who_is_nobody(here, namespace, what):
    async with Socket(here, NOBODY[what], namespace) as socket:
        assert [refusal["data"]["code"] for refusal in socket.refusals] == ["unauthorized"]


ASKED = [("/", *each) for each in ROOT_EVENTS.items()]
ASKED += [("/transcribe", *each) for each in TRANSCRIBE_EVENTS.items()]


@pytest.mark.parametrize(("namespace", "event", "rule"), ASKED)
async def test_an_event_refuses_who_may_not_and_takes_who_may(here, namespace, event, rule):
    has_place = event.startswith(("media:", "peer:", "captions:", "call:update"))
    if rule.grant is None:
        assert rule.why
        for bad in (elsewhere(), token()):
            async with Socket(here, bad, namespace) as socket:
                expected = "" if event in ("call:leave", "token:refresh") else "conflict"
                assert await socket.code(event, rule.payload) == expected
    else:
        async with Socket(here, without(rule.grant), namespace) as socket:
            if has_place:
                assert await socket.code("call:join", {"call": MINE}) == ""
            assert await socket.code(event, rule.payload) == "forbidden"
        async with Socket(here, elsewhere(), namespace) as socket:
            assert await socket.code(event, rule.payload) == (
                "conflict" if has_place else "forbidden"
            )
    grants = [rule.grant or "watch", *(["join"] if has_place else [])]
    async with Socket(here, token(*grants), namespace) as socket:
        if has_place:
            assert await socket.code("call:join", {"call": MINE}) == ""
        assert await socket.code(event, rule.payload) not in ("unauthorized", "forbidden")


@pytest.mark.parametrize("bad", [token("join", "watch", "read", "manage"), elsewhere()])
async def test_a_session_of_raw_audio_is_resumed_by_who_may_begin_it(here, bad):
    async with Socket(here, token("publish"), "/transcribe") as lost:
        started = await lost._client.call(
            "start_transcription", {"call": MINE}, namespace="/transcribe"
        )
        resumed = {"session": started["session"]}
        async with Socket(here, bad, "/transcribe") as other:
            assert await other.code("start_transcription", resumed) == "forbidden"
        async with Socket(here, token("publish"), "/transcribe") as good:
            assert await good.code("start_transcription", resumed) == ""


async def test_a_token_for_one_call_begins_no_session_beside_it(here):
    async with Socket(here, token("publish"), "/transcribe") as socket:
        assert await socket.code("start_transcription", {}) == "forbidden"
    async with Socket(here, token("publish", call="*"), "/transcribe") as socket:
        assert await socket.code("start_transcription", {}) == ""


# --- WebSockets -----------------------------------------------------------------------------


async def code_of(a: Stage, path: str, messages: list[Any], bearer: str | None) -> str:
    """The code of the first error, or what became of the handshake; empty where all is well."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    async with aiohttp.ClientSession(a.gateway.url, headers=headers) as http:
        try:
            async with http.ws_connect(path) as socket:
                for message in messages:
                    if isinstance(message, bytes):
                        await socket.send_bytes(message)
                    else:
                        await socket.send_str(json.dumps(message))
                with suppress(TimeoutError):
                    told = await socket.receive(timeout=0.2)
                    if told.type == aiohttp.WSMsgType.TEXT:
                        wire = json.loads(told.data)
                        return wire.get("error", wire.get("data"))["code"].lower()
        except aiohttp.WSServerHandshakeError as error:
            return str(error.status)
    return ""


WEBSOCKETS = [
    (f"/ws/v1/transcribe?call={MINE}", [rule.payload], rule) for rule in WEBSOCKET_MESSAGES.values()
]
WEBSOCKETS += [
    ("/ws/v1/telephony?channels=1", [rule.payload, bytes(320)], rule)
    for rule in TELEPHONY_MESSAGES.values()
]


@pytest.mark.parametrize(("path", "messages", "rule"), WEBSOCKETS)
async def test_a_websocket_refuses_who_may_not_and_takes_who_may(here, path, messages, rule):
    for what, bad in NOBODY.items():
        if bad:
            assert await code_of(here, path, messages, bad) == "401", what
            assert await code_of(here, f"{path}&api_key={bad}", messages, None) == "401", what
    if rule.grant is None:
        assert rule.why
        assert await code_of(here, path, messages, None) == ""
        return
    assert await code_of(here, path, messages, None) == "unauthorized"
    assert await code_of(here, path, messages, without(rule.grant)) == "forbidden"
    assert await code_of(here, path, messages, elsewhere()) == "forbidden"
    assert await code_of(here, path, messages, token(rule.grant)) == ""
