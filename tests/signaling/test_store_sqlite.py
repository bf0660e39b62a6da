"""The transcript store of one machine."""

from __future__ import annotations

import asyncio

import pytest

from captions.types import SPOKEN
from signaling.store import CallRecord, Search
from signaling.store_sqlite import SqliteStore
from tests.signaling.api_keys_contract import ApiKeysContract
from tests.signaling.bus_contract import CALL
from tests.signaling.deliveries_contract import DeliveriesContract
from tests.signaling.store_contract import StoreContract, found, numbered, saved
from tests.signaling.usage_contract import LedgerContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        async with SqliteStore(tmp_path / "surtitle.db") as store:
            yield store


class TestSqliteDeliveries(DeliveriesContract):
    @pytest.fixture
    async def store(self, tmp_path):
        async with SqliteStore(tmp_path / "surtitle.db") as store:
            yield store


class TestSqliteLedger(LedgerContract):
    @pytest.fixture
    async def store(self, tmp_path):
        async with SqliteStore(tmp_path / "surtitle.db") as store:
            yield store


class TestSqliteApiKeys(ApiKeysContract):
    @pytest.fixture
    async def store(self, tmp_path):
        async with SqliteStore(tmp_path / "surtitle.db") as store:
            yield store


def files_with(folder, words: bytes) -> list[str]:
    return [path.name for path in folder.iterdir() if words in path.read_bytes()]


async def test_everything_is_there_when_the_file_is_opened_again(tmp_path):
    path = tmp_path / "made" / "on" / "the" / "way" / "surtitle.db"
    async with SqliteStore(path) as store:
        finals = await saved(store, "ask not", "what for")
        await saved(store, "erased", call="other")
        await store.erase("other", {SPOKEN: 5})
    async with SqliteStore(path) as store:
        assert await store.call(CALL) == CallRecord(CALL, 0)
        assert await store.captions(CALL) == finals
        assert await found(store, "ask") == ["ask not"]
        assert await store.last_seq(CALL) == {SPOKEN: 2}
        await store.save_captions([numbered(5, call="other")])
        assert await store.captions("other") == []


async def test_nothing_of_an_erased_text_is_left_in_the_files(tmp_path):
    path = tmp_path / "surtitle.db"
    words = ["Zanzibar", "Quetzalcoatl", "Wolfenbüttel"]
    async with SqliteStore(path) as store:
        # Enough for several pages and several segments of the index.
        for n in range(60):
            call = CALL if n % 2 else "other"
            text = " ".join(words) if n % 2 else f"nothing in particular {n}"
            await store.save_call(CallRecord(call, 0))
            speaker = "Rumpelstilzchen" if n % 2 else "Anna"
            await store.save_captions([numbered(n + 1, text, call=call, speaker=speaker)])
        assert files_with(tmp_path, b"Zanzibar"), "it was there before"
        assert await store.erase(CALL, {}) == 30
        for word in [*words, *(w.lower() for w in words), "wolfenbuttel", "umpelstilzchen"]:
            assert files_with(tmp_path, word.encode()) == [], word
        assert len(await found(store, "nothing", limit=100)) == 30
    for word in ["anzibar", "uetzalcoatl", "olfenb", "umpelstilzchen"]:
        assert files_with(tmp_path, word.encode()) == [], word


async def test_what_fails_in_the_middle_leaves_nothing_behind_and_the_store_goes_on(tmp_path):
    async with SqliteStore(tmp_path / "surtitle.db") as store:
        await saved(store, "a")
        broken = numbered(3, "broken \ud800")
        with pytest.raises(UnicodeEncodeError):
            await store.save_captions([numbered(2, "b"), broken])
        assert [c.text for c in await store.captions(CALL)] == ["a"]
        await store.save_captions([numbered(2, "b")])
        assert [c.text for c in await store.captions(CALL)] == ["a", "b"]


async def test_many_who_use_it_at_once_do_not_see_each_other_s_middle(tmp_path):
    async with SqliteStore(tmp_path / "surtitle.db") as store:
        await store.save_call(CallRecord(CALL, 0))
        seen = await asyncio.gather(
            *(store.save_captions([numbered(2 * n + 1), numbered(2 * n + 2)]) for n in range(20)),
            *(store.captions(CALL) for _ in range(20)),
            store.search(Search(text="ask")),
        )
        assert all(len(captions) % 2 == 0 for captions in seen[20:40])
        assert len(await store.captions(CALL)) == 40


async def test_a_file_that_is_no_store_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "surtitle.db"
    path.write_bytes(b"something else altogether " * 100)
    with pytest.raises(OSError, match=r"surtitle\.db cannot be opened"):
        await SqliteStore(path).__aenter__()
    folder = tmp_path / "folder.db"
    folder.mkdir()
    with pytest.raises(OSError, match=r"folder\.db cannot be opened"):
        await SqliteStore(folder).__aenter__()


async def test_a_store_that_is_not_open_says_so(tmp_path):
    store = SqliteStore(tmp_path / "surtitle.db")
    async with store:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        await store.calls()
