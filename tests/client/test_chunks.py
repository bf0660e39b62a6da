"""Audio on its way: nothing is lost or doubled by cutting, and little of it waits."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surtitle.client.chunks import CHUNK_BYTES, CHUNK_MS, LEAD_MS, Chunks


def taken(chunks: Chunks) -> list[bytes]:
    found = []
    while chunk := chunks.take():
        found.append(chunk.pcm)
    return found


@given(st.lists(st.binary(max_size=3 * CHUNK_BYTES), max_size=8))
def test_what_is_put_in_comes_out_in_chunks_of_one_length_but_for_the_last(parts):
    async def put() -> list[bytes]:
        chunks = Chunks(1000, real_time=False)
        for part in parts:
            await chunks.put(part)
        chunks.close()
        return taken(chunks)

    found, whole = asyncio.run(put()), b"".join(parts)
    assert b"".join(found) == whole[: len(whole) // 2 * 2]  # half a sample is none
    assert all(len(chunk) == CHUNK_BYTES for chunk in found[:-1])


async def test_who_puts_in_too_much_waits_until_the_server_has_some():
    chunks = Chunks(3, real_time=False)
    putting = asyncio.create_task(chunks.put(bytes(5 * CHUNK_BYTES)))
    await asyncio.sleep(0.01)
    assert len(taken(chunks)) == 3
    await asyncio.sleep(0.01)
    assert not putting.done()
    chunks.received(2 * CHUNK_MS)
    await putting
    assert chunks.sent == 1
    assert len(taken(chunks)) == 2


async def test_what_the_server_may_not_have_is_sent_again_and_nothing_else():
    chunks = Chunks(100, real_time=False)
    await chunks.put(b"".join(bytes([n]) * CHUNK_BYTES for n in range(5)))
    for _ in range(3):
        chunks.take()
    chunks.received(CHUNK_MS)
    assert chunks.again() == CHUNK_MS
    assert [pcm[0] for pcm in taken(chunks)] == [1, 2, 3, 4]
    chunks.received(5 * CHUNK_MS)
    assert chunks.empty
    assert chunks.again() == 5 * CHUNK_MS


async def test_a_recording_is_put_in_no_faster_than_it_could_have_been_spoken():
    chunks, loop = Chunks(100, real_time=True), asyncio.get_running_loop()
    begun, ms = loop.time(), LEAD_MS + 300
    await chunks.put(bytes((ms // CHUNK_MS + 1) * CHUNK_BYTES))
    assert loop.time() - begun >= 0.299


async def test_who_is_cancelled_while_it_waits_can_go_on():
    chunks = Chunks(1, real_time=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chunks.put(bytes(3 * CHUNK_BYTES)), 0.01)
    assert len(taken(chunks)) == 1
    chunks.received(CHUNK_MS)
    await chunks.put(bytes(CHUNK_BYTES))
    assert len(taken(chunks)) == 1
