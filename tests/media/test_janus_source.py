"""The source for Janus before a server that says what Janus never would.

A real Janus is in `tests/network/test_janus_source.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest
from aiohttp import WSCloseCode, WSMsgType, web

from media.source import Lost, Recovered
from media.sources.janus import JanusSource
from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.sources import Janus
from tests.media.source_contract import Ear, listening
from tests.media.test_janus_offers import offer

CONTROL, AUDIO = 11, 12
Answer = Callable[[dict[str, Any]], list[Any]]


class FakeJanus:
    """A WebSocket server. `answer` says what comes back to a message; `asked` has all of them.

    An answer that is an object gets the transaction of what it answers; what is text or bytes
    goes out as it is; `None` closes the connection.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        self._sockets: list[web.WebSocketResponse] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._serve)
        app.router.add_get("/elsewhere", self._redirect)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        for socket in self._sockets:
            await socket.close(code=WSCloseCode.GOING_AWAY)
        await self._runner.cleanup()

    async def say(self, message: Any) -> None:
        """To the newest client, unasked."""
        socket = self._sockets[-1]
        if message is None:
            await socket.close()
        elif isinstance(message, bytes):
            await socket.send_bytes(message)
        elif isinstance(message, str):
            await socket.send_str(message)
        else:
            await socket.send_str(json.dumps(message))

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("janus-protocol",))
        await socket.prepare(request)
        self._sockets.append(socket)
        async for frame in socket:
            if frame.type is WSMsgType.TEXT:
                message = frame.json()
                self.asked.append(message)
                for each in self.answer(message):
                    if isinstance(each, dict):
                        await self.say({"transaction": message["transaction"], **each})
                    else:
                        await self.say(each)
        return socket

    async def _redirect(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/")


def event(handle: int, data: Any, sdp: str | None = None) -> dict[str, Any]:
    plugin = {"plugin": "janus.plugin.videoroom", "data": data}
    jsep = {"jsep": {"type": "offer", "sdp": sdp}} if sdp else {}
    return {"janus": "event", "sender": handle, "plugindata": plugin, **jsep}


def publisher(feed: str) -> dict[str, Any]:
    stream = {"type": "audio", "mid": "0", "codec": "opus"}
    return {"id": feed, "display": feed.title(), "streams": [stream]}


class Script:
    """Answers as Janus does, but for what a test wants otherwise."""

    def __init__(self, **other: Answer | list[Any]) -> None:
        """By what is asked: `create`, `attach`, `join`, `subscribe`, `update`, …"""
        self.other = other
        self._handles = iter((CONTROL, AUDIO) * 100)

    def __call__(self, message: dict[str, Any]) -> list[Any]:
        body = message.get("body", {})
        asked = body.get("request", message["janus"])
        if asked == "join" and body["ptype"] == "subscriber":
            asked = "subscribe"
        chosen = self.other.get(asked)
        if chosen is not None:
            return chosen(message) if callable(chosen) else chosen
        match asked:
            case "info":
                return [{"janus": "server_info", "session-timeout": 60}]
            case "create":
                self._handles = iter((CONTROL, AUDIO) * 100)
                return [{"janus": "success", "data": {"id": 1}}]
            case "attach":
                return [{"janus": "success", "data": {"id": next(self._handles)}}]
            case "join":
                joined = {"videoroom": "joined", "id": "us", "private_id": 5, "publishers": []}
                return [{"janus": "ack"}, event(CONTROL, joined)]
            case _:
                return [{"janus": "ack"}]


@asynccontextmanager
async def janus(**other: Answer | list[Any]) -> AsyncIterator[FakeJanus]:
    async with FakeJanus(Script(**other)) as server:
        yield server


def source_for(server: FakeJanus, **settings: Any) -> JanusSource:
    return JanusSource(
        Janus(**{"url": server.url, "room": "r", **settings}), AllowList([server.url])
    )


async def refusal(source: JanusSource) -> ContractError:
    with pytest.raises(ContractError) as refused:
        async with listening(source):
            raise AssertionError("it was let in")
    return refused.value


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A server that never answers shall not take the tests' time."""
    monkeypatch.setattr("media.janus.session.ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("media.sources.janus.REFUSED_SECONDS", 0.0)


NONSENSE = [
    "",
    "nonsense",
    "[]",
    "[" * 100_000,
    b"\x00\x01",
    {},
    {"janus": "success"},
    {"janus": "success", "data": []},
    {"janus": "success", "data": {"id": "1"}},
    {"janus": "success", "data": {"id": True}},
    {"janus": ["success"], "data": {"id": 1}},
    {"janus": "event", "plugindata": [], "sender": {}},
    event(CONTROL, "joined"),
    event(CONTROL, {"videoroom": ["joined"]}),
    {"janus": "error"},
    {"janus": "error", "error": "no"},
    {"janus": "error", "error": {"code": "403", "reason": 5}},
    {"janus": "timeout"},
    " " * (5 * 1024 * 1024),
    None,
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
@pytest.mark.parametrize("asked", ["create", "attach", "join"])
async def test_nonsense_for_an_answer_is_an_error_of_the_contract(asked, nonsense):
    async with janus(**{asked: [nonsense]}) as server:
        assert (await refusal(source_for(server))).code in ("unavailable", "invalid")


async def test_a_janus_that_says_nothing_of_itself_is_joined_all_the_same():
    secretive = janus(info=[{"janus": "error", "error": {"code": 403}}])
    async with secretive as server, listening(source_for(server)):
        assert server.asked


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"error_code": 426, "error": "No such room"}, "not_found"),
        ({"error_code": 429, "error": "Missing mandatory element (pin)"}, "forbidden"),
        ({"error_code": 433, "error": "Unauthorized (wrong pin)"}, "forbidden"),
        ({"error_code": 430, "error": "Invalid element type"}, "invalid"),
        ({"error_code": 499, "error": "?"}, "invalid"),
        ({"error_code": [], "error": {}}, "invalid"),
    ],
)
async def test_a_refusal_is_told_in_the_contracts_words(error, code):
    async with janus(join=[event(CONTROL, {"videoroom": "event", **error})]) as server:
        assert (await refusal(source_for(server))).code == code


