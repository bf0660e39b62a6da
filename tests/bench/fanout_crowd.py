"""What `tests.bench.fanout` drives: who publishes captions, and the processes of viewers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from captions.types import Caption, Word
from tests.bench.fanout_clients import BINS_A_SECOND
from tests.bench.fanout_servers import Program, Servers

PARTIALS_A_FINAL = 8

WORDS = ("ask", "not", "what", "your", "country", "can", "do", "for", "you", "ask", "what", "you")


@dataclass
class Publisher:
    """Captions as speech makes them: revisions of an utterance, then its final, call by call."""

    servers: Servers
    counts: Counter[str] = field(default_factory=Counter)
    finals: Counter[str] = field(default_factory=Counter)
    turn: int = 0

    async def run(self, captions_a_second: float, seconds: float) -> Counter[str]:
        """Publish; how many captions each call got."""
        published: Counter[str] = Counter()
        begun = time.monotonic()
        for number in range(int(captions_a_second * seconds)):
            wait = begun + number / captions_a_second - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            call = self.servers.calls[self.turn % len(self.servers.calls)]
            self.turn += 1
            await self.servers.publish(self.caption(call))
            published[call] += 1
        await self.servers.published()
        return published

    def caption(self, call: str) -> Caption:
        utterance, revision = divmod(self.counts[call], PARTIALS_A_FINAL + 1)
        self.counts[call] += 1
        final = revision == PARTIALS_A_FINAL
        self.finals[call] += final
        words = WORDS[: len(WORDS) * (revision + 1) // (PARTIALS_A_FINAL + 1)]
        return Caption(
            call=call,
            utterance=f"u-{utterance}",
            revision=revision,
            participant="p-anna",
            speaker="Anna",
            language="en",
            source_language="en",
            text=" ".join(words),
            stable=0,
            final=final,
            start_ms=time.monotonic_ns() // 1000,
            end_ms=0,
            confidence=0.91 if final else None,
            words=tuple(Word(w, 81240, 81500, 0.97) for w in words) if final else None,
        )


@dataclass
class Crowd:
    """The processes of clients, spoken to as one."""

    programs: list[Program]
    sockets: list[tuple[int, str, str]]

    async def ask(self, do: str, **order: Any) -> list[dict[str, Any]]:
        return await asyncio.gather(*(p.ask(do=do, **order) for p in self.programs))

    async def connect(self, servers: Servers, offer: str) -> None:
        parts = [self.sockets[n :: len(self.programs)] for n in range(len(self.programs))]
        await asyncio.gather(
            *(
                program.ask(do="connect", sockets=part, tokens=servers.tokens, offer=offer)
                for program, part in zip(self.programs, parts, strict=True)
            )
        )

    @property
    def cpu_seconds(self) -> float:
        """Of the clients so far."""
        return sum(program.cpu_seconds for program in self.programs)

    async def delays(self) -> tuple[Counter[int], dict[str, int]]:
        """Delays by bin since `begin`, and faults so far."""
        bins: Counter[int] = Counter()
        faults: Counter[str] = Counter()
        for answer in await self.ask("end"):
            bins.update({int(b): count for b, count in answer.pop("delays").items()})
            faults.update(answer)
        return bins, dict(faults)


def quantile_ms(bins: Counter[int], share: float) -> float:
    left = share * sum(bins.values())
    for at in sorted(bins):
        left -= bins[at]
        if left <= 0:
            return (at + 1) * 1000 / BINS_A_SECOND
    return float("nan")
