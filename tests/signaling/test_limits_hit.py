"""Each limit of a real gateway is hit, by stock clients: what they are told, what is counted."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import jwt
import pytest
import pytest_asyncio
import socketio
from httpx_sse import aconnect_sse
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from signaling.errors import HTTP_STATUS
from signaling.gateway import Gateway
from signaling.limits.addresses import Addresses
from signaling.limits.limiter import Limiter
from signaling.limits.rules import CODES, NAMES, Limits
from signaling.registry import NodeStatus
from signaling.tokens import GRANTS, SharedSecret
from tests.lone_gateway import lone_gateway

SECRET = "a secret of the tests that is long enough"

NUMBERS = itertools.count(1)
"""Of addresses: nobody meets the limits of who came before."""

LIMITS = Limits(
    connections_per_address=2,
    connections_per_subject=2,
    silent_connections_per_address=2,
    connects_per_address_per_minute=3,
    probes_per_address_per_minute=2,
    page_requests_per_address_per_minute=2,
    reads_per_address_per_minute=2,
    writes_per_address_per_minute=2,
    brought_per_address_per_minute=2,
    whip_requests_per_address_per_minute=2,
    uploads_per_address_per_minute=2,
    events_per_socket_per_second=2,
    audio_events_per_socket_per_second=1,
    message_bytes=2000,
    offers_per_participant_per_minute=3,
    calls_per_tenant_per_minute=2,
    streams_per_tenant=1,
    streams_per_gateway=2,
    tracks_per_call=1,
    audio_seconds_per_session=1,
)


class Told(Exception):
    """What a client was told that was refused."""

    def __init__(self, error: dict) -> None:
        self.error = error


def told(answer: dict) -> dict:
    """An acknowledgement that is no refusal."""
    if not answer["ok"]:
        raise Told(answer["error"])
    return answer


class Seldom(Addresses):
    """Counts this machine's own connections, too, where the test comes from."""

    def peer_key(self, peername):
        return peername[0]


@dataclass
class Client:
    """Somebody at an address of their own, with a token of a tenant of their own."""

    gateway: Gateway
    stack: contextlib.AsyncExitStack
    address: str
    tenant: str

    def token(self, subject: str) -> str:
        claims = {"aud": "surtitle", "sub": subject, "call": "*", "grants": list(GRANTS)}
        claims |= {"iss": self.tenant, "exp": int(time.time()) + 60}
        return jwt.encode(claims, SECRET, algorithm="HS256")

    def headers(self, subject: str = "anna", address: str = "") -> dict[str, str]:
        token = self.token(subject)
        return {"Authorization": f"Bearer {token}", "X-Forwarded-For": address or self.address}

    async def http(self, method: str, path: str, **options) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.gateway.url, headers=self.headers()) as http:
            reply = await http.request(method, path, **options)
        if reply.status_code in (429, 503):
            raise Told(refusal(reply))
        return reply

    async def socket(
        self, subject: str, namespace: str = "/", address: str = ""
    ) -> socketio.AsyncClient:
        client, errors = socketio.AsyncClient(reconnection=False), []
        client.on("connect_error", errors.append, namespace=namespace)
        try:
            await client.connect(
                self.gateway.url,
                headers={"X-Forwarded-For": address or self.address},
                auth={"token": self.token(subject)},
                namespaces=[namespace],
                transports=["websocket"],
            )
        except socketio.exceptions.ConnectionError:
            raise Told(errors[0]["data"]) from None
        self.stack.push_async_callback(client.disconnect)
        return client

    async def read(self, call: str, subject: str, address: str = "") -> None:
        """Server-Sent Events, open until the end of the test."""
        headers = self.headers(subject, address)
        http = await self.stack.enter_async_context(
            httpx.AsyncClient(base_url=self.gateway.url, headers=headers)
        )
        source = await self.stack.enter_async_context(
            aconnect_sse(http, "GET", f"/api/calls/{call}/captions")
        )
        if source.response.status_code != 200:
            await source.response.aread()
            raise Told(refusal(source.response))

    async def speak(self, subject: str, address: str = "") -> None:
        """A WebSocket of audio, open until the end of the test."""
        url = self.gateway.url.replace("http", "ws", 1) + "/ws/v1/transcribe"
        try:
            socket = await self.stack.enter_async_context(
                connect(url, additional_headers=self.headers(subject, address))
            )
        except InvalidStatus as error:
            raise Told(json.loads(error.response.body)) from None
        await socket.send(json.dumps({"type": "configure"}))
        await socket.send(bytes(3200))

    async def started(self, subject: str = "anna", **wish) -> socketio.AsyncClient:
        client = await self.socket(subject, "/transcribe")
        told(await client.call("start_transcription", wish, namespace="/transcribe"))
        return client


