"""Thousands of viewers in one process, for `tests.bench.fanout`: orders in, figures out.

Orders are lines of JSON on standard input, each answered by one on standard output. Times are
of CLOCK_MONOTONIC, which all processes of a machine share; every caption carries the time it
was published at, in microseconds, in its `start_ms`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import re
import resource
import sys
import time
from collections import Counter
from typing import Any

from tests.light import LightClient

BINS_A_SECOND = 10_000
_ABOUT = re.compile(rb'"seq": ?(null|\d+), ?"start_ms": ?(\d+)')
_CONNECTING_AT_ONCE = 64


class Viewer:
    """One socket that watches one call, and comes back to another gateway when it is lost."""

    def __init__(self, all_viewers: Viewers, number: int, call: str, token: str | None) -> None:
        self._all = all_viewers
        self._number = number
        self._token = token
        self._held: list[bytes] | None = None
        self._answered = 0  # the newest final of the answer: it may come once more behind that
        self.call = call
        self.seq = 0
        self.client: LightClient | None = None

    async def connect(self, url: str) -> None:
        """What arrives before the answer is read behind it, as in any client.

        A final that is in the answer may be published just then: it comes again, with the same
        key and revision, which changes nothing for a client.
        """
        self._held = []
        self.client = await LightClient.connect(
            url, self._hear, self._lost, offer=self._all.offer, token=self._token
        )
        answer = await self.client.ask("call:watch", {"call": self.call, "since": self.seq})
        if not answer["ok"]:
            raise ConnectionError(answer["error"]["code"])
        for caption in answer.get("captions", ()):
            self._final(caption["seq"])
        self._answered = self.seq
        held, self._held = self._held, None
        for event in held:
            self._hear(event)

    def _hear(self, event: bytes) -> None:
        if not event.startswith(b'["caption"'):
            return
        if self._held is not None:
            self._held.append(event)
            return
        about = _ABOUT.search(event)
        assert about, event[:300]
        self._all.delays[
            (time.monotonic_ns() // 1000 - int(about[2])) * BINS_A_SECOND // 1_000_000
        ] += 1
        if about[1] != b"null" and int(about[1]) > self._answered:
            self._final(int(about[1]))

    def _final(self, seq: int) -> None:
        if seq <= self.seq:
            self._all.doubled += 1
        elif seq > self.seq + 1 and self.seq:
            self._all.missing += seq - self.seq - 1
        self.seq = max(self.seq, seq)

    def _lost(self) -> None:
        self.client = None
        if self._all.refuge:
            self._all.returning.append(asyncio.create_task(self._return(self._all.refuge)))
        else:
            self._all.lost += 1

    async def _return(self, url: str) -> None:
        """With Socket.IO's own delays: 1 s, then 2, 4 and 5, each more or less half of it."""
        delay = 1.0
        while True:
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            with contextlib.suppress(ConnectionError, OSError):
                await self.connect(url)
                break
            delay = min(5.0, 2 * delay)
        self._all.back.append(time.monotonic())


class Viewers:
    """All of this process."""

    def __init__(self) -> None:
        self.offer = ""
        self.refuge = ""
        self.delays: Counter[int] = Counter()
        self.doubled = self.missing = self.lost = 0
        self.back: list[float] = []
        self.returning: list[asyncio.Task[None]] = []
        self._viewers: list[Viewer] = []

    async def connect(
        self, sockets: list[tuple[int, str, str]], tokens: dict[str, str], offer: str
    ) -> dict[str, Any]:
        """`sockets` are numbers, URLs and calls."""
        self.offer = offer
        few = asyncio.Semaphore(_CONNECTING_AT_ONCE)

        async def one(number: int, url: str, call: str) -> None:
            viewer = Viewer(self, number, call, tokens.get(call))
            async with few:
                await viewer.connect(url)
            self._viewers.append(viewer)

        begun = time.monotonic()
        await asyncio.gather(*(one(*socket) for socket in sockets))
        gc.collect()
        gc.freeze()
        return {"connected": len(self._viewers), "seconds": time.monotonic() - begun}

    async def begin(self) -> dict[str, Any]:
        self.delays.clear()
        return {}

    async def end(self) -> dict[str, Any]:
        """What arrived since `begin`: delays by bin, and whether all is in order."""
        return {
            "delays": dict(self.delays),
            "doubled": self.doubled,
            "missing": self.missing,
            "lost": self.lost,
        }

    async def flee(self, url: str) -> dict[str, Any]:
        """From now on who is lost comes back there."""
        self.refuge = url
        return {}

    async def returned(self) -> dict[str, Any]:
        """When each was back and had everything; and the last `seq` of every viewer by call."""
        await asyncio.gather(*self.returning)
        return {"back": self.back}

    async def seqs(self) -> dict[str, Any]:
        least: dict[str, int] = {}
        for viewer in self._viewers:
            least[viewer.call] = min(viewer.seq, least.get(viewer.call, viewer.seq))
        return {"least": least, "doubled": self.doubled, "missing": self.missing}

    async def close(self) -> dict[str, Any]:
        for viewer in self._viewers:
            if viewer.client:
                viewer.client.close()
        return {}


async def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    viewers = Viewers()
    reader = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        answer = await getattr(viewers, order.pop("do"))(**order)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
