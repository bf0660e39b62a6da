"""The transcript store of many machines, on a real server (see `tests.mongo`)."""

from __future__ import annotations

import ast
import asyncio
import signal
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from motor.motor_asyncio import AsyncIOMotorClient

from captions.types import SPOKEN
from signaling import store_mongo
from signaling.mongo_agreement import delete
from signaling.store import CallRecord, ParticipantRecord
from signaling.store_mongo import MongoStore
from tests.mongo import Mongo, a_database, a_server
from tests.signaling.api_keys_contract import ApiKeysContract
from tests.signaling.bus_contract import CALL
from tests.signaling.deliveries_contract import DeliveriesContract
from tests.signaling.store_contract import StoreContract, day, found, numbered, saved
from tests.signaling.usage_contract import LedgerContract

ROOT = Path(__file__).parents[2]

# Generous: a machine with two cores that runs everything else at once.
SOON_SECONDS = 30

# Both MongoDB and SecantusDB look once a minute at what has expired.
SWEPT_SECONDS = 150


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    async with a_server(tmp_path_factory.mktemp("mongo")) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def over(server):
    """The URL of a database in which a call is over since 1970: the server has until the end."""
    async with a_database(server) as url:
        async with MongoStore(url) as store:
            await saved(store, "kept", call="for ever")
            await store.save_call(CallRecord(CALL, 0, 1, {"retention_days": 1}))
            await store.save_participants(CALL, [ParticipantRecord("p-anna", "Anna", 0, 1)])
            await store.save_captions([numbered(1, "a")])
        yield url


@pytest.fixture
async def url(server):
    async with a_database(server) as url:
        yield url


@pytest.fixture
async def database(url):
    """What an operator sees of it."""
    client = AsyncIOMotorClient(url, tz_aware=True)
    yield client.get_default_database()
    client.close()


@pytest.fixture
async def store(url):
    async with MongoStore(url) as store:
        yield store


class TestMongoStore(StoreContract):
    @pytest.fixture
    async def store(self, url):
        async with MongoStore(url) as store:
            yield store


class TestMongoDeliveries(DeliveriesContract):
    @pytest.fixture
    async def store(self, url):
        async with MongoStore(url) as store:
            yield store


class TestMongoLedger(LedgerContract):
    @pytest.fixture
    async def store(self, url):
        async with MongoStore(url) as store:
            yield store


class TestMongoApiKeys(ApiKeysContract):
    @pytest.fixture
    async def store(self, url):
        async with MongoStore(url) as store:
            yield store


# --- indexes ----------------------------------------------------------------------------


async def keys(database, collection: str) -> dict[str, dict]:
    """The indexes of a collection by what they sort, `call feed -seq`."""
    indexes = await database[collection].index_information()
    return {
        " ".join("-" * (order < 0) + field for field, order in index["key"]): index
        for index in indexes.values()
    }


async def test_every_query_has_its_index_and_what_must_be_once_is_once(store, database):
    finals = await keys(database, "finals")
    assert finals["call feed utterance"]["unique"]
    assert finals["call feed seq"]["unique"]
    assert {
        "-position",
        "words -position",
        "call -position",
        "participant -position",
        "said_at_ms",
    } <= finals.keys()
    assert (await keys(database, "participants"))["call participant"]["unique"]
    assert (await keys(database, "numbered"))["call feed"]["unique"]
    assert {"-started_at_ms", "-ended_at_ms"} <= (await keys(database, "calls")).keys()


async def test_the_server_itself_watches_what_expires(store, database):
    for collection in ("calls", "finals", "participants", "numbered"):
        index = (await keys(database, collection))["expires_at"]
        assert index["expireAfterSeconds"] == 0, collection


async def test_opening_a_database_again_changes_nothing(url, database):
    async with MongoStore(url) as store, MongoStore(url):
        await saved(store, "ask not")
        before = await keys(database, "finals")
    async with MongoStore(url) as store:
        assert await keys(database, "finals") == before
        assert await found(store, "ask") == ["ask not"]


async def test_a_database_whose_counter_was_lost_counts_on_behind_its_finals(url, database):
    async with MongoStore(url) as store:
        await saved(store, "one", "two")
    await database.counters.drop()
    async with MongoStore(url) as store:
        await store.save_captions([numbered(3, "three")])
        assert await found(store) == ["three", "two", "one"]


# --- many writers -----------------------------------------------------------------------


