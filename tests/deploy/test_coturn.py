"""The real turnserver with the configuration that its container gets."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aioice import stun
from aioice.turn import TurnClientUdpProtocol

from tests.deploy.tools import output, program
from tests.turn_server import ENTRYPOINT, OLD_SECRET, REALM, SECRET, TurnServer, environment
from turn.credentials import TurnServers

LOOPBACK = "127.0.0.1"
NODES = "172.30.20.2-172.30.20.254"

FORBIDDEN = (
    *("0.0.0.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.254", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("10.255.255.255", "239.255.255.250", "169.254.170.2"),
    # The host, and the network beside that of the nodes.
    *("172.30.20.1", "172.30.20.255", "172.30.10.11"),
)

FORBIDDEN_IPV6 = (
    *("::1", "fe80::1", "fd00:ec2::254", "fc00::1", "ff02::1", "2001:db8::1"),
    *("::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
)

# RFC 8656, 18.10; aioice asks for IPv4 only.
FAMILY = (0x0017, "REQUESTED-ADDRESS-FAMILY", stun.pack_unsigned, stun.unpack_unsigned)
IPV6 = 0x02000000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def coturn(tmp_path_factory) -> AsyncIterator[TurnServer]:
    more = {"external_ip": f"198.51.100.7/{LOOPBACK}", "allowed_peers": NODES}
    folder = tmp_path_factory.mktemp("coturn")
    async with TurnServer(folder, LOOPBACK, relay_ip=f"{LOOPBACK},::1", **more) as running:
        yield running


@asynccontextmanager
async def stranger(
    coturn: TurnServer, secret: str = SECRET, now: float | None = None, user: str = "anna"
) -> AsyncIterator[TurnClientUdpProtocol]:
    """Somebody who has asked for nothing yet, with a credential of that secret and time."""
    server = (coturn.host, coturn.port)
    (servers,) = TurnServers(("turn:localhost",), secret, 600).ice_servers(user, now)
    transport, client = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: TurnClientUdpProtocol(
            server,
            username=servers["username"],
            password=servers["credential"],
            lifetime=600,
            channel_refresh_time=500,
        ),
        remote_addr=server,
    )
    try:
        yield client
    finally:
        transport.close()


@asynccontextmanager
async def allocation(
    coturn: TurnServer, secret: str = SECRET, user: str = "anna"
) -> AsyncIterator[TurnClientUdpProtocol]:
    async with stranger(coturn, secret, user=user) as client:
        await client.connect()
        try:
            yield client
        finally:
            await client.delete()


async def may_relay_to(client: TurnClientUdpProtocol, peer: str) -> bool:
    """Whether coturn permits it; nothing is sent there."""
    request = stun.Message(stun.Method.CREATE_PERMISSION, stun.Class.REQUEST)
    request.attributes["XOR-PEER-ADDRESS"] = (peer, 9)
    try:
        await client.request_with_retry(request)
    except stun.TransactionFailed as error:
        if error.response.attributes["ERROR-CODE"][0] != 403:
            raise
        return False
    return True


@pytest.mark.asyncio(loop_scope="module")
async def test_coturn_understands_every_line(coturn):
    for word in ("Bad configuration", "unknown", "ERROR", "Cannot"):
        assert word not in coturn.log_text.split("session ", 1)[0]


@pytest.mark.asyncio(loop_scope="module")
async def test_it_relays_to_nodes_and_public_addresses_only(coturn):
    async with allocation(coturn) as client:
        assert await may_relay_to(client, "172.30.20.2")
        assert await may_relay_to(client, "172.30.20.254")
        # A public address; nothing is sent to it. `denied-peer-ip=::` would forbid it, too.
        assert await may_relay_to(client, "9.9.9.9")
        assert await may_relay_to(client, "172.32.0.1")
        assert [peer for peer in FORBIDDEN if await may_relay_to(client, peer)] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_over_ipv6_it_relays_to_public_addresses_only(coturn, monkeypatch):
    monkeypatch.setitem(stun.ATTRIBUTES_BY_NAME, FAMILY[1], FAMILY)
    monkeypatch.setitem(stun.ATTRIBUTES_BY_TYPE, FAMILY[0], FAMILY)
    async with stranger(coturn, user="six") as client:
        request = stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST)
        request.attributes |= {"REQUESTED-TRANSPORT": 17 << 24, FAMILY[1]: IPV6}
        response, _ = await client.request_with_retry(request)
        assert response.attributes["XOR-RELAYED-ADDRESS"][0] == "::1"
        assert await may_relay_to(client, "2620:fe::fe")  # public; nothing is sent to it
        assert [peer for peer in FORBIDDEN_IPV6 if await may_relay_to(client, peer)] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_the_secret_before_stays_good(coturn):
    async with allocation(coturn, OLD_SECRET) as client:
        assert client.relayed_address


@pytest.mark.asyncio(loop_scope="module")
async def test_a_new_secret_is_good_at_once_and_the_others_stay_so(coturn):
    """The first step of a change: coturn goes on, and whatever it relays."""
    users = ("-r", REALM, "-b", str(coturn.folder / "users"))
    async with allocation(coturn) as client:
        output(program("turnadmin"), "-s", "of-next-month", *users)
        async with allocation(coturn, "of-next-month"), allocation(coturn, OLD_SECRET):
            assert await may_relay_to(client, "172.30.20.2")


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_allocated_outlives_its_credential(coturn):
    async with stranger(coturn, now=time.time() - 599, user="patient") as client:
        await client.connect()
        await asyncio.sleep(2)  # coturn has no other clock than time
        assert await may_relay_to(client, "172.30.20.2")
        with pytest.raises(stun.TransactionFailed, match="401"):
            async with stranger(coturn, now=time.time() - 601, user="patient") as late:
                await late.connect()
        await client.delete()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_forged_credential_is_refused(coturn):
    async with stranger(coturn, "somebodys", user="forger") as client:
        with pytest.raises(stun.TransactionFailed, match="401"):
            await client.connect()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_credential_of_another_user_is_refused(coturn):
    async with stranger(coturn, user="borrower") as client:
        client.username = f"{client.username}-and-more"
        with pytest.raises(stun.TransactionFailed, match="401"):
            await client.connect()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_credential_whose_time_is_over_is_refused(coturn):
    async with stranger(coturn, now=time.time() - 601, user="late") as client:
        with pytest.raises(stun.TransactionFailed, match="401"):
            await client.connect()


@pytest.mark.asyncio(loop_scope="module")
async def test_somebody_who_asks_for_dozens_gets_twelve(coturn):
    async with AsyncExitStack() as greedy:
        for _ in range(12):
            await greedy.enter_async_context(allocation(coturn, user="greedy"))
        with pytest.raises(stun.TransactionFailed, match="486"):
            await greedy.enter_async_context(allocation(coturn, user="greedy"))


def started(folder: Path, *arguments: str, **turn: str) -> subprocess.CompletedProcess[str]:
    """The entry point, which turnserver's own arguments let end."""
    return subprocess.run(
        ["sh", ENTRYPOINT, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment(folder, **turn),
    )


@pytest.mark.parametrize(
    ("turn", "why"),
    [
        ({"realm": "captions\nno-auth"}, "more than one line"),
        ({"secret": ""}, "TURN_SECRET is needed"),
        ({"realm": ""}, "TURN_REALM is needed"),
        ({"certificate": "/certificate.pem"}, "TURN_KEY"),
        ({"min_port": "lots"}, "TURN_MIN_PORT"),
        ({"allowed_peers": "10.0.0.9-10.0.0.1"}, "TURN_ALLOWED_PEERS.*range"),
        ({"allowed_peers": "nodes.example.org"}, "TURN_ALLOWED_PEERS"),
    ],
)
def test_it_does_not_start_with_what_cannot_be_meant(tmp_path, turn, why):
    done = started(tmp_path, **turn)
    assert done.returncode != 0
    assert re.search(why, done.stderr)
    assert SECRET not in done.stderr


def test_the_file_with_the_secrets_is_nobody_elses(tmp_path):
    # turnserver only says what it is, and ends.
    assert "4.6" in started(tmp_path, "--version").stdout
    assert (tmp_path / "turnserver.conf").stat().st_mode & 0o077 == 0
