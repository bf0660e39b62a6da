"""Nodes and gateways are stopped as operators stop them: nothing is lost, nothing marked."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.cluster import SECRET
from tests.chaos.programs import Program
from tests.chaos.scenario import scenario
from tests.chaos.stage import Stage, record, stage

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]


async def moved_without_a_loss(there: Stage, node: Program, at: float) -> None:
    assert await there.cluster.node_of(there.call) is not node
    await there.said(2, at)
    transcript = await there.judged()
    assert not [final for final in transcript if final.get("gap_ms")]
    states = {h.payload["state"] for h in there.watcher.after(0, "call:state")}
    assert states <= {"live", "degraded"}


@scenario(seconds=26)
async def test_a_node_is_stopped_by_sigterm(folder: Path) -> None:
    async with stage(folder) as there:
        node = await there.cluster.node_of(there.call)
        await there.mid_utterance()
        at = time.monotonic()
        assert await node.stop() == 0
        record("node drained", ended_seconds=time.monotonic() - at)
        await moved_without_a_loss(there, node, at)


@scenario(seconds=27)
async def test_a_node_is_drained_by_command(folder: Path) -> None:
    async with stage(folder) as there:
        node = await there.cluster.node_of(there.call)
        await there.mid_utterance()
        at = time.monotonic()
        draining = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "surtitle", "node", "drain", node.name),
            *("--redis", there.cluster.redis.url, "--secret", SECRET),
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await draining.communicate()
        assert draining.returncode == 0, told.decode()
        assert f"{node.name} is gone" in told.decode()
        assert await node.ended() == 0
        await moved_without_a_loss(there, node, at)


@scenario(seconds=60)
async def test_everything_is_restarted_one_after_another(folder: Path) -> None:
    """A rolling upgrade, while Ada speaks and somebody watches."""
    async with stage(folder) as there:
        for program in (*there.cluster.nodes.values(), *there.cluster.gateways):
            await there.mid_utterance()
            at = time.monotonic()
            assert await program.stop() == 0, program.name
            await program.start()
            await there.said(1, at)
        assert there.watcher.connections > 1
        assert there.ada.connections > 1
        transcript = await there.judged()
        assert not [final for final in transcript if final.get("gap_ms")]
