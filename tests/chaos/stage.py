"""What a scenario is played on: a cluster, who speaks and who watches, a stopwatch, the judge."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.cluster import Cluster, until
from tests.chaos.judge import breaks
from tests.chaos.speaker import Speaker
from tests.chaos.watcher import Watcher

FIGURES = "SURTITLE_CHAOS_FIGURES"
"""Names the file that figures are added to, one JSON object a line."""


@dataclass
class Stage:
    """Ada speaks, by itself at the last gateway; a watcher reads at the first."""

    cluster: Cluster
    call: str
    ada: Speaker
    watcher: Watcher

    @property
    def everybody(self) -> list[Watcher]:
        return [self.ada, self.watcher]

    async def said(self, count: int, at: float = 0.0) -> None:
        """Until the watcher has seen so many finals that arrived behind a moment."""
        await self.watcher.until(
            lambda w: sum(heard.payload["final"] for heard in w.after(at, "caption")) >= count
        )

    async def mid_utterance(self) -> str:
        """Until a sentence is on the screen in part; which utterance it is."""
        seen = len(self.watcher.captions)
        return await self.watcher.until(lambda w: _half_said(w.captions[seen:]))

    async def recovered(
        self, scenario: str, at: float, *, moved: bool, reconnected: bool = False
    ) -> None:
        """Until captions of what is said now come again, and the call is live; kept as a figure.

        `reconnected`: the watcher's gateway was killed, and what it sent before does not count.
        """
        back = at
        if reconnected:
            connected = await self.watcher.until(lambda w: w.after(at, "connected"))
            back = connected[0].at
        before = {
            heard.payload["utterance"]
            for heard in self.watcher.after(0, "caption")
            if heard.at <= at
        }

        def spoken_since(watcher: Watcher) -> float | None:
            for heard in watcher.after(back, "caption"):
                going_on = not moved and not heard.payload["final"]
                if going_on or heard.payload["utterance"] not in before:
                    return heard.at
            return None

        def live_again(watcher: Watcher) -> tuple[float, float] | None:
            states = watcher.after(at, "call:state")
            noticed = [s.at for s in states if s.payload["state"] == "recovering"]
            live = [s.at for s in states if s.payload["state"] == "live"]
            later = [each for each in live if noticed and each > noticed[0]]
            return (noticed[0], later[0]) if later else None

        figures = {"captions_seconds": await self.watcher.until(spoken_since) - at}
        if moved:
            noticed, live = await self.watcher.until(live_again)
            figures |= {"noticed_seconds": noticed - at, "live_seconds": live - at}
        record(scenario, **figures)

    async def judged(self) -> list[dict[str, Any]]:
        """Let Ada finish, wait until all is written, and judge; the transcript."""
        await self.ada.finish()
        return await judged(self.cluster, self.call, *self.everybody)


@asynccontextmanager
async def stage(
    folder: Path, *, nodes: int = 2, ada_at: int = -1, pause_seconds: float = 1.2
) -> AsyncIterator[Stage]:
    """Everything is there, and Ada has been captioned to the end of a sentence.

    She pauses that long between sentences: what she says costs all scenarios their cores.
    """
    call = f"chaos-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(Cluster(folder, nodes=nodes))
        watcher = await stack.enter_async_context(Watcher(there, call))
        ada = await stack.enter_async_context(
            Speaker(there, call, "Ada", gateway=ada_at, pause_seconds=pause_seconds)
        )
        set_up = Stage(there, call, ada, watcher)
        await set_up.said(1)
        yield set_up


async def judged(cluster: Cluster, call: str, *people: Watcher) -> list[dict[str, Any]]:
    """The transcript, when all of it is written and read by everybody, and nothing is broken."""
    for person in people:
        with suppress(TimeoutError):  # what is missing then the judge says
            await person.until(lambda p: not p.open)
    await until(lambda: nothing_unwritten(cluster))
    transcript = (await cluster.get(f"/api/calls/{call}/transcript"))["captions"]
    for person in people:
        with suppress(TimeoutError):
            await person.until(lambda p: p.since == len(transcript))
    stored = await cluster.stored(call)
    broken = breaks([person.captions for person in people], transcript, stored)
    assert not broken, "\n".join(broken)
    return sorted(transcript, key=lambda caption: caption["seq"])


def record(scenario: str, **figures: float) -> None:
    """Keep figures where a file for them is named."""
    path = os.environ.get(FIGURES)
    if path:
        rounded = {name: round(value, 3) for name, value in figures.items()}
        line = json.dumps({"scenario": scenario, "at": round(time.time(), 1), **rounded})
        with Path(path).open("a") as file:
            file.write(line + "\n")


async def nothing_unwritten(cluster: Cluster) -> bool:
    return not await cluster.unwritten()


def _half_said(captions: list[dict[str, Any]]) -> str | None:
    """The utterance of the newest caption, if that is no final."""
    return captions[-1]["utterance"] if captions and not captions[-1]["final"] else None