def refusal(reply: httpx.Response) -> dict:
    assert reply.headers["Content-Type"].split(";")[0] == "application/problem+json"
    problem = reply.json()
    assert reply.status_code == HTTP_STATUS[problem["code"]] == problem["status"]
    seconds = -(-problem["retry_after_ms"] // 1000)
    assert reply.headers["Retry-After"] == str(max(1, seconds))
    return problem


def requests(method: str, path: str, **options) -> Callable[[Client], Awaitable[None]]:
    async def hit(client: Client) -> None:
        for _ in range(2):
            await client.http(method, path, **options)
        await client.http(method, path, **options)

    return hit


async def too_many_connections_of_an_address(client: Client) -> None:
    await client.socket("a")
    await client.speak("b")
    with pytest.raises(Told):
        await client.socket("c")
    for _ in range(2):  # another address, with another token
        await client.socket(secrets.token_hex(4), address="198.51.100.1")
        await client.stack.aclose()
    await client.socket("a", address="2001:db8:0:7::1")
    await client.socket("b", address="2001:db8:0:7:ffff::2")
    await client.socket("c", address="2001:db8:0:7::3")


async def too_many_readers_of_an_address(client: Client) -> None:
    await client.http("POST", "/api/calls", json={"call": client.tenant})
    await client.read(client.tenant, "a")
    await client.read(client.tenant, "b")
    await client.read(client.tenant, "c")


async def too_many_connections_of_a_subject(client: Client) -> None:
    await client.http("POST", "/api/calls", json={"call": client.tenant})
    await client.socket("anna")
    await client.read(client.tenant, "anna")
    await client.socket("anna", address="198.51.100.2")


async def too_many_who_say_nothing(client: Client) -> None:
    parts = httpx.URL(client.gateway.url)
    silent = [await asyncio.open_connection(parts.host, parts.port) for _ in range(3)]
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            assert await silent[2][0].read() == b""
    silent[0][1].write(b"GET /ready HTTP/1.1\r\nHost: a\r\n")
    await asyncio.sleep(0.05)
    silent[0][1].write(b"Connection: close\r\n\r\n")
    assert (await silent[0][0].read()).startswith(b"HTTP/1.1 ")
    for _, writer in silent:
        writer.close()


async def too_many_connects(client: Client) -> None:
    for n in range(3):
        await client.socket(f"s{n}")
        await client.stack.aclose()
    await client.http("GET", "/socket.io/?EIO=4&transport=polling")


async def too_many_events(client: Client) -> None:
    socket = await client.socket("anna")
    answers = await asyncio.gather(
        *(socket.call("call:leave", {}) for _ in range(20 + 3)), return_exceptions=True
    )
    told(answers[-1])


async def too_many_chunks(client: Client) -> None:
    socket = await client.started()
    for _ in range(20):
        told(await socket.call("audio_chunk", {"chunk": bytes(32)}, namespace="/transcribe"))


async def too_large_a_message(client: Client) -> None:
    socket = await client.socket("anna")
    told(await socket.call("call:watch", {"call": "x" * 2000}))


async def too_many_offers(client: Client) -> None:
    socket = await client.socket("anna")
    told(await socket.call("call:join", {"call": client.tenant}))
    for _ in range(4):
        told(await socket.call("media:offer", {"sdp": "v=0", "type": "offer"}))


async def too_many_calls_of_a_tenant(client: Client) -> None:
    socket = await client.socket("anna")
    for _ in range(2):
        told(await socket.call("call:join", {"call": client.tenant}))
    await client.http("POST", "/api/calls", json={"call": f"{client.tenant}-2"})
    told(await socket.call("call:join", {"call": f"{client.tenant}-3"}))


async def too_many_streams_of_a_tenant(client: Client) -> None:
    socket = await client.socket("anna")
    told(await socket.call("call:join", {"call": client.tenant}))
    for _ in range(2):
        told(await socket.call("media:offer", {"sdp": "v=0", "type": "offer"}))
        told(await socket.call("media:close", {}))
    await client.started("bob", call=client.tenant)
    other = await client.socket("eve", address="198.51.100.3")
    told(await other.call("call:join", {"call": client.tenant}))
    told(await other.call("media:offer", {"sdp": "v=0", "type": "offer"}))


async def too_many_streams_of_the_gateway(client: Client) -> None:
    for n in range(3):
        other = Client(client.gateway, client.stack, f"203.0.113.20{n}", f"{client.tenant}-{n}")
        await other.started()


async def too_many_tracks(client: Client) -> None:
    for n in range(2):
        other = Client(client.gateway, client.stack, f"203.0.113.21{n}", f"{client.tenant}-{n}")
        socket = await other.socket(f"p{n}")
        told(await socket.call("call:join", {"call": client.tenant}))
        told(await socket.call("media:offer", {"sdp": "v=0", "type": "offer"}))


async def too_much_audio(client: Client) -> None:
    socket = await client.started()
    for _ in range(3):
        told(await socket.call("audio_chunk", {"chunk": bytes(16000)}, namespace="/transcribe"))


HITS: dict[str, tuple[Callable[[Client], Awaitable[None]], ...]] = {
    "connections_per_address": (too_many_connections_of_an_address, too_many_readers_of_an_address),
    "connections_per_subject": (too_many_connections_of_a_subject,),
    "silent_connections_per_address": (too_many_who_say_nothing,),
    "connects_per_address_per_minute": (too_many_connects,),
    "probes_per_address_per_minute": (requests("GET", "/ready?"),),
    "page_requests_per_address_per_minute": (requests("GET", "/nothing"),),
    "reads_per_address_per_minute": (requests("GET", "/api/calls"),),
    "writes_per_address_per_minute": (requests("DELETE", "/api/calls/none"),),
    "brought_per_address_per_minute": (requests("POST", "/api/calls/none/captions", json={}),),
    "whip_requests_per_address_per_minute": (requests("POST", "/whip/none", content="v=0"),),
    "uploads_per_address_per_minute": (requests("POST", "/api/transcriptions", content=b""),),
    "events_per_socket_per_second": (too_many_events,),
    "audio_events_per_socket_per_second": (too_many_chunks,),
    "message_bytes": (too_large_a_message,),
    "offers_per_participant_per_minute": (too_many_offers,),
    "calls_per_tenant_per_minute": (too_many_calls_of_a_tenant,),
    "streams_per_tenant": (too_many_streams_of_a_tenant,),
    "streams_per_gateway": (too_many_streams_of_the_gateway,),
    "tracks_per_call": (too_many_tracks,),
    "audio_seconds_per_session": (too_much_audio,),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    authority = SharedSecret(SECRET)
    async with lone_gateway(folder, [], authority, limiter=Limiter(LIMITS), addresses=Seldom()) as (
        running,
        _,
    ):
        running._sessions._resume_seconds = 0.0  # who is gone does not come back
        await running._registry.report(NodeStatus("node-1", capacity=1000))
        yield running


async def counted(gateway: Gateway) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=gateway.url) as http:  # of this machine: not limited
        text = (await http.get("/metrics")).text
    (family,) = [f for f in text_string_to_metric_families(text) if f.name == "surtitle_limits_hit"]
    return {sample.labels["limit"]: sample.value for sample in family.samples}


def test_every_limit_is_hit_here():
    assert list(HITS) == list(NAMES)
    for name in NAMES:
        assert LIMITS.most(name) < Limits().most(name)


@pytest.mark.parametrize(
    ("name", "hit"),
    [
        pytest.param(name, hit, id=f"{name}-{n}")
        for name, hits in HITS.items()
        for n, hit in enumerate(hits)
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_goes_past_a_limit_is_told_and_counted(gateway, name, hit):
    before = await counted(gateway)
    assert list(before) == list(NAMES)
    async with contextlib.AsyncExitStack() as stack:
        client = Client(gateway, stack, f"203.0.113.{next(NUMBERS)}", f"t-{secrets.token_hex(4)}")
        if name.startswith("silent"):
            await hit(client)
        else:
            with pytest.raises(Told) as refused:
                await hit(client)
            error = refused.value.error
            assert error["code"] == CODES[name]
            assert ("retry_after_ms" in error) == (error["code"] != "too_large")
            assert 0 < error.get("retry_after_ms", 1) <= 60_000
    after = await counted(gateway)
    assert after[name] > before[name]
    others = {other for other in NAMES if after[other] != before[other]} - {name}
    assert not others