async def test_a_thousand_finals_are_kept_once_however_often_they_come(store, database):
    await store.save_call(CallRecord(CALL, 0))
    finals = [numbered(n, f"word {n}") for n in range(1, 1001)]
    await store.save_captions(finals)
    await store.save_captions(finals)
    assert await store.captions(CALL) == finals
    assert await database.finals.count_documents({}) == 1000
    assert await store.last_seq(CALL) == {SPOKEN: 1000}


async def test_writers_that_bring_the_same_at_once_keep_it_once(url, database):
    finals = [numbered(n) for n in range(1, 21)]
    async with MongoStore(url) as one, MongoStore(url) as other:
        await one.save_call(CallRecord(CALL, 0))
        await asyncio.gather(
            *(store.save_captions(finals[n % 5 :]) for n in range(4) for store in (one, other))
        )
        assert await one.captions(CALL) == finals
        assert await other.last_seq(CALL) == {SPOKEN: 20}
        assert len(await found(one, call=CALL, limit=100)) == 20


class Halting:
    """Whoever comes to a step of the store first stands still until they may go on.

    They do so before the step, or `behind` it.
    """

    def __init__(self, monkeypatch, step: str, *, behind: bool = False) -> None:
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        original = getattr(store_mongo, step)

        async def halted(*args):
            monkeypatch.setattr(store_mongo, step, original)
            done = await original(*args) if behind else None
            self.reached.set()
            await self.go.wait()
            return done if behind else await original(*args)

        monkeypatch.setattr(store_mongo, step, halted)


@pytest.mark.parametrize("step", ["_insert", "_number", "take_back"])
@pytest.mark.parametrize("up_to", [{}, {SPOKEN: 3}])
async def test_what_is_erased_in_the_middle_of_a_save_stays_erased(url, monkeypatch, step, up_to):
    finals = [numbered(n) for n in (1, 2, 3)]
    async with MongoStore(url) as writer, MongoStore(url) as eraser:
        await eraser.save_call(CallRecord(CALL, 0))
        halting = Halting(monkeypatch, step)
        async with asyncio.TaskGroup() as tasks:
            save = tasks.create_task(writer.save_captions(finals))
            await halting.reached.wait()
            await eraser.erase(CALL, up_to)
            assert await eraser.captions(CALL) == []
            assert await found(eraser) == []
            halting.go.set()
            await save
        # Only an erasure that knows of finals which nobody wrote yet can cover them.
        gone = bool(up_to) or step != "_insert"
        assert await eraser.captions(CALL) == ([] if gone else finals)
        assert (await found(eraser) == []) is gone
        assert await eraser.last_seq(CALL) == {SPOKEN: 3}


async def test_what_a_writer_left_behind_when_it_died_in_the_middle_is_taken_back(
    store, database, monkeypatch
):
    finals = await saved(store, "a", "b")
    late = [numbered(3, "c")]
    halting = Halting(monkeypatch, "_insert")
    saving = asyncio.ensure_future(store.save_captions(late))
    await halting.reached.wait()
    await store.erase(CALL, {SPOKEN: 3})
    dying = Halting(monkeypatch, "_number")
    halting.go.set()
    await dying.reached.wait()
    saving.cancel()
    await asyncio.wait([saving])
    assert await database.finals.count_documents({}) == 1, "it died behind its write"
    assert await store.captions(CALL) == [], "but nobody sees it"
    assert await found(store) == []
    await store.save_captions([*finals, *late])  # by the next writer
    assert await database.finals.count_documents({}) == 0


async def test_numbers_of_finals_whose_writer_died_are_erased_with_them(store, monkeypatch):
    await store.save_call(CallRecord(CALL, 0))
    finals = [numbered(1), numbered(2)]
    dying = Halting(monkeypatch, "_number")
    saving = asyncio.ensure_future(store.save_captions(finals))
    await dying.reached.wait()
    saving.cancel()
    await asyncio.wait([saving])
    assert await store.erase(CALL, {}) == 2
    await store.save_captions(finals)
    assert await store.captions(CALL) == []


# --- dates ------------------------------------------------------------------------------


async def dates(database) -> dict[str, list]:
    return {
        collection: [d["expires_at"] async for d in database[collection].find({"call": CALL})]
        for collection in ("finals", "participants", "numbered")
    }


LIVE = CallRecord(CALL, day(0), settings={"retention_days": 7})
ENDED = CallRecord(CALL, day(0), day(1), LIVE.settings)
DAY_8, DAY_15 = datetime(2100, 1, 9, tzinfo=UTC), datetime(2100, 1, 16, tzinfo=UTC)


