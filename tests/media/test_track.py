"""A track's queue: bounded, for one reader, and ended by close."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from media.track import MOST_WAITING_SECONDS, Track
from tests.media.packets import stream, sweep_payloads


async def test_chunks_come_in_order_until_the_track_is_closed():
    track = Track()

    async def send():
        for packet in stream(sweep_payloads(1.0)):
            track.take(packet)
            await asyncio.sleep(0)
        track.close()
        track.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        chunks = [chunk async for chunk in track]
    assert sum(len(chunk.samples) for chunk in chunks) == 16_000
    assert all(a.end == b.start for a, b in itertools.pairwise(chunks))
    with pytest.raises(StopAsyncIteration):
        await anext(track)


async def test_a_reader_that_gives_up_waiting_loses_nothing():
    track = Track()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(track)
    packets = stream(sweep_payloads(1.0))
    track.take(packets[0])
    assert (await anext(track)).start == 0


async def test_close_wakes_a_reader_and_gives_what_waited_behind_a_hole():
    track = Track()
    packets = stream(sweep_payloads(1.0))
    track.take(packets[0])
    track.take(packets[2])
    assert (await anext(track)).start == 0
    waiting = asyncio.ensure_future(anext(track))
    await asyncio.sleep(0)
    track.close()
    assert (await waiting).start == 320, "what was made up for the lost one"
    assert (await anext(track)).start == 640
    track.take(packets[3])
    with pytest.raises(StopAsyncIteration):
        await anext(track)
    assert track.counts.packets == 2


async def test_flush_gives_everything_that_nobody_has_read():
    track = Track()
    packets = stream(sweep_payloads(1.0))
    for packet in (packets[0], packets[1], packets[3]):
        track.take(packet)
    assert [chunk.start for chunk in track.flush()] == [0, 320, 640, 960]
    assert track.flush() == []
    track.take(packets[4])
    assert (await anext(track)).start == 1280


async def test_a_slow_reader_costs_the_oldest_audio_and_it_is_counted():
    track = Track()
    payloads = sweep_payloads(1.0) * 15
    for packet in stream(payloads):
        track.take(packet)
    assert track.dropped_seconds == pytest.approx(15 - MOST_WAITING_SECONDS)
    assert (await anext(track)).start == 5 * 16_000
    track.close()
    rest = [chunk async for chunk in track]
    assert rest[-1].end == 15 * 16_000