async def test_an_address_that_is_not_listed_is_not_asked():
    async with janus() as server:
        source = JanusSource(Janus(url=server.url, room="r"), AllowList(["wss://sfu.example.com"]))
        assert (await refusal(source)).code == "forbidden"
        assert not server.asked


async def test_nobody_is_followed_elsewhere():
    async with janus() as server:
        source = JanusSource(
            Janus(url=f"{server.url}elsewhere", room="r"), AllowList([f"{server.url}elsewhere"])
        )
        assert (await refusal(source)).code == "unavailable"
        assert not server.asked


async def test_what_is_secret_goes_with_every_request_and_into_no_message():
    secrets = {"pin": "pin-1", "token": "token-1", "api_secret": "secret-1"}
    refused = event(CONTROL, {"error_code": 433, "error": "Unauthorized"})
    async with janus(join=[refused]) as server:
        error = await refusal(source_for(server, **secrets))
        assert all(m["token"] == "token-1" for m in server.asked)
        assert all(m["apisecret"] == "secret-1" for m in server.asked)
        joining = server.asked[-1]["body"]
        assert (joining["pin"], joining["token"]) == ("pin-1", "token-1")
        assert not any(secret in error.message for secret in secrets.values())


async def test_odd_events_change_nothing():
    async with janus() as server, listening(source_for(server)) as ear:
        for odd in (
            *[each for each in NONSENSE[:-3] if not isinstance(each, dict)],
            event(CONTROL, {"publishers": [5, None, {"id": []}, {"streams": 7}]}),
            event(CONTROL, {"publishers": "all", "attendees": {}, "joining": 3}),
            event(CONTROL, {"leaving": "nobody", "unpublished": ["x"], "kicked": "nobody"}),
            event(AUDIO, {"videoroom": "updated", "streams": [{"mid": "0", "active": True}]}),
            event(999, {"videoroom": "joined"}),
            {"janus": "trickle", "sender": AUDIO, "candidate": {"candidate": "x" * 1000}},
            {"janus": "webrtcup", "sender": "x"},
            {"janus": "slowlink", "sender": CONTROL},
        ):
            await server.say(odd)
        await server.say(event(CONTROL, {"publishers": [publisher("anna")]}))
        await ear.until(lambda e: e.names == {"anna": "Anna"})
        assert not ear.of(Lost)


async def test_whoever_stops_twice_stops_once():
    async with janus() as server, listening(source_for(server)) as ear:
        await server.say(event(CONTROL, {"publishers": [publisher("anna")]}))
        for _ in range(2):
            await server.say(event(CONTROL, {"unpublished": "anna"}))
            await server.say(event(CONTROL, {"unpublished": "nobody"}))
        await server.say(event(CONTROL, {"joining": {"id": "bert", "display": "Bert"}}))
        await ear.until(lambda e: set(e.names.values()) == {"Anna", "Bert"})
        for _ in range(2):
            await server.say(event(CONTROL, {"leaving": "anna"}))
        await ear.until(lambda e: set(e.names.values()) == {"Bert"})