async def test_all_of_a_call_is_dated_at_its_end_and_undated_when_it_goes_on(store, database):
    await store.save_call(LIVE)
    await store.save_captions([numbered(1)])
    await store.save_participants(CALL, [ParticipantRecord("p-anna", "Anna", 0, 1)])
    undated = {"finals": [None], "participants": [None], "numbered": [None]}
    assert await dates(database) == undated
    await store.save_call(ENDED)
    assert (await database.calls.find_one())["expires_at"] == DAY_8
    assert await dates(database) == {
        "finals": [DAY_8],
        "participants": [DAY_8],
        "numbered": [DAY_15],
    }
    await store.save_call(LIVE)
    assert await dates(database) == undated


async def test_what_comes_behind_a_call_s_end_has_its_date(store, database):
    await store.save_call(ENDED)
    await store.save_captions([numbered(1)])
    await store.save_participants(CALL, [ParticipantRecord("p-anna", "Anna", 0, 1)])
    assert await dates(database) == {
        "finals": [DAY_8],
        "participants": [DAY_8],
        "numbered": [DAY_15],
    }


@pytest.mark.parametrize("step", ["_insert", "_number", "take_back"])
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "goes on"])
async def test_what_is_said_while_a_call_ends_or_goes_on_has_its_date(
    url, database, monkeypatch, step, ends
):
    async with MongoStore(url) as writer, MongoStore(url) as other:
        await other.save_call(LIVE if ends else ENDED)
        halting = Halting(monkeypatch, step)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.save_captions([numbered(1)]))
            await halting.reached.wait()
            await other.save_call(ENDED if ends else LIVE)
            halting.go.set()
        assert await dates(database) == {
            "finals": [DAY_8 if ends else None],
            "participants": [],
            "numbered": [DAY_15 if ends else None],
        }


async def test_a_tombstone_and_who_is_seen_while_a_call_ends_have_its_date(
    url, database, monkeypatch
):
    async with MongoStore(url) as one, MongoStore(url) as other:
        anna = ParticipantRecord("p-anna", "Anna", 0, 1)
        for save in (one.save_participants(CALL, [anna]), one.erase(CALL, {SPOKEN: 1})):
            await other.save_call(LIVE)
            halting = Halting(monkeypatch, "known_calls", behind=True)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(save)
                await halting.reached.wait()
                await other.save_call(ENDED)
                halting.go.set()
            seen = (await dates(database))["participants"]
            assert seen == [DAY_8] or (seen == [] and await other.last_seq(CALL))
        assert await dates(database) == {"finals": [], "participants": [], "numbered": [DAY_15]}


async def test_a_writer_that_died_while_a_call_ended_leaves_no_wrong_date(
    url, database, monkeypatch
):
    async with MongoStore(url) as store, MongoStore(url) as other:
        await other.save_call(LIVE)
        halting = Halting(monkeypatch, "_insert")
        saving = asyncio.ensure_future(store.save_captions([numbered(1)]))
        await halting.reached.wait()
        await other.save_call(ENDED)
        dying = Halting(monkeypatch, "_number")
        halting.go.set()
        await dying.reached.wait()
        saving.cancel()
        await asyncio.wait([saving])
        assert (await dates(database))["finals"] == [None]
        await other.save_captions([numbered(1)])  # by the next writer
        assert (await dates(database))["finals"] == [DAY_8]


async def test_what_is_said_in_a_call_that_begins_anew_while_it_expires_is_kept(store, database):
    await store.save_call(ENDED)
    await store.save_captions([numbered(1)])

    class Finals:
        find = database.finals.find

        async def delete_many(self, condition):
            await store.save_call(LIVE)
            return await database.finals.delete_many(condition)

    assert await delete({"finals": Finals()}, "finals", {"expires_at": {"$lte": DAY_8}}) == 0
    assert len(await store.captions(CALL)) == 1


async def test_finals_of_an_unknown_call_go_unless_it_becomes_known(store, database):
    before = datetime.now(UTC)
    await store.save_captions([numbered(1)])
    (at,) = (await dates(database))["finals"]
    assert 6 <= (at - before).days <= 8
    assert await found(store) == [], "nothing says when it was said"
    await store.save_call(CallRecord(CALL, 100_000))
    assert (await dates(database))["finals"] == [None]
    assert await found(store, since_ms=101_000, until_ms=101_001) == ["ask not"]


