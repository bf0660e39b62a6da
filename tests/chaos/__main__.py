"""`python -m tests.chaos [--count N] [pytest's arguments]`: the suite, as often as it is asked.

The folder of a round that failed, with the logs of all its processes, is kept. Figures of all
rounds are added to one file, under the conditions of the first; `tests.chaos.figures` has the
tables.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.machine import describe
from tests.chaos.scenario import AT_ONCE
from tests.chaos.stage import FIGURES
from tests.recordings import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.chaos")
    parser.add_argument("--count", type=int, default=1, help="rounds")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "chaos")
    chosen, arguments = parser.parse_known_args()
    figures = chosen.out / "figures.jsonl"
    chosen.out.mkdir(parents=True, exist_ok=True)
    conditions = {"machine": describe("cpu"), "clusters_at_once": AT_ONCE}
    with figures.open("a") as file:
        file.write(json.dumps(conditions) + "\n")
    passed = 0
    for number in range(1, chosen.count + 1):
        begun, folder = time.monotonic(), chosen.out / f"{time.strftime('%m%d-%H%M%S')}-{number}"
        command = [sys.executable, "-m", "pytest", str(Path(__file__).parent), *arguments]
        done = subprocess.run(
            [*command, "--basetemp", str(folder)],
            env=os.environ | {FIGURES: str(figures)},
            check=False,
        )
        if done.returncode == 0:
            passed += 1
            shutil.rmtree(folder, ignore_errors=True)
        took = time.monotonic() - begun
        print(f"round {number}: {took:.0f} s; {passed} of {number} passed", flush=True)
    print(f"figures are in {figures}")
    return 0 if passed == chosen.count else 1


if __name__ == "__main__":
    sys.exit(main())
