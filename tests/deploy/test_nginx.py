"""Debian's nginx with the real configuration, before two gateways that are not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from tests.deploy.test_redis import free_port
from tests.deploy.tools import DEPLOY, MIME_TYPES, NGINX, output

CONFIG = DEPLOY / "nginx/nginx.conf"
pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = "default-src 'self'"


class Gateway:
    """Says which one it is, and what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[web.Request] = []
        self.uploads = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        app = web.Application(client_max_size=2**21)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if request.headers.get("Upgrade") == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str(self.name)
            await socket.close()
            return socket
        if request.path.endswith("/captions"):
            stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await stream.prepare(request)
            await stream.write(b"data: first\n\n")
            await asyncio.sleep(30)  # the test does not wait for it
            return stream
        if request.path == "/api/transcriptions":
            await request.content.readany()
            self.uploads += 1
        await request.read()
        status = 503 if request.path == "/api/overloaded" else 200
        headers = {"Content-Security-Policy": POLICY, "Location": "/whip/lobby/1"}
        return web.Response(status=status, text=self.name, headers=headers)


class Front:
    def __init__(self, gateways: list[Gateway], port: int, plain: int, log: Path) -> None:
        self.gateways = gateways
        self.url = f"https://localhost:{port}"
        self.plain = f"http://localhost:{plain}"
        self.log = log

    @property
    def asked(self) -> list[web.Request]:
        return [request for gateway in self.gateways for request in gateway.asked]

    @property
    def uploads(self) -> int:
        return sum(gateway.uploads for gateway in self.gateways)


def adapted(folder: Path, ports: dict[str, int]) -> Path:
    """The real file, but for ports, folders and the gateways' addresses."""
    changed = {
        "include mime.types": f"include {MIME_TYPES}",
        "/etc/nginx/certs": f"{folder}/certs",
        "/tmp/": f"{folder}/",
        "/dev/stdout": f"{folder}/access.log",
        "server gateway-1:8080": f"server 127.0.0.1:{ports['gateway-1']}",
        "server gateway-2:8080": f"server 127.0.0.1:{ports['gateway-2']}",
        "listen 127.0.0.1:8079": f"listen 127.0.0.1:{ports['alive']}",
        "listen 8080": f"listen 127.0.0.1:{ports['plain']}",
        "listen 8443": f"listen 127.0.0.1:{ports['tls']}",
    }
    text = CONFIG.read_text()
    assert all(old in text for old in changed)
    # In one go: what is put in, a folder in /tmp perhaps, stays as it is.
    pattern = "|".join(re.escape(old) for old in changed)
    text = re.sub(pattern, lambda found: changed[found[0]], text)
    # As root nginx would give its workers to somebody who may not read pytest's folder.
    if os.geteuid() == 0:
        text = f"user root;\n{text}"
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory) -> AsyncIterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    output("sh", DEPLOY / "nginx/self-signed.sh", "localhost", folder / "certs")
    gateways = [Gateway("one"), Gateway("two")]
    for gateway in gateways:
        await gateway.start()
    ports = {name: free_port() for name in ("alive", "plain", "tls")}
    ports |= {"gateway-1": gateways[0].port, "gateway-2": gateways[1].port}
    config = adapted(folder, ports)
    arguments = [str(NGINX), "-p", str(folder), "-c", str(config), "-e", str(folder / "errors")]
    assert "test is successful" in output(*arguments, "-t")
    process = await asyncio.create_subprocess_exec(
        *arguments, "-g", "daemon off;", stdin=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{ports['alive']}/alive") as answer:
                        assert await answer.text() == "ok\n"
                        break
                except aiohttp.ClientConnectionError:
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
        yield Front(gateways, ports["tls"], ports["plain"], folder / "access.log")
    finally:
        process.terminate()
        await process.wait()
        for gateway in gateways:
            await gateway.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def client(front) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=context)
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        for gateway in front.gateways:
            gateway.asked.clear()
        yield session


async def test_both_gateways_are_asked_and_know_who_asks(front, client):
    answers = []
    for _ in range(4):
        async with client.get(f"{front.url}/api/calls?q=1") as answer:
            answers.append(await answer.text())
    assert set(answers) == {"one", "two"}
    request = front.asked[0]
    assert request.path_qs == "/api/calls?q=1"
    assert request.headers["X-Forwarded-Proto"] == "https"
    assert request.headers["X-Forwarded-For"] == "127.0.0.1"
    # With its port: a gateway compares it with the page's origin.
    assert f"https://{request.headers['Host']}" == front.url


async def test_nobody_says_of_themselves_who_they_are(front, client):
    forged = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "other.example.com",
    }
    async with client.get(f"{front.url}/api/calls", headers=forged) as answer:
        assert answer.status == 200
    (request,) = front.asked
    assert request.headers.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert request.headers.getall("X-Forwarded-Proto") == ["https"]
    assert request.headers.getall("X-Forwarded-Host") == [front.url.removeprefix("https://")]


