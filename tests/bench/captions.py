"""Delay, accuracy and cost of captions on this machine: `make bench`.

Real participants (aiortc, over ICE, DTLS and SRTP on 127.0.0.1) speak recordings in real
time, all at once, to a server of its own for each row; what arrives over Socket.IO is
compared with what was said and when. Beside it faster-whisper itself, offline, on the same
files. Human recordings where the folder beside the repository is there, else our own voices.

    make bench ARGS="--model tiny.en --speakers 1 4"

Writes `captions.json`, `captions.md` and charts to `--out`; a row that is done is kept if
the rest is interrupted. `python -m tests.bench.report captions.json` draws them again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from captions import models
from tests.bench import live, machine, offline, report
from tests.bench.figures import Figures
from tests.bench.participants import english
from tests.peer import RATE
from tests.recordings import ROOT, Recording, human_voices, our_voices, read_manifest


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        nargs="+",
        default=["tiny.en", "base"],
        metavar="NAME",
        help="what `surtitle run --model` takes; LIVE+FINAL for another model for finals",
    )
    parser.add_argument("--final-model", default="", help="for finals, of every --model")
    parser.add_argument("--speakers", nargs="+", type=int, default=[1, 2, 4, 8, 16], metavar="N")
    parser.add_argument(
        "--loss", nargs="+", type=float, default=[0.0], metavar="SHARE", help="of packets, seeded"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--seconds", type=float, default=48.0, help="of speech a participant, at most"
    )
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="FOLDER",
        help="recordings in English of your own, with a manifest.json like surtitle/voices",
    )
    parser.add_argument("--out", type=Path, default=ROOT / ".cache/bench", metavar="FOLDER")
    return parser.parse_args()


def setups(chosen: argparse.Namespace) -> list[live.Setup]:
    """Every model with every number of speakers and every loss."""
    found = []
    for name in chosen.model:
        first, plus, last = name.rpartition("+")
        model, final = (first, last) if plus and first and last else (name, chosen.final_model)
        model, _ = models.choose(model, chosen.device)
        found += [
            live.Setup(model, final, speakers, loss, chosen.device)
            for speakers in chosen.speakers
            for loss in chosen.loss
        ]
    return found


def speech(folder: Path | None) -> tuple[str, list[Recording]]:
    """What to say, and what kind of recordings that is."""
    if folder:
        return "recordings of the operator's", read_manifest(folder)
    human = human_voices()
    return ("human recordings", human) if human else ("our own voices", our_voices())


async def measure(chosen: argparse.Namespace) -> Figures:
    kind, voices = speech(chosen.speech)
    recordings = english(voices, chosen.seconds)
    about = machine.describe(chosen.device) | {"recordings": kind}
    figures = Figures(about, [], [])
    print(*(f"{name}: {value}" for name, value in about.items() if value != ""), sep="; ")
    said = [(recording, recording.pcm(RATE)) for recording in recordings]
    todo = setups(chosen)
    seconds = sum(recording.seconds for recording in recordings)
    print(f"{len(todo)} runs, some {len(todo) * (seconds + 25) / 60:.0f} minutes", flush=True)
    for model in dict.fromkeys(name for s in todo for name in (s.model, s.final_model) if name):
        figures.references.append(offline.measure(model, chosen.device, recordings))
        print(report.one_line_offline(figures.references[-1]), flush=True)
        figures.write(chosen.out / "captions.json")
    for number, setup in enumerate(todo, 1):
        row = await live.run(setup, said)
        figures.rows.append(row)
        print(f"{number}/{len(todo)} {report.one_line(figures, row)}", flush=True)
        figures.write(chosen.out / "captions.json")
    return figures


def main() -> None:
    chosen = options()
    chosen.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    figures = asyncio.run(measure(chosen))
    print("\n" + report.markdown(figures))
    written = report.write(figures, chosen.out)
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes;", *written, file=sys.stderr)


if __name__ == "__main__":
    main()
