"""A node dies in mid-utterance, or freezes beyond its lease and wakes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.chaos.cluster import until
from tests.chaos.scenario import scenario
from tests.chaos.stage import Stage, stage

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]


async def moved_from(there: Stage, node: str) -> None:
    async def elsewhere() -> bool:
        return (await there.cluster.get(f"/api/calls/{there.call}"))["node"] not in (node, None)

    await until(elsewhere)


@scenario(seconds=30)
async def test_a_node_is_killed_in_mid_utterance(folder: Path) -> None:
    """Captions go on at the other one; the gap is marked, and what was open gets its final."""
    async with stage(folder, pause_seconds=0.6) as there:
        node = await there.cluster.node_of(there.call)
        cut_off = await there.mid_utterance()
        at = time.monotonic()
        await node.kill()
        before = {caption["utterance"]: caption for caption in there.watcher.captions}
        await there.recovered("node killed", at, moved=True)
        assert await there.cluster.node_of(there.call) is not node
        await there.said(2, at)
        transcript = await there.judged()
        assert cut_off in {final["utterance"] for final in transcript}
        behind = [final for final in transcript if final["utterance"] not in before]
        marked = [final for final in transcript if final.get("gap_ms")]
        assert marked == behind[:1]


@scenario(seconds=35)
async def test_a_node_that_wakes_behind_its_lease_publishes_nothing_more(folder: Path) -> None:
    async with stage(folder, pause_seconds=0.6) as there:
        node = await there.cluster.node_of(there.call)
        cut_off = await there.mid_utterance()
        at = time.monotonic()
        node.send(signal.SIGSTOP)
        before = {caption["utterance"] for caption in there.watcher.captions}
        await there.recovered("node frozen", at, moved=True)
        await moved_from(there, node.name)
        await there.said(2, at)
        closed = [h for h in there.watcher.after(at, "caption") if h.payload["final"]]
        woken = time.monotonic()
        node.send(signal.SIGCONT)

        async def let_go() -> bool:
            return await there.cluster.metric(node, "streams") == 0

        await until(let_go)
        await there.said(2, woken)
        assert any(heard.payload["utterance"] == cut_off for heard in closed)
        transcript = await there.judged()
        late = {heard.payload["utterance"] for heard in there.watcher.after(woken, "caption")}
        assert not before & late
        assert len({final["utterance"] for final in transcript}) == len(transcript)
