"""The load tool sees what goes wrong, and a small run of it goes right."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter

import pytest

from tests.bench import fanout, fanout_report
from tests.bench.fanout_clients import Viewer, Viewers
from tests.bench.fanout_crowd import Publisher, quantile_ms
from tests.bench.fanout_servers import Servers

SMALL = {"sockets": 40, "calls": 2, "gateways": 2, "rate": 200.0, "seconds": 1.0, "step": 1.0}


def heard(*seqs: int) -> Viewers:
    viewers = Viewers()
    viewer = Viewer(viewers, 0, "call-0", None)
    publisher = Publisher(Servers(0, ["call-0"]))
    for seq in seqs:
        caption = publisher.caption("call-0").numbered(seq)
        viewer._hear(json.dumps(["caption", caption.to_wire()]).encode())
    return viewers


@pytest.mark.parametrize(
    ("seqs", "missing", "doubled"),
    [((1, 2, 3), 0, 0), ((1, 2, 5), 2, 0), ((1, 2, 2, 3), 0, 1), ((7, 8), 0, 0)],
)
async def test_missing_and_doubled_finals_are_counted(seqs, missing, doubled):
    viewers = heard(*seqs)
    assert (viewers.missing, viewers.doubled) == (missing, doubled)
    assert viewers.delays.total() == len(seqs)


def test_quantiles_are_upper_edges_of_their_bins():
    bins = Counter({0: 50, 10: 45, 99: 5})
    assert [quantile_ms(bins, q) for q in (0.5, 0.95, 0.99)] == [0.1, 1.1, 10.0]


async def test_partials_grow_to_their_final():
    publisher = Publisher(Servers(0, ["call-0"]))
    captions = [publisher.caption("call-0") for _ in range(18)]
    assert [c.final for c in captions] == ([False] * 8 + [True]) * 2
    assert [c.revision for c in captions] == [*range(9)] * 2
    assert captions[8].utterance != captions[9].utterance
    assert captions[8].text.startswith(captions[7].text)


@pytest.mark.parametrize("kind", ["Surtitle", "python-socketio"])
async def test_a_small_run_delivers_all_and_loses_nothing_by_a_death(kind, monkeypatch):
    monkeypatch.setattr(fanout, "DEATH_SECONDS", 3.0)
    chosen = argparse.Namespace(**SMALL, clients=1, no_ramp=True)
    async with asyncio.timeout(150):
        found = await fanout.measure(kind, chosen)
    [row] = found["rates"]
    assert row["delivered"] == 1.0
    assert (row["missing"], row["doubled"], row["lost"]) == (0, 0, 0)
    if kind == "Surtitle":
        assert found["death"]["sockets"] == found["death"]["back"] == 20
        assert found["death"]["finals_missing"] == found["death"]["finals_doubled"] == 0
        assert found["death"]["finals_published"]
        assert found["death"]["finals_unkept"] == 0
    text = fanout_report.delays({"servers": [found]})
    assert kind in text
