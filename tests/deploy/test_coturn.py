"""The real turnserver with the configuration that its container gets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aioice import stun
from aioice.turn import TurnClientUdpProtocol

from tests.deploy.test_redis import free_port
from tests.deploy.tools import DEPLOY, output, program
from turn.credentials import TurnServers

COTURN = DEPLOY / "docker/coturn"
LOOPBACK = "127.0.0.1"
NODES = "172.30.20.2-172.30.20.254"

FORBIDDEN = (
    *("0.0.0.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.254", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    # The host, and the network beside that of the nodes.
    *("172.30.20.1", "172.30.20.255", "172.30.10.11"),
)


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(program('turnserver')).parent}:{os.environ['PATH']}",
        "TURN_TEMPLATE": str(COTURN / "turnserver.conf"),
        "TURN_CONFIG": str(folder / "turnserver.conf"),
        "TURN_SECRET": "thenewone",
        "TURN_SECRET_OLD": "theoldone",
        "TURN_REALM": "captions.example.com",
        "TURN_EXTERNAL_IP": "198.51.100.7",
        "TURN_ALLOWED_PEERS": NODES,
        "TURN_CERTIFICATE": str(folder / "certs/fullchain.pem"),
        "TURN_KEY": str(folder / "certs/privkey.pem"),
    }


class Coturn:
    def __init__(self, port: int) -> None:
        self.port = port
        self.log = ""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def coturn(tmp_path_factory) -> AsyncIterator[Coturn]:
    folder = tmp_path_factory.mktemp("coturn")
    output("sh", DEPLOY / "nginx/self-signed.sh", "localhost", folder / "certs")
    running = Coturn(free_port())
    process = await asyncio.create_subprocess_exec(
        *("sh", str(COTURN / "entrypoint.sh"), "--listening-ip", LOOPBACK, "--relay-ip", LOOPBACK),
        *("--listening-port", str(running.port), "--tls-listening-port", str(free_port())),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(folder),
    )

    async def read() -> None:
        assert process.stdout
        async for line in process.stdout:
            running.log += line.decode(errors="replace")

    reading = asyncio.create_task(read())
    try:
        async with asyncio.timeout(20):
            while "Total auth threads" not in running.log and "auth thread" not in running.log:
                assert not reading.done(), running.log
                await asyncio.sleep(0.05)
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


@asynccontextmanager
async def allocation(port: int, secret: str) -> AsyncIterator[TurnClientUdpProtocol]:
    servers = TurnServers(("turn:localhost",), secret).ice_servers("anna")
    server = (LOOPBACK, port)
    _, client = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: TurnClientUdpProtocol(
            server,
            username=servers[0]["username"],
            password=servers[0]["credential"],
            lifetime=600,
            channel_refresh_time=500,
        ),
        remote_addr=server,
    )
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
        assert word not in coturn.log


@pytest.mark.asyncio(loop_scope="module")
async def test_it_relays_to_nodes_and_public_addresses_only(coturn):
    async with allocation(coturn.port, "thenewone") as client:
        assert await may_relay_to(client, "172.30.20.2")
        assert await may_relay_to(client, "172.30.20.254")
        # A public address; nothing is sent to it. `denied-peer-ip=::` would forbid it, too.
        assert await may_relay_to(client, "9.9.9.9")
        assert await may_relay_to(client, "172.32.0.1")
        assert [peer for peer in FORBIDDEN if await may_relay_to(client, peer)] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_the_secret_before_stays_good_and_no_other_is(coturn):
    async with allocation(coturn.port, "theoldone"):
        pass
    with pytest.raises(stun.TransactionFailed, match="401"):
        async with allocation(coturn.port, "somebodys"):
            pass


def test_no_setting_can_bring_another_option_with_it(tmp_path):
    settings = {**environment(tmp_path), "TURN_REALM": "captions\nno-auth"}
    with pytest.raises(AssertionError, match="more than one line"):
        output("sh", COTURN / "entrypoint.sh", **settings)


def test_the_file_with_the_secrets_is_nobody_elses(tmp_path):
    # turnserver only says what it is, and ends.
    said = output("sh", COTURN / "entrypoint.sh", "--version", **environment(tmp_path))
    assert "4.6" in said
    assert (tmp_path / "turnserver.conf").stat().st_mode & 0o077 == 0