async def test_numbers_outlive_their_call_by_a_week(store):
    await store.save_call(CallRecord(CALL, day(0), day(1), {"retention_days": 7}))
    await store.save_captions([numbered(1)])
    assert await store.expire(day(8)) == 1
    assert await store.last_seq(CALL) == {SPOKEN: 1}
    assert await store.expire(day(15) - 1) == 0
    assert await store.last_seq(CALL) == {SPOKEN: 1}
    await store.expire(day(15))
    assert await store.last_seq(CALL) == {}


# --- what goes wrong --------------------------------------------------------------------


async def test_an_outage_is_an_error_soon_and_the_store_goes_on_behind_it(tmp_path):
    async with Mongo(tmp_path / "mongo") as mongo, MongoStore(mongo.url) as store:
        finals = await saved(store, "one")
        await mongo.stop(signal.SIGKILL)
        begun = time.monotonic()
        for asked in (
            store.save_captions([numbered(2, "two")]),
            store.captions(CALL),
            store.erase(CALL, {}),
        ):
            with pytest.raises(OSError, match=r"127\.0\.0\.1") as failed:
                await asked
            assert "two" not in repr(failed.value)
        assert time.monotonic() - begun < SOON_SECONDS
        await mongo.start()
        assert await store.captions(CALL) == finals
        await store.save_captions([numbered(2, "two")])
        assert await found(store) == ["two", "one"]


async def test_a_server_that_stands_still_is_an_error_in_a_while(tmp_path):
    async with (
        Mongo(tmp_path / "mongo") as mongo,
        MongoStore(f"{mongo.url}?socketTimeoutMS=1000") as store,
    ):
        await saved(store, "one")
        assert mongo.process
        mongo.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(OSError, match=r"127\.0\.0\.1"):
                async with asyncio.timeout(SOON_SECONDS):
                    await store.captions(CALL)
        finally:
            mongo.process.send_signal(signal.SIGCONT)


async def test_a_server_that_is_not_there_is_an_error_that_names_it_and_no_password():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"mongodb://anna:hunter2@127.0.0.1:{port}/there"
    begun = time.monotonic()
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port} cannot be opened") as failed:
        await MongoStore(url).__aenter__()
    assert time.monotonic() - begun < SOON_SECONDS
    assert "hunter2" not in repr(failed.value)
    assert failed.value.__suppress_context__


@pytest.mark.parametrize(
    "url", ["mongodb://anna:hunter2@host:port/", "mongodb://anna:hun@ter2@host/", "hunter2", ""]
)
async def test_a_url_that_is_none_is_an_error_that_does_not_quote_it(url):
    with pytest.raises(OSError, match="URL of MongoDB") as failed:
        await MongoStore(url).__aenter__()
    assert "ter2" not in repr(failed.value)


async def test_an_error_says_nothing_of_what_was_said(store, database):
    await store.save_call(CallRecord(CALL, 0))
    await database.command("drop", "finals")
    await database.command("create", "finals", validator={"seq": {"$lt": 0}})
    with pytest.raises(OSError, match="BulkWriteError") as failed:
        await store.save_captions([numbered(1, "a secret")])
    assert "secret" not in repr(failed.value)


async def test_what_mongodb_cannot_hold_is_an_error_without_its_text(store):
    await saved(store, "a")
    with pytest.raises(ValueError, match="cannot be kept") as failed:
        await store.save_captions([numbered(2, "b"), numbered(3, "secret \ud800")])
    assert "secret" not in repr(failed.value)


async def test_a_store_that_is_not_open_says_so(url):
    store = MongoStore(url)
    async with store:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        await store.calls()


async def test_the_server_itself_has_deleted_by_now_what_is_over(over):
    async with MongoStore(over) as store:
        for _ in range(2 * SWEPT_SECONDS):
            left = [await store.call(CALL), *await store.captions(CALL)]
            left += [*await store.participants(CALL), *await store.last_seq(CALL)]
            if left == [None]:
                break
            await asyncio.sleep(0.5)
        assert left == [None]
        assert await found(store) == ["kept"]


def test_only_this_store_knows_the_driver():
    for room in ("captions", "media", "signaling", "surtitle", "turn"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                driver = {"motor", "pymongo", "bson"} & {name.split(".")[0] for name in names}
                assert not driver or path.name == "store_mongo.py", path
