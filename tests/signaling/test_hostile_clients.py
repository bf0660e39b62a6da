"""Clients that flood, that never finish, and that name more than anybody could keep."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager

import httpx
import pytest
import socketio
import structlog

from signaling.errors import ContractError
from signaling.limits import http, socket
from signaling.limits.limiter import Limiter
from signaling.limits.rules import Limits
from signaling.messages import Watch
from signaling.redis.limits import RedisLimits
from signaling.redis.link import Link
from signaling.registry import NodeStatus
from tests.light import LightClient
from tests.lone_gateway import lone_gateway
from tests.redis_server import RedisServer
from tests.signaling.world import nothing_left, world


@asynccontextmanager
async def serving(folder, limiter: Limiter | None = None):
    async with lone_gateway(folder, [], limiter=limiter) as (running, _):
        await running._registry.report(NodeStatus("node-1", capacity=1000))
        yield running


async def connection(gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = httpx.URL(gateway.url)
    return await asyncio.open_connection(url.host, url.port)


async def rest(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionResetError):
        return await reader.read()
    return b""


async def test_who_floods_is_cut_off_and_who_is_only_fast_is_not(tmp_path):
    async with (
        asyncio.timeout(30),
        serving(tmp_path, Limiter(Limits(events_per_socket_per_second=10))) as gateway,
    ):
        url = gateway.url
        heard: list[bytes] = []
        fast, flooding = [await LightClient.connect(url, heard.append) for _ in range(2)]
        with structlog.testing.capture_logs() as logs:
            for _ in range(300):
                fast.write('42["call:leave",{}]')
            refused = [await fast.ask("call:leave", {}) for _ in range(2)]
            assert {answer["error"]["code"] for answer in refused} == {"rate_limited"}
            for _ in range(1000):
                flooding.write('42["no such event",{}]')
            await flooding.lost.wait()
            await gateway_forgets(gateway, 1)
        assert not fast.lost.is_set()
        assert [log["event"] for log in logs if log["log_level"] == "warning"] == [
            "flooding client cut off"
        ]
        assert gateway._sockets.limits.flooding == 1
        fast.close()


async def gateway_forgets(gateway, left: int) -> None:
    while gateway._sockets.connected != left:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


NONSENSE = ["4", "4nonsense", '42["x', "49", '451-["x"]', '42/no,["x",{}]', "43[]", "4" + "2" * 500]


@pytest.mark.parametrize("packet", NONSENSE)
async def test_nonsense_by_the_thousand_is_a_flood_and_fills_no_log(tmp_path, packet, capsys):
    async with (
        asyncio.timeout(30),
        serving(tmp_path, Limiter(Limits(events_per_socket_per_second=5))) as gateway,
    ):
        client = await LightClient.connect(gateway.url, lambda _: None)
        for _ in range(400):
            client.write(packet)
        await client.lost.wait()
    assert "Traceback" not in capsys.readouterr().err


async def test_an_event_has_only_so_many_attachments_and_those_of_others_are_not_kept(tmp_path):
    async with asyncio.timeout(20), serving(tmp_path) as gateway:
        client = await LightClient.connect(gateway.url, lambda _: None)
        client._answers[7] = answer = asyncio.get_running_loop().create_future()
        holes = [{"_placeholder": True, "num": 0}]
        client.write("45999999999-7" + json.dumps(["peer:signal", *holes]))
        assert (await answer)["error"]["code"] == "too_large"
        assert not gateway._sockets.sio._binary_packet
        assert (await client.ask("call:leave", {}))["ok"]
        client.close()


async def test_a_head_that_does_not_end_and_a_body_that_does_not_come_are_given_up(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(http, "BODY_SECONDS", 0.3)
    async with asyncio.timeout(20), serving(tmp_path) as gateway:
        (site,) = gateway._runner.sites
        site.head_seconds = 0.3
        silent, head, body = [await connection(gateway) for _ in range(3)]
        head[1].write(b"GET /ready HTTP/1.1\r\nX-A: ")
        body[1].write(b"POST /api/calls HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        line, _, told = (await body[0].readuntil(b'enough"')).partition(b"\r\n")
        assert line.startswith(b"HTTP/1.1 400 ")
        assert b'"invalid"' in told
        assert await rest(silent[0]) == await rest(head[0]) == b""
        for _, writer in (silent, head, body):
            writer.close()
        assert not site._silent
        assert not site._counts


async def test_a_connection_that_joins_no_namespace_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "JOIN_SECONDS", 0.3)
    async with (
        asyncio.timeout(20),
        serving(tmp_path) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        there = await LightClient.connect(gateway.url, lambda _: None)
        left = await LightClient.connect(gateway.url, lambda _: None)
        left.write("41")
        await client.get("/socket.io/?EIO=4&transport=polling")
        engine = gateway._sockets.sio.eio
        assert len(engine.sockets) == 3
        await left.lost.wait()
        while sum(not one.closed for one in engine.sockets.values()) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert not there.lost.is_set()
        there.close()


async def test_of_calls_that_never_were_nothing_is_kept_however_many_are_asked_for(tmp_path):
    async with world(tmp_path) as w:
        for n in range(5000):
            ask = w.calls.end if n % 100 == 0 else w.calls.describe
            with pytest.raises(ContractError, match="no such call"):
                await ask(f"no-{n}")
        nothing_left(w)
        for n in range(300):
            seat, _ = await w.calls.watch(f"s{n}", Watch(call=f"watched-{n}"))
            await w.calls.leave(seat)
        await w.lingered()
        nothing_left(w)


PATHS = [
    *("/api/calls/{}", "/api/calls/{}/transcript", "/api/calls/{}/captions", "/whip/{}/{}"),
    *("/api/transcriptions/{}", "/api/transcriptions/{}/events", "/nothing/{}"),
]


async def test_requests_that_name_what_is_not_there_leave_the_gateway_and_redis_as_they_were(
    tmp_path,
):
    async with (
        RedisServer(tmp_path / "redis") as server,
        Link(server.url) as link,
        serving(tmp_path, Limiter(shared=RedisLimits(link))) as gateway,
        httpx.AsyncClient(base_url=gateway.url, headers={"X-Forwarded-For": "192.0.2.1"}) as client,
    ):
        for n in range(210):
            path = PATHS[n % len(PATHS)].format(f"no-{n}", n)
            reply = await client.get(path)
            assert reply.status_code == 404, path
        keys = await link.do(
            "DBSIZE"
        )  # one for each kind of request, of one address, until it lapses
        assert keys <= 4
        assert len(gateway._limiter._own._due) <= 4
        nothing_kept = (gateway._rooms._locks, gateway._streams._streams, gateway._limiter._leases)
        assert not any(len(kept) for kept in nothing_kept)


async def test_joining_costs_one_question_to_redis_and_without_redis_nobody_notices(tmp_path):
    async with (
        asyncio.timeout(30),
        RedisServer(tmp_path / "redis") as server,
        Link(server.url) as link,
        Link(server.url) as ours,
        serving(tmp_path, Limiter(shared=RedisLimits(ours))) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        await client.post("/api/calls", json={"call": "a"})
        await link.do("CONFIG", "RESETSTAT")
        anna = socketio.AsyncClient(reconnection=False)
        headers = {"X-Forwarded-For": "192.0.2.1"}
        await anna.connect(gateway.url, headers=headers, transports=["websocket"])
        assert (await anna.call("call:join", {"call": "a", "name": "Anna"}))["ok"]
        stats = await link.do("INFO", "commandstats")
        scripts = [stats.get(f"cmdstat_{name}", {"calls": 0}) for name in ("evalsha", "eval")]
        tried, loaded = [stat["calls"] for stat in scripts]
        assert (tried, loaded <= 1) == (1, True)
        await server.stop()
        with structlog.testing.capture_logs() as logs:
            for n in range(5):
                answer = await anna.call("call:join", {"call": f"b{n}"})
                assert answer["ok"]
        assert [log["log_level"] for log in logs if "limits" in log["event"]] == ["warning"]
        await anna.disconnect()
