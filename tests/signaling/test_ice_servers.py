"""Which TURN servers clients are told of, over HTTP and on joining, by where they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import socketio

from signaling.region import region_of
from tests.lone_gateway import lone_gateway
from turn.credentials import TurnServers
from turn.regions import Regions

HEADER = "CloudFront-Viewer-Country"
EU, US = "turn:eu.example.org", "turn:us.example.org"
REGIONS = Regions.parse((f"eu={EU}", f"us={US}"), ("us,br=us", "de=eu"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(tmp_path_factory) -> AsyncIterator[str]:
    turn = TurnServers((), "north", regions=REGIONS, region_header=HEADER)
    async with lone_gateway(tmp_path_factory.mktemp("ice"), (), turn=turn, has_a_node=True) as (
        gateway,
        _,
    ):
        yield gateway.url


async def asked_for(url: str, query: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    async with (
        aiohttp.ClientSession(url) as http,
        http.get(f"/api/ice-servers{query}", headers=headers) as answer,
    ):
        assert answer.status == 200
        return (await answer.json())["ice_servers"]


async def on_joining(url: str, query: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(f"{url}{query}", headers=headers, transports=["websocket"])
    try:
        return (await client.call("call:join", {"call": "c"}))["ice_servers"]
    finally:
        await client.disconnect()


@pytest.mark.parametrize("told", [asked_for, on_joining])
@pytest.mark.parametrize(
    ("query", "headers", "nearest"),
    [
        ("", {}, [EU, US]),
        ("?region=br", {}, [US]),
        ("", {HEADER: "BR"}, [US]),
        ("", {HEADER: "DE"}, [EU]),
        # Who knows better than the proxy says so.
        ("?region=us", {HEADER: "DE"}, [US]),
        # A header that no proxy of ours sets is anybody's word.
        ("", {"X-Region": "us"}, [EU, US]),
        ("?region=atlantis", {}, [EU, US]),
        (f"?region={'x' * 1000}", {}, [EU, US]),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_the_servers_near_to_a_client_come_first(url, told, query, headers, nearest):
    servers = await told(url, query, headers)
    assert [server["urls"] for server in servers] == [[each] for each in nearest]
    assert all(server["credential"] for server in servers)


def test_without_a_header_set_none_is_believed():
    from aiohttp.test_utils import make_mocked_request

    request = make_mocked_request("GET", "/", headers={HEADER: "DE", "": "us"})
    assert region_of(request, "") == ""
    assert region_of(request, HEADER) == "DE"
