"""The figures of `docs/sizing.md`, from what `make bench` measured.

    python -m tests.bench.sizing .cache/bench/captions.json
    python -m tests.bench.sizing .cache/bench/captions.json --write docs/sizing.md

A run on CUDA goes to the part on GPUs, one on a CPU to the part on CPUs.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import TARGETS, Figures, Row, read
from tests.bench.report import conditions, number, overload, pair, table

PRICES = {"cpu": 0.04, "cuda": 1.0}
"""Per core-hour and per GPU-hour; examples, nobody's offer."""


@dataclass(frozen=True)
class Assumptions:
    """`price` is for an hour of a unit: a core, or a GPU with its machine.

    `overlap` is the share of the time in which a second person speaks, `busy` the share of
    what a machine can do that is planned with.
    """

    price: float
    participants: int = 4
    overlap: float = 0.1
    busy: float = 0.6

    @property
    def share(self) -> float:
        """Of the time that one participant speaks."""
        return (1 + self.overlap) / self.participants

    def participant_hour(self, speakers_a_unit: float) -> float:
        """What captioning one participant for an hour costs."""
        return self.price * self.share / (speakers_a_unit * self.busy)


@dataclass(frozen=True)
class Size:
    """What one model bears: `row` at the most speakers that still met the targets.

    `row` is None where even the fewest did not; `open_ended` where more were not measured.
    """

    name: str
    row: Row | None
    open_ended: bool
    units: int

    @property
    def speakers_a_unit(self) -> float:
        """Speaking at once, for each core or GPU."""
        return self.row.speakers / self.units if self.row else 0.0


def sizes(figures: Figures) -> list[Size]:
    """Of each model; runs under the least loss count."""
    units = 1 if on_gpu(figures) else figures.machine["cores"]
    found = []
    for name in dict.fromkeys(row.name for row in figures.plain):
        own = [row for row in figures.plain if row.name == name]
        own.sort(key=lambda row: row.speakers)
        good = None
        for row in own:  # a lucky run behind one that failed is no promise
            if not row.kept_up:
                break
            good = row
        found.append(Size(name, good, good is own[-1], units))
    return found


def on_gpu(figures: Figures) -> bool:
    return bool(figures.machine["device"] == "cuda")


def text(figures: Figures, assumed: Assumptions) -> str:
    unit = "GPU" if on_gpu(figures) else "core"
    found = sizes(figures)
    parts = [conditions(figures), size_table(found, assumed, unit), formula(assumed, unit)]
    thumbs = rules_of_thumb(figures, [size for size in found if size.row], assumed)
    return "\n\n".join([*parts, *(["\n".join(thumbs)] if thumbs else [])])


def size_table(found: list[Size], assumed: Assumptions, unit: str) -> str:
    target = TARGETS["word_delay_p95"]
    head = ["model", f"speaking at once within {target} s", f"a {unit}", "word delay p50 / p95, s"]
    head += ["WER", "CPU s a minute of speech", "memory, MiB", "overload declared"]
    head += ["a participant-hour (example price)"]
    lines = []
    for size in found:
        row = size.row
        if row is None:
            lines.append([size.name, "none", *["–"] * (len(head) - 2)])
            continue
        at_least = "at least " if size.open_ended else ""
        lines.append(
            [
                size.name,
                f"{at_least}{row.speakers}",
                f"{at_least}{size.speakers_a_unit:g}",
                pair(row.word_delay_p50, row.word_delay_p95),
                number(row.wer, 3),
                number(60 * row.cores_a_speaker, 1),
                str(row.server_memory_mib + row.recognizer_memory_mib),
                overload(row),
                f"${assumed.participant_hour(size.speakers_a_unit):.4f}",
            ]
        )
    return table(head, lines)


def formula(assumed: Assumptions, unit: str) -> str:
    return (
        f"    a participant-hour = price of a {unit}-hour × share of the time a participant "
        f"speaks\n                         ÷ (speaking at once a {unit} × planned load)\n\n"
        f"Here: **an example price** of ${assumed.price:g} a {unit}-hour (put in yours); calls of "
        f"{assumed.participants} in which a second person speaks {assumed.overlap:.0%} of the "
        f"time, so each speaks (1 + {assumed.overlap:g}) / {assumed.participants} = "
        f"{assumed.share:.0%} of it; machines planned to be {assumed.busy:.0%} full."
    )


def rules_of_thumb(figures: Figures, found: list[Size], assumed: Assumptions) -> list[str]:
    """What follows from the figures, in sentences."""
    lines = []
    for size in found:
        row = size.row
        assert row
        bears = f"at least {row.speakers}" if size.open_ended else str(row.speakers)
        calls = math.floor(row.speakers * assumed.busy / (assumed.share * assumed.participants))
        plan = (
            f"plan {calls} calls of {assumed.participants} at once" if calls > 1 else "plan 1 call"
        )
        if not calls:
            plan = "that leaves no reserve even for one call"
        lines.append(
            f"- `{size.name}`: this machine bears {bears} speaking at the same moment: {plan}. "
            f"Somebody who speaks takes {row.cores_a_speaker:.2f} cores, participants' own aside."
        )
    if figures.plain and not on_gpu(figures):
        most = max(row.server_cpu_seconds / row.speech_seconds for row in figures.plain)
        lines.append(
            f"- Beside the recognizer, a speaker takes up to {most:.3f} of the one core that the "
            f"server's own process can use: some {math.floor(assumed.busy / most)} at once fill "
            f"it to {assumed.busy:.0%}, whatever the model and however many cores there are."
        )
    return lines


def write(path: Path, device: str, figures: str) -> None:
    """Put the figures between the marks of that device; ValueError where there are none."""
    begin, end = f"<!-- figures: {device} -->", f"<!-- end of figures: {device} -->"
    before, _, rest = path.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{path} has no {begin} … {end}")
    path.write_text(f"{before}{begin}\n{figures}\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench.sizing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("json", type=Path)
    parser.add_argument("--price", type=float, help="dollars for an hour of a core, or a GPU")
    parser.add_argument("--participants", type=int, default=4, help="of a call")
    parser.add_argument("--overlap", type=float, default=0.1, help="share that two speak at once")
    parser.add_argument("--busy", type=float, default=0.6, help="share of a machine planned with")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures in there")
    chosen = parser.parse_args()
    figures = read(chosen.json)
    device = figures.machine["device"]
    price = PRICES[device] if chosen.price is None else chosen.price
    assumed = Assumptions(price, chosen.participants, chosen.overlap, chosen.busy)
    found = text(figures, assumed)
    if chosen.write:
        write(chosen.write, device, found)
    else:
        print(found)


if __name__ == "__main__":
    main()
