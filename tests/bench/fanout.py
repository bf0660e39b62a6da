"""Captions to thousands of sockets: delay, the most a machine sustains, memory, recovery.

    python -m tests.bench.fanout --sockets 2000 --calls 20 --gateways 2 --rate 2000

Viewers (`tests/light.py`, in processes of their own, on the same cores) watch calls on two
gateways, which stand on a redis-server and a server of MongoDB's protocol; captions are
published at a steady rate, a final in every nine. Beside it, in the same run, bare
python-socketio servers send the same captions to as many sockets: to clients that offer
compression, as browsers do, and to clients that do not. At the end one of our gateways is
killed: its viewers connect to another one and ask for what they missed.

Writes `fanout.json`, `fanout.md` and `fanout.png` to `--out`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.bench import fanout_report, machine
from tests.bench.fanout_cluster import Cluster
from tests.bench.fanout_crowd import Crowd, Publisher, quantile_ms
from tests.bench.fanout_servers import Program, Servers
from tests.light import BROWSER_OFFER
from tests.recordings import ROOT

KINDS = {
    "Surtitle": (Cluster, BROWSER_OFFER),
    "python-socketio": (Servers, BROWSER_OFFER),
    "python-socketio, uncompressed": (Servers, ""),
}

DEATH_SECONDS = 12.0
"""How long captions are published around a gateway's death, which comes after a quarter."""

IDLE_SECONDS = 5.0

