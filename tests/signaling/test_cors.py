"""Pages of other origins: what browsers are told, and that every door looks who is there."""

from __future__ import annotations

import aiohttp
import pytest
import pytest_asyncio

from tests.signaling.bus_contract import CALL
from tests.signaling.test_webhooks import stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

STUDIO, EVIL = "https://studio.example", "https://evil.example"
CALLS = "/api/calls"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory):
    async with stage(tmp_path_factory.mktemp("cors"), origins=[STUDIO]) as running:
        await running.begin()
        yield running


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (CALLS, "GET, HEAD, POST"),
        (f"{CALLS}/a", "DELETE, GET, HEAD, PATCH"),
        (f"{CALLS}/a/captions", "GET, POST"),
        ("/api/transcripts", "GET, HEAD"),
    ],
)
async def test_a_browser_is_told_what_pages_may_do(here, path, methods):
    asks = {"Origin": STUDIO, "Access-Control-Request-Method": "GET"}
    reply = await here.http.options(path, headers=asks)
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Origin"] == STUDIO
    assert reply.headers["Access-Control-Allow-Methods"] == methods
    assert "Authorization" in reply.headers["Access-Control-Allow-Headers"]
    assert reply.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in reply.headers


async def test_answers_errors_and_streams_can_be_read_by_pages_that_may(here):
    page = {"Origin": STUDIO}
    for path, status in (
        (CALLS, 200),
        (f"{CALLS}/nowhere", 404),
        (f"{CALLS}/{CALL}/captions", 200),
    ):
        async with here.http.get(path, headers=page) as reply:
            assert reply.status == status
            assert reply.headers["Access-Control-Allow-Origin"] == STUDIO
            assert "Location" in reply.headers["Access-Control-Expose-Headers"]
    async with (
        aiohttp.ClientSession(here.gateway.url) as stranger,
        stranger.get(CALLS, headers=page) as reply,
    ):
        assert reply.status == 401
        assert reply.headers["Access-Control-Allow-Origin"] == STUDIO


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_a_page_that_may_not_does_nothing(here, method):
    for origin in (EVIL, "null", f"{STUDIO}.evil.example", f"{here.gateway.url}1"):
        asks = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        for path in (CALLS, f"{CALLS}/{CALL}", "/api/nowhere"):
            async with here.http.request(method, path, headers=asks, json={}) as reply:
                assert reply.status == 403
                assert "Access-Control-Allow-Origin" not in reply.headers
    assert (await here.http.get(f"{CALLS}/{CALL}")).status == 200


async def test_the_server_s_own_page_and_who_is_no_page_may(here):
    for headers in ({"Origin": here.gateway.url}, {}):
        async with here.http.post(CALLS, json={"call": "own"}, headers=headers) as reply:
            assert reply.status == 201
    assert (await here.http.options(CALLS)).status == 405
    assert (await here.http.get("/health", headers={"Origin": EVIL})).status in (200, 503)


async def handshake(here, path: str, origin: str) -> int:
    try:
        async with here.http.ws_connect(path, headers={"Origin": origin}):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


@pytest.mark.parametrize(
    ("path", "own", "refused"),
    [
        ("/socket.io/?EIO=4&transport=websocket", 101, 400),
        ("/ws/v1/transcribe", 101, 403),
        ("/ws/v1/telephony", 403, 403),  # no page is a switch
    ],
)
async def test_every_websocket_looks_at_the_origin(here, path, own, refused):
    assert await handshake(here, path, STUDIO) == own
    assert await handshake(here, path, here.gateway.url) == own
    for origin in (EVIL, "null", "http://127.0.0.1:1"):
        assert await handshake(here, path, origin) == refused


async def test_polling_looks_at_the_origin(here):
    path = "/socket.io/?EIO=4&transport=polling"
    for origin, status in ((STUDIO, 200), (EVIL, 400)):
        async with here.http.get(path, headers={"Origin": origin}) as reply:
            assert reply.status == status
