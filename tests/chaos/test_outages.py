"""Redis or MongoDB is away for as long as it may be, while somebody speaks."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.chaos.scenario import scenario
from tests.chaos.stage import Stage, record, stage

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

REDIS_SECONDS = 20
MONGO_SECONDS = 60


async def redis_is_away(there: Stage, name: str, *, forgets: bool) -> None:
    await there.mid_utterance()
    redis, gone_ms = there.cluster.redis, time.time() * 1000
    await redis.stop(signal.SIGKILL)
    if forgets:
        await redis.lose_everything()
    await asyncio.sleep(REDIS_SECONDS)
    back_ms, at = time.time() * 1000, time.monotonic()
    await redis.start()
    await there.recovered(name, at, moved=False)
    await there.said(3, at)
    transcript = await there.judged()
    began = (await there.cluster.get(f"/api/calls/{there.call}"))["started_at"]
    began_ms = datetime.fromisoformat(began).timestamp() * 1000
    meanwhile = [
        final
        for final in transcript
        if gone_ms < began_ms + final["start_ms"] and began_ms + final["end_ms"] < back_ms
    ]
    assert len(meanwhile) >= 2, "what is said while Redis is away is captioned behind it"
    assert not [final for final in transcript if final.get("gap_ms")]


@scenario(seconds=50)
async def test_redis_is_away_for_20_s(folder: Path) -> None:
    async with stage(folder) as there:
        await redis_is_away(there, "Redis away for 20 s", forgets=False)


@scenario(seconds=51)
async def test_redis_is_away_for_20_s_and_forgets_everything(folder: Path) -> None:
    async with stage(folder) as there:
        await redis_is_away(there, "Redis lost its memory", forgets=True)


@scenario(seconds=30)
async def test_redis_comes_back_without_its_newest_writes(folder: Path) -> None:
    """As where a replica takes over that lags behind, or power fails: numbers are given once."""
    async with stage(folder, pause_seconds=0.6) as there:
        redis, aside = there.cluster.redis, folder / "aside"
        await redis.remember_until_now(aside)
        before = time.monotonic()
        await there.said(2, before)
        await redis.stop(signal.SIGKILL)
        await redis.lose_what_came_since(aside)
        at = time.monotonic()
        await redis.start()
        await there.recovered("Redis lost its newest writes", at, moved=False)
        await there.said(3, at)
        await there.judged()


@scenario(seconds=90)
async def test_mongodb_is_away_for_60_s(folder: Path) -> None:
    """Captions go on as if nothing was the matter; what was said is written when it is back."""
    async with stage(folder, nodes=1, pause_seconds=6) as there:
        mongo = there.cluster.mongo
        await there.mid_utterance()
        gone = time.monotonic()
        await mongo.stop(signal.SIGKILL)
        await there.recovered("MongoDB away for 60 s", gone, moved=False)
        await there.said(3, gone)
        await asyncio.sleep(gone + MONGO_SECONDS - time.monotonic())
        assert await there.cluster.unwritten() >= 3
        at = time.monotonic()
        await mongo.start()
        await there.judged()
        record("MongoDB away for 60 s", written_seconds=time.monotonic() - at)
