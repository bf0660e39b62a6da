"""Finals on their way from the bus to the store, and read from both."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from captions.types import SPOKEN
from signaling import transcripts as module
from signaling.bus import KEPT_FINALS, MemoryBus
from signaling.store import CallRecord, Search
from signaling.store_sqlite import SqliteStore
from signaling.transcripts import BATCH, Transcripts
from tests.signaling.bus_contract import CALL, final


class Moody(SqliteStore):
    """A store that is down for as many writes as `down` says; `tried` counts all of them."""

    down = 0
    tried = 0

    async def save_captions(self, captions):
        self.tried += 1
        if self.down:
            self.down -= 1
            raise ConnectionError("the store is down")
        await super().save_captions(captions)


@pytest.fixture
async def store(tmp_path):
    async with Moody(tmp_path / "surtitle.db") as store:
        await store.save_call(CallRecord(CALL, 0))
        yield store


@pytest.fixture
async def bus():
    bus = MemoryBus()
    await bus.open_call(CALL, 1, {})
    return bus


@pytest.fixture
def transcripts(bus, store):
    return Transcripts(bus, store)


@pytest.fixture
def no_waiting(monkeypatch):
    """Waits between tries become none; how long they would have been."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def wait(seconds):
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", wait)
    return waits


@contextlib.asynccontextmanager
async def writing(transcripts):
    """Yields what waits until all that is on the bus is written."""
    task = asyncio.ensure_future(transcripts.write())

    async def written():
        await transcripts.flush()

    try:
        yield written
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def numbers(captions) -> list[int]:
    return [caption.seq for caption in captions]


async def test_finals_go_to_the_store_in_time_and_leave_the_bus(bus, store, transcripts):
    async with writing(transcripts) as written:
        for n in range(5):
            await bus.publish_final(1, final(f"u{n}"))
        await written()
    assert numbers(await store.captions(CALL)) == [1, 2, 3, 4, 5]
    assert await bus.unwritten(10) == []


async def test_a_store_that_is_down_for_a_while_loses_nothing(bus, store, transcripts, no_waiting):
    store.down = 12
    writer = asyncio.ensure_future(transcripts.write())
    for n in range(20):
        await bus.publish_final(1, final(f"u{n}"))
        assert numbers(await transcripts.since(CALL, SPOKEN, 0)) == list(range(1, n + 2))
        await asyncio.sleep(0)
    while await bus.unwritten(1):
        assert not writer.done()
        await asyncio.sleep(0)
    assert numbers(await store.captions(CALL)) == list(range(1, 21))
    assert store.down == 0
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    backoffs = [wait for wait in no_waiting if wait]
    assert backoffs[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0], "it is not hammered"
    assert max(backoffs) == 5.0


async def test_more_finals_than_a_batch_are_written_in_several(bus, store, transcripts):
    for n in range(BATCH + 1):
        await bus.publish_final(1, final(f"u{n}"))
    await transcripts.flush()
    assert store.tried == 2
    assert len(await store.captions(CALL)) == BATCH + 1


async def test_the_last_finals_are_tried_again_before_the_program_ends(
    bus, store, transcripts, no_waiting
):
    store.down = 3
    await bus.publish_final(1, final("u1"))
    await transcripts.flush()
    assert numbers(await store.captions(CALL)) == [1]


async def test_a_store_that_stays_down_does_not_keep_the_program_alive(bus, store, transcripts):
    store.down = 10**9
    await bus.publish_final(1, final("u1"))
    await transcripts.flush(seconds=0.05)
    assert numbers(u.caption for u in await bus.unwritten(10)) == [1], "still on the bus"


async def test_reads_merge_what_is_written_with_what_is_not_yet(bus, store, transcripts):
    await store.save_captions([final(f"old{n}").numbered(n) for n in (1, 2, 3)])
    await bus.open_call(CALL, 2, await store.last_seq(CALL))
    for n in range(2):
        await bus.publish_final(2, final(f"new{n}"))
    for seq in range(6):
        assert numbers(await transcripts.since(CALL, SPOKEN, seq)) == [1, 2, 3, 4, 5][seq:]
    await transcripts.flush()
    assert numbers(await transcripts.since(CALL, SPOKEN, 0)) == [1, 2, 3, 4, 5]
    assert await transcripts.last_seq(CALL, SPOKEN) == 5


async def test_a_call_that_is_longer_than_the_bus_remembers_is_read_whole(bus, transcripts):
    for n in range(KEPT_FINALS + 5):
        await bus.publish_final(1, final(f"u{n}"))
        if n == 9:
            await transcripts.flush()
    assert numbers(await transcripts.since(CALL, SPOKEN, 0)) == list(range(1, KEPT_FINALS + 6))


async def test_a_call_that_is_over_is_read_from_the_store(bus, store, transcripts):
    await bus.publish_final(1, final("u1"))
    await transcripts.flush()
    await bus.end_call(CALL)
    await bus.forget(CALL)
    assert numbers(await Transcripts(MemoryBus(), store).since(CALL, SPOKEN, 0)) == [1]
    assert await transcripts.last_seq(CALL, SPOKEN) == 1
    assert await transcripts.last_seq(CALL, "de") == 0


async def test_a_transcript_is_in_order_of_speaking(bus, transcripts):
    for n, start_ms in enumerate([3000, 1000, 2000, 1000]):
        await bus.publish_final(1, final(f"u{n}", start_ms=start_ms))
    assert numbers(await transcripts.transcript(CALL, SPOKEN)) == [2, 4, 3, 1]


async def test_an_erasure_takes_what_is_written_and_what_is_not(bus, store, transcripts):
    await bus.publish_final(1, final("u1", "secret one"))
    await transcripts.flush()
    await bus.publish_final(1, final("u2", "secret two"))
    await bus.publish_final(1, final("u1", "geheim", feed="de"))
    assert await transcripts.erase(CALL) == 1
    assert await transcripts.since(CALL, SPOKEN, 0) == []
    assert await transcripts.since(CALL, "de", 0) == []
    assert (await store.search(Search(text="secret")))[0] == []
    assert await transcripts.last_seq(CALL, SPOKEN) == 2


async def test_what_is_said_after_an_erasure_is_read_at_once(bus, transcripts):
    await bus.publish_final(1, final("u1"))
    await transcripts.erase(CALL)
    await bus.publish_final(1, final("u2"))
    assert numbers(await transcripts.since(CALL, SPOKEN, 0)) == [2]
    await transcripts.flush()
    assert numbers(await transcripts.since(CALL, SPOKEN, 0)) == [2]


async def test_a_batch_that_was_on_its_way_while_all_was_erased_does_not_come_back(
    bus, store, transcripts
):
    await bus.publish_final(1, final("u1"))
    batch = await bus.take_unwritten(10)
    await transcripts.erase(CALL)
    await store.save_captions([entry.caption for entry in batch])
    await bus.acknowledge(entry.entry for entry in batch)
    assert await store.captions(CALL) == []
    assert await transcripts.since(CALL, SPOKEN, 0) == []
