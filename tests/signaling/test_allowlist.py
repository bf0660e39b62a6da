"""Which addresses a call may name."""

from __future__ import annotations

import contextlib

import aiohttp
import pytest
from aiohttp import web

from signaling.allowlist import AllowList
from signaling.errors import ContractError


def allowed(url: str, *prefixes: str) -> bool:
    code = ""
    try:
        AllowList(prefixes).check(url)
    except ContractError as error:
        code = error.code
    assert code in ("", "forbidden")
    return not code


def test_a_server_without_a_secret_allows_any_until_it_has_a_list():
    AllowList((), allow_any=True).check("ws://10.0.0.1:8188/janus")
    with pytest.raises(ContractError):
        AllowList(("wss://a.example",), allow_any=True).check("ws://10.0.0.1:8188/janus")
    assert not allowed("wss://sfu.example.com")


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("wss://sfu.example.com/janus", "wss://sfu.example.com"),
        ("wss://sfu.example.com:443/janus?x=1", "wss://sfu.example.com/janus/"),
        ("WSS://SFU.Example.com/janus/a", "wss://sfu.example.com/janus"),
        ("ws://127.0.0.1:8188", "ws://127.0.0.1:8188"),
        ("ws://127.0.0.1:8188", "127.0.0.0/8"),
        ("http://[::1]:8889/a/whep", "::1"),
        ("http://[::ffff:10.1.2.3]/a", "10.0.0.0/8"),
        ("https://8.8.8.8/whep", "https://"),
        ("https://any.example/whep", "https://"),
    ],
)
def test_what_a_prefix_begins_is_allowed(url, prefix):
    assert allowed(url, prefix)


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("ws://sfu.example.com/janus", "wss://sfu.example.com"),
        ("wss://sfu.example.com.evil.example/", "wss://sfu.example.com"),
        ("wss://sfu.example.com:8443/", "wss://sfu.example.com"),
        ("wss://sfu.example.com/janusx", "wss://sfu.example.com/janus"),
        ("wss://sfu.example.com/janus/../admin", "wss://sfu.example.com/janus"),
        ("wss://sfu.example.com/janus/%2e%2e/admin", "wss://sfu.example.com/janus"),
        ("https://10.0.0.1/whep", "https://"),
        ("https://169.254.169.254/latest", "https://"),
        ("https://[::ffff:169.254.169.254]/latest", "https://"),
        ("https://[fd00::1]/whep", "https://"),
        ("https://[fec0::1]/whep", "https://"),
        ("https://[64:ff9b::a00:1]/whep", "https://"),
        ("https://[2002:a00:1::]/whep", "https://"),
        ("https://[::10.0.0.1]/whep", "https://"),
        ("https://224.0.0.1/whep", "https://"),
        ("https://[ff0e::1]/whep", "https://"),
        ("https://0.0.0.0/whep", "https://"),
        ("https://100.64.0.1/whep", "https://"),
        ("ws://10.0.0.1", "192.168.0.0/16"),
    ],
)
def test_what_it_does_not_begin_is_not(url, prefix):
    assert not allowed(url, prefix)


@pytest.mark.parametrize(
    "url", ["wss://user:pass@sfu.example.com/", "ftp://a/", "wss://", "wss://a:99999/", "wss://[::"]
)
def test_what_is_no_address_is_invalid(url):
    with pytest.raises(ContractError) as error:
        AllowList((), allow_any=True).check(url)
    assert error.value.code == "invalid"


@pytest.mark.parametrize("prefix", ["sfu.example.com", "ftp://a", "wss://u@a", "10.0.0.0/33", ""])
def test_a_prefix_that_is_none_is_refused_at_the_start(prefix):
    with pytest.raises(ValueError, match=r"\w"):
        AllowList((prefix,))


@pytest.fixture
async def port():
    async def answer(request):
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_a_name_leads_only_to_addresses_that_are_listed(port):
    url = f"http://localhost:{port}/"
    for prefixes in (["http://localhost:1", "127.0.0.0/8"], [url.rstrip("/")]):
        allow = AllowList(prefixes)
        allow.check(url)
        async with allow.session(url) as session, session.get(url) as reply:
            assert await reply.text() == "here"
    allow = AllowList(["http://"])
    allow.check(url)
    async with allow.session(url) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)


@pytest.mark.parametrize(
    "host", ["①27.0.0.1", "127。0。0。1", "2130706433", "127.1", "0x7f000001", "127.0.0.1."]
)
async def test_however_an_address_is_spelled_it_is_the_one_connected_to_that_counts(host, port):
    url = f"http://{host}:{port}/"
    allow = AllowList(["http://"])
    with contextlib.suppress(ContractError):
        allow.check(url)
    async with allow.session(url) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(url)
