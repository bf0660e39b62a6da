"""How much is said, by whose tokens: a gateway with its HTTP, and clients with tokens."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import jwt
import pytest
import socketio

from captions.types import SPOKEN
from signaling.errors import Unreachable
from signaling.messages import Join
from signaling.shared_call import SharedCall, billed, chosen, placed, tenant_of
from signaling.store import CallRecord
from signaling.tokens import GRANTS, Identity, SharedSecret
from tests.signaling.bus_contract import CALL, final
from tests.signaling.test_webhooks import SECRET, Stage, stage


def token(subject: str, issuer: str | None = None) -> str:
    claims = {
        "aud": "surtitle",
        "sub": subject,
        "call": "*",
        "grants": list(GRANTS),
        "exp": int(time.time()) + 600,
    }
    return jwt.encode(claims | ({"iss": issuer} if issuer is not None else {}), SECRET)


async def joined(a: Stage, subject: str, issuer: str | None = None, call: str = CALL):
    client = socketio.AsyncClient()
    auth = {"token": token(subject, issuer)}
    await client.connect(a.gateway.url, auth=auth, transports=["websocket"])
    answer = await client.call("call:join", {"call": call})
    assert answer["ok"], answer
    return client


async def usage(a: Stage, **query) -> dict:
    reply = await a.http.get("/api/usage", params=query)
    assert reply.status == 200, await reply.text()
    return await reply.json()


async def created(a: Stage, issuer: str | None, call: str = CALL) -> None:
    headers = {"Authorization": f"Bearer {token('host', issuer)}"}
    reply = await a.http.post("/api/calls", json={"call": call}, headers=headers)
    assert reply.status == 201


async def seconds_by_tenant(a: Stage) -> dict[str, float]:
    await a.gateway._transcripts.flush()
    rows = (await usage(a, by="tenant"))["rows"]
    return {row["tenant"]: row["speech_seconds"] for row in rows}


async def test_speech_is_whose_token_the_speaker_came_by_and_else_who_began_the_call_s(tmp_path):
    async with stage(tmp_path) as a:
        await created(a, "acme")
        clients = [
            await joined(a, "p-anna", "acme"),
            await joined(a, "p.ben", "globex"),
            await joined(a, "p-cleo"),
        ]
        await a.say("u1", participant="p-anna", start_ms=1000, end_ms=3500)
        await a.say("u2", participant="p.ben", start_ms=1000, end_ms=2250)
        await a.say("u3", participant="p-cleo", start_ms=0, end_ms=4000)
        await a.say("u4", participant="of an SFU", start_ms=0, end_ms=8000)
        await asyncio.gather(*(client.disconnect() for client in clients))
        await a.say("u5", participant="p.ben", start_ms=5000, end_ms=5500)
        assert await seconds_by_tenant(a) == {"acme": 14.5, "globex": 1.75}


async def test_who_joins_first_has_begun_the_call(tmp_path):
    async with stage(tmp_path) as a:
        clients = [await joined(a, "p-anna", "globex")]
        await created(a, "acme")
        await a.say("u1", participant="p-anna", end_ms=2000)
        await a.say("u2", participant="p-ben", end_ms=2000)
        await a.end()
        # The next life of the same call is another's.
        clients.append(await joined(a, "p-anna", "acme"))
        await a.say("u3", participant="p-ben", end_ms=2000)
        assert await seconds_by_tenant(a) == {"globex": 2.0, "acme": 1.0}
        for client in clients:
            await client.disconnect()


async def test_who_only_watches_begins_no_call(tmp_path):
    async with stage(tmp_path) as a:
        watcher = socketio.AsyncClient()
        auth = {"token": token("w", "watchers")}
        await watcher.connect(a.gateway.url, auth=auth, transports=["websocket"])
        for call in (CALL, "other"):
            assert (await watcher.call("call:watch", {"call": call}))["ok"]
        anna = await joined(a, "p-anna", "globex")
        await created(a, "acme", "other")
        assert (await a.store.call(CALL)).settings == {"tenant": "globex"}
        await a.say("u1", participant="of an SFU")
        await a.say("u2", call="other")
        assert await seconds_by_tenant(a) == {"acme": 0.9, "globex": 0.9}
        await anna.disconnect()
        await watcher.disconnect()


async def test_a_session_of_raw_audio_is_whose_token_opened_it(tmp_path):
    async with stage(tmp_path) as a:
        await created(a, "acme")
        phone = Identity("p-phone", None, "*", frozenset(GRANTS), "telco")
        await a.gateway._calls.take_place("line-1", phone, Join(call=CALL), {})
        await a.say("u1", participant="p-phone")
        assert await seconds_by_tenant(a) == {"telco": 0.9}


async def test_without_issuers_all_is_nobody_s(tmp_path):
    async with stage(tmp_path) as a:
        await a.begin()
        await a.say("u1", start_ms=1000, end_ms=1900)
        assert await seconds_by_tenant(a) == {"": 0.9}
        assert (await a.store.call(CALL)).settings == {}


async def test_behind_the_end_of_a_call_it_is_still_known_whose_a_final_is(tmp_path):
    async with stage(tmp_path) as a:
        await created(a, "acme")
        ben = await joined(a, "p-ben", "globex")
        await a.end()
        assert await a.presence.read(CALL) is None
        late = [final(f"u{n}", participant=who) for n, who in enumerate(("p-ben", "p-anna"))]
        for tell in a.gateway._transcripts._told:
            await tell(late, {CALL: await a.store.call(CALL)})
        assert await seconds_by_tenant(a) == {"acme": 0.9, "globex": 0.9}
        await ben.disconnect()


async def test_what_is_erased_counts_though_it_was_not_written_yet(tmp_path):
    async with stage(tmp_path) as a:
        await a.begin()
        await a.say("u1", "hush")
        await a.http.delete(f"/api/calls/{CALL}/transcript")
        assert await a.store.captions(CALL) == []
        assert (await usage(a))["total"] == {
            "speech_seconds": 0.9,
            "captions": 1,
            "translated": {},
        }
        await a.say("u2")
        await a.gateway._transcripts.flush()
        assert (await usage(a, call=CALL))["total"]["captions"] == 2


async def test_what_is_written_again_since_nobody_acknowledged_it_counts_once(
    tmp_path, monkeypatch
):
    async with stage(tmp_path) as a:
        await a.begin()
        acknowledge, written, tries = a.bus.acknowledge, asyncio.Event(), iter(range(3))

        async def lost(entries):
            if next(tries, None) is not None:
                raise Unreachable
            await acknowledge(entries)
            written.set()

        monkeypatch.setattr(a.bus, "acknowledge", lost)
        for n in range(5):
            await a.say(f"u{n}")
        async with asyncio.timeout(30):
            await written.wait()
        await a.gateway._transcripts.flush()
        assert next(tries, None) is None
        assert (await usage(a))["total"]["captions"] == 5


async def test_only_translations_count_as_translated(tmp_path):
    async with stage(tmp_path) as a:
        await a.begin()
        german = {"feed": "de", "language": "de"}
        await a.say("u1", "ask not")
        await a.say("u1", "frage nicht", **german, source_text="ask not")
        await a.say("u2", "was nicht", language="de")
        await a.say("u2", "was nicht", **german)  # it was spoken so
        await a.gateway._transcripts.flush()
        total = (await usage(a))["total"]
    assert total == {"speech_seconds": 1.8, "captions": 2, "translated": {"de": 1}}


async def test_usage_is_asked_for_by_day_tenant_call_and_time(tmp_path):
    async with stage(tmp_path) as a:
        await created(a, "acme")
        await created(a, "globex", "other")
        await a.say("u1")
        await a.say("u2", call="other")
        await a.gateway._transcripts.flush()
        now_ms = int(time.time() * 1000)
        rows = (await usage(a, by="call"))["rows"]
        assert [row["call"] for row in rows] == ["other", CALL]
        assert rows[0] == {
            "call": "other",
            "speech_seconds": 0.9,
            "captions": 1,
            "translated": {},
        }
        days = (await usage(a, by="day"))["rows"]
        assert sum(row["captions"] for row in days) == 2
        assert (await usage(a, tenant="globex"))["total"]["captions"] == 1
        assert (await usage(a, tenant="globex", call=CALL))["total"]["captions"] == 0
        assert (await usage(a, **{"from": now_ms + 60_000}))["total"]["captions"] == 0
        assert (await usage(a, to=now_ms - 60_000))["total"]["captions"] == 0
        for wrong in ({"by": "speaker"}, {"from": "today"}, {"call": "a b"}, {"tenant": "x" * 257}):
            assert (await a.http.get("/api/usage", params=wrong)).status == 400


@pytest.mark.parametrize(
    ("call", "grants", "status"),
    [("*", ("manage",), 200), (CALL, ("manage",), 403), ("*", ("read", "join"), 403)],
)
async def test_usage_is_for_who_manages_all_calls(tmp_path, call, grants, status):
    issued = SharedSecret(SECRET).issue("m", call, grants, None, 3600)
    async with (
        stage(tmp_path) as a,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {issued}"}) as http,
    ):
        assert (await http.get(f"{a.gateway.url}/api/usage")).status == status


def test_only_who_came_by_another_s_token_is_noted():
    begun = SharedCall(CallRecord(CALL, 0, settings={"language": "de"}))
    assert billed(begun, "", "acme").record.settings["tenant"] == "acme"
    call = placed(billed(begun, "p-anna", "acme"), "node-1", 7)
    assert billed(call, "", "globex") is call
    assert billed(call, "p-anna", "acme") is call
    assert billed(call, "p-anna", "") is call
    with_ben = billed(call, "p-ben", "globex")
    assert tenant_of(with_ben.record, "p-ben") == "globex"
    assert tenant_of(with_ben.record, "p-anna") == "acme"
    assert billed(with_ben, "p-ben", "globex") is with_ben
    back = billed(with_ben, "p-ben", "acme")
    assert tenant_of(back.record, "p-ben") == "acme"
    assert chosen(with_ben.record.settings) == {"language": "de"}
    assert tenant_of(CallRecord(CALL, 0), SPOKEN) == ""
