"""Connections end behind their token, or go on by another: a gateway, and clients of all kinds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import socketio

from signaling.files.jobs import FileJob
from signaling.tokens import GRANTS, SharedSecret
from surtitle.client import Client as PythonClient
from tests.contract import breaks_of_answer, breaks_of_event
from tests.signaling.bus_contract import CALL
from tests.signaling.test_webhooks import SECRET, Stage, stage

GRACE = 0.4
SOON = 2
"""Seconds, of which up to one is over already: tokens know whole ones only."""

OFFER = {"sdp": "v=0", "type": "offer"}


def token(*grants: str, subject: str = "p-anna", call: str = CALL, seconds: int = 3600) -> str:
    return SharedSecret(SECRET).issue(subject, call, grants or GRANTS, None, seconds)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what clients hear sets no event
            await asyncio.sleep(0.02)


@asynccontextmanager
async def gateway(folder):
    authority = SharedSecret(SECRET, leeway_seconds=0)
    async with stage(folder, authority=authority, token_grace_seconds=GRACE) as a:
        await a.begin()
        yield a


class Client:
    """A socket that keeps what it is told."""

    def __init__(self, namespace: str = "/") -> None:
        self.namespace = namespace
        self.told: list[tuple[str, Any]] = []
        self.gone = asyncio.Event()
        self._sio = socketio.AsyncClient(reconnection=False)
        self._sio.on("*", lambda *told: self.told.append(told), namespace=namespace)
        self._sio.on("disconnect", lambda _: self.gone.set(), namespace=namespace)

    async def connect(self, a: Stage, bearer: str) -> Client:
        auth, namespaces = {"token": bearer}, [self.namespace]
        await self._sio.connect(
            a.gateway.url, auth=auth, transports=["websocket"], namespaces=namespaces
        )
        return self

    async def ask(self, event: str, payload: Any = None) -> dict:
        answer = await self._sio.call(event, payload or {}, namespace=self.namespace)
        assert breaks_of_answer(event, answer) == []
        return answer

    async def code(self, event: str, payload: Any = None) -> str:
        answer = await self.ask(event, payload)
        return "" if answer["ok"] else answer["error"]["code"]

    def of(self, event: str) -> list[Any]:
        return [payload for name, payload in self.told if name == event]

    async def close(self) -> None:
        await self._sio.disconnect()


async def test_a_socket_is_told_and_ends_behind_its_token_and_its_place_is_free(tmp_path):
    async with gateway(tmp_path) as a:
        ben = await Client().connect(a, token(subject="p-ben"))
        await ben.ask("call:join", {"call": CALL})
        anna = await Client().connect(a, token(seconds=SOON))
        await anna.ask("call:join", {"call": CALL})
        async with asyncio.timeout(10):
            await until(lambda: len(anna.of("token:expiring")) == 2)
            assert await anna.code("media:offer", OFFER) == "unauthorized"
            assert await anna.code("call:watch", {"call": CALL}) == "unauthorized"
            assert await anna.code("captions:since", {"since": 0}) == ""
            await anna.gone.wait()
        soon, over = anna.of("token:expiring")
        for told in (soon, over):
            assert breaks_of_event("token:expiring", told) == []
        assert (soon["expired"], over) == (False, {"expired": True, "closes_in_ms": GRACE * 1000})
        assert GRACE * 1000 < soon["closes_in_ms"] <= (SOON + GRACE) * 1000
        await until(lambda: [t for t in ben.of("call:participant") if t["event"] == "left"])
        assert not ben.gone.is_set()
        assert ben.of("token:expiring") == []
        await ben.close()


async def test_another_token_lets_a_socket_go_on(tmp_path):
    async with gateway(tmp_path) as a:
        clients = [
            await Client(name).connect(a, token(seconds=SOON)) for name in ("/", "/transcribe")
        ]
        root, transcribe = clients
        await root.ask("call:join", {"call": CALL})
        for client in clients:
            answer = await client.ask("token:refresh", {"token": token(seconds=60)})
            assert 55_000 < answer["expires_in_ms"] <= 60_000
        assert (await root.ask("token:refresh", {"token": token()}))["call"] == CALL
        await asyncio.sleep(SOON + GRACE + 0.2)
        for client in clients:
            assert not client.gone.is_set()
            assert client.of("token:expiring") == []
        assert await root.code("media:offer", OFFER) == ""
        assert await transcribe.code("start_transcription", {"call": CALL}) == ""
        for client in clients:
            await client.close()


@pytest.mark.parametrize("namespace", ["/", "/transcribe"])
async def test_a_token_that_is_not_good_or_somebody_else_s_changes_nothing(tmp_path, namespace):
    bad = [("rubbish", "unauthorized"), (token(seconds=-60), "unauthorized")]
    bad += [(token(subject="p-ben"), "forbidden")]
    bad += [(odd, "invalid") for odd in ("", 7, None, "x" * 20_000)]
    async with gateway(tmp_path) as a:
        client = await Client(namespace).connect(a, token())
        for odd, code in bad:
            assert await client.code("token:refresh", {"token": odd}) == code
        event = "call:join" if namespace == "/" else "start_transcription"
        assert await client.code(event, {"call": CALL}) == ""
        await client.close()


@pytest.mark.parametrize(
    "other", [token("join", "publish", call="elsewhere"), token("watch", "publish")]
)
async def test_what_a_new_token_does_not_grant_ends_at_once(tmp_path, other):
    async with gateway(tmp_path) as a:
        ben = await Client().connect(a, token(subject="p-ben"))
        await ben.ask("call:join", {"call": CALL})
        anna = await Client().connect(a, token())
        await anna.ask("call:join", {"call": CALL})
        assert (await anna.ask("token:refresh", {"token": other}))["call"] is None
        assert await anna.code("captions:since", {"since": 0}) == "conflict"
        assert await anna.code("call:join", {"call": CALL}) == "forbidden"
        await until(lambda: [t["event"] for t in ben.of("call:participant")][-1] == "left")
        await a.say("u1")
        await until(lambda: ben.of("caption"))
        assert anna.of("caption") == []
        for client in (anna, ben):
            await client.close()


async def test_whose_new_token_grants_no_audio_is_heard_no_more(tmp_path):
    async with gateway(tmp_path) as a:
        anna = await Client().connect(a, token())
        await anna.ask("call:join", {"call": CALL})
        assert await anna.code("media:offer", OFFER) == ""
        node = a.gateway._rooms.lifecycle._nodes.one
        assert "close_media" not in [what for what, *_ in node.asked]
        assert (await anna.ask("token:refresh", {"token": token("join")}))["call"] == CALL
        assert "close_media" in [what for what, *_ in node.asked]
        assert await anna.code("media:offer", OFFER) == "forbidden"
        await anna.close()


async def test_a_session_of_raw_audio_ends_where_a_new_token_does_not_grant_it(tmp_path):
    async with gateway(tmp_path) as a:
        anna = await Client("/transcribe").connect(a, token())
        assert await anna.code("start_transcription", {"call": CALL}) == ""
        assert await anna.code("token:refresh", {"token": token(call="elsewhere")}) == ""
        assert [told["status"] for told in anna.of("transcription_stopped")] == ["ended"]
        assert await anna.code("audio_chunk", {"chunk": bytes(3200)}) == "conflict"
        assert a.gateway._sessions.count == 0
        await anna.close()


async def test_a_session_whose_token_expired_is_gone_on_with_by_a_fresh_one(tmp_path):
    async with gateway(tmp_path) as a:
        anna = await Client("/transcribe").connect(a, token(seconds=SOON))
        session = (await anna.ask("start_transcription", {"call": CALL}))["session"]
        async with asyncio.timeout(10):
            await anna.gone.wait()
        again = await Client("/transcribe").connect(a, token())
        answer = await again.ask("start_transcription", {"session": session})
        assert (answer["status"], answer["session"]) == ("resumed", session)
        await again.close()


async def events(a: Stage, path: str, bearer: str) -> list[str]:
    """The names of what a reader got, to the end of the stream."""
    headers = {"Authorization": f"Bearer {bearer}"}
    async with (
        aiohttp.ClientSession(a.gateway.url, headers=headers) as http,
        http.get(path) as reply,
    ):
        assert reply.status == 200
        return [line.decode().strip() async for line in reply.content if line.startswith(b"event")]


async def test_streams_of_events_end_behind_their_token(tmp_path):
    async with gateway(tmp_path) as a, asyncio.timeout(15):
        await a.say("u1")
        await a.gateway._files._jobs.put(FileJob("f-1", a.gateway.id, "p-anna", CALL, 0))
        short = token(seconds=SOON)
        captions, job = await asyncio.gather(
            events(a, f"/api/calls/{CALL}/captions", short),
            events(a, "/api/transcriptions/f-1/events", short),
        )
        assert (captions, job) == (["event: caption"], ["event: transcription"])
        assert len(a.gateway._streams) == 0


async def messages(socket: aiohttp.ClientWebSocketResponse) -> list[dict]:
    return [json.loads(message.data) async for message in socket]


@asynccontextmanager
async def websocket(a: Stage, path: str, bearer: str):
    headers = {"Authorization": f"Bearer {bearer}"}
    async with (
        aiohttp.ClientSession(a.gateway.url, headers=headers) as http,
        http.ws_connect(path) as socket,
    ):
        yield socket


async def test_websockets_end_behind_their_token(tmp_path):
    async with gateway(tmp_path) as a, asyncio.timeout(15):
        short, other = token(seconds=SOON), token(subject="switch", seconds=SOON)
        async with (
            websocket(a, f"/ws/v1/transcribe?call={CALL}", short) as transcribe,
            websocket(a, f"/ws/v1/telephony?call={CALL}", other) as telephony,
        ):
            await transcribe.send_bytes(bytes(3200))
            await telephony.send_bytes(bytes(3200))
            told, leg = await asyncio.gather(messages(transcribe), messages(telephony))
        for message in told:
            assert breaks_of_event(message["type"], message, "result") == []
        assert [message["type"] for message in told] == [
            "token_expiring",
            "token_expiring",
            "error",
        ]
        assert [message["expired"] for message in told[:2]] == [False, True]
        assert told[2]["error"]["code"] == "UNAUTHORIZED"
        assert [message["data"]["code"] for message in leg] == ["unauthorized"]


async def test_a_websocket_goes_on_by_another_token(tmp_path):
    async with gateway(tmp_path) as a, asyncio.timeout(15):
        path = f"/ws/v1/transcribe?call={CALL}"
        async with websocket(a, path, token(seconds=SOON)) as socket:
            await socket.send_bytes(bytes(3200))
            await socket.send_json({"type": "token", "token": token(subject="p-ben")})
            assert (await socket.receive_json())["error"]["code"] == "FORBIDDEN"
            await socket.send_json({"type": "token", "token": token()})
            await asyncio.sleep(SOON + GRACE + 0.2)
            await socket.send_json({"type": "close_stream"})
            assert await messages(socket) == []
        async with websocket(a, path, token()) as socket:
            await socket.send_bytes(bytes(3200))
            await socket.send_json({"type": "token", "token": token(call="elsewhere")})
            assert [m["error"]["code"] for m in await messages(socket)] == ["FORBIDDEN"]


async def test_nothing_is_left_of_who_goes_before_their_token_expires(tmp_path):
    async with gateway(tmp_path) as a:
        client = await Client().connect(a, token())
        [connection] = a.gateway._sockets._connections.values()
        assert connection.tenure._timer
        await client.close()
        await until(lambda: not (a.gateway._sockets._connections))
        assert connection.tenure._timer is None


async def test_a_client_in_python_goes_on_by_a_fresh_token_and_misses_nothing(tmp_path):
    made = iter([SOON, 60, 60])
    async with gateway(tmp_path) as a, asyncio.timeout(20):

        async def fetched() -> str:
            return token("watch", seconds=next(made))

        read = []
        async with (
            PythonClient(a.gateway.url, token=fetched) as client,
            client.captions(CALL) as captions,
        ):
            await a.say("u0")
            read.append(await anext(captions))
            [first] = a.gateway._sockets._connections
            await until(lambda: first not in a.gateway._sockets._connections)
            await a.say("u1")
            read.append(await anext(captions))
        assert [caption.utterance for caption in read] == ["u0", "u1"]
        assert next(made) == 60, "one token was fetched for each connection"
