"""One live run: a server of its own, its participants, and what came of it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surtitle.settings import Settings
from tests.bench.figures import Row
from tests.bench.judge import Verdict, judge, quantile
from tests.bench.participants import Participant
from tests.bench.watch import Watch, reading
from tests.recordings import Recording
from tests.server import Server

LONGEST_SETTLE_SECONDS = 60.0
LONGEST_LATE_SECONDS = 120.0


@dataclass(frozen=True)
class Setup:
    """`final_model` is empty where the server shall not be given one."""

    model: str
    final_model: str
    speakers: int
    loss: float
    device: str

    def __str__(self) -> str:
        model = f"{self.model}+{self.final_model}" if self.final_model else self.model
        return f"{model}, {self.speakers} at once" + (f", {self.loss:.0%} lost" * bool(self.loss))

    @property
    def options(self) -> list[str]:
        """Of `surtitle run`. Nobody is to be refused: what happens then is measured."""
        chosen = ["--device", self.device]
        if self.final_model:
            chosen += ["--final-model", self.final_model]
        if self.speakers > Settings().capacity_on(self.device):
            chosen += ["--capacity", str(self.speakers)]
        return chosen


class Heard:
    """Every caption of the call, with its arrival."""

    def __init__(self) -> None:
        self.log: list[tuple[float, dict[str, Any]]] = []
        self._open: set[str] = set()

    def __call__(self, caption: dict[str, Any]) -> None:
        self.log.append((time.monotonic(), caption))
        (self._open.discard if caption["final"] else self._open.add)(caption["utterance"])

    @property
    def settled(self) -> bool:
        """Whether everything begun has its final."""
        return not self._open

    def of(self, participant: Participant) -> list[tuple[float, dict[str, Any]]]:
        began = participant.voice.started
        assert began is not None, f"{participant.name} never spoke"
        return [
            (arrival - began, caption)
            for arrival, caption in self.log
            if caption["participant"] == participant.peer.id
            and caption.get("source_language", caption["language"]) == caption["language"]
        ]


async def run(setup: Setup, said: Sequence[tuple[Recording, np.ndarray]]) -> Row:
    with tempfile.TemporaryDirectory(prefix="surtitle-bench-") as folder:
        server = Server(Path(folder), *setup.options, model=setup.model)
        try:
            async with server:
                return await _measure(setup, said, server)
        except Exception:
            if server.log.exists():
                print(*server.log.read_text().splitlines()[-15:], sep="\n", file=sys.stderr)
            raise


async def _measure(
    setup: Setup, said: Sequence[tuple[Recording, np.ndarray]], server: Server
) -> Row:
    assert server.process
    people = [Participant(server.url, n, said) for n in range(setup.speakers)]
    heard = Heard()
    async with AsyncExitStack() as stack:
        people[0].peer.socket.on("caption", heard)
        for person in people:
            await stack.enter_async_context(person.peer)
            await person.peer.join("bench", person.name, language="en")
        gpu = setup.device == "cuda"
        watch = await stack.enter_async_context(Watch(server.process.pid, server.url, gpu=gpu))
        for person in people:
            await person.speak(setup.loss)
        await _until_all_said(setup, people, watch)
        await watch.until(
            lambda: heard.settled and not reading(watch.metrics, "surtitle_backlog_seconds"),
            LONGEST_SETTLE_SECONDS,
        )
        for person in people:
            await person.peer.ask("media:close")
        # What became of a track's packets is counted at its end.
        await watch.until(lambda: not reading(watch.metrics, "surtitle_streams"), 10)
        await watch.sample()
        verdict = judge([(person.said, heard.of(person)) for person in people])
        return _row(setup, people, heard, watch, verdict)


async def _until_all_said(setup: Setup, people: Sequence[Participant], watch: Watch) -> None:
    """Tell how far they are, on one line of a terminal; stop where the server does."""
    longest = max(person.voice.seconds for person in people)
    begun = time.monotonic()
    everybody = asyncio.gather(*(person.voice.ended.wait() for person in people))
    async with asyncio.timeout(longest + LONGEST_LATE_SECONDS):
        while not everybody.done():
            if sys.stderr.isatty():
                passed = time.monotonic() - begun
                line = f"\r{setup}: {passed:3.0f} of {longest:.0f} s "
                print(line, end="", file=sys.stderr, flush=True)
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait([everybody, watch.task], timeout=1.0, return_when=first)
            if watch.task.done():
                everybody.cancel()
                watch.task.result()
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _row(
    setup: Setup, people: Sequence[Participant], heard: Heard, watch: Watch, verdict: Verdict
) -> Row:
    words, finals = verdict.word_delays, verdict.final_delays
    final_count = sum(caption["final"] for _, caption in heard.log)
    partial_count = len(heard.log) - final_count
    windows = int(reading(watch.metrics, "surtitle_recognizer_windows_total"))
    states = [state for person in people for state in person.peer.events("call:state")]
    degraded = {s.get("reason") or "" for s in states if s["state"] == "degraded"}

    def seconds(fate: str) -> float:
        return round(reading(watch.metrics, f"surtitle_audio_{fate}_seconds_total"), 2)

    return Row(
        model=setup.model,
        final_model=setup.final_model,
        speakers=setup.speakers,
        loss=setup.loss,
        speech_seconds=round(sum(person.speech_seconds for person in people), 1),
        wer=rounded(verdict.wer, 4),
        word_delay_p50=rounded(quantile(words, 0.5)),
        word_delay_p95=rounded(quantile(words, 0.95)),
        final_delay_p50=rounded(quantile(finals, 0.5)),
        final_delay_p95=rounded(quantile(finals, 0.95)),
        erasure=rounded(verdict.erasure),
        words_never_shown=verdict.words_never_shown,
        words_added=verdict.words_added,
        finals=final_count,
        partials=partial_count,
        server_cpu_seconds=round(watch.server_cpu_seconds, 2),
        recognizer_cpu_seconds=round(watch.recognizer_cpu_seconds, 2),
        participants_cpu_seconds=round(watch.participants_cpu_seconds, 2),
        server_memory_mib=watch.server_memory_mib,
        recognizer_memory_mib=watch.recognizer_memory_mib,
        audio_lost_seconds=seconds("lost"),
        audio_concealed_seconds=seconds("concealed"),
        audio_missing_seconds=seconds("missing"),
        audio_dropped_seconds=seconds("dropped"),
        packets_lost=sum(person.packets_lost for person in people),
        skipped_seconds=round(sum(person.voice.skipped_seconds for person in people), 2),
        degraded=tuple(sorted(degraded)),
        load_level=watch.load_level,
        windows=windows,
        elsewhere_cores=round(watch.elsewhere_cores, 2),
        gpu_busy=rounded(watch.gpu_busy),
        gpu_memory_mib=watch.gpu_memory_mib,
        heard={person.name: text for person, text in zip(people, verdict.heard, strict=True)},
    )


def rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