@pytest.mark.parametrize(
    "sdp", ["nonsense", offer("sendonly").replace("opus", "G722"), "x" * 10**6]
)
async def test_an_offer_that_cannot_be_used_is_a_loss(sdp):
    streams = [{"mid": "0", "active": True, "feed_id": "anna", "feed_mid": "0"}]
    attached = event(AUDIO, {"videoroom": "attached", "streams": streams}, sdp)
    joined = {"videoroom": "joined", "id": "us", "publishers": [publisher("anna")]}
    hostile = janus(join=[event(CONTROL, joined)], subscribe=[attached])
    async with hostile as server, listening(source_for(server)) as ear:
        await ear.until(lambda e: e.of(Recovered))
        assert ear.names == {"anna": "Anna"}


async def test_one_unknown_feed_is_left_out_and_the_others_are_not():
    joined = {"videoroom": "joined", "id": "us"}
    joined["publishers"] = [publisher(feed) for feed in ("anna", "bert", "ghost")]
    heard: dict[int, asyncio.Event] = {2: asyncio.Event(), 3: asyncio.Event()}

    def subscribe(message: dict[str, Any]) -> list[Any]:
        body = message["body"]
        feeds = [each["feed"] for each in body.get("streams") or body["subscribe"]]
        if "ghost" in feeds:
            return [
                event(AUDIO, {"videoroom": "event", "error_code": 428, "error": "No such feed"})
            ]
        known.extend(feeds)
        if len(known) in heard:
            heard[len(known)].set()
        streams = [
            {"mid": str(mid), "active": True, "feed_id": feed, "feed_mid": "0"}
            for mid, feed in enumerate(known)
        ]
        return [event(AUDIO, {"videoroom": "attached", "streams": streams})]

    known: list[str] = []
    forgetful = janus(join=[event(CONTROL, joined)], subscribe=subscribe, update=subscribe)
    async with forgetful as server, listening(source_for(server)) as ear, asyncio.timeout(20):
        await heard[2].wait()
        # What is not known is not asked for again and again, until it is reported anew.
        await server.say(event(CONTROL, {"publishers": [publisher("cara")]}))
        await heard[3].wait()
        assert not ear.of(Lost)
    assert known == ["anna", "bert", "cara"]
    ghosts = [m["body"]["request"] for m in server.asked if "ghost" in str(m)]
    assert ghosts == ["join", "update"]


async def test_a_call_that_is_gone_after_a_loss_is_over_at_last():
    async with janus() as server:
        ear = Ear()
        running = asyncio.create_task(source_for(server).run(ear.tell))
        await ear.until(lambda e: e.events)
        gone = event(CONTROL, {"videoroom": "event", "error_code": 426, "error": "No such room"})
        server.answer = Script(join=[gone])
        await server.say(None)
        with pytest.raises(ContractError) as over:
            await running
        assert over.value.code == "not_found"
        assert len(ear.of(Lost)) == 1


async def test_a_janus_that_stops_answering_is_lost(monkeypatch):
    monkeypatch.setattr("media.janus.session.KEEPALIVE_SECONDS", 0.1)
    async with janus(keepalive=[]) as server, listening(source_for(server)) as ear:
        await ear.until(lambda e: e.of(Recovered))


async def test_a_room_that_changes_its_mind_about_types_is_asked_in_both():
    def join(message: dict[str, Any]) -> list[Any]:
        if message["body"]["room"] != 1234:
            return [event(CONTROL, {"error_code": 430, "error": "room should be an integer"})]
        return [event(CONTROL, {"videoroom": "joined", "id": 1, "publishers": []})]

    async with janus(join=join) as server, listening(source_for(server, room="1234")):
        assert [m["body"]["room"] for m in server.asked if "body" in m] == ["1234", 1234]


async def test_the_captioners_own_names_are_nobody_in_the_call():
    async with janus() as server, listening(source_for(server)) as ear:
        ours = {"id": "us-2", "display": "Surtitle captions", "streams": [{"type": "data"}]}
        await server.say(event(CONTROL, {"publishers": [ours], "joining": ours}))
        await server.say(event(CONTROL, {"publishers": [publisher("anna")]}))
        await ear.until(lambda e: e.names == {"anna": "Anna"})
