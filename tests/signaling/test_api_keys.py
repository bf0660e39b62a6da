"""API keys: whom a gateway takes them from, for what, and for how long after they are revoked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
import socketio

from signaling.api_keys.keyring import MOST_REMEMBERED, STALE_SECONDS, Keyring
from signaling.api_keys.keys import ApiKey, Scope, digest_of, new_key, scope_of
from signaling.authenticator import Authenticator
from signaling.errors import ContractError
from signaling.store_sqlite import SqliteStore
from signaling.tokens import Identity, SharedSecret
from tests.signaling.bus_contract import CALL
from tests.signaling.test_tenure import Client, messages, websocket
from tests.signaling.test_webhooks import SECRET, Stage, stage


class Kept:
    """Keys in memory; `away` as a store out of reach is."""

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}
        self.asked = 0
        self.away = False

    async def find(self, digest: str) -> ApiKey | None:
        self.asked += 1
        if self.away:
            raise OSError("away")
        return self.keys.get(digest)

    def add(self, *grants: str, **scope: str) -> tuple[str, ApiKey]:
        secret, key = new_key(Scope("a server", grants or ("read",), **scope), 0)
        self.keys[digest_of(secret)] = key
        return secret, key


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def code(keyring: Keyring, secret: str) -> str:
    try:
        await keyring.identify(secret)
    except ContractError as error:
        return error.code
    return ""


async def test_a_key_tells_who_may_do_what_and_the_subject_is_its_id():
    kept = Kept()
    secret, key = kept.add("publish", "read", call=CALL, tenant="acme")
    who = await Keyring(kept).identify(secret)
    assert who == Identity(key.id, None, CALL, frozenset({"publish", "read"}), "acme")
    assert who.renews


async def test_secrets_are_long_random_and_start_as_secrets_do():
    secrets = {new_key(Scope("a", ("read",)), 0)[0] for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        assert secret.startswith("sk_")
        assert len(secret) == 46


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 129),
        ("grants", ()),
        ("grants", ("fly",)),
        ("call", "a/b"),
        ("call", ""),
        ("tenant", "x" * 257),
    ],
)
def test_what_cannot_be_meant_is_no_key(field, value):
    good = {"name": "a", "grants": ("read",), "call": "*", "tenant": ""}
    with pytest.raises(ValueError, match=field):
        scope_of(**good | {field: value})


async def test_a_key_that_is_revoked_is_good_for_some_seconds_more_and_asked_for_once():
    kept, clock = Kept(), Clock()
    keyring = Keyring(kept, 5.0, clock)
    secret, key = kept.add()
    for _ in range(10):
        assert await code(keyring, secret) == ""
    assert kept.asked == 1
    kept.keys[digest_of(secret)] = replace(key, revoked_at_ms=1)
    clock.now = 4.9
    assert await code(keyring, secret) == ""
    clock.now = 5.0
    assert await code(keyring, secret) == "unauthorized"


async def test_what_is_no_key_is_remembered_as_briefly():
    kept, clock = Kept(), Clock()
    keyring = Keyring(kept, 5.0, clock)
    for odd in ("sk_", "sk_\ud800", "sk_" + "x" * 10_000):
        assert await code(keyring, odd) == "unauthorized"
    for n in range(2 * MOST_REMEMBERED):
        assert await code(keyring, f"sk_{n}") == "unauthorized"
    assert len(keyring._seen) == MOST_REMEMBERED
    secret, key = new_key(Scope("late", ("read",)), 0)
    assert await code(keyring, secret) == "unauthorized"
    kept.keys[digest_of(secret)] = key
    clock.now += 5
    assert await code(keyring, secret) == ""


async def test_a_known_key_stays_good_for_a_while_when_the_store_is_away():
    kept, clock = Kept(), Clock()
    keyring = Keyring(kept, 5.0, clock)
    secret, _ = kept.add()
    assert await code(keyring, secret) == ""
    kept.away = True
    assert await code(keyring, kept.add()[0]) == "unavailable"
    clock.now = STALE_SECONDS - 1
    assert await code(keyring, secret) == ""
    clock.now = STALE_SECONDS
    assert await code(keyring, secret) == "unavailable"
    kept.away = False
    assert await code(keyring, secret) == ""


# --- a gateway ------------------------------------------------------------------------------


@asynccontextmanager
async def gateway(folder):
    """And the store as an operator's command opens it, beside the gateway's own."""
    async with SqliteStore(folder / "surtitle.db") as store:
        authority = Authenticator(
            secret=SharedSecret(SECRET), keyring=Keyring(store.api_keys, remembered_seconds=0.3)
        )
        async with stage(folder, authority=authority) as a:
            await a.begin()
            yield a, store


async def made(store: SqliteStore, *grants: str, **scope: str) -> tuple[str, str]:
    secret, key = new_key(Scope("a server", grants, **scope), 0)
    await store.api_keys.add(digest_of(secret), key)
    return secret, key.id


async def status(a: Stage, path: str, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    async with (
        aiohttp.ClientSession(a.gateway.url, headers=headers) as http,
        http.get(path) as reply,
    ):
        return reply.status


async def test_a_key_is_taken_where_tokens_are_for_what_it_grants(tmp_path):
    async with gateway(tmp_path) as (a, store):
        secret, key_id = await made(store, "read", "publish", "join", call=CALL)
        assert await status(a, f"/api/calls/{CALL}", secret) == 200
        assert await status(a, "/api/calls/other", secret) == 403
        assert await status(a, "/api/webhooks/deliveries", secret) == 403
        assert await status(a, f"/api/calls/{CALL}", secret[:-1]) == 401
        assert await status(a, f"/api/calls/{CALL}", f"key-{digest_of(secret)}") == 401
        root = await Client().connect(a, secret)
        assert (await root.ask("call:join", {"call": CALL}))["participant"] == key_id
        await root.close()
        async with aiohttp.ClientSession(a.gateway.url) as http:
            for path in ("/ws/v1/transcribe", "/ws/v1/telephony"):
                async with http.ws_connect(f"{path}?call={CALL}&api_key={secret}") as socket:
                    await socket.send_bytes(bytes(3200))
            wrong = f"/ws/v1/transcribe?call={CALL}&api_key={secret}x"
            with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
                await http.ws_connect(wrong)


async def test_who_is_connected_by_a_key_that_is_revoked_is_closed_within_seconds(tmp_path):
    async with gateway(tmp_path) as (a, store), asyncio.timeout(20):
        secret, key_id = await made(store, "join", "publish", call=CALL)
        other, _ = await made(store, "join", call=CALL)
        revoked, stays = await Client().connect(a, secret), await Client().connect(a, other)
        await revoked.ask("call:join", {"call": CALL})
        async with websocket(a, f"/ws/v1/transcribe?call={CALL}", secret) as socket:
            await socket.send_bytes(bytes(3200))
            await asyncio.sleep(1)  # it is looked at again, and good
            assert not revoked.gone.is_set()
            assert revoked.of("token:expiring") == []
            await store.api_keys.revoke(key_id, 1)
            told = await messages(socket)
        assert told[-1]["error"]["code"] == "UNAUTHORIZED"
        await revoked.gone.wait()
        assert not stays.gone.is_set()
        with pytest.raises(socketio.exceptions.ConnectionError):
            await Client().connect(a, secret)
        await stays.close()


async def test_a_socket_goes_on_by_a_token_of_its_own_subject_only(tmp_path):
    async with gateway(tmp_path) as (a, store):
        secret, key_id = await made(store, "join", call=CALL)
        client = await Client().connect(a, secret)
        other = (await made(store, "join", call=CALL))[0]
        assert await client.code("token:refresh", {"token": other}) == "forbidden"
        token = SharedSecret(SECRET).issue(key_id, CALL, ("watch",), None, 60)
        assert await client.code("token:refresh", {"token": token}) == ""
        assert (await client.ask("token:refresh", {"token": secret}))["expires_in_ms"] is None
        await client.close()
