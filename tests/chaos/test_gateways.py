"""A gateway dies: with those who are connected to it, or with finals it had yet to write."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.chaos.cluster import until
from tests.chaos.scenario import scenario
from tests.chaos.speaker import Speaker
from tests.chaos.stage import judged, record, stage
from tests.chaos.watcher import Heard

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]


@scenario(seconds=25)
async def test_a_gateway_is_killed_under_its_watcher_and_its_speakers(folder: Path) -> None:
    """All go on at the other one: as who they were, or as somebody new with audio anew."""
    async with (
        stage(folder, nodes=1) as there,
        Speaker(
            there.cluster, there.call, "Joe", gateway=0, keeps_audio=False, renamed=True
        ) as joe,
    ):
        await joe.until(lambda j: any(c["participant"] == "p-Joe" for c in j.finals))
        seen = there.watcher.since
        await there.mid_utterance()
        at = time.monotonic()
        await there.cluster.gateways[0].kill()
        await there.recovered("gateway killed", at, moved=False, reconnected=True)
        assert there.watcher.connections == 2
        again = await joe.until(
            lambda j: [h for h in j.after(at, "caption") if h.payload["participant"] == j.subject]
        )
        assert joe.subject == "p-Joe-1"
        record("speaker's gateway killed", captions_seconds=again[0].at - at)
        await there.said(3, at)
        assert there.watcher.since > seen
        await there.ada.until(
            lambda a: any(has_left(h, "p-Joe") for h in a.after(at, "call:participant"))
        )
        await joe.finish()
        await there.ada.finish()
        await judged(there.cluster, there.call, *there.everybody, joe)


def has_left(heard: Heard, who: str) -> bool:
    return heard.payload["event"] == "left" and heard.payload["participant"]["id"] == who


@scenario(seconds=45)
async def test_a_gateway_is_killed_with_finals_it_had_yet_to_write(folder: Path) -> None:
    """MongoDB hangs; the one gateway that is awake takes finals, and dies with them."""
    async with stage(folder, nodes=1, ada_at=0) as there:
        taker, other = there.cluster.gateways
        await there.watcher.until(lambda w: not w.open)
        mongo = there.cluster.mongo.process
        assert mongo
        mongo.send_signal(signal.SIGSTOP)
        other.send(signal.SIGSTOP)
        frozen = time.monotonic()
        await there.said(2, frozen)

        async def taken() -> bool:
            return await there.cluster.taken() >= 1

        await until(taken)
        at = time.monotonic()
        await taker.kill()
        other.send(signal.SIGCONT)
        mongo.send_signal(signal.SIGCONT)
        await there.recovered("writer killed", at, moved=False, reconnected=True)
        assert await there.cluster.unwritten() >= 1
        await there.judged()
        record("writer killed", written_seconds=time.monotonic() - at)


@scenario(seconds=42)
async def test_a_gateway_that_wakes_after_it_was_forgotten_goes_on(folder: Path) -> None:
    """Those who are still connected to it are in the call again, and are captioned."""
    async with stage(folder, nodes=1) as there:
        frozen = there.cluster.gateways[1]
        await there.mid_utterance()
        frozen.send(signal.SIGSTOP)
        await there.watcher.until(
            lambda w: any(has_left(h, "p-Ada") for h in w.after(0, "call:participant"))
        )
        at = time.monotonic()
        frozen.send(signal.SIGCONT)
        await there.recovered("gateway frozen", at, moved=False)
        await there.said(2, at)
        await there.judged()
