"""The ways to Redis that a URL may name: TLS, Sentinel and its failover, passwords."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio as aioredis

from captions.types import SPOKEN
from signaling.errors import Unreachable
from signaling.redis.bus import RedisBus
from signaling.redis.hub import Hub
from signaling.redis.link import Link
from tests.redis_server import RedisServer, free_port
from tests.signaling.bus_contract import CALL, final

SERVICE = "calls"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://127.0.0.1:6379",
        "127.0.0.1:6379",
        "redis+cloud://127.0.0.1",
        "memcached://127.0.0.1",
        "postgres+sentinel://127.0.0.1/calls",
    ],
)
def test_what_is_no_url_of_redis_is_said_to_be_none(url):
    with pytest.raises(ValueError, match="redis://"):
        Link(url)


async def test_a_sentinel_url_without_the_service_is_said_to_lack_it():
    with pytest.raises(ValueError, match="service"):
        async with Link("redis+sentinel://127.0.0.1:26379"):
            pass


async def test_a_task_that_is_cancelled_whatever_it_asks_just_then_ends(tmp_path):
    """`asyncio.wait_for`, by which redis-py sends, loses some cancellations (Python 3.11)."""
    async with RedisServer(tmp_path / "redis") as server, Link(server.url) as link:

        async def ask_on() -> None:
            while True:
                await link.do("PING")
                await link.do_all([("PING",)])

        for steps in range(60):
            asking = asyncio.create_task(ask_on())
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            _, alive = await asyncio.wait({asking}, timeout=5)
            for task in alive:
                while not task.done():
                    task.cancel()
                    await asyncio.sleep(0)
            assert not alive, f"lost behind {steps} steps"


async def test_a_limit_of_time_is_kept_whatever_is_asked_just_then(tmp_path):
    async with RedisServer(tmp_path / "redis") as server, Link(server.url) as link:

        async def ask_on() -> None:
            async with asyncio.timeout(0.01):
                while True:
                    await link.do("PING")

        for _ in range(20):
            with pytest.raises(TimeoutError):
                await ask_on()


async def test_a_server_that_is_not_there_is_out_of_reach_in_time():
    for url in (
        f"redis://127.0.0.1:{free_port()}",
        f"rediss://127.0.0.1:{free_port()}",
        f"redis+sentinel://127.0.0.1:{free_port()}/{SERVICE}",
        f"redis+cluster://127.0.0.1:{free_port()}",
    ):
        with pytest.raises(Unreachable):
            async with asyncio.timeout(5), Link(url):
                pass


async def test_a_password_is_needed_and_taken_from_the_url(tmp_path):
    async with RedisServer(tmp_path / "redis") as server:
        port = server.port
        async with aioredis.Redis(port=port) as client:
            await client.config_set("requirepass", "p@ss/word")
        async with Link(f"redis://:p%40ss%2Fword@127.0.0.1:{port}") as link:
            assert await link.do("PING")
        for url in (f"redis://127.0.0.1:{port}", f"redis://:wrong@127.0.0.1:{port}"):
            with pytest.raises(Unreachable):
                async with Link(url):
                    pass


# --- TLS ------------------------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    """Signed by itself, for 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return key, cert


async def test_over_tls_captions_pass_where_the_certificate_is_trusted_and_not_else(
    tmp_path, monkeypatch
):
    key, cert = certificate(tmp_path)
    port = free_port()
    tls = ("--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key))
    async with RedisServer(tmp_path / "redis", *tls, "--tls-auth-clients", "no"):
        url = f"rediss://127.0.0.1:{port}"
        with pytest.raises(Unreachable):
            async with Link(url):
                pass
        async with Link(f"{url}?ssl_ca_certs={cert}") as link, Hub(link) as hub:
            await says_something(link, hub)
        # As an operator trusts it: among those that the machine trusts.
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert ssl.get_default_verify_paths().cafile == str(cert)
        async with Link(url) as link, Hub(link) as hub:
            await says_something(link, hub, epoch=2)


async def says_something(link: Link, hub: Hub, epoch: int = 1) -> None:
    async with RedisBus(link, hub) as bus:
        await bus.open_call(CALL, epoch, {})
        async with bus.listen(CALL, SPOKEN) as captions:
            await bus.publish_final(epoch, final(f"u{epoch}"))
            async with asyncio.timeout(10):
                assert (await anext(captions)).utterance == f"u{epoch}"


# --- Sentinel -------------------------------------------------------------------------------


@asynccontextmanager
async def sentinel(folder: Path, master: RedisServer) -> AsyncIterator[int]:
    """One that alone decides; its port."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    port = free_port()
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 1\n"
        f"sentinel down-after-milliseconds {SERVICE} 400\n"
        f"sentinel failover-timeout {SERVICE} 2000\n"
    )
    with (folder / "sentinel.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *("redis-server", str(config), "--sentinel"), stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(20), aioredis.Redis(port=port) as client:
            # It tells nobody when it does.
            while not await _knows_a_replica(client):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield port
    finally:
        process.kill()
        await process.wait()


async def _knows_a_replica(client: aioredis.Redis) -> bool:
    with contextlib.suppress(aioredis.RedisError, OSError):
        return len(await client.execute_command("SENTINEL REPLICAS", SERVICE)) > 0
    return False


async def copied(master: RedisServer, replica: RedisServer) -> None:
    """Until the replica has all that there is."""
    async with (
        asyncio.timeout(20),
        aioredis.Redis(port=master.port) as one,
        aioredis.Redis(port=replica.port) as other,
    ):
        offset = (await one.info("replication"))["master_repl_offset"]
        while True:
            now = await other.info("replication")
            if now["master_link_status"] == "up" and now["slave_repl_offset"] >= offset:
                return
            await asyncio.sleep(0.05)


async def test_behind_sentinel_captions_go_on_with_the_next_master_when_one_dies(tmp_path):
    async with (
        RedisServer(tmp_path / "one") as master,
        RedisServer(
            tmp_path / "other",
            *("--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0"),
        ) as replica,
        sentinel(tmp_path / "sentinel", master) as port,
    ):
        url = f"redis+sentinel://127.0.0.1:{port}/{SERVICE}/0"
        async with Link(url) as link, Hub(link) as hub, RedisBus(link, hub) as bus:
            await bus.open_call(CALL, 1, {})
            async with bus.listen(CALL, SPOKEN) as captions:
                await bus.publish_final(1, final("u1"))
                async with asyncio.timeout(10):
                    assert (await anext(captions)).seq == 1
                await copied(master, replica)
                await master.stop()
                async with asyncio.timeout(25):
                    while True:
                        try:
                            await bus.publish_final(1, final("u2"))
                            break
                        except Unreachable:
                            await asyncio.sleep(0.1)
                    assert (await anext(captions)).seq == 2
                await bus.publish_final(1, final("u3"))
                async with asyncio.timeout(10):
                    assert (await anext(captions)).seq == 3
        async with aioredis.Redis(port=replica.port) as client:
            assert (await client.info("replication"))["role"] == "master"
