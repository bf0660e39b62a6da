"""A feed as Server-Sent Events, read from a real gateway by a stock client (httpx-sse)."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from contextlib import asynccontextmanager

import aiohttp
import httpx
import pytest
import yaml
from httpx_sse import aconnect_sse

from signaling import event_streams, readers
from signaling.audience import feed_group
from signaling.registry import NodeStatus
from signaling.room import Room
from signaling.tokens import SharedSecret
from tests.contract import breaks_of_event
from tests.lone_gateway import lone_gateway
from tests.recordings import ROOT
from tests.signaling.bus_contract import final, partial

SECRET = "a secret of the tests that is long enough"


class World:
    """A gateway whose stand-in node has the call `a`, and what that publishes."""

    def __init__(self, gateway, bus, http: httpx.AsyncClient) -> None:
        self.gateway, self.bus, self.http = gateway, bus, http

    @property
    def room(self) -> Room:
        return self.gateway._rooms.live["a"]

    async def say(self, utterance: str, text: str = "ask not", **more) -> None:
        await self.bus.publish_final(
            self.room.shared.epoch, final(utterance, text, call="a", **more)
        )

    async def begin_to_say(self, utterance: str, text: str) -> None:
        said = partial(utterance, 1, text, call="a")
        await self.bus.publish_partial(self.room.shared.epoch, said)

    async def end(self) -> None:
        assert (await self.http.delete("/api/calls/a")).status_code == 204

    def read(self, *, since: int | None = None, call: str = "a", **query):
        headers = {} if since is None else {"Last-Event-ID": str(since)}
        path = f"/api/calls/{call}/captions"
        return aconnect_sse(self.http, "GET", path, params=query, headers=headers)

    async def rest(self, **wish) -> list[tuple[str, str, dict]]:
        """All events until the stream ends."""
        async with asyncio.timeout(20), self.read(**wish) as source:
            return [heard(event) async for event in source.aiter_sse()]

    async def until_read_by(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.gateway._streams) != count:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)


def heard(event) -> tuple[str, str, dict]:
    data = json.loads(event.data)
    if event.event == "caption":
        assert breaks_of_event("caption", data) == []
    return event.event, event.id, data


@asynccontextmanager
async def world(folder, authority=None):
    async with (
        lone_gateway(folder, [], authority) as (running, bus),
        httpx.AsyncClient(base_url=running.url, timeout=20) as http,
    ):
        await running._registry.report(NodeStatus("node-1", capacity=10))
        if authority:
            token = authority.issue("tester", "*", ("manage", "watch"), None, 60)
            http.headers["Authorization"] = f"Bearer {token}"
        assert (await http.post("/api/calls", json={"call": "a"})).status_code == 201
        yield World(running, bus, http)


def test_the_example_of_the_contract_is_what_a_server_sends():
    described = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
    answers = described["paths"]["/api/calls/{call}/captions"]["get"]["responses"]
    example = answers["200"]["content"]["text/event-stream"]["example"].encode()
    *captions, _ = [json.loads(line[5:]) for line in example.splitlines() if line[:5] == b"data:"]
    assert [breaks_of_event("caption", caption) for caption in captions] == [[], []]
    frames = [event_streams.Frame.of(caption).data for caption in captions]
    assert b"".join([*frames, event_streams.end_frame(17)]) == example + b"\n"


async def test_captions_come_as_they_are_made_and_finals_alone_have_an_id(tmp_path):
    async with world(tmp_path) as w:
        await w.say("u1", "before")
        async with asyncio.timeout(20), w.read() as source:
            assert source.response.headers["Cache-Control"].startswith("no-store")
            events = source.aiter_sse()
            kind, number, caption = heard(await anext(events))
            assert (kind, number, caption["text"], caption["seq"]) == ("caption", "1", "before", 1)
            await w.begin_to_say("u2", "ask")
            raw = await anext(events)
            assert heard(raw)[2] | {"final": False, "seq": None, "text": "ask"} == heard(raw)[2]
            await w.say("u2", "ask not, 你好\nwhat")
            _, number, caption = heard(await anext(events))
            assert (number, caption["text"], caption["final"]) == ("2", "ask not, 你好\nwhat", True)
            await w.end()
            assert [heard(event) async for event in events] == [("end", "2", {})]
        await w.until_read_by(0)


async def test_a_partial_carries_no_id_line(tmp_path):
    async with world(tmp_path) as w, w.http.stream("GET", "/api/calls/a/captions") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == ":"
        await w.until_read_by(1)
        await w.begin_to_say("u1", "ask")
        await w.say("u1")
        await w.end()
        fields = [line.partition(":")[0] async for line in lines if line]
        assert fields == ["event", "data", "event", "id", "data", "event", "id", "data"]


async def test_who_comes_again_and_again_has_every_final_once(tmp_path):
    async with world(tmp_path) as w:
        seqs: list[int] = []

        async def speak() -> None:
            for n in range(400):
                await w.begin_to_say(f"u{n}", "ask")
                await w.say(f"u{n}")
                await asyncio.sleep(0.001)

        speaking = asyncio.create_task(speak())
        async with asyncio.timeout(50):
            while len(seqs) < 400:
                async with w.read(since=seqs[-1] if seqs else None) as source:
                    count = 0
                    async for event in source.aiter_sse():
                        if event.id and heard(event)[2]["final"]:
                            seqs.append(heard(event)[2]["seq"])
                            count += 1
                        if count == 23 or len(seqs) == 400:
                            break
        await speaking
        assert seqs == list(range(1, 401))


async def test_what_the_gateway_itself_missed_is_told_in_its_place(tmp_path):
    async with world(tmp_path) as w, asyncio.timeout(20), w.read() as source:
        await w.until_read_by(1)
        [stream] = w.gateway._streams._streams
        await w.say("u1")
        events = source.aiter_sse()
        assert heard(await anext(events))[1] == "1"
        await w.gateway._streams.leave(stream, feed_group("a", "spoken"))
        for n in (2, 3):
            await w.say(f"u{n}")
        await asyncio.sleep(0.1)
        await w.gateway._streams.enter(stream, feed_group("a", "spoken"))
        await w.say("u4")
        assert [heard(await anext(events))[1] for _ in range(3)] == ["2", "3", "4"]


async def test_a_call_that_is_over_is_told_behind_the_last_id_and_ends(tmp_path):
    async with world(tmp_path) as w:
        for n in (1, 2, 3):
            await w.say(f"u{n}")
        await w.end()
        told = await w.rest(since=1)
        assert [(kind, number) for kind, number, _ in told] == [
            ("caption", "2"),
            ("caption", "3"),
            ("end", "3"),
        ]
        assert [number for _, number, _ in await w.rest()] == ["1", "2", "3", "3"]
        async with w.read(since=3) as source:  # an EventSource comes no more after this
            assert source.response.status_code == 204
        assert await w.rest(language="de") == [("end", "0", {})]


async def test_a_last_id_that_never_was_hides_nothing(tmp_path):
    async with world(tmp_path) as w, asyncio.timeout(20), w.read(since=900) as source:
        await w.until_read_by(1)
        await w.say("u1")
        assert heard(await anext(source.aiter_sse()))[1] == "1"


async def test_a_reader_counts_as_one_of_its_feed_while_it_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "HEARTBEAT_SECONDS", 0.05)
    async with world(tmp_path) as w:
        async with w.read(language="de"):
            await w.until_read_by(1)
            assert w.room.shared.feeds == {"de"}
            assert w.room.shared.watched_by
        await w.until_read_by(0)
        assert not w.room.shared.feeds
        assert not w.room.shared.watched_by


async def test_silence_is_broken_by_comments(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "HEARTBEAT_SECONDS", 0.05)
    async with (
        world(tmp_path) as w,
        asyncio.timeout(20),
        w.http.stream("GET", "/api/calls/a/captions") as response,
    ):
        lines = response.aiter_lines()
        heard_lines = [await anext(lines) for _ in range(6)]
        assert heard_lines == [":", "", ":", "", ":", ""]


async def test_swear_words_are_masked_for_who_wants_that(tmp_path):
    async with world(tmp_path) as w:
        await w.say("u1", "what shit")
        async with asyncio.timeout(20), w.read(profanity="mask") as source, w.read() as plain:
            await w.until_read_by(2)
            await w.say("u2", "more shit")
            events, others = source.aiter_sse(), plain.aiter_sse()
            texts = [heard(await anext(events))[2]["text"] for _ in range(2)]
            assert texts == ["what s***", "more s***"]
            assert [heard(await anext(others))[2]["text"] for _ in range(2)][1] == "more shit"


async def test_what_cannot_be_read_is_told_as_everywhere(tmp_path):
    authority = SharedSecret(SECRET)
    async with world(tmp_path, authority) as w:
        assert (await w.http.get("/api/calls/nobody/captions")).status_code == 404
        assert (await w.http.get("/api/calls/a/captions?language=x")).status_code == 400
        wrong = {"Last-Event-ID": "u-1"}
        assert (await w.http.get("/api/calls/a/captions", headers=wrong)).status_code == 400
        assert (await w.http.head("/api/calls/a/captions")).status_code == 405
        for grants, call, status in ((("read",), "a", 403), (("watch",), "b", 403)):
            token = authority.issue("ben", call, grants, None, 3600)
            reply = await w.http.get(
                "/api/calls/a/captions", headers={"Authorization": f"Bearer {token}"}
            )
            assert reply.status_code == status
            assert reply.headers["Content-Type"].startswith("application/problem+json")
        query = {"token": token, "access_token": token}
        reply = await w.http.get(
            "/api/calls/a/captions", params=query, headers={"Authorization": ""}
        )
        assert reply.status_code == 401, "no token in an address: those are logged"


async def test_a_reader_that_stops_reading_is_cut_off_and_holds_up_nobody(tmp_path):
    async with world(tmp_path) as w, aiohttp.ClientSession() as http:
        host, port = w.http.base_url.host, w.http.base_url.port
        loop = asyncio.get_running_loop()
        with sockets.socket() as stalled:
            stalled.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            stalled.setblocking(False)
            await loop.sock_connect(stalled, (host, port))
            request = b"GET /api/calls/a/captions HTTP/1.1\r\nHost: a\r\n\r\n"
            await loop.sock_sendall(stalled, request)
            await w.until_read_by(1)
            [stream] = w.gateway._streams._streams.values()
            async with http.get(f"{w.gateway.url}/api/calls/a/captions") as reading:
                await w.until_read_by(2)
                number = most = 0
                async with asyncio.timeout(60):
                    while not w.gateway._streams.slow_clients:
                        number += 1
                        assert number < 20_000, "never cut off"
                        await w.say(f"u{number}", "x" * 2000)
                        while f"id: {number}\n".encode() != (await reading.content.readline()):
                            pass  # nobody waits for who does not read
                        most = max(most, len(stream._frames))
                    await w.until_read_by(1)
        assert event_streams.MOST_FRAMES // 2 < most <= event_streams.MOST_FRAMES
        assert w.gateway._streams.slow_clients == 1
        text = (await w.http.get("/metrics")).text
        assert "surtitle_slow_clients_total 1.0" in text


async def test_a_gateway_that_goes_ends_streams_without_the_end_of_the_call(tmp_path):
    async with world(tmp_path) as w, w.read() as source:
        await w.until_read_by(1)
        await w.say("u1")
        events = source.aiter_sse()
        assert heard(await anext(events))[0] == "caption"
        assert source.response.headers["Connection"] == "close", "the next is for another"
        await w.gateway._calls.close(end_calls=False)
        async with w.read() as late:  # until its port is closed: an error would be for good
            assert late.response.status_code == 200
            assert [event async for event in late.aiter_sse()] == []
        closing = asyncio.create_task(w.gateway._streams.close())
        assert [heard(event) async for event in events] == []
        await closing


@pytest.mark.parametrize("length", [10, 3_000_000])
async def test_a_gateway_waits_for_no_reader_that_does_not_read(tmp_path, length):
    async with world(tmp_path) as w:
        async with w.read():
            await w.until_read_by(1)
            await w.say("u1", "x" * length)
            async with asyncio.timeout(10):
                await w.gateway._streams.close()
        await w.until_read_by(0)
