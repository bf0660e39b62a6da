"""A process that does what gateways and nodes do with Redis, for `tests.bench.shared_load`.

Orders are lines of JSON on standard input, each answered by one on standard output.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from captions.types import SPOKEN
from signaling.messages import Participant
from signaling.redis.bus import RedisBus
from signaling.redis.hub import Hub
from signaling.redis.link import Link
from signaling.redis.presence import RedisPresence
from signaling.redis.registry import RedisRegistry
from signaling.registry import NodeStatus
from signaling.seal import Seal
from signaling.shared_call import Person, SharedCall, placed, with_person
from signaling.store import CallRecord
from signaling.transcripts import BATCH
from tests.bench.fanout_crowd import PARTIALS_A_FINAL, Publisher
from tests.bench.fanout_servers import Servers

EPOCH = 1
AT_ONCE = 24
"""Operations under way in each process."""


class Worker:
    def __init__(self, link: Link, hub: Hub, tasks: asyncio.TaskGroup) -> None:
        self._bus = RedisBus(link, hub)
        self._presence = RedisPresence(link, hub, Seal("secret"))
        self._registry = RedisRegistry(link, lease_seconds=600.0)
        self._tasks = tasks
        captions = Publisher(Servers(0, ["c"]))
        made = [captions.caption("c") for _ in range(PARTIALS_A_FINAL + 1)]
        self._partials, self._final = made[:-1], made[-1]

    async def open(self, worker: int, calls: int, people: int) -> dict[str, Any]:
        """Those calls of them that are this worker's."""
        for n in range(worker, calls, 2):
            call = f"call-{n}"

            def begun(now: SharedCall | None, call: str = call) -> SharedCall:
                if now:
                    return now
                shared = placed(SharedCall(CallRecord(call, 1)), f"node-{len(call)}", EPOCH)
                for p in range(people):
                    who = Participant(id=f"p-{p}-{call}", name="Anna Example", language="auto")
                    shared = with_person(shared, Person(who, f"gateway-{p % 2}", f"socket-{p}"))
                return shared

            await self._presence.change(call, begun)
            await self._bus.open_call(call, EPOCH, {})
        return {}

    async def listen(self, worker: int, calls: int) -> dict[str, Any]:
        """As a gateway that has viewers in all of them."""
        ready = asyncio.Semaphore(0)

        async def follow(call: str) -> None:
            async with self._bus.listen(call, SPOKEN) as captions:
                ready.release()
                async for _ in captions:
                    pass

        for n in range(calls):
            self._tasks.create_task(follow(f"call-{n}"))
            await ready.acquire()
        return {}

    async def partials(self, worker: int, calls: int, seconds: float) -> dict[str, Any]:
        async def publish(n: int) -> None:
            partial = self._partials[n // calls % PARTIALS_A_FINAL]
            await self._bus.publish_partial(
                EPOCH, replace(partial, call=f"call-{n % calls}", utterance=f"w-{worker}")
            )

        return await self._while(seconds, publish)

    async def finals(self, worker: int, calls: int, seconds: float) -> dict[str, Any]:
        async def publish(n: int) -> None:
            await self._bus.publish_final(
                EPOCH, replace(self._final, call=f"call-{n % calls}", utterance=f"u-{worker}-{n}")
            )

        return await self._while(seconds, publish)

    async def written(self, worker: int) -> dict[str, Any]:
        """Take all finals as a writer does, and acknowledge them."""
        count = 0
        while batch := await self._bus.unwritten(BATCH):
            await self._bus.acknowledge(entry.entry for entry in batch)
            count += len(batch)
        return {"count": count}

    async def changes(self, worker: int, calls: int, seconds: float) -> dict[str, Any]:
        """Somebody's audio begins or ceases: each worker in calls of its own."""

        async def change(n: int) -> None:
            call = f"call-{(2 * n + worker) % calls}"

            def toggled(now: SharedCall | None) -> SharedCall:
                assert now
                person = now.people[f"p-0-{call}"]
                who = replace(person.participant, publishing=not person.participant.publishing)
                return with_person(now, replace(person, participant=who))

            await self._presence.change(call, toggled)

        return await self._while(seconds, change)

    async def reports(self, worker: int, nodes: int, seconds: float) -> dict[str, Any]:
        """All nodes are there after this, whatever the seconds."""

        async def report(n: int) -> None:
            at = f"http://10.0.0.{n % 250}:8081"
            await self._registry.report(NodeStatus(f"node-{n % nodes}", 10_000, n % 7, url=at))

        first = range(worker, nodes, 2)
        for n in first:
            await report(n)
        return {"count": len(first) + (await self._while(seconds, report))["count"]}

    async def chores(self, worker: int, nodes: int, seconds: float) -> dict[str, Any]:
        """What each gateway does twice a second, but for the summaries; see `Gateway`, `Keeper`."""

        async def once(n: int) -> None:
            await self._registry.report_gateway(f"gateway-{worker}")
            for _ in range(3):
                await self._registry.nodes()
            for _ in range(2):
                await self._registry.gateways()
                await self._registry.lead(f"gateway-{worker}")

        return await self._while(seconds, once, at_once=2)

    async def reserves(self, worker: int, nodes: int, seconds: float) -> dict[str, Any]:
        async def reserve(n: int) -> None:
            await self._registry.give_back(await self._registry.reserve())

        return await self._while(seconds, reserve)

    async def summaries(self, worker: int, calls: int, seconds: float) -> dict[str, Any]:
        """What the gateway that leads reads to look after all calls."""

        async def look(n: int) -> None:
            assert len(await self._presence.summaries()) >= calls

        await look(0)
        return await self._while(seconds, look, at_once=1)

    async def _while(
        self, seconds: float, do: Callable[[int], Awaitable[None]], at_once: int = AT_ONCE
    ) -> dict[str, Any]:
        numbers = itertools.count()
        until = time.monotonic() + seconds
        done = 0

        async def one() -> None:
            nonlocal done
            while time.monotonic() < until:
                await do(next(numbers))
                done += 1

        await asyncio.gather(*(one() for _ in range(at_once)))
        return {"count": done}


async def main() -> None:
    reader = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Link(sys.argv[1]) as link, Hub(link) as hub, asyncio.TaskGroup() as tasks:
        worker = Worker(link, hub, tasks)
        while line := await reader.readline():
            order = json.loads(line)
            print(json.dumps(await getattr(worker, order.pop("do"))(**order)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
