"""What one redis-server and one store bear of what gateways and nodes share.

    python -m tests.bench.shared_load

Two processes do one thing after another as fast as they can, through the very classes that
gateways and nodes use; `redis-server` writes its file each second, as it is to. Both processes
listen to every call meanwhile, as two gateways with viewers in it. Writes `shared.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import redis.asyncio as aioredis
from bson import BSON

from signaling import mongo_documents as documents
from signaling.store_mongo import MongoStore
from tests.bench import machine
from tests.bench.fanout_crowd import Publisher
from tests.bench.fanout_servers import Program, Servers
from tests.mongo import a_database, a_server
from tests.recordings import ROOT
from tests.redis_server import RedisCluster, RedisServer

WORKERS = 2
PEOPLE = 4
BATCHES = (1, 10, 100, 500)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.shared_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each kind of operation")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--summaries", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--nodes", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--finals", type=int, default=1500, help="to the store, for each batch")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache/bench", metavar="FOLDER")
    return parser.parse_args()


class Load:
    """The processes that do it, and what it costs them and Redis."""

    def __init__(self, servers: list[RedisServer], workers: list[Program]) -> None:
        self._redis = [psutil.Process(s.process.pid) for s in servers if s.process]
        self._client = aioredis.Redis(port=servers[0].port, host="127.0.0.1")
        self._workers = workers

    def _cpu_seconds(self) -> tuple[float, float]:
        """Of Redis, all servers together, and of the processes that ask it."""
        redis = sum(sum(process.cpu_times()[:2]) for process in self._redis)
        return redis, sum(worker.cpu_seconds for worker in self._workers)

    async def ask(self, do: str, **order: Any) -> list[Any]:
        return await asyncio.gather(
            *(worker.ask(do=do, worker=n, **order) for n, worker in enumerate(self._workers))
        )

    async def memory_bytes(self) -> int:
        return int((await self._client.info("memory"))["used_memory"])

    async def measure(self, do: str, workers: int = WORKERS, **order: Any) -> dict[str, float]:
        """Operations a second, and microseconds of CPU for each: of Redis and of who asks."""
        chosen = self._workers[:workers]
        before = self._cpu_seconds()
        begun = time.monotonic()
        answers = await asyncio.gather(
            *(worker.ask(do=do, worker=n, **order) for n, worker in enumerate(chosen))
        )
        took = time.monotonic() - begun
        count = sum(answer["count"] for answer in answers)
        busy = [now - was for now, was in zip(self._cpu_seconds(), before, strict=True)]
        found = {
            "count": count,
            "a_second": count / took,
            "redis_us": busy[0] / count * 1e6,
            "redis_cores": busy[0] / took,
            "process_us": busy[1] / count * 1e6,
        }
        size = order.get("calls") or order.get("nodes") or ""
        print(f"{do} {size}: " + ", ".join(f"{k} {v:.2f}" for k, v in found.items()), flush=True)
        return found


async def workers(stack: AsyncExitStack, url: str) -> list[Program]:
    programs = [Program("tests.bench.shared_worker", url) for _ in range(WORKERS)]
    return [await stack.enter_async_context(program) for program in programs]


async def of_redis(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(RedisServer(folder))
        load = Load([server], await workers(stack, server.url))
        found: dict[str, Any] = {}
        empty = await load.memory_bytes()
        await load.ask("open", calls=chosen.calls, people=PEOPLE)
        opened = await load.memory_bytes()
        found["bytes_a_call"] = (opened - empty) / chosen.calls
        alone = await load.measure("partials", calls=chosen.calls, seconds=chosen.seconds / 2)
        await load.ask("listen", calls=chosen.calls)
        times = {"calls": chosen.calls, "seconds": chosen.seconds}
        found["partial"] = await load.measure("partials", **times)
        found["partial_unheard"] = alone
        before = await load.memory_bytes()
        found["final"] = await load.measure("finals", **times)
        found["written"] = await load.measure("written", workers=1)
        grown = await load.memory_bytes() - before
        found["bytes_a_final"] = grown / found["final"]["count"]
        found["change"] = await load.measure("changes", **times)
        found["nodes"] = {}
        for nodes in chosen.nodes:
            asked = {"nodes": nodes, "seconds": chosen.seconds / 2}
            found["nodes"][nodes] = {
                "report": await load.measure("reports", **asked),
                "chores": await load.measure("chores", **asked),
                "reserve": await load.measure("reserves", **asked),
            }
        found["summaries"] = {}
        for calls in sorted(chosen.summaries):
            await load.ask("open", calls=calls, people=PEOPLE)
            asked = {"calls": calls, "seconds": chosen.seconds / 2}
            found["summaries"][calls] = await load.measure("summaries", workers=1, **asked)
    return found


async def of_cluster(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The same captions through three masters, each with a replica: what all six take together."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(RedisCluster(folder))
        load = Load(cluster.servers, await workers(stack, cluster.url))
        await load.ask("open", calls=chosen.calls, people=PEOPLE)
        await load.ask("listen", calls=chosen.calls)
        times = {"calls": chosen.calls, "seconds": chosen.seconds}
        return {
            "masters": len(cluster.servers) // 2,
            "partial": await load.measure("partials", **times),
            "final": await load.measure("finals", **times),
        }


async def of_store(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Finals a second by size of batch, into one store, which is not MongoDB itself."""
    rates: dict[int, float] = {}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(
            a_database(await stack.enter_async_context(a_server(folder)))
        )
        store = await stack.enter_async_context(MongoStore(url))
        calls = [f"call-{n}" for n in range(20)]
        publisher = Publisher(Servers(0, calls))
        for batch in BATCHES:
            finals = [final(publisher, calls, n) for n in range(min(chosen.finals, 200 * batch))]
            begun = time.monotonic()
            for start in range(0, len(finals), batch):
                await store.save_captions(finals[start : start + batch])
            rates[batch] = len(finals) / (time.monotonic() - begun)
            print(f"store, {batch} at once: {rates[batch]:.0f} finals a second", flush=True)
    name = "a server of your own" if os.environ.get("SURTITLE_MONGO") else "SecantusDB"
    last = finals[-1]
    key = {"call": last.call, "feed": last.feed, "utterance": last.utterance}
    size = len(BSON.encode(key | documents.final_fields(last, None, 1)))
    return {"server": name, "finals_a_second": rates, "bytes_a_final": size}


def final(publisher: Publisher, calls: list[str], number: int) -> Any:
    """The next final of some call."""
    call = calls[number % len(calls)]
    while not (caption := publisher.caption(call)).final:
        pass
    seq = publisher.finals[call]
    return replace(caption, start_ms=1000 * seq, end_ms=1000 * seq + 900).numbered(seq)


async def run(chosen: argparse.Namespace) -> dict[str, Any]:
    about = machine.describe("cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[..., Any]] = {
            "redis": of_redis,
            "cluster": of_cluster,
            "store": of_store,
        }
        found = {part: await do(chosen, folder / part) for part, do in parts.items()}
    return {"machine": about, "load_after": os.getloadavg()[0], **found}


def main() -> None:
    chosen = options()
    chosen.out.mkdir(parents=True, exist_ok=True)
    result = asyncio.run(run(chosen))
    (chosen.out / "shared.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
