"""The figures of many rounds of chaos as a table, for `docs/reliability.md`.

python -m tests.chaos.figures .cache/chaos/figures.jsonl [--write docs/reliability.md]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.bench.report import table

BEGIN, END = "<!-- figures: chaos -->", "<!-- end of figures: chaos -->"

COLUMNS = {
    "noticed_seconds": "`recovering` is told",
    "live_seconds": "`live` again",
    "captions_seconds": "the next words are on the screen",
    "written_seconds": "all is written",
    "ended_seconds": "the process has ended",
}


def read(lines: Iterable[str]) -> tuple[dict[str, Any], dict[str, dict[str, list[float]]]]:
    """The conditions of the newest run, and all values by scenario and name."""
    conditions: dict[str, Any] = {}
    values: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        entry = json.loads(line)
        if "machine" in entry:
            conditions = entry
            continue
        for name in COLUMNS:
            if name in entry:
                values[entry["scenario"]][name].append(entry[name])
    return conditions, {scenario: dict(names) for scenario, names in values.items()}


def quantile(values: list[float], share: float) -> float:
    """The smallest value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def markdown(conditions: dict[str, Any], values: dict[str, dict[str, list[float]]]) -> str:
    about = conditions["machine"]
    rows = []
    for scenario in sorted(values):
        names = values[scenario]
        rows.append(
            [
                scenario,
                str(max(len(found) for found in names.values())),
                *(_shown(names.get(name, [])) for name in COLUMNS),
            ]
        )
    head = ["what dies", "times", *(f"{text}, s" for text in COLUMNS.values())]
    return (
        f"`make chaos`, {about['date']}, commit {about['commit']}: {about['cpu']}, "
        f"{about['cores']} cores, {about['memory_gib']} GiB, {about['os']}, Python "
        f"{about['python']}; load before {about['load_before']}. Up to "
        f"{conditions['clusters_at_once']} clusters with their speakers share the cores. Seconds "
        "from the signal, or from when what was away is back; p50 / p95 (most).\n\n"
        + table(head, rows)
    )


def _shown(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{statistics.median(values):.1f} / {quantile(values, 0.95):.1f} ({max(values):.1f})"


def put(text: str, document: str) -> str:
    """The document with these figures between its marks."""
    before, mark, rest = document.partition(BEGIN)
    _, end, behind = rest.partition(END)
    assert mark, f"no {BEGIN}"
    assert end, f"no {END}"
    return f"{before}{BEGIN}\n{text.rstrip()}\n{END}{behind}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.chaos.figures")
    parser.add_argument("jsonl", type=Path)
    parser.add_argument("--write", type=Path, help="the document that gets them")
    chosen = parser.parse_args()
    text = markdown(*read(chosen.jsonl.read_text().splitlines()))
    print(text)
    if chosen.write:
        chosen.write.write_text(put(text, chosen.write.read_text()))


if __name__ == "__main__":
    main()
