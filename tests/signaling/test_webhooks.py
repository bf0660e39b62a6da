"""Webhooks of a gateway, to a program that takes them: what is told, when, and what never."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass, replace

import aiohttp
import pytest
from aiohttp import web

from captions.types import SPOKEN
from signaling.bus import MemoryBus
from signaling.errors import ContractError
from signaling.gateway import Gateway
from signaling.health import Health
from signaling.messages import CallWebhook
from signaling.metrics import Metrics
from signaling.presence import MemoryPresence
from signaling.registry import MemoryRegistry, NodeStatus
from signaling.shared_call import now_ms
from signaling.store import CallRecord
from signaling.store_sqlite import SqliteStore
from signaling.tokens import GRANTS, SharedSecret
from signaling.webhooks.announcer import Announcer
from signaling.webhooks.deliverer import Rules
from signaling.webhooks.targets import Targets
from tests.receiver import KEY, OTHER_KEY, Receiver
from tests.signaling.bus_contract import CALL, final
from tests.signaling.world import Node, Nodes
from turn.credentials import TurnServers

SECRET = "a secret of the tests that is long enough"
SOON = Rules(first_seconds=0.05, factor=1.5, timeout_seconds=2.0, sweep_seconds=0.2)
MANAGE = {"Authorization": f"Bearer {SharedSecret(SECRET).issue('m', '*', GRANTS, None, 3600)}"}
ALL_EVENTS = ("call.ended", "transcript.ready", "caption.final")
LOOPBACK = ("127.0.0.0/8",)


@dataclass
class Stage:
    """A gateway, its bus, and a client that may do everything."""

    gateway: Gateway
    bus: MemoryBus
    presence: MemoryPresence
    store: SqliteStore
    http: aiohttp.ClientSession

    async def begin(self, call: str = CALL, **more) -> None:
        reply = await self.http.post("/api/calls", json={"call": call, **more})
        assert reply.status == 201, await reply.text()

    async def say(self, utterance: str, text: str = "ask not", call: str = CALL, **more):
        shared = await self.presence.read(call)
        return await self.bus.publish_final(shared.epoch, final(utterance, text, call=call, **more))

    async def end(self, call: str = CALL) -> None:
        assert (await self.http.delete(f"/api/calls/{call}")).status == 204

    async def listed(self, state: str = "dead") -> list[dict]:
        reply = await self.http.get("/api/webhooks/deliveries", params={"state": state})
        assert reply.status == 200, await reply.text()
        return (await reply.json())["deliveries"]

    async def metrics(self) -> str:
        return await (await self.http.get("/metrics")).text()

    async def until(self, number: int, state: str) -> list[dict]:
        """As soon as so many deliveries are in a state; the gateway tells nobody when."""
        async with asyncio.timeout(20):
            while len(found := await self.listed(state)) != number:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found


@contextlib.asynccontextmanager
async def stage(folder, targets: Targets | None = None, rules: Rules = SOON, **more):
    bus, presence, registry = MemoryBus(), MemoryPresence(), MemoryRegistry(math.inf)
    await registry.report(NodeStatus("node-1", capacity=100))
    async with (
        SqliteStore(folder / "surtitle.db") as store,
        Gateway(
            host="127.0.0.1",
            port=0,
            gateway_id="gateway",
            bus=bus,
            registry=registry,
            presence=presence,
            nodes=Nodes(Node()),
            store=store,
            authority=more.pop("authority", None) or SharedSecret(SECRET),
            turn=TurnServers(),
            health=Health("1"),
            metrics=Metrics(),
            origins=more.pop("origins", []),
            ends_calls=True,
            targets=targets,
            webhook_rules=rules,
            **more,
        ) as gateway,
        aiohttp.ClientSession(gateway.url, headers=MANAGE) as http,
    ):
        yield Stage(gateway, bus, presence, store, http)


def to(receiver: Receiver, events=ALL_EVENTS, path: str = "hook") -> Targets:
    return Targets([receiver.url(path)], secret=KEY, events=events, allow=LOOPBACK)


@pytest.fixture
async def receiver():
    async with Receiver() as receiver:
        yield receiver


# --- what is told ---------------------------------------------------------------------------


async def test_the_end_of_a_call_is_told_and_that_its_transcript_is_there(tmp_path, receiver):
    targets = Targets([receiver.url()], secret=KEY, allow=LOOPBACK)
    async with stage(tmp_path, targets) as a:
        await a.begin()
        for n in range(3):
            await a.say(f"u{n}")
        await a.say("u0", feed="de", language="de")
        await a.end()
        ended, ready = sorted(await receiver.hears(2), key=lambda told: told.event)
        transcript = await (await a.http.get(f"/api/calls/{CALL}/transcript")).json()
        described = await (await a.http.get(f"/api/calls/{CALL}")).json()
    assert (ended.event, ready.event) == ("call.ended", "transcript.ready")
    times = {"started_at": described["started_at"], "ended_at": described["ended_at"]}
    assert ended.body["data"] == {"call": CALL, **times}
    assert ready.body["data"] == {"call": CALL, "seq": {SPOKEN: 3, "de": 1}, "complete": True}
    assert len(transcript["captions"]) == 3
    assert len(receiver.told) == 2, "finals only where they are asked for"
    assert ended.id != ready.id
    assert ended.headers["Content-Type"] == "application/json"


async def test_finals_are_told_where_they_are_asked_for(tmp_path, receiver):
    async with stage(tmp_path, to(receiver, ["caption.final"])) as a:
        await a.begin()
        said = [await a.say(f"u{n}", f"“größer” {n}") for n in range(3)]
        told = await receiver.hears(3)
        await a.end()
        await a.until(0, "waiting")
    assert sorted((t.body["data"] for t in told), key=lambda data: data["seq"]) == [
        caption.to_wire() for caption in said
    ]
    assert {t.event for t in receiver.told} == {"caption.final"}


async def test_a_call_is_told_of_where_it_says_signed_with_its_own_secret(tmp_path, receiver):
    async with Receiver(OTHER_KEY) as theirs, stage(tmp_path, to(receiver, ["call.ended"])) as a:
        webhook = {"url": theirs.url("a?key=hush"), "secret": OTHER_KEY}
        await a.begin(webhook=webhook | {"events": ["caption.final", "call.ended"]})
        await a.begin("quiet")
        await a.say("u1")
        await a.say("u2", call="quiet")
        await a.end()
        await a.end("quiet")
        told = await theirs.hears(2)
        assert sorted(t.event for t in told) == ["call.ended", "caption.final"]
        assert {t.body["data"]["call"] for t in await receiver.hears(2)} == {CALL, "quiet"}
        assert {t.body["data"]["call"] for t in theirs.told} == {CALL}
        sent = await a.until(4, "sent")
    assert {each["target"] for each in sent} == {
        f"http://127.0.0.1:{theirs.port}",
        f"http://127.0.0.1:{receiver.port}",
    }
    for file in tmp_path.iterdir():
        assert b"hush" not in file.read_bytes(), "not even in the store"
        assert OTHER_KEY.encode() not in file.read_bytes()


async def test_nobody_is_shown_what_a_call_named_and_the_same_again_is_no_conflict(
    tmp_path, receiver
):
    webhook = {"url": receiver.url("hush"), "secret": OTHER_KEY}
    async with stage(tmp_path, to(receiver)) as a:
        await a.begin(webhook=webhook)
        await a.begin(webhook=webhook)
        for wrong in ({"url": receiver.url("other"), "secret": OTHER_KEY}, None):
            reply = await a.http.post("/api/calls", json={"call": CALL, "webhook": wrong})
            assert reply.status == 409
        for path in ("/api/calls", f"/api/calls/{CALL}", "/api/webhooks/deliveries"):
            text = await (await a.http.get(path)).text()
            assert "hush" not in text
            assert "whsec" not in text


async def test_a_call_that_goes_on_later_is_told_of_again(tmp_path, receiver):
    async with stage(tmp_path, Targets(secret=KEY, allow=LOOPBACK)) as a:
        await a.begin(webhook={"url": receiver.url(), "events": ["call.ended"]})
        await a.end()
        await receiver.hears(1)
        await a.begin()
        await a.end()
        first, second = await receiver.hears(2)
    assert first.id != second.id


async def test_a_transcript_is_ready_only_when_the_last_final_is_in_the_store(
    tmp_path, receiver, monkeypatch
):
    async with stage(tmp_path, to(receiver, ["transcript.ready"])) as a:
        await a.begin()
        written, blocked = a.store.save_captions, asyncio.Event()

        async def later(finals):
            await blocked.wait()
            await written(finals)

        monkeypatch.setattr(a.store, "save_captions", later)
        monkeypatch.setattr(a.gateway._transcripts, "flush", lambda: asyncio.sleep(0))
        await a.say("u1")
        await a.end()
        [waiting] = await a.until(1, "waiting")
        await asyncio.sleep(1)
        assert receiver.told == []
        blocked.set()
        [ready] = await receiver.hears(1)
        assert len(await a.store.captions(CALL)) == 1
    assert ready.id == waiting["id"]
    assert ready.body["data"]["complete"] is True


# --- what fails -----------------------------------------------------------------------------


async def test_what_is_not_taken_comes_again_under_the_same_id_later_and_later(tmp_path, receiver):
    statuses = iter([500, 302, 404])

    def answer(_):
        status = next(statuses, 200)
        headers = {"Location": receiver.url("elsewhere")} if status == 302 else {}
        return web.Response(status=status, headers=headers)

    receiver.answer = answer
    async with stage(tmp_path, to(receiver, ["call.ended"])) as a:
        await a.begin()
        await a.end()
        told = await receiver.hears(4)
        [sent] = await a.until(1, "sent")
        metrics = await a.metrics()
    assert len({t.id for t in told}) == 1
    assert {t.path for t in receiver.told} == {"/hook"}, "a redirect is not followed"
    assert (sent["attempts"], sent["status"], sent["error"]) == (4, 200, None)
    assert "surtitle_webhooks_sent_total 1.0" in metrics
    assert "surtitle_webhook_failures_total 3.0" in metrics


async def test_who_asks_to_be_left_alone_for_a_while_is(tmp_path, receiver):
    receiver.answer = lambda _: web.Response(status=503, headers={"Retry-After": "3600"})
    async with stage(tmp_path, to(receiver, ["call.ended"])) as a:
        await a.begin()
        await a.end()
        await receiver.hears(1)
        async with asyncio.timeout(10):
            while (await a.listed("waiting"))[0]["status"] is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        [waiting] = await a.store.deliveries.listed("waiting", None, 10)
    assert waiting.status == 503
    assert 3500_000 < waiting.due_at_ms - now_ms() <= 3600_000
    assert waiting.attempts == 1


async def test_waits_grow_and_differ(tmp_path):
    async with stage(tmp_path) as a:
        deliverer = a.gateway._webhooks
        deliverer._rules = Rules()
        waits = [[deliverer._backoff_seconds(n) for n in range(1, 10)] for _ in range(50)]
    for n, around in enumerate([5, 20, 80, 320, 1280, 5120, 20480, 21600, 21600]):
        found = {tried[n] for tried in waits}
        assert around * 2 / 3 <= min(found) < around < max(found) <= around * 4 / 3
    hours = sum(sum(tried) for tried in waits) / len(waits) / 3600
    assert 15 < hours < 25


async def test_given_up_it_is_a_dead_letter_that_can_be_tried_again(tmp_path, receiver):
    receiver.answer = lambda _: web.Response(status=500)
    async with stage(tmp_path, to(receiver, ["call.ended"]), replace(SOON, attempts=3)) as a:
        await a.begin()
        await a.end()
        [dead] = await a.until(1, "dead")
        assert len(receiver.told) == 3
        assert dead["call"] == CALL
        assert dead["event"] == "call.ended"
        assert (dead["attempts"], dead["status"], dead["error"]) == (3, 500, "answered 500")
        assert dead["next_attempt_at"] is None
        async with asyncio.timeout(10):
            while "surtitle_webhooks_dead 1.0" not in await a.metrics():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        retry = f"/api/webhooks/deliveries/{dead['id']}/retry"
        receiver.answer = lambda _: web.Response(status=200)
        again = await (await a.http.post(retry)).json()
        assert again["state"] == "waiting"
        await a.until(1, "sent")
        assert await a.listed("dead") == []
        assert (await a.http.post(retry)).status == 409
        assert (await a.http.post("/api/webhooks/deliveries/nothing/retry")).status == 404
    assert {t.id for t in receiver.told} == {dead["id"]}


async def test_who_says_gone_is_told_nothing_more_until_somebody_tries_again(tmp_path, receiver):
    receiver.answer = lambda _: web.Response(status=410)
    async with stage(tmp_path, to(receiver, ["call.ended"])) as a:
        await a.begin()
        await a.end()
        [dead] = await a.until(1, "dead")
        assert dead["status"] == 410
        await a.begin("b")
        await a.end("b")
        assert await a.listed("waiting") == []
        receiver.answer = lambda _: web.Response(status=200)
        await a.http.post(f"/api/webhooks/deliveries/{dead['id']}/retry")
        await a.until(1, "sent")
        await a.begin("c")
        await a.end("c")
        await a.until(2, "sent")
    assert [t.body["data"]["call"] for t in receiver.told] == [CALL, CALL, "c"]


async def test_whose_token_is_for_one_call_sees_and_tries_that_one_s(tmp_path, receiver):
    receiver.answer = lambda _: web.Response(status=410)
    async with stage(tmp_path, to(receiver, ["call.ended"])) as a:
        await a.begin()
        await a.end()
        [dead] = await a.until(1, "dead")
        retry = f"/api/webhooks/deliveries/{dead['id']}/retry"
        for call, grants, seen, status in (
            (CALL, ("manage",), 1, 200),
            ("other", ("manage",), 0, 404),
            (CALL, ("read",), None, 403),
        ):
            token = SharedSecret(SECRET).issue("m", call, grants, None, 3600)
            headers = {"Authorization": f"Bearer {token}"}
            listed = await a.http.get("/api/webhooks/deliveries", headers=headers)
            if seen is None:
                assert listed.status == 403
            else:
                assert len((await listed.json())["deliveries"]) == seen
            assert (await a.http.post(retry, headers=headers)).status == status
            await a.until(1, "dead")
        assert (await a.http.get("/api/webhooks/deliveries?state=lost")).status == 400


async def test_an_answer_without_an_end_is_not_read(tmp_path):
    async def endless(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, stage(tmp_path, Targets([url], secret=KEY, allow=LOOPBACK)) as a:
        await a.begin()
        await a.end()
        sent = await a.until(2, "sent")
    assert {each["attempts"] for each in sent} == {1}


async def test_one_who_never_answers_holds_up_nobody_else(tmp_path, receiver):
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    targets = Targets([url, receiver.url()], secret=KEY, events=["caption.final"], allow=LOOPBACK)
    async with server, stage(tmp_path, targets, replace(SOON, timeout_seconds=60)) as a:
        await a.begin()
        for n in range(20):
            await a.say(f"u{n}")
        await receiver.hears(20, seconds=10)
        await a.until(20, "waiting")


# --- where it may go ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://224.0.0.1/",
        "http://example.com/",
        "https://anna:hush@example.com/",
        "ftp://example.com/",
        "wss://example.com/",
    ],
)
async def test_internal_addresses_and_the_like_may_not_be_named(tmp_path, url):
    async with stage(tmp_path, Targets(secret=KEY)) as a:
        reply = await a.http.post("/api/calls", json={"webhook": {"url": url}})
        assert reply.status in (400, 403)
        assert "webhook" in (await reply.json())["detail"]
        assert (await (await a.http.get("/api/calls")).json())["calls"] == []
    with pytest.raises(ContractError):
        Targets([url], secret=KEY)


@pytest.mark.parametrize("host", ["localhost", "①27.0.0.1"])
async def test_a_name_that_leads_to_an_internal_address_is_not_called(tmp_path, receiver, host):
    url = f"https://{host}:{receiver.port}/"
    async with stage(tmp_path, Targets([url], secret=KEY), replace(SOON, attempts=1)) as a:
        await a.begin()
        await a.end()
        dead = await a.until(2, "dead")
    assert all(each["error"].startswith("no answer: ClientConnector") for each in dead)


async def test_a_webhook_without_any_secret_cannot_be_named(tmp_path, receiver):
    async with stage(tmp_path, Targets(allow=LOOPBACK)) as a:
        for secret in (None, "whsec_", "whsec_" + "A" * 33, KEY.removeprefix("whsec_")):
            webhook = {"url": receiver.url(), "secret": secret}
            reply = await a.http.post("/api/calls", json={"webhook": webhook})
            assert reply.status == 400
            assert "webhook.secret" in (await reply.json())["detail"]
    with pytest.raises(ValueError, match="secret"):
        Targets(["https://a.example"])


# --- erasure, and what dies -----------------------------------------------------------------


async def test_what_was_erased_before_it_could_be_told_is_not_told(tmp_path, receiver):
    async with stage(tmp_path, to(receiver, ["caption.final", "call.ended"])) as a:
        receiver.answer = lambda _: web.Response(status=500)
        await a.begin()
        await a.say("u1", "hush")
        await receiver.hears(1)
        await a.http.delete(f"/api/calls/{CALL}/transcript")
        heard = len(receiver.told)
        receiver.answer = lambda _: web.Response(status=200)
        await a.end()
        await receiver.hears(1, "call.ended")
        await a.until(0, "waiting")
    assert len(receiver.told) <= heard + 2, "one attempt may have been on its way"


async def test_a_late_writer_s_word_of_an_erased_final_is_dropped(tmp_path, receiver):
    async with stage(tmp_path, to(receiver, ["caption.final", "call.ended"])) as a:
        await a.begin()
        late = final("u1", "hush").numbered(1)
        await a.store.erase(CALL, {SPOKEN: 1})
        await a.store.save_captions([late])
        await a.gateway._webhooks.announcer.finals_written([late], {CALL: await a.store.call(CALL)})
        await a.until(0, "waiting")
        await a.end()
        await receiver.hears(1, "call.ended")
        await a.until(1, "sent")
    assert [told.event for told in receiver.told] == ["call.ended"]


async def test_what_one_gateway_could_not_send_the_next_one_does(tmp_path):
    async with Receiver() as gone:
        targets = to(gone, ["call.ended", "caption.final"])
    async with stage(tmp_path, targets) as a:
        await a.begin()
        await a.say("u1")
        await a.end()
        before = {each["id"] for each in await a.until(2, "waiting")}
    async with Receiver(port=gone.port) as back, stage(tmp_path, targets):
        told = await back.hears(2)
    assert {t.id for t in told} == before


async def test_the_same_end_told_twice_is_one_event(tmp_path):
    targets = Targets(["https://a.example"], secret=KEY)
    async with SqliteStore(tmp_path / "surtitle.db") as store:
        announcer = Announcer(store, targets)
        for ended_at_ms in (100, 200):
            await announcer.call_ended(CallRecord(CALL, 0, ended_at_ms), 7, {})
        assert len(await store.deliveries.listed("waiting", None, 10)) == 2
        await announcer.call_ended(CallRecord(CALL, 0, 300), 8, {})
        assert len(await store.deliveries.listed("waiting", None, 10)) == 4


async def test_an_end_that_the_store_cannot_take_is_told_once_it_can(tmp_path):
    targets = Targets(["https://a.example"], secret=KEY)
    store = SqliteStore(tmp_path / "surtitle.db")
    announcer = Announcer(store, targets)
    for call in ("a", "b"):
        await announcer.call_ended(CallRecord(call, 0, 100), 7, {})
    async with store:
        await announcer.keep()
        found = await store.deliveries.listed("waiting", None, 10)
        assert sorted((d.call, d.event) for d in found) == [
            (call, event) for call in "ab" for event in ("call.ended", "transcript.ready")
        ]


async def test_after_a_new_secret_of_the_server_a_call_s_webhook_is_no_more(tmp_path, receiver):
    named = CallWebhook(url=receiver.url(), secret=OTHER_KEY)
    sealed = Targets(allow=LOOPBACK, server_secret="old").sealed(named)
    record = CallRecord(CALL, 0, settings={"webhook": sealed})
    [target] = Targets(allow=LOOPBACK, server_secret="old").of(record)
    assert (target.url, target.secret) == (receiver.url(), OTHER_KEY)
    assert "127" not in repr(target)
    assert Targets(allow=LOOPBACK, server_secret="new").of(record) == []
    both = Targets(allow=LOOPBACK, server_secret="new", previous_server_secret="old")
    assert both.of(record) == [target]
