"""What is erased is nowhere any more: not in a database's bytes, on Redis, or in memory.

A gateway and a node are real, in this process; nobody speaks: words come by `POST captions`, and
then go the way of all words. Where they were is looked for by their marker.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from motor.motor_asyncio import AsyncIOMotorClient
from redis.asyncio import Redis

from captions.window import ModelInfo
from media.node import Node
from signaling.bus import MemoryBus
from signaling.gateway import Gateway
from signaling.health import Health
from signaling.metrics import Metrics
from signaling.presence import MemoryPresence
from signaling.redis.bus import RedisBus
from signaling.redis.file_jobs import RedisFileJobs
from signaling.redis.hub import Hub
from signaling.redis.link import Link
from signaling.redis.presence import RedisPresence
from signaling.redis.registry import RedisRegistry
from signaling.registry import MemoryRegistry
from signaling.seal import Seal
from signaling.shared_call import now_ms
from signaling.store_mongo import MongoStore
from signaling.store_sqlite import SqliteStore
from signaling.tokens import Everybody
from signaling.webhooks.deliverer import Rules
from signaling.webhooks.targets import Targets
from surtitle.embedded import OneNode
from surtitle.settings import Settings
from surtitle.transcript import erase_call
from tests.media.scripted_translation import Scripted
from tests.mongo import a_database, a_server
from tests.receiver import KEY, Receiver
from tests.redis_server import RedisServer
from tests.signaling.bus_contract import final
from turn.credentials import TurnServers

DAY_MS = 86_400_000


class Engine:
    """In the recognizer's place: nobody speaks."""

    state = "ready"
    workers = 1
    restarts = 0
    info = ModelInfo("scripted", ("en",), "cpu", 0.0)

    async def recognize(self, windows):
        await asyncio.Event().wait()


@dataclass
class Stage:
    http: aiohttp.ClientSession
    bus: MemoryBus | RedisBus
    store: SqliteStore | MongoStore
    presence: MemoryPresence | RedisPresence
    translation: Scripted
    kept: Callable  # every byte that outlives the processes
    receiver: Receiver


async def bytes_in(folder: Path) -> bytes:
    def read() -> bytes:
        return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())

    return await asyncio.to_thread(read)


async def everything_on_redis(url: str) -> bytes:
    """All keys of all types, as text and as Redis itself would save them."""
    found = []
    async with Redis.from_url(url) as redis:
        reads = {
            b"string": redis.get,
            b"hash": redis.hgetall,
            b"list": lambda key: redis.lrange(key, 0, -1),
            b"set": redis.smembers,
            b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
            b"stream": redis.xrange,
        }
        async for key in redis.scan_iter():
            found += [key, await reads[await redis.type(key)](key), await redis.dump(key)]
    return repr(found).encode()


async def everything_in_mongo(url: str) -> bytes:
    client = AsyncIOMotorClient(url)
    database = client.get_default_database()
    found = [
        await database[name].find().to_list(None) for name in await database.list_collection_names()
    ]
    client.close()
    return repr(found).encode()


@contextlib.asynccontextmanager
async def embedded(folder: Path):
    async with SqliteStore(folder / "surtitle.db") as store:
        bus, presence = MemoryBus(), MemoryPresence()
        yield (
            bus,
            presence,
            MemoryRegistry(math.inf),
            store,
            None,
            lambda: bytes_in(folder),
        )


@contextlib.asynccontextmanager
async def clustered(folder: Path):
    async with (
        RedisServer(folder / "redis") as redis,
        a_server(folder / "mongo") as server,
        a_database(server) as url,
        MongoStore(url) as store,
        Link(redis.url) as link,
        Hub(link) as hub,
        RedisBus(link, hub) as bus,
    ):

        async def kept() -> bytes:
            return await everything_on_redis(redis.url) + await everything_in_mongo(url)

        presence = RedisPresence(link, hub, Seal("s" * 32))
        yield bus, presence, RedisRegistry(link), store, RedisFileJobs(link, hub), kept


@contextlib.asynccontextmanager
async def stage(parts, receiver: Receiver) -> AsyncIterator[Stage]:
    translation = Scripted()
    rules = Rules(attempts=1, sweep_seconds=0.2)
    targets = Targets(
        [receiver.url()], secret=KEY, events=("caption.final",), allow=("127.0.0.0/8",)
    )
    async with contextlib.AsyncExitStack() as stack:
        bus, presence, registry, store, jobs, kept = await stack.enter_async_context(parts)
        node = await stack.enter_async_context(
            Node(
                node_id="node-1",
                capacity=8,
                engine=Engine(),
                bus=bus,
                registry=registry,
                presence=presence,
                sources=lambda _: None,
                translation=translation,
            )
        )
        gateway = await stack.enter_async_context(
            Gateway(
                host="127.0.0.1",
                port=0,
                gateway_id="gateway",
                bus=bus,
                registry=registry,
                presence=presence,
                nodes=OneNode(node),
                store=store,
                authority=Everybody(),
                turn=TurnServers(),
                health=Health("1"),
                metrics=Metrics(),
                origins=[],
                ends_calls=True,
                targets=targets,
                webhook_rules=rules,
                file_jobs=jobs,
            )
        )
        http = await stack.enter_async_context(aiohttp.ClientSession(gateway.url))
        yield Stage(http, bus, store, presence, translation, kept, receiver)


