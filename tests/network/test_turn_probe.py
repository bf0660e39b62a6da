"""A packet through the real coturn and back, and what is said where none comes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from signaling.metrics import Metrics
from surtitle.doctor import Wrong, check_turn
from surtitle.settings import Settings
from tests.lone_gateway import lone_gateway
from tests.network import namespace
from tests.turn_server import OLD_SECRET, SECRET, TurnServer
from turn.credentials import TurnServers
from turn.probe import RelayError, relay
from turn.watch import TurnWatch

pytestmark = pytest.mark.asyncio(loop_scope="module")

EACH = ("udp", "tcp", "tls")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def coturn(tmp_path_factory) -> AsyncIterator[TurnServer]:
    folder = tmp_path_factory.mktemp("coturn")
    async with TurnServer(folder, namespace.ADDRESS, allowed_peers=namespace.ADDRESS) as running:
        yield running


@pytest.fixture
def believed(coturn, monkeypatch) -> None:
    """The authority of coturn's certificate is."""
    monkeypatch.setenv("SSL_CERT_FILE", str(coturn.certificates.authority))


def credential(secret: str = SECRET, user: str = "probe", now: float | None = None):
    return TurnServers((), secret).credential(user, now)


@pytest.mark.parametrize("transport", EACH)
@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
async def test_a_packet_comes_back_through_the_relay(coturn, believed, transport, secret):
    who = f"traveller-{transport}-{secret}"
    assert 0 < await relay(coturn.url(transport), **credential(secret, who)) < 5
    # An empty packet that opens the way, and the one that counts, of one allocation.
    assert await coturn.relayed(who) >= 1


async def test_what_it_allocates_it_gives_back(coturn, believed):
    for transport in EACH:
        await relay(coturn.url(transport), **credential(user="tidy"))
    await coturn.logged(rf"(?s)(delete: [^\n]*:tidy>.*){{{2 * len(EACH)}}}")
    assert await allocations(coturn) == 0


@pytest.mark.parametrize("transport", EACH)
async def test_a_wrong_secret_and_a_time_that_is_over_are_told(coturn, believed, transport):
    for bad in (credential("not-coturns"), credential(now=time.time() - 10**6)):
        with pytest.raises(RelayError, match="--turn-secret"):
            await relay(coturn.url(transport), **bad)


async def test_a_certificate_of_nobody_known_is_told(coturn):
    with pytest.raises(RelayError, match="certificate"):
        await relay(coturn.url("tls"), **credential())


async def test_a_server_that_may_not_relay_to_itself_says_what_to_set(tmp_path):
    async with TurnServer(tmp_path, namespace.ADDRESS, allowed_peers="172.30.20.0/24") as strict:
        with pytest.raises(RelayError, match="TURN_ALLOWED_PEERS"):
            await relay(strict.url("udp"), **credential())


@pytest.mark.parametrize("transport", EACH)
async def test_where_nobody_listens_it_says_so(transport):
    nobody = f"{namespace.ADDRESS}:{namespace.free_port()}"
    url = f"turns:{nobody}" if transport == "tls" else f"turn:{nobody}?transport={transport}"
    with pytest.raises(RelayError, match=r"reached|comes back"):
        await relay(url, **credential(), seconds=1)


async def test_a_gateway_tells_of_each_server_that_clients_are_told_of(coturn, believed, tmp_path):
    dead = f"turn:{namespace.ADDRESS}:{namespace.free_port()}?transport=tcp"
    stun = f"stun:{coturn.host}:{coturn.port}"
    turn = TurnServers((stun, *map(coturn.url, EACH), dead), SECRET)
    async with (
        lone_gateway(tmp_path, (), turn=turn) as (gateway, _),
        aiohttp.ClientSession(gateway.url) as http,
        asyncio.timeout(20),
    ):
        text = ""
        while len(found := readings(text, "surtitle_turn_relays")) < 4:
            text = await (await http.get("/metrics")).text()
        assert found == {**dict.fromkeys(map(coturn.url, EACH), 1.0), dead: 0.0}
        took = readings(text, "surtitle_turn_relay_seconds")
        assert took.keys() == set(map(coturn.url, EACH))
        assert SECRET not in text


async def test_a_server_that_comes_back_is_seen_and_told_once_a_change(tmp_path):
    server = TurnServer(tmp_path, namespace.ADDRESS, allowed_peers=namespace.ADDRESS)
    url = server.url("tcp")
    metrics = Metrics()
    watch = TurnWatch(TurnServers((url,), SECRET), "probe")
    metrics.add_families(watch.families)
    with capture_logs() as logs:
        for _ in range(2):
            await watch.look()
        assert readings(metrics.text().decode(), "surtitle_turn_relays") == {url: 0.0}
        async with server:
            for _ in range(2):
                await watch.look()
        assert readings(metrics.text().decode(), "surtitle_turn_relays") == {url: 1.0}
    assert [each["log_level"] for each in logs] == ["warning", "info"]
    assert SECRET not in str(logs)


async def test_the_doctor_tells_which_server_relays_and_which_does_not(coturn, believed):
    urls = tuple(map(coturn.url, EACH))
    well = await check_turn(Settings(turn_urls=urls, turn_secret=SECRET))
    assert [line.split(" relays in ")[0] for line in well.splitlines()] == list(urls)
    dead = f"turn:{namespace.ADDRESS}:{namespace.free_port()}?transport=tcp"
    with pytest.raises(Wrong) as found:
        await check_turn(Settings(turn_urls=(urls[0], dead), turn_secret=SECRET))
    first, second = str(found.value).splitlines()
    assert first.startswith(f"{urls[0]} relays in ")
    assert second.startswith(f"{dead}: it cannot be reached")
    with pytest.raises(Wrong, match="--turn-secret"):
        await check_turn(Settings(turn_urls=urls, turn_secret="not-coturns"))


async def test_where_there_is_no_turn_server_nothing_is_watched():
    async with asyncio.timeout(5):
        await TurnWatch(TurnServers(("stun:stun.example.org",)), "probe").run()


async def allocations(coturn: TurnServer) -> int:
    """What an operator asks in coturn's container."""
    asked = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "turn", "allocations"),
        env=coturn.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    return int((await asked.communicate())[0])


def readings(text: str, name: str) -> dict[str, float]:
    families = {each.name: each for each in text_string_to_metric_families(text)}
    samples = families[name].samples if name in families else ()
    return {sample.labels["server"]: sample.value for sample in samples}