async def test_nobody_outside_sees_the_metrics(front, client):
    for path in ("/metrics", "/ready", "/%6detrics", "//metrics", "/x/../metrics"):
        async with client.get(f"{front.url}{path}") as answer:
            assert answer.status == 404, path
    assert front.asked == []
    async with client.get(f"{front.url}/health") as answer:
        assert answer.status == 200


async def test_the_pages_own_policy_stays_the_only_one(front, client):
    async with client.get(f"{front.url}/") as answer:
        assert answer.headers.getall("Content-Security-Policy") == [POLICY]
        assert "max-age" in answer.headers["Strict-Transport-Security"]
        assert answer.headers["Server"] == "nginx"


async def test_a_websocket_goes_through(front, client):
    for path in ("/socket.io/?EIO=4&transport=websocket", "/ws/v1/transcribe?language=en"):
        async with client.ws_connect(f"{front.url}{path}") as socket:
            assert (await socket.receive_str()) in {"one", "two"}


async def test_websockets_spread_and_polling_stays_where_it_began(front, client):
    async def asked(query: str) -> set[str]:
        answers = set()
        for _ in range(6):
            async with client.get(f"{front.url}/socket.io/?EIO=4&{query}") as answer:
                answers.add(await answer.text())
        return answers

    assert await asked("transport=websocket") == {"one", "two"}
    polling = await asked("transport=polling")
    assert len(polling) == 1
    assert await asked("transport=polling&sid=x") == polling
    # Begun by polling, gone on as a WebSocket: only that gateway knows the session.
    assert await asked("transport=websocket&sid=x") == polling


async def test_larger_bodies_than_a_gateway_takes_are_refused_here(front, client):
    async with client.post(f"{front.url}/api/calls", data=b"x" * 300_000) as answer:
        assert answer.status == 413
    assert front.asked == []
    url = f"{front.url}/socket.io/?EIO=4&transport=polling&sid=x"
    async with client.post(url, data=b"x" * 300_000) as answer:
        assert answer.status == 200


async def test_a_file_passes_while_it_comes_and_lies_on_no_disk(front, client):
    came = asyncio.Event()

    async def file():
        yield bytes(2**20)
        async with asyncio.timeout(10):
            while not front.uploads:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        came.set()
        yield bytes(2**19)

    async with client.post(f"{front.url}/api/transcriptions", data=file()) as answer:
        assert answer.status == 200
    assert came.is_set(), "the gateway had its beginning before its end was sent"


async def test_an_event_comes_at_once(front, client):
    async with client.get(f"{front.url}/api/calls/lobby/captions") as answer:
        async with asyncio.timeout(5):
            assert await answer.content.readline() == b"data: first\n"


async def test_an_overloaded_gateways_answer_is_passed_on(front, client):
    async with client.get(f"{front.url}/api/overloaded") as answer:
        assert answer.status == 503
    # It was not asked of the other one, and neither counts as gone.
    assert len(front.asked) == 1
    async with client.get(f"{front.url}/api/calls") as answer:
        assert answer.status == 200


async def test_plain_http_leads_to_https(front, client):
    async with client.get(f"{front.plain}/?call=lobby", allow_redirects=False) as answer:
        assert answer.status == 308
        assert answer.headers["Location"] == "https://localhost/?call=lobby"


async def test_an_api_without_tls_is_refused_and_led_nowhere(front, client):
    # Led on, a program would send its token in the clear each time, and nobody would notice.
    for path in ("/api/calls", "/socket.io/?EIO=4", "/ws/v1/transcribe", "/whip/lobby"):
        async with client.get(f"{front.plain}{path}", allow_redirects=False) as answer:
            assert answer.status == 403, path
            assert "Location" not in answer.headers
    assert front.asked == []


async def test_no_token_gets_into_the_log(front, client):
    async with client.get(f"{front.url}/page-for-the-log?call=lobby&token=verysecret") as answer:
        assert answer.status == 200
    for _ in range(100):  # nginx writes it after it has answered
        if "page-for-the-log" in front.log.read_text():
            break
        await asyncio.sleep(0.05)
    lines = [json.loads(line) for line in front.log.read_text().splitlines()]
    assert any(line["path"] == "/page-for-the-log" for line in lines)
    assert "verysecret" not in front.log.read_text()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_refused(front):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    port = int(front.url.rsplit(":", 1)[1])
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection("localhost", port, ssl=context)


async def test_a_gateway_that_is_gone_is_not_noticed(front, client):
    # The last test: nginx does not ask it again for five seconds.
    one, _ = front.gateways
    port = one.port
    await one.stop()
    try:
        for _ in range(6):
            async with client.get(f"{front.url}/api/calls") as answer:
                assert (answer.status, await answer.text()) == (200, "two")
            socket = f"{front.url}/socket.io/?EIO=4&transport=websocket"
            async with client.ws_connect(socket) as connected:
                assert await connected.receive_str() == "two"
    finally:
        await one.start(port)