def marker() -> str:
    """A word that nobody says but this test, and which it never keeps beside others."""
    return f"zyx{secrets.token_hex(5)}"


def in_memory(word: str) -> list[str]:
    """Kinds of the objects of this process that hold a longer text with the word in it."""
    gc.collect()
    found = []
    for holder in gc.get_objects():
        for text in gc.get_referents(holder):
            if type(text) in (str, bytes, bytearray) and len(text) > len(word):  # no proxies
                plain = text if isinstance(text, str) else text.decode(errors="replace")
                if word in plain or word[::-1] in plain:
                    found.append(f"{type(holder).__name__} of {_names(holder)}")
    return found


def _names(holder: object) -> list[str]:
    return sorted({type(each).__name__ for each in gc.get_referrers(holder)})


async def bring(s: Stage, word: str, call: str = "c") -> None:
    reply = await s.http.post(
        f"/api/calls/{call}/captions",
        json={
            "speaker": f"Dr {word}",
            "participant": "p-anna",
            "language": "en",
            "text": f"they said {word} today",
            "start_ms": 0,
            "end_ms": 900,
        },
        headers={"Idempotency-Key": secrets.token_hex(8)},
    )
    assert reply.status == 201, await reply.text()


async def spread(s: Stage, word: str, **settings) -> None:
    """A word into everything that there is for words."""
    created = await s.http.post("/api/calls", json={"call": "c", **settings})
    assert created.status == 201, await created.text()
    async with s.http.get("/api/calls/c/captions?language=de") as events:
        await bring(s, word)
        async for line in events.content:  # the translation, to a reader of events
            if word[::-1].encode() in line:
                break
    shared = await s.presence.read("c")
    partial = final("u-open", f"and then {word} went on", call="c", seq=None)
    partial = replace(partial, final=False, words=None)
    await s.bus.publish_partial(shared.epoch, partial)
    async with asyncio.timeout(20):
        while True:  # nobody is told when the writers are done
            dead = await (await s.http.get("/api/webhooks/deliveries?state=dead")).json()
            found = await (await s.http.get("/api/transcripts", params={"q": "said"})).json()
            german = await s.store.captions("c", "de")
            if len(dead["deliveries"]) == 2 and found["captions"] and german:
                break
            await asyncio.sleep(0.05)
    s.translation.asked.clear()
    assert word.encode() in await s.kept(), "else it is looked for in the wrong places"
    assert in_memory(word), "likewise"


async def forgotten(s: Stage, word: str) -> None:
    """Nothing is left of it; what the test's own receiver of webhooks was told is cleared."""
    kept = await s.kept()
    assert word.encode() not in kept
    assert word[::-1].encode() not in kept
    left = []
    for _ in range(10):  # what was just sent goes with its connection, a call with a heartbeat
        s.receiver.told.clear()
        if not (left := in_memory(word)):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"still in memory: {left}")


@pytest.fixture(params=[embedded, clustered])
def parts(request, tmp_path):
    return request.param(tmp_path / "kept")


@pytest.fixture
async def receiver():
    async with Receiver() as receiver:
        receiver.answer = lambda _: web.Response(status=500)
        yield receiver


async def test_what_was_said_is_nowhere_once_the_transcript_is_erased(parts, receiver):
    word = marker()
    async with stage(parts, receiver) as s:
        await spread(s, word, captions_languages=["de"])
        assert (await s.http.delete("/api/calls/c/transcript")).status == 204
        dead = await (await s.http.get("/api/webhooks/deliveries?state=dead")).json()
        assert dead["deliveries"] == []
        await bring(s, "something")  # whoever waits for the next words has the newest at hand
        await forgotten(s, word)


async def test_what_was_said_is_nowhere_once_its_retention_is_over(parts, receiver):
    word = marker()
    async with stage(parts, receiver) as s:
        await spread(s, word, captions_languages=["de"], retention_days=1)
        assert (await s.http.delete("/api/calls/c")).status == 204
        await s.store.expire(now_ms() + DAY_MS + 60_000)
        await forgotten(s, word)
        assert await s.store.call("c") is None


async def test_what_is_being_translated_is_not_published_once_it_is_erased(tmp_path, receiver):
    word = marker()
    async with stage(embedded(tmp_path), receiver) as s:
        await s.http.post("/api/calls", json={"call": "c", "captions_languages": ["de"]})
        s.translation.held = asyncio.Event()
        await bring(s, word)
        async with asyncio.timeout(5):
            while not s.translation.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        s.translation.asked.clear()
        assert (await s.http.delete("/api/calls/c/transcript")).status == 204
        s.translation.held.set()
        assert (await s.http.delete("/api/calls/c")).status == 204
        await forgotten(s, word)


async def test_surtitle_erase_leaves_nothing_in_the_file(tmp_path, receiver, capsys):
    word = marker()
    async with stage(embedded(tmp_path), receiver) as s:
        await spread(s, word, captions_languages=["de"])
    assert word.encode() in await bytes_in(tmp_path)
    await erase_call(tmp_path, "c", Settings())
    assert word.encode() not in await bytes_in(tmp_path)
    assert "erased" in capsys.readouterr().err
