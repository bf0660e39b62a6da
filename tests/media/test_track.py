"""A track's queue: bounded, for one reader, and ended by close."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest

from captions.types import SAMPLE_RATE
from media.track import ENOUGH_SECONDS, MOST_WAITING_SECONDS, SHORTEST_PCM_GAP, Track
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


FRAME = np.full(320, 1000, np.int16)
FRAME_SECONDS = 0.02


def put_frames(track: Track, arrivals: list[float]) -> list[int]:
    """Where each frame of PCM that arrived at these times was put."""
    for arrival in arrivals:
        track.put_pcm(FRAME.copy(), arrival)
    return [chunk.start for chunk in track.flush()]


async def test_pcm_follows_what_came_before_however_it_jitters():
    arrivals = [5.0, 5.02, 5.11, 5.11, 5.11, 5.12]
    assert put_frames(Track(), arrivals) == [0, 320, 640, 960, 1280, 1600]


async def test_pcm_that_did_not_come_for_long_leaves_a_gap_of_its_length():
    before, after = put_frames(Track(), [5.0, 5.0 + FRAME_SECONDS + 2.0])
    assert (before, after) == (0, pytest.approx(320 + 2 * SAMPLE_RATE, abs=1))


async def test_a_burst_behind_a_gap_is_put_together_and_makes_no_second_gap():
    starts = put_frames(Track(), [5.0, 7.0, 7.0, 7.0, 7.02])
    assert np.diff(starts[1:]).tolist() == [320, 320, 320]


async def test_pcm_never_goes_back_and_jitter_does_not_add_up():
    late = SHORTEST_PCM_GAP / SAMPLE_RATE * 0.9
    starts = put_frames(Track(), [5.0 + n * FRAME_SECONDS + (n % 2) * late for n in range(50)])
    assert starts == [n * 320 for n in range(50)]


async def test_pcm_is_bounded_and_ends_with_the_track():
    track = Track()
    for n in range(11):
        track.put_pcm(np.zeros(SAMPLE_RATE, np.int16), float(n))
    track.put_pcm(np.zeros(0, np.int16), 11.0)
    assert track.dropped_seconds == pytest.approx(1.0)
    track.close()
    track.put_pcm(FRAME.copy(), 12.0)
    chunks = [chunk async for chunk in track]
    assert [chunk.start for chunk in chunks] == [n * SAMPLE_RATE for n in range(1, 11)]
    assert track.counts.packets == 0


async def test_a_writer_that_can_wait_waits_while_there_is_enough():
    track = Track()
    second = np.zeros(SAMPLE_RATE, np.int16)
    for n in range(round(ENOUGH_SECONDS)):
        await track.room()
        track.put_pcm_at(second.copy(), n * SAMPLE_RATE)
    waiting = asyncio.ensure_future(track.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await anext(track)
    await waiting
    assert track.dropped_seconds == 0
    track.put_pcm_at(second.copy(), 0)
    waiting = asyncio.ensure_future(track.room())
    await asyncio.sleep(0)
    track.close()
    await waiting


async def test_pcm_whose_time_is_told_follows_what_came_before_unless_it_is_later():
    track = Track()
    chunk = np.zeros(1600, np.int16)
    for start in (0, 1590, 3300, 3200 + 1600 + SHORTEST_PCM_GAP + 1, 0):
        track.put_pcm_at(chunk.copy(), start)
    track.close()
    starts = [chunk.start async for chunk in track]
    later = 4800 + SHORTEST_PCM_GAP + 1
    assert starts == [0, 1600, 3200, later, later + 1600]
