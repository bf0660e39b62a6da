"""What `surtitle doctor` finds on this machine, with real parts that are well and that are not.

TURN is in tests/network/test_turn_probe.py.
"""

from __future__ import annotations

import socket

import pytest

from surtitle.doctor import (
    NotSet,
    Wrong,
    check_devices,
    check_model,
    check_ports,
    check_redis,
    check_settings,
    check_store,
    check_turn,
)
from surtitle.settings import Settings, SettingsError
from tests.mongo import a_database, a_server
from tests.redis_server import RedisServer
from tests.surtitle.test_cli import surtitle


@pytest.fixture
def taken():
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def test_redis_that_runs_is_well_and_one_that_does_not_is_told_without_its_password(tmp_path):
    async with RedisServer(tmp_path) as redis:
        assert "answers in" in await check_redis(Settings(redis=redis.url))
    with pytest.raises(Wrong) as found:
        await check_redis(Settings(redis="redis://:hidden@127.0.0.1:1"))
    assert "127.0.0.1:1 cannot be reached" in str(found.value)
    assert "hidden" not in str(found.value)


async def test_mongodb_that_runs_is_well_and_one_that_does_not_is_told(tmp_path):
    async with a_server(tmp_path) as server, a_database(server) as url:
        assert (await check_store(Settings(mongo=url))).startswith("MongoDB answers in")
    nowhere = "mongodb://anna:hidden@127.0.0.1:1/surtitle?serverSelectionTimeoutMS=100"
    with pytest.raises(Wrong, match="MongoDB at 127") as found:
        await check_store(Settings(mongo=nowhere))
    assert "hidden" not in str(found.value)


async def test_an_embedded_store_is_opened_and_a_file_in_its_place_is_told(tmp_path):
    assert "SQLite" in await check_store(Settings(data=tmp_path / "data"))
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Wrong, match="--data"):
        await check_store(Settings(data=tmp_path / "file"))


async def test_a_port_that_is_free_is_well_and_one_that_is_taken_is_told(taken):
    assert "is free" in await check_ports(Settings(port=0))
    with pytest.raises(Wrong, match=f"port {taken} .*--port"):
        await check_ports(Settings(port=taken))


async def test_a_server_of_ours_on_the_port_is_well(server):
    port = int(server.url.rpartition(":")[2])
    assert "a Surtitle listens" in await check_ports(Settings(port=port))


async def test_an_address_that_is_not_this_machine_s_is_told():
    with pytest.raises(Wrong, match="--advertise"):
        await check_ports(Settings(port=0, advertise="198.51.100.7"))


async def test_a_cuda_device_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "cores" in await check_devices(Settings(device="cpu"))
    with pytest.raises(Wrong, match="nvidia-smi"):
        await check_devices(Settings(device="cuda"))


async def test_a_model_is_loaded():
    assert "recognizes on cpu" in await check_model(Settings(model="tiny.en", device="cpu"))


async def test_settings_that_do_not_go_together_are_told():
    assert "everybody may" in await check_settings(Settings())
    keys = Settings(jwks="https://login.example.org/keys")
    assert await check_settings(keys) == "go together"
    with pytest.raises(SettingsError, match="--secret"):
        await check_settings(Settings(host="0.0.0.0"))


async def test_what_is_not_set_is_not_wrong():
    for check in (check_redis, check_turn):
        with pytest.raises(NotSet):
            await check(Settings())


async def test_the_command_says_all_of_it_and_ends_with_1_where_something_is_wrong(tmp_path, taken):
    common = ("--data", str(tmp_path), "--model", "no-such-model")
    done = await surtitle("doctor", *common, "--port", str(taken))
    assert done.status == 1
    assert "Traceback" not in done.err
    states = [line[:8].strip() for line in done.out.splitlines() if line[:1] != " "]
    assert states == ["well", "wrong", "well", "not set", "not set", "well", "wrong"]
    assert done.err == "surtitle: not well: ports, model.\n"


async def test_the_command_ends_with_0_where_all_is_well(tmp_path):
    done = await surtitle("doctor", "--data", str(tmp_path), "--model", "tiny.en", "--port", "0")
    assert (done.status, done.err) == (0, "")
