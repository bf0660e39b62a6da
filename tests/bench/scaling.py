"""The figures of `docs/scaling.md`: how many of what serve so many calls at once.

    python -m tests.bench.fanout                                           # many viewers a call
    python -m tests.bench.fanout --calls 500 --kinds Surtitle --no-ramp --out .cache/bench/few
    python -m tests.bench.shared_load
    python -m tests.bench.scaling --write docs/scaling.md

What a node bears is read from the tables of `docs/sizing.md`.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from tests.bench.scaling_model import GatewayCosts, Model, Shape
from tests.bench.scaling_report import Fleet, text
from tests.bench.sizing import PRICES, write
from tests.recordings import ROOT

_PART = re.compile(r"<!-- figures: (\w+) -->\n(.*?)<!-- end of figures", re.DOTALL)
_ROW = re.compile(r"^\| (\S+) \| (?:at least )?(\d+) \| ", re.MULTILINE)
_MACHINE = re.compile(r"(\d+) cores, \d+ GiB, (?:no GPU|([^,]+)),")


def fleets(sizing: str) -> list[Fleet]:
    """Of the tables in `docs/sizing.md`."""
    found = []
    for _, part in _PART.findall(sizing):
        machine = _MACHINE.search(part)
        if machine:
            on = f"one {machine[2]}" if machine[2] else f"{machine[1]} cores"
            price = PRICES["cuda"] if machine[2] else int(machine[1]) * PRICES["cpu"]
            for name, speaking in _ROW.findall(part):
                found.append(Fleet(f"`{name}` on {on}", int(speaking), price))
    return found


def main() -> None:
    bench = ROOT / ".cache/bench"
    parser = argparse.ArgumentParser(
        prog="tests.bench.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--many", type=Path, default=bench / "fanout.json", metavar="JSON")
    parser.add_argument("--few", type=Path, default=bench / "few/fanout.json", metavar="JSON")
    parser.add_argument("--shared", type=Path, default=bench / "shared.json", metavar="JSON")
    parser.add_argument("--placement", type=Path, default=bench / "placement.json", metavar="JSON")
    parser.add_argument("--sizing", type=Path, default=ROOT / "docs/sizing.md", metavar="FILE")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures in there")
    for name, value in vars(Shape()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    chosen = vars(parser.parse_args())
    runs = {name: json.loads(chosen.pop(name).read_text()) for name in ("many", "few", "shared")}
    placement = chosen.pop("placement")
    if placement.exists():
        runs["placement"] = json.loads(placement.read_text())
    page, found = chosen.pop("write"), fleets(chosen.pop("sizing").read_text())
    model = Model(Shape(**chosen), GatewayCosts.of(runs["many"], runs["few"]), runs["shared"])
    figures = text(model, found, runs)
    if page:
        write(page, "scaling", figures)
    else:
        print(figures)


if __name__ == "__main__":
    main()
