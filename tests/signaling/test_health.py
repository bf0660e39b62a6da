"""What `/health` and `/ready` say."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

import pytest

from signaling import health
from signaling.health import Fleet, Health


@dataclass
class Node:
    id: str = "node-1"
    streams: int = 3
    capacity: int = 8
    draining: bool = False
    saturated: bool = False
    recognizer: str = "ready"


async def good() -> bool:
    return True


async def bad() -> bool:
    return False


async def broken() -> bool:
    raise ConnectionError("the database is on fire")


async def test_a_process_that_is_well_says_all_that_the_contract_names():
    well, body = await Health("1.2.3", node=Node(), checks={"store": good}).report()
    assert well
    assert body.pop("uptime_seconds") >= 0
    assert body["checks"]["store"].pop("latency_ms") >= 0
    assert body == {
        "status": "healthy",
        "checks": {"store": {"ok": True}},
        "active_streams": 3,
        "capacity_streams": 8,
        "recognizer": "ready",
        "version": "1.2.3",
        "node": "node-1",
    }


@pytest.mark.parametrize("check", [bad, broken])
async def test_a_dependency_that_fails_makes_it_unhealthy_and_is_named(check):
    well, body = await Health("1", node=Node(), checks={"store": good, "bus": check}).report()
    assert not well
    assert body["status"] == "unhealthy"
    assert body["checks"]["store"]["ok"] is True
    assert body["checks"]["bus"]["ok"] is False
    assert "fire" not in repr(body)


async def test_a_dependency_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.01)

    async def hangs() -> bool:
        await asyncio.Event().wait()
        return True

    well, body = await Health("1", checks={"bus": hangs, "store": good}).report()
    assert not well
    assert body["checks"]["bus"]["ok"] is False
    assert body["checks"]["store"]["ok"] is True


@pytest.mark.parametrize("recognizer", ["restarting", "open_circuit"])
async def test_without_its_recognizer_it_is_degraded_but_left_alone(recognizer):
    well, body = await Health("1", node=Node(recognizer=recognizer)).report()
    assert well
    assert body["status"] == "degraded"
    assert body["recognizer"] == recognizer


async def test_a_gateway_without_a_node_says_so_by_leaving_it_out():
    well, body = await Health("1").report()
    assert well
    assert "node" not in body
    assert body["active_streams"] == body["capacity_streams"] == 0


@pytest.mark.parametrize(
    ("node", "draining", "ready"),
    [
        (Node(), False, True),
        (Node(), True, False),
        (None, True, False),
        (Node(draining=True), False, False),
        (Node(streams=7, capacity=8), False, True),
        (Node(streams=8, capacity=8), False, False),
        (Node(streams=9, capacity=8), False, False),
        (Node(saturated=True), False, False),
    ],
)
def test_ready_is_who_neither_drains_nor_is_full_nor_saturated(node, draining, ready):
    assert Health("1", node=node, draining=draining).ready is ready


@pytest.mark.parametrize(
    ("takes_calls", "heard_seconds_ago", "ready"),
    [(True, 0, True), (False, 0, False), (True, 1000, False), (True, math.inf, False)],
)
def test_a_gateway_is_ready_while_it_hears_of_a_node_that_takes_calls(
    takes_calls, heard_seconds_ago, ready
):
    known_at = time.monotonic() - heard_seconds_ago
    fleet = Fleet(takes_calls=takes_calls, known_at=known_at)
    assert Health("1", fleet=fleet).ready is ready
    assert Health("1", fleet=fleet, draining=True).ready is False
