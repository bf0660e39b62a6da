"""Orders over real HTTP, from the gateway's client to the node's API and back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
import jwt
import pytest
from aiohttp import web

from media.control import LARGEST_ORDER, Control
from signaling import node_client
from signaling.audio import AudioFormat
from signaling.errors import ContractError
from signaling.messages import LARGEST_SDP, CallRef, Candidate, Participant
from signaling.node_client import HttpNodes
from signaling.node_token import issue_node_token, prove_node
from signaling.node_watch import NodeWatch
from signaling.orders import LISTEN_PATH, ORDERS, PATH
from signaling.registry import MemoryRegistry, NodeStatus
from signaling.sources import Janus, Rtp, RtpStream, Srtp
from signaling.tokens import GRANTS, SharedSecret
from tests.redis_server import free_port
from tests.signaling.bus_contract import final

SECRET = "a secret of the tests that is long enough"
REF = CallRef(
    "standup-42", 1_795_794_490_888_123, 1_700_000_000_000, 1_700_000_000_777, version=1_795_794_491
)
ANNA = Participant("p-anna", 'Anna 🙂 \\ "x"', "pt-BR", captioned=False, anonymous=True)
CANDIDATE = Candidate(candidate="candidate:1 1 UDP 1 192.0.2.1 9 typ host", sdpMid="0")


class Node:
    """Takes orders; `fault` is raised instead of an answer, `hangs` never answers."""

    def __init__(self) -> None:
        self.id = "node-1"
        self.asked: list[tuple] = []
        self.fault: Exception | None = None
        self.hangs = False

    async def _take(self, *what: object) -> None:
        self.asked.append(what)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault:
            raise self.fault

    async def start(self, call, source, language):
        await self._take("start", call, source, language)
        return {"port": 4000, "list": [1, None, {"ü": True}]}

    async def offer(self, call, participant, sdp):
        await self._take("offer", call, participant, sdp)
        return "the answer\r\n"

    async def listen(self, call, participant, audio, begins_at_ms, *, background=False):
        await self._take("listen", call, participant, audio, begins_at_ms, background)
        self.line = Line()
        return self.line

    async def candidate(self, call, participant, candidate):
        await self._take("candidate", call, participant, candidate)

    async def close_media(self, call, participant):
        await self._take("close_media", call, participant)

    async def update(self, call, participant):
        await self._take("update", call, participant)

    async def publish(self, call, finals):
        await self._take("publish", call, finals)
        return [final.numbered(n) for n, final in enumerate(finals, 7)]

    async def forget_words(self, call):
        await self._take("forget_words", call)

    async def end(self, call):
        await self._take("end", call)


@dataclass
class World:
    node: Node
    nodes: HttpNodes
    registry: MemoryRegistry
    url: str

    @property
    def client(self):
        return self.nodes.node("node-1")


def at(url: str, secret: str = SECRET, node: str = "node-1") -> NodeStatus:
    return NodeStatus(node, 1, url=url, proof=prove_node(secret, node, url))


async def serve(node: Node, secret: str, previous: str = "") -> tuple[web.AppRunner, str]:
    app = web.Application(client_max_size=LARGEST_ORDER)
    Control(node, secret, previous).add_routes(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, "http://{}:{}".format(*runner.addresses[0])


@asynccontextmanager
async def a_node(secret: str = SECRET) -> AsyncIterator[World]:
    node, registry = Node(), MemoryRegistry(math.inf)
    runner, url = await serve(node, secret)
    await registry.report(at(url, secret))
    async with HttpNodes(registry, secret) as nodes:
        yield World(node, nodes, registry, url)
    await runner.cleanup()


async def refusal(asking) -> ContractError:
    async with asyncio.timeout(5):
        with pytest.raises(ContractError) as refused:
            await asking
    return refused.value


@pytest.mark.parametrize("secret", [SECRET, ""])
async def test_every_order_arrives_as_it_was_given_and_is_answered(secret):
    async with a_node(secret) as w:
        janus = Janus(url="wss://sfu.example.com", room=5, pin="hush", captions_back=True)
        details = await w.client.start(REF, janus, "de")
        assert details == {"port": 4000, "list": [1, None, {"ü": True}]}
        assert await w.client.offer(REF, ANNA, "v=0\r\n") == "the answer\r\n"
        await w.client.candidate(REF, "p-anna", CANDIDATE)
        await w.client.candidate(REF, "p-anna", Candidate())
        await w.client.close_media(REF, "p-anna")
        await w.client.update(REF, ANNA)
        finals = [final("x-1", "grüß 🙂"), replace(final("x-2"), words=None, confidence=None)]
        numbered = await w.client.publish(REF, finals)
        assert numbered == [final.numbered(n) for n, final in enumerate(finals, 7)]
        await w.client.forget_words(REF)
        await w.client.end(REF)
        assert w.node.asked == [
            ("start", REF, janus, "de"),
            ("offer", REF, ANNA, "v=0\r\n"),
            ("candidate", REF, "p-anna", CANDIDATE),
            ("candidate", REF, "p-anna", Candidate()),
            ("close_media", REF, "p-anna"),
            ("update", REF, ANNA),
            ("publish", REF, finals),
            ("forget_words", REF),
            ("end", REF),
        ]
        assert {what for what, *_ in w.node.asked} == set(ORDERS), "none is left out"


async def test_the_keys_of_a_source_reach_the_node():
    async with a_node() as w:
        rtp = Rtp(streams=[RtpStream(ssrc=1, name="A")], srtp=Srtp(key="k" * 40), sender="1.2.3.4")
        await w.client.start(REF, rtp, "auto")
        assert w.node.asked[0][2] == rtp


@pytest.mark.parametrize(
    "fault",
    [
        ContractError("conflict", "the call has moved", 1000),
        ContractError("forbidden", "wrong PIN"),
        ContractError("invalid", "no audio in the offer: ü"),
        ContractError("overloaded", "busy", 2500),
    ],
)
async def test_what_a_node_refuses_is_told_in_its_own_words(fault):
    async with a_node() as w:
        w.node.fault = fault
        refused = await refusal(w.client.offer(REF, ANNA, "v=0"))
        assert (refused.code, refused.message, refused.retry_after_ms) == (
            fault.code,
            fault.message,
            fault.retry_after_ms,
        )
        w.node.fault = None
        await w.client.offer(REF, ANNA, "v=0")


async def test_a_fault_of_the_node_is_unavailable_without_its_insides():
    async with a_node() as w:
        w.node.fault = RuntimeError("/secret/path")
        refused = await refusal(w.client.end(REF))
        assert refused.code == "unavailable"
        assert "secret" not in refused.message
        assert refused.retry_after_ms


def token(**claims) -> str:
    return jwt.encode(claims, claims.pop("key", SECRET), algorithm="HS256")


def soon(seconds: int = 60) -> int:
    return int(time.time()) + seconds


OLD = "the secret of last year, which was long enough too"

REFUSED = {
    "none": lambda: None,
    "empty": lambda: "",
    "no token": lambda: "Bearer",
    "no JWT": lambda: "Bearer nonsense",
    "another scheme": lambda: f"Basic {issue_node_token(SECRET, 'node-1')}",
    "another secret": lambda: (
        f"Bearer {issue_node_token('another that is as long as ours is', 'node-1')}"
    ),
    "expired": lambda: f"Bearer {token(aud='surtitle-node', sub='node-1', exp=soon(-31))}",
    "never expires": lambda: f"Bearer {token(aud='surtitle-node', sub='node-1')}",
    "for nobody": lambda: f"Bearer {token(sub='node-1', exp=soon())}",
    "another node's": lambda: f"Bearer {issue_node_token(SECRET, 'node-2')}",
    "no node's": lambda: f"Bearer {token(aud='surtitle-node', exp=soon())}",
    "a client's": lambda: f"Bearer {SharedSecret(SECRET).issue('anna', '*', GRANTS, None, 60)}",
    "unsigned": lambda: (
        f"Bearer {jwt.encode({'aud': 'surtitle-node', 'exp': soon()}, '', algorithm='none')}"
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_only_a_gateway_gives_orders(kind):
    authorization = REFUSED[kind]()
    async with a_node() as w, aiohttp.ClientSession() as http:
        headers = {} if authorization is None else {"Authorization": authorization}
        order = {"call": {"call": "a", "epoch": 1, "started_at_ms": 0}}
        answer = await http.post(f"{w.url}{PATH}/end", json=order, headers=headers)
        assert answer.status == 401
        assert (await answer.json())["error"]["code"] == "unauthorized"
        assert not w.node.asked


async def test_a_token_whose_clock_is_a_little_late_is_taken():
    async with a_node() as w, aiohttp.ClientSession() as http:
        late = token(aud="surtitle-node", sub="node-1", exp=soon(-5))
        headers = {"Authorization": f"Bearer {late}"}
        order = {"call": {"call": "a", "epoch": 1, "started_at_ms": 0}}
        assert (await http.post(f"{w.url}{PATH}/end", json=order, headers=headers)).status == 200


async def test_a_gateway_of_another_secret_tells_its_clients_nothing_of_tokens():
    other = "another secret that is as long as ours"
    async with a_node() as w:
        await w.registry.report(at(w.url, other))  # else it would not even be asked
        async with HttpNodes(w.registry, other) as others:
            refused = await refusal(others.node("node-1").end(REF))
        assert refused.code == "unavailable"


STRANGERS = {
    "no proof": lambda url: "",
    "nonsense": lambda url: "é",
    "another secret's": lambda url: prove_node("a secret that is another's", "node-1", url),
    "of another address": lambda url: prove_node(SECRET, "node-1", "http://127.0.0.1:1"),
    "another node's": lambda url: prove_node(SECRET, "node-2", url),
}


@pytest.mark.parametrize("kind", STRANGERS)
async def test_a_node_that_is_not_ours_gets_no_orders_and_no_token(kind):
    asked = []

    async def stranger(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization"))
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stranger)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0])
    strange = NodeStatus("node-1", 1, url=url, proof=STRANGERS[kind](url))
    async with a_node() as w, aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        await w.registry.report(strange)
        watch = NodeWatch(w.registry, session, SECRET, tasks)
        watch.watch([strange])
        assert (await refusal(w.client.end(REF))).code == "unavailable"
        assert (await refusal(w.client.listen(REF, ANNA, AudioFormat(), 0))).code == "unavailable"
        watch.watch([])
    assert asked == []
    await runner.cleanup()


@pytest.mark.parametrize("node", [(OLD, SECRET), (SECRET, OLD)])
@pytest.mark.parametrize("gateway", [(OLD, SECRET), (SECRET, OLD)])
async def test_while_secrets_change_gateways_and_nodes_know_each_other(node, gateway):
    there, registry = Node(), MemoryRegistry(math.inf)
    runner, url = await serve(there, *node)
    await registry.report(at(url, node[0]))
    async with HttpNodes(registry, *gateway) as nodes:
        await nodes.node("node-1").end(REF)
    assert there.asked
    await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("end", b"", 400, "invalid"),
        ("end", b"[]", 400, "invalid"),
        ("end", b'{"call": "standup"}', 400, "invalid"),
        ("end", b'{"call": {"call": "a", "epoch": "x", "started_at_ms": 0}}', 400, "invalid"),
        ("start", b'{"call": {"call": "a", "epoch": 1, "started_at_ms": 0}}', 400, "invalid"),
        ("end", b"\xff\xfe\x00", 400, "invalid"),
        ("offer", b"[" * 100_000, 400, "invalid"),
        ("fly", b"{}", 404, "not_found"),
        ("end", b'"' + b"x" * LARGEST_ORDER + b'"', 413, "too_large"),
    ],
)
async def test_what_cannot_be_an_order_is_refused_and_the_node_goes_on(path, body, status, code):
    async with a_node("") as w, aiohttp.ClientSession() as http:
        answer = await http.post(f"{w.url}{PATH}/{path}", data=body)
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code
        assert not w.node.asked
        await w.client.end(REF)


async def test_the_largest_offer_that_a_gateway_takes_fits_and_a_larger_one_is_said_to_be():
    async with a_node() as w:
        sdp = "v=0\r\n" + "ü🙂" * ((LARGEST_SDP - 5) // 6)
        await w.client.offer(REF, ANNA, sdp)
        assert w.node.asked[0][3] == sdp
        refused = await refusal(w.client.offer(REF, ANNA, "x" * LARGEST_ORDER))
        assert refused.code == "too_large"


async def test_whatever_is_in_an_offer_of_that_size_fits():
    async with a_node() as w:
        await w.client.offer(REF, ANNA, "\x01" * LARGEST_SDP)
        assert len(w.node.asked[0][3]) == LARGEST_SDP


# --- a node that is not there ---------------------------------------------------------------


async def test_a_node_that_nobody_knows_is_unavailable():
    async with a_node() as w:
        refused = await refusal(w.nodes.node("node-2").end(REF))
        assert (refused.code, refused.retry_after_ms) == ("unavailable", 1000)


async def test_a_node_whose_process_is_gone_is_unavailable_at_once():
    async with a_node() as w:
        await w.registry.report(at(f"http://127.0.0.1:{free_port()}"))
        begun = time.monotonic()
        assert (await refusal(w.client.end(REF))).code == "unavailable"
        assert time.monotonic() - begun < 1.0


async def test_a_node_that_came_back_elsewhere_is_found():
    async with a_node() as w:
        await w.client.end(REF)
        there, url = Node(), w.url
        runner, new_url = await serve(there, SECRET)
        await w.registry.report(at(f"http://127.0.0.1:{free_port()}"))
        w.nodes._urls.clear()
        await refusal(w.client.end(REF))
        await w.registry.report(at(new_url))
        await w.client.end(REF)
        assert new_url != url
        assert len(there.asked) == 1
        await runner.cleanup()


@pytest.mark.parametrize("name", ["offer", "end"])
async def test_a_node_that_hangs_is_unavailable_in_time(monkeypatch, name):
    monkeypatch.setattr(node_client, "ANSWER_SECONDS", dict.fromkeys(ORDERS, 0.1))
    monkeypatch.setattr(node_client, "CONNECT_SECONDS", 0.1)
    async with a_node() as w:
        w.node.hangs = True
        asking = {
            "offer": lambda: w.client.offer(REF, ANNA, "v=0"),
            "end": lambda: w.client.end(REF),
        }[name]()
        begun = time.monotonic()
        refused = await refusal(asking)
        assert (refused.code, refused.retry_after_ms) == ("unavailable", 1000)
        assert time.monotonic() - begun < 2.0


async def test_a_node_that_accepts_and_says_nothing_is_unavailable_in_time(monkeypatch):
    monkeypatch.setattr(node_client, "ANSWER_SECONDS", dict.fromkeys(ORDERS, 0.1))
    async with (
        a_node() as w,
        await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as silent,
    ):
        port = silent.sockets[0].getsockname()[1]
        await w.registry.report(at(f"http://127.0.0.1:{port}"))
        assert (await refusal(w.client.end(REF))).code == "unavailable"


async def test_something_else_that_listens_there_is_no_node():
    async def say(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    async with a_node() as w, await asyncio.start_server(say, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        await w.registry.report(at(f"http://127.0.0.1:{port}"))
        assert (await refusal(w.client.end(REF))).code == "unavailable"


async def test_every_order_has_a_time_in_which_it_is_answered():
    assert set(node_client.ANSWER_SECONDS) == set(ORDERS)


async def test_a_gateway_that_goes_down_asks_nobody_any_more():
    nodes = HttpNodes(MemoryRegistry(), SECRET)
    assert (await refusal(nodes.node("node-1").end(REF))).code == "unavailable"


class Line:
    """Keeps what it is sent; `faults` come instead of the next answers."""

    def __init__(self):
        self.heard: list[tuple[bytes, int]] = []
        self.faults: list[ContractError] = []
        self.closed = asyncio.Event()

    async def send(self, chunk, at_ms):
        if self.faults:
            raise self.faults.pop(0)
        self.heard.append((chunk, at_ms))

    async def close(self):
        self.closed.set()


@pytest.mark.parametrize("secret", [SECRET, ""])
async def test_a_line_carries_audio_to_the_node_until_it_is_closed(secret):
    async with a_node(secret) as w:
        line = await w.client.listen(REF, ANNA, AudioFormat("mulaw", 8000), 1_700_000_001_000)
        assert w.node.asked == [
            ("listen", REF, ANNA, AudioFormat("mulaw", 8000), 1_700_000_001_000, False)
        ]
        await line.send(b"abc", 1_700_000_001_000)
        await line.send(b"", 1_700_000_001_100)
        assert w.node.line.heard == [(b"abc", 1_700_000_001_000), (b"", 1_700_000_001_100)]
        await line.close()
        assert w.node.line.closed.is_set()
        await line.close()
        assert (await refusal(line.send(b"abc", 0))).code == "conflict"


async def test_a_line_may_be_in_the_background():
    async with a_node() as w:
        line = await w.client.listen(REF, ANNA, AudioFormat(), 7, background=True)
        assert w.node.asked == [("listen", REF, ANNA, AudioFormat(), 7, True)]
        await line.close()


async def test_a_line_goes_on_behind_a_chunk_that_is_refused():
    async with a_node() as w:
        line = await w.client.listen(REF, ANNA, AudioFormat(), 0)
        w.node.line.faults = [ContractError("invalid", "odd"), ContractError("conflict", "gone")]
        assert (await refusal(line.send(b"abc", 0))).message == "odd"
        assert (await refusal(line.send(b"abc", 0))).code == "conflict"
        await line.send(b"ab", 7)
        assert w.node.line.heard == [(b"ab", 7)]


async def test_a_line_that_is_refused_is_none():
    async with a_node() as w:
        w.node.fault = ContractError("unavailable", "the node is draining", 1000)
        refused = await refusal(w.client.listen(REF, ANNA, AudioFormat(), 0))
        assert (refused.code, refused.message) == ("unavailable", "the node is draining")


async def test_what_was_said_becomes_final_where_the_gateway_of_a_line_is_gone():
    async with a_node() as w:
        line = await w.client.listen(REF, ANNA, AudioFormat(), 0)
        await line.send(b"ab", 0)
        await line._socket.close()
        async with asyncio.timeout(5):
            await w.node.line.closed.wait()
        assert (await refusal(line.send(b"ab", 0))).code == "unavailable"


async def test_a_line_needs_the_node_s_secret_and_an_order():
    async with a_node() as w, aiohttp.ClientSession() as session:
        async with session.get(w.url + LISTEN_PATH) as response:
            assert response.status == 401
        token = {"Authorization": f"Bearer {issue_node_token(SECRET, 'node-1')}"}
        async with session.ws_connect(w.url + LISTEN_PATH, headers=token) as socket:
            for message in ("{}", "no JSON"):
                await socket.send_str(message)
                assert (await socket.receive_json())["error"]["code"] == "invalid"
            await socket.send_bytes(bytes(20))
            assert (await socket.receive_json())["error"]["code"] == "invalid"
        assert w.node.asked == []


async def test_a_node_that_is_not_there_has_no_line():
    async with a_node() as w:
        refused = await refusal(w.nodes.node("node-2").listen(REF, ANNA, AudioFormat(), 0))
        assert refused.code == "unavailable"
