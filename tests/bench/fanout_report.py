"""The figures of `tests.bench.fanout` as tables and as a chart.

    python -m tests.bench.fanout_report .cache/bench/fanout.json
    python -m tests.bench.fanout_report .cache/bench/fanout.json \\
        --few .cache/bench/few/fanout.json --write docs/benchmarks.md --out docs
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tests.bench.charts import COLORS
from tests.bench.report import table
from tests.bench.sizing import write as put


def one_line(row: dict[str, Any]) -> str:
    """For a reader who waits."""
    return (
        f"{row['offered_a_second']:.0f} deliveries/s, {row['delivered']:.1%} arrived, p50/p95/p99 "
        f"{row['p50_ms']:.1f}/{row['p95_ms']:.1f}/{row['p99_ms']:.1f} ms, cores: servers "
        f"{row['server_cores']:.2f}, clients {row['client_cores']:.2f}"
    )


def most(server: dict[str, Any]) -> dict[str, Any] | None:
    """The highest rate that was sustained."""
    kept = [row for row in server["rates"] if row["sustained"]]
    return max(kept, key=lambda row: row["offered_a_second"], default=None)


def better(rates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By rate; of two attempts at one, that with less delay."""
    found: dict[float, dict[str, Any]] = {}
    for row in sorted(rates, key=lambda row: (row["rate"], row["p95_ms"])):
        found.setdefault(round(row["rate"]), row)
    return list(found.values())


def markdown(*results: dict[str, Any]) -> str:
    return "\n\n".join(part for result in results for part in parts(result)) + "\n"


def parts(result: dict[str, Any]) -> list[str]:
    """The paragraphs of one run."""
    setup, about = result["setup"], result["machine"]
    conditions = (
        f"{setup['sockets']} sockets in {setup['calls']} calls on {setup['gateways']} servers; "
        f"{about['cpu']}, {about['cores']} cores shared by servers, clients, who publishes, Redis "
        f"and the store; load before {about['load_before']}; {about['date']}, commit "
        f"{about['commit']}."
    )
    deaths = [
        f"A gateway killed at {setup['rate']:.0f} deliveries a second: its {died['sockets']} "
        f"sockets had everything again after {died['p50_seconds']:.1f} s (p50), "
        f"{died['p95_seconds']:.1f} s (p95), {died['all_seconds']:.1f} s (all). Of "
        f"{died['finals_published']} finals since the start {died['finals_missing']} were missing "
        f"at a viewer and {died['finals_doubled']} doubled, and {died['finals_unkept']} were not "
        "in the store exactly once."
        for server in result["servers"]
        if (died := server.get("death"))
    ]
    below = [
        f"Behind {server['kind']}, at {row['offered_a_second']:.0f} deliveries a second: "
        f"redis-server {row['redis_cores']:.3f} cores, the store {row['store_cores']:.3f}."
        for server in result["servers"]
        if "redis_cores" in (row := server["rates"][0])
    ]
    return [conditions, delays(result), *deaths, *below]


def delays(result: dict[str, Any]) -> str:
    head = ["server", "deliveries a second", "delay p50 / p95 / p99, ms", "CPU, cores"]
    head += ["most sustained a second", "CPU µs a delivery there", "KiB a socket", "under load"]
    lines = []
    for server in result["servers"]:
        row, best = server["rates"][0], most(server)
        lines.append(
            [
                server["kind"],
                f"{row['offered_a_second']:.0f}",
                " / ".join(f"{row[f'p{q}_ms']:.1f}" for q in (50, 95, 99)),
                f"{row['server_cores']:.2f}",
                f"{best['offered_a_second']:.0f}" if best else "–",
                f"{best['server_cores'] / best['offered_a_second'] * 1e6:.0f}" if best else "–",
                f"{server['kib_a_socket']:.0f}",
                f"{server['kib_a_socket_loaded']:.0f}",
            ]
        )
    return table(head, lines)


def draw(result: dict[str, Any], path: Path) -> Path:
    """Delay over the rate, CPU over the rate, memory a socket."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (delay, cpu, memory) = plt.subplots(
        1, 3, figsize=(12, 3.8), width_ratios=(2, 2, 1), layout="constrained"
    )
    for server, color in zip(result["servers"], COLORS, strict=False):
        rows = better(server["rates"])
        rates = [row["offered_a_second"] / 1000 for row in rows]
        name = server["kind"]
        delay.plot(rates, [row["p95_ms"] for row in rows], "-o", color=color, label=name)
        delay.plot(rates, [row["p50_ms"] for row in rows], "--", color=color, linewidth=1)
        cpu.plot(rates, [row["server_cores"] for row in rows], "-o", color=color)
        bar = memory.bar(name, server["kib_a_socket_loaded"], color=color)
        memory.bar_label(bar, fmt="%.0f")
    delay.axhline(50, color="#444444", linewidth=1, linestyle=":")
    delay.set_yscale("log")
    delay.set_title("delivery delay, ms: p95, and p50 dashed", fontsize=11)
    cpu.set_title("cores busy in the servers", fontsize=11)
    memory.set_title("KiB a socket", fontsize=11)
    memory.set_xticks([])
    for axes in (delay, cpu):
        axes.set_xlabel("deliveries a second, thousands")
        axes.grid(alpha=0.3)
    for axes in (delay, cpu, memory):
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def write(result: dict[str, Any], folder: Path) -> list[Path]:
    """Table and chart; the files."""
    text = folder / "fanout.md"
    text.write_text(markdown(result))
    return [text, draw(result, folder / "fanout.png")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.bench.fanout_report")
    parser.add_argument("json", type=Path)
    parser.add_argument("--few", type=Path, metavar="JSON", help="a run with few viewers a call")
    parser.add_argument("--out", type=Path, help="a folder; that of the JSON else")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures in there")
    chosen = parser.parse_args()
    result = json.loads(chosen.json.read_text())
    if chosen.write:
        few = [json.loads(chosen.few.read_text())] if chosen.few else []
        put(chosen.write, "fanout", markdown(result, *few).strip())
        draw(result, (chosen.out or chosen.json.parent) / "fanout.png")
    else:
        print(*write(result, chosen.out or chosen.json.parent), sep="\n")


if __name__ == "__main__":
    main()
