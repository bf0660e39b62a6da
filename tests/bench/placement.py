"""Calls over simulated nodes: how fast they are placed, how evenly, and how soon they move.

    python -m tests.bench.placement --calls 1000 --nodes 20 --gateways 2

The gateways' part (lifecycle, keeper) and the nodes (without audio) run in one process against
one redis-server, on the same cores. Each call is begun, joined and placed through one gateway,
`--at-once` at a time. Then, `--rounds` times, a node is drained and another one dies: what is
measured is the time until none of its calls is on it, or on its way, any more. Of a death that
includes the lease, which nobody ends early here.

Writes `placement.json` and `placement.md` to `--out`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bench import machine
from tests.bench.report import table
from tests.recordings import ROOT
from tests.redis_server import RedisServer
from tests.signaling.fleet import Fleet, check_one_owner_at_a_time, fleet

IDLE_SECONDS = 5.0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests.bench.placement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=64, help="calls that begin together")
    parser.add_argument("--rounds", type=int, default=3, help="of a drain and a death")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache/bench", metavar="FOLDER")
    return parser.parse_args()


class Costs:
    """CPU of Redis and of this process, and commands, since it was made."""

    def __init__(self, now: tuple[float, float, float], made: Fleet) -> None:
        self._before = now
        self._made = made
        self._begun = time.monotonic()

    @classmethod
    async def since(cls, made: Fleet) -> Costs:
        return cls(await _used(made), made)

    async def so_far(self) -> dict[str, float]:
        seconds = time.monotonic() - self._begun
        redis, here, commands = (
            now - before for now, before in zip(await _used(self._made), self._before, strict=True)
        )
        return {"seconds": seconds, "redis_cpu": redis, "our_cpu": here, "commands": commands}


async def _used(made: Fleet) -> tuple[float, float, float]:
    link = made.of_nodes.link
    cpu, stats = await link.do("INFO", "cpu"), await link.do("INFO", "stats")
    redis = cpu["used_cpu_sys"] + cpu["used_cpu_user"]
    own = resource.getrusage(resource.RUSAGE_SELF)
    return redis, own.ru_utime + own.ru_stime, stats["total_commands_processed"]


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def spread(placed: Counter[str | None]) -> float:
    """How far the node furthest from the mean is from it, as a share of it."""
    mean = placed.total() / len(placed)
    return max(abs(count - mean) for count in placed.values()) / mean


async def place_all(made: Fleet, calls: int, at_once: int) -> dict[str, Any]:
    """Every second one with somebody who speaks."""
    limit, took = asyncio.Semaphore(at_once), []

    async def begin(n: int) -> None:
        async with limit:
            begun = time.monotonic()
            through = [n % len(made.gateways)]
            await made.begin(f"call-{n}", with_audio=n % 2 == 0, through=through)
            took.append(time.monotonic() - begun)

    costs = await Costs.since(made)
    await asyncio.gather(*(begin(n) for n in range(calls)))
    used = await costs.so_far()
    return {
        "calls": calls,
        "seconds": used["seconds"],
        "placements_a_second": calls / used["seconds"],
        "p50_ms": quantile(took, 0.5) * 1000,
        "p95_ms": quantile(took, 0.95) * 1000,
        "redis_cpu_us_a_call": used["redis_cpu"] / calls * 1e6,
        "our_cpu_us_a_call": used["our_cpu"] / calls * 1e6,
        "commands_a_call": used["commands"] / calls,
        "spread": spread(await made.placed()),
    }


async def idle(made: Fleet) -> dict[str, float]:
    """What it costs that calls are only looked after, and one look of a keeper."""
    costs = await Costs.since(made)
    await asyncio.sleep(IDLE_SECONDS)
    used = await costs.so_far()
    begun = time.monotonic()
    await made.gateways[0].shared.presence.summaries()
    return {
        "redis_cores": used["redis_cpu"] / used["seconds"],
        "our_cores": used["our_cpu"] / used["seconds"],
        "commands_a_second": used["commands"] / used["seconds"],
        "summaries_ms": (time.monotonic() - begun) * 1000,
    }


async def drain(made: Fleet, node: str) -> dict[str, Any]:
    had = (await made.placed())[node]
    begun = time.monotonic()
    await made.gateways[0].shared.registry.drain(node)
    await made.until_left(node)
    seconds = time.monotonic() - begun
    placed = await made.placed()
    lost = made.nodes[node].refused
    return {"calls": had, "seconds": seconds, "spread": spread(placed), "words_lost": lost}


async def death(made: Fleet, node: str) -> dict[str, Any]:
    """It reports no more, and goes on with its calls as if nothing were the matter."""
    had = (await made.placed())[node]
    frozen = made.nodes[node]
    frozen.frozen = True
    begun = time.monotonic()
    await made.until_left(node)
    seconds = time.monotonic() - begun
    spoke = list(frozen.calls)
    await asyncio.gather(*(frozen.speak(call, "what was I saying") for call in spoke))
    return {
        "calls": had,
        "seconds": seconds,
        "spread": spread(await made.placed()),
        "spoke_again": len(spoke),
        "heard_again": len(spoke) - frozen.refused,
    }


async def run(chosen: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {
        "machine": machine.describe("cpu"),
        "setup": {
            name: getattr(chosen, name)
            for name in ("calls", "nodes", "gateways", "at_once", "rounds")
        },
    }
    capacity = 2 * chosen.calls // chosen.nodes + 1
    with tempfile.TemporaryDirectory() as folder:
        async with (
            RedisServer(Path(folder) / "redis") as server,
            fleet(server.url, [capacity] * chosen.nodes, chosen.gateways) as made,
        ):
            result["placing"] = await place_all(made, chosen.calls, chosen.at_once)
            result["idle"] = await idle(made)
            nodes = list(made.nodes)
            rounds = [(nodes[2 * n], nodes[2 * n + 1]) for n in range(chosen.rounds)]
            result["drains"], result["deaths"] = [], []
            for drained, dead in rounds:
                result["drains"].append(await drain(made, drained))
                result["deaths"].append(await death(made, dead))
            check_one_owner_at_a_time(made)
            result["versions_seen"] = len(made.versions)
    return result


def markdown(result: dict[str, Any]) -> str:
    setup, about, placing = result["setup"], result["machine"], result["placing"]
    conditions = (
        f"{setup['calls']} calls on {setup['nodes']} simulated nodes through {setup['gateways']} "
        f"gateways, {setup['at_once']} at once, all in one process beside one redis-server; "
        f"{about['cpu']}, {about['cores']} cores; load before {about['load_before']}; "
        f"{about['date']}, {about['commit']}."
    )
    placed = table(
        ["placing", "a second", "p50 / p95, ms", "Redis CPU, µs a call", "our CPU, µs a call",
         "furthest from the mean"],
        [
            [
                f"{placing['calls']} calls",
                f"{placing['placements_a_second']:.0f}",
                f"{placing['p50_ms']:.0f} / {placing['p95_ms']:.0f}",
                f"{placing['redis_cpu_us_a_call']:.0f}",
                f"{placing['our_cpu_us_a_call']:.0f}",
                f"{placing['spread']:.1%}",
            ]
        ],
    )  # fmt: skip
    rows = [
        [
            name,
            " / ".join(f"{move['calls']}" for move in moves),
            " / ".join(f"{move['seconds']:.1f}" for move in moves),
            f"{max(move['spread'] for move in moves):.1%}",
        ]
        for name, moves in (
            ("a node drains", result["drains"]),
            ("a node dies", result["deaths"]),
        )
    ]
    head = ["moving", "calls it had", "seconds until all had moved", "furthest from the mean"]
    idle = result["idle"]
    again = sum(move["heard_again"] for move in result["deaths"])
    tried = sum(move["spoke_again"] for move in result["deaths"])
    lost = sum(move["words_lost"] for move in result["drains"])
    last = (
        f"Looked after and silent, they cost Redis {idle['redis_cores']:.3f} cores and "
        f"{idle['commands_a_second']:.0f} commands a second. In {result['versions_seen']} versions "
        f"no call had two owners; of {tried} attempts of dead nodes to publish once more {again} "
        f"were heard, of the last words of draining nodes {lost} were lost."
    )
    return "\n\n".join([conditions, placed, table(head, rows), last]) + "\n"


def main() -> None:
    chosen = options()
    chosen.out.mkdir(parents=True, exist_ok=True)
    result = asyncio.run(run(chosen))
    written = [chosen.out / "placement.json", chosen.out / "placement.md"]
    written[0].write_text(json.dumps(result, indent=1) + "\n")
    written[1].write_text(markdown(result))
    print(markdown(result), *written, sep="\n")


if __name__ == "__main__":
    main()
