"""What is told of many calls follows from what was measured."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from tests.bench.scaling import fleets
from tests.bench.scaling_model import GatewayCosts, Model, Shape, line
from tests.bench.scaling_report import most_calls, text
from tests.recordings import ROOT

COST = {"redis_us": 50.0, "process_us": 300.0, "a_second": 3000.0}
SHARED = {
    "machine": {"load_before": 0.1},
    "redis": {
        "partial": COST,
        "final": COST,
        "written": COST,
        "change": COST,
        "nodes": {
            "20": {"report": COST, "chores": COST, "reserve": COST},
            "200": {"report": COST, "chores": COST, "reserve": COST},
        },
        "summaries": {"1000": COST},
        "bytes_a_call": 3000.0,
        "bytes_a_final": 2000.0,
    },
    "cluster": {"masters": 3, "partial": COST, "final": COST},
    "store": {"server": "some store", "finals_a_second": {"1": 10.0}, "bytes_a_final": 1500},
}
GATEWAY = GatewayCosts(200.0, 40.0, 0.01, 2.0, 40.0, 100.0)
MODEL = Model(Shape(), GATEWAY, SHARED)


def run(captions, deliveries, cores):
    row = {
        "captions_a_second": captions,
        "offered_a_second": deliveries,
        "server_cores": cores,
    }
    server = {
        "kind": "Surtitle",
        "rates": [row],
        "idle_cores": 0.02,
        "connecting_cpu_ms": 2.0,
        "kib_a_socket_loaded": 40.0,
        "mib_a_server": 100.0,
    }
    about = {"cpu": "some CPU", "cores": 2, "date": "", "commit": "", "load_before": 0.1}
    return {"setup": {"gateways": 2}, "servers": [server], "machine": about}


def cores(captions, deliveries):
    return 0.02 + (2 * captions * 200.0 + deliveries * 40.0) / 1e6


def test_two_runs_tell_what_a_caption_and_what_a_delivery_costs():
    many, few = (run(c, d, cores(c, d)) for c, d in ((20, 2000), (500, 2000)))
    found = GatewayCosts.of(many, few)
    assert found.caption_us == pytest.approx(200.0)
    assert found.delivery_us == pytest.approx(40.0)
    assert found.idle_cores == pytest.approx(0.01)


def test_between_two_points_and_beyond():
    assert line({20: 10.0, 200: 100.0}, 110) == pytest.approx(55.0)
    assert line({20: 10.0, 200: 100.0}, 2000) == pytest.approx(1000.0)
    assert line({20: 10.0, 200: 100.0}, 1) == 10.0


def test_more_calls_never_need_less_and_one_gateway_is_to_spare():
    needs = [MODEL.need(calls, 8) for calls in (1, 100, 1000, 3000)]
    assert needs[0].gateways == 2
    for fewer, more in itertools.pairwise(needs):
        assert more.gateways >= fewer.gateways
        assert more.nodes > fewer.nodes
        assert more.redis_load > fewer.redis_load
    assert all(need.gateway_load <= MODEL.shape.busy for need in needs)


def test_what_one_redis_does_not_bear_is_parted():
    most = most_calls(MODEL, fleets((ROOT / "docs/sizing.md").read_text())[0])
    assert MODEL.apart(most, 8)[0] == 1
    assert MODEL.apart(most + 1, 8)[0] == 2
    apart, need = MODEL.apart(20 * most, 8)
    assert apart >= 20
    assert need.redis_load <= MODEL.shape.busy


def test_a_node_is_planned_with_a_reserve():
    shape = dataclasses.replace(MODEL.shape, overlap=0.0, busy=0.5)
    assert dataclasses.replace(MODEL, shape=shape).nodes(100, 8) == 25


def test_the_kinds_of_nodes_are_those_of_the_sizing_page():
    found = fleets((ROOT / "docs/sizing.md").read_text())
    assert found[0].name == "`tiny.en` on 2 cores"
    assert found[0].speaking == 8
    runs = {"many": run(20, 2000, 0.2), "shared": SHARED}
    assert "deployments apart" in text(MODEL, found, runs)