LATEST_P95_MS = 50.0
WHOLE = 0.98
"""Share of deliveries that must arrive within the window for a rate to be sustained."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests.bench.fanout",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sockets", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--rate", type=float, default=2000.0, help="deliveries a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="at that rate")
    parser.add_argument("--step", type=float, default=6.0, help="seconds of each higher rate")
    parser.add_argument("--clients", type=int, default=2, help="processes of clients")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--no-ramp", action="store_true", help="that rate only")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache/bench", metavar="FOLDER")
    return parser.parse_args()


async def at_rate(
    servers: Servers, crowd: Crowd, publisher: Publisher, rate: float, seconds: float
) -> dict[str, Any]:
    """Publish at `rate` deliveries a second; what became of it."""
    viewers = Counter(call for _, _, call in crowd.sockets)
    captions_a_second = rate * len(servers.calls) / len(crowd.sockets)
    await crowd.ask("begin")
    before = servers.cpu_seconds() | {"client": crowd.cpu_seconds}
    begun = time.monotonic()
    published = await publisher.run(captions_a_second, seconds)
    took = time.monotonic() - begun
    await asyncio.sleep(0.25)
    after = servers.cpu_seconds() | {"client": crowd.cpu_seconds}
    bins, faults = await crowd.delays()
    offered = sum(count * viewers[call] for call, count in published.items())
    delivered = sum(bins.values())
    row = {
        "rate": rate,
        "offered_a_second": offered / took,
        "delivered": delivered / offered,
        **{f"p{q}_ms": quantile_ms(bins, q / 100) for q in (50, 95, 99)},
        "longest_ms": quantile_ms(bins, 1.0),
        "captions_a_second": published.total() / took,
        "machine_load": os.getloadavg()[0],
        **{f"{name}_cores": (after[name] - was) / took for name, was in before.items()},
        **faults,
    }
    row["sustained"] = (
        row["delivered"] >= WHOLE
        and row["p95_ms"] <= LATEST_P95_MS
        and row["offered_a_second"] >= WHOLE * rate
    )
    return row


async def ramp(servers: Servers, crowd: Crowd, publisher: Publisher, rate: float, step: float):
    """Ever higher rates until one is not sustained; then once between the last two."""
    rows, factor = [], 1.5
    while factor > 1.1:
        for _ in range(2):  # a second chance: something else may have had the cores
            row = await at_rate(servers, crowd, publisher, rate * factor, step)
            rows.append(row)
            print("  " + fanout_report.one_line(row), flush=True)
            if row["sustained"]:
                rate *= factor
                break
            await settle(crowd)
        if not row["sustained"] or factor < 1.5:
            factor = factor**0.5
    return rows


async def settle(crowd: Crowd) -> None:
    """Until nothing more arrives."""
    before = -1
    while (now := sum((await crowd.delays())[0].values())) != before:
        before = now
        await asyncio.sleep(1.0)


async def death(servers: Cluster, crowd: Crowd, publisher: Publisher, rate: float):
    """Kill one gateway under load; when its viewers had everything, and whether all have."""
    doomed, safe = servers.urls[0], servers.urls[-1]
    fleeing = sum(url == doomed for _, url, _ in crowd.sockets)
    await crowd.ask("flee", url=safe)
    publishing = asyncio.create_task(
        publisher.run(rate * len(servers.calls) / len(crowd.sockets), DEATH_SECONDS)
    )
    await asyncio.sleep(DEATH_SECONDS / 4)
    process = servers.programs[0].process
    assert process
    killed = time.monotonic()
    process.send_signal(signal.SIGKILL)
    await publishing
    back = sorted(t - killed for a in await crowd.ask("returned") for t in a["back"])
    await asyncio.sleep(2.0)
    answers = await crowd.ask("seqs")
    incomplete = sum(
        seq != publisher.finals[call] for a in answers for call, seq in a["least"].items()
    )
    return {
        "sockets": fleeing,
        "back": len(back),
        "p50_seconds": back[len(back) // 2],
        "p95_seconds": back[int(len(back) * 0.95)],
        "all_seconds": back[-1],
        "finals_missing": sum(a["missing"] for a in answers) + incomplete,
        "finals_doubled": sum(a["doubled"] for a in answers),
        "finals_published": publisher.finals.total(),
        "finals_unkept": await servers.unkept(publisher.finals),
    }


async def warm(servers: Servers, publisher: Publisher, offer: str) -> None:
    """Load and allocate what the first clients need, so that memory is that of the others."""
    sockets = [(n, url, call) for n, url in enumerate(servers.urls) for call in servers.calls[:5]]
    async with Program("tests.bench.fanout_clients") as program:
        crowd = Crowd([program], sockets)
        await crowd.connect(servers, offer)
        await publisher.run(100.0, 1.0)
        await crowd.ask("close")
    await asyncio.sleep(1.0)


async def measure(kind: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """All of one kind of server."""
    make, offer = KINDS[kind]
    calls = [f"call-{n}" for n in range(chosen.calls)]
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(make(chosen.gateways, calls))
        publisher = Publisher(servers)
        await warm(servers, publisher, offer)
        empty = sum(p.memory_bytes for p in servers.programs)
        programs = [
            await stack.enter_async_context(Program("tests.bench.fanout_clients"))
            for _ in range(chosen.clients)
        ]
        urls = servers.urls
        sockets = [
            (n, urls[n // chosen.calls % len(urls)], calls[n % chosen.calls])
            for n in range(chosen.sockets)
        ]
        crowd = Crowd(programs, sockets)
        begun, before = time.monotonic(), servers.cpu_seconds()["server"]
        await crowd.connect(servers, offer)
        connecting = time.monotonic() - begun
        connecting_cpu = servers.cpu_seconds()["server"] - before
        await asyncio.sleep(2.0)
        before = servers.cpu_seconds()["server"]
        await asyncio.sleep(IDLE_SECONDS)
        idle_cores = (servers.cpu_seconds()["server"] - before) / IDLE_SECONDS
        idle = sum(p.memory_bytes for p in servers.programs)
        row = await at_rate(servers, crowd, publisher, chosen.rate, chosen.seconds)
        print(f"{kind}\n  " + fanout_report.one_line(row), flush=True)
        loaded = sum(p.memory_bytes for p in servers.programs)
        found = {
            "kind": kind,
            "connecting_seconds": connecting,
            "connecting_cpu_ms": connecting_cpu / chosen.sockets * 1000,
            "idle_cores": idle_cores,
            "mib_a_server": empty / chosen.gateways / 2**20,
            "kib_a_socket": (idle - empty) / chosen.sockets / 1024,
            "kib_a_socket_loaded": (loaded - empty) / chosen.sockets / 1024,
            "rates": [row],
        }
        if not chosen.no_ramp:
            found["rates"] += await ramp(servers, crowd, publisher, chosen.rate, chosen.step)
            await settle(crowd)
        if isinstance(servers, Cluster) and chosen.gateways > 1:
            found["death"] = await death(servers, crowd, publisher, chosen.rate)
            print(f"  killed: {found['death']}", flush=True)
    return found


async def run(chosen: argparse.Namespace) -> dict[str, Any]:
    about = machine.describe("cpu")
    names = ("sockets", "calls", "gateways", "rate", "seconds", "step", "clients")
    result = {
        "machine": about,
        "setup": {name: getattr(chosen, name) for name in names},
        "servers": [],
    }
    for kind in chosen.kinds:
        result["servers"].append(await measure(kind, chosen))
        (chosen.out / "fanout.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def main() -> None:
    chosen = options()
    chosen.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    result = asyncio.run(run(chosen))
    print("\n" + fanout_report.markdown(result))
    written = fanout_report.write(result, chosen.out)
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes;", *written, file=sys.stderr)


if __name__ == "__main__":
    main()
