"""The table of chaos: quantiles by scenario, between its marks."""

from __future__ import annotations

import json

from tests.chaos.figures import BEGIN, END, markdown, put, quantile, read

MACHINE = {
    "cpu": "A CPU",
    "cores": 2,
    "memory_gib": 24,
    "os": "Debian",
    "python": "3.11.7",
    "load_before": 0.1,
    "commit": "abc",
    "date": "2026-11-27",
}


def test_quantiles_are_of_values_that_were_measured():
    values = [float(n) for n in range(1, 21)]
    assert quantile(values, 0.95) == 19
    assert quantile(values, 0.5) == 10
    assert quantile([3.0], 0.95) == 3


def test_the_table_has_a_row_for_each_scenario_and_stands_between_its_marks():
    entries = [
        {"machine": MACHINE, "clusters_at_once": 4},
        *({"scenario": "node killed", "captions_seconds": s, "at": 0} for s in (1.0, 2.0, 9.0)),
        {"scenario": "disk full", "written_seconds": 3.0, "at": 0},
    ]
    text = markdown(*read(map(json.dumps, entries)))
    assert "| node killed | 3 | – | – | 2.0 / 9.0 (9.0) | – | – |" in text
    assert "A CPU, 2 cores" in text
    document = f"before\n{BEGIN}\nold\n{END}\nbehind\n"
    assert put(text, document) == f"before\n{BEGIN}\n{text}\n{END}\nbehind\n"
    assert put(text, put(text, document)) == put(text, document)
