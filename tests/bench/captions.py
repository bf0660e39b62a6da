"""Delay, accuracy and cost of captions on this machine: `make bench`.

Real participants (aiortc, over ICE, DTLS and SRTP on 127.0.0.1) speak recordings in real
time to a server of its own for each row; what arrives over Socket.IO is compared with what
was said and when. Human recordings where the folder beside the repository is there, else
our own voices.

    make bench ARGS="--model base --speakers 1 3"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import jiwer
import psutil

from tests.peer import RATE, Microphone, Peer
from tests.recordings import Recording, human_voices, normalized, our_voices
from tests.server import Server

LONGEST_SECONDS = 48.0
GAP_SECONDS = 1.0
LEAD_SECONDS = 0.5


@dataclass(frozen=True)
class Row:
    """One run. Delays are seconds; CPU and memory are the server's, recognizer included."""

    model: str
    speakers: int
    seconds_of_speech: float
    wer: float
    word_delay_p50: float
    word_delay_p95: float
    final_delay_p50: float
    final_delay_p95: float
    erasure: float
    cpu_seconds_per_minute: float
    peak_memory_mib: float
    finals: int
    partials: int


class Speaker:
    """A participant and what it is known to say when."""

    def __init__(self, url: str, name: str, recordings: list[Recording]) -> None:
        self.peer = Peer(url)
        self.name = name
        self.recordings = recordings
        clips = [recording.pcm(RATE) for recording in recordings]
        self.microphone = Microphone(*clips, gap_seconds=GAP_SECONDS)
        self.word_ends: list[float] = []
        self.clip_ends: list[float] = []
        at = LEAD_SECONDS
        for recording, clip in zip(recordings, clips, strict=True):
            self.word_ends += [at + end for end in recording.word_ends]
            at += len(clip) / RATE
            self.clip_ends.append(at)
            at += GAP_SECONDS
        self.seconds = sum(len(clip) for clip in clips) / RATE

    @property
    def text(self) -> str:
        return normalized(" ".join(recording.text for recording in self.recordings))


def word_delays(speaker: Speaker, log: list[tuple[float, dict]]) -> list[float]:
    """When the screen never again held fewer words than were said by then."""
    newest: dict[str, str] = {}
    curve = []
    for arrival, caption in log:
        newest[caption["utterance"]] = caption["text"]
        curve.append((arrival, sum(len(normalized(text).split()) for text in newest.values())))
    shown: list[float | None] = [None] * len(speaker.word_ends)
    fewest = math.inf
    for arrival, count in reversed(curve):
        fewest = min(fewest, count)
        for n in range(min(int(fewest), len(shown))):
            shown[n] = arrival
    return [
        arrival - end
        for arrival, end in zip(shown, speaker.word_ends, strict=True)
        if arrival is not None
    ]


def final_delays(speaker: Speaker, log: list[tuple[float, dict]]) -> list[float]:
    arrivals = [arrival for arrival, caption in log if caption["final"]]
    return [
        min(later) - end
        for end in speaker.clip_ends
        if (later := [arrival for arrival in arrivals if arrival >= end - 0.5])
    ]


def erasure(log: list[tuple[float, dict]]) -> float:
    """Characters taken back from the screen per final character."""
    shown: dict[str, str] = {}
    erased = final = 0
    for _, caption in log:
        before = shown.get(caption["utterance"], "")
        erased += len(before) - common_length(before, caption["text"])
        shown[caption["utterance"]] = caption["text"]
        final += len(caption["text"]) if caption["final"] else 0
    return erased / max(1, final)


def common_length(one: str, other: str) -> int:
    """How many leading characters two texts share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def usage(process: psutil.Process) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process and its children."""
    family = [process, *process.children(recursive=True)]
    times = [member.cpu_times() for member in family]
    return sum(t.user + t.system for t in times), sum(m.memory_info().rss for m in family)


async def measure(model: str, count: int, recordings: list[Recording]) -> Row:
    folder = Path(tempfile.mkdtemp(prefix="surtitle-bench-"))
    async with Server(folder, model=model) as server:
        assert server.process
        process = psutil.Process(server.process.pid)
        speakers = [
            Speaker(server.url, f"Speaker {n + 1}", recordings[n:] + recordings[:n])
            for n in range(count)
        ]
        arrivals: list[tuple[float, dict]] = []
        async with AsyncExitStack() as stack:
            for speaker in speakers:
                await stack.enter_async_context(speaker.peer)
            speakers[0].peer.socket.on(
                "caption", lambda caption: arrivals.append((time.monotonic(), caption))
            )
            for speaker in speakers:
                await speaker.peer.join("bench", speaker.name, language="en")
            cpu_before, _ = usage(process)
            peak = 0
            for speaker in speakers:
                await speaker.peer.send(speaker.microphone)
            ended = [asyncio.ensure_future(s.microphone.ended.wait()) for s in speakers]
            while not all(waiting.done() for waiting in ended):
                peak = max(peak, usage(process)[1])
                await asyncio.wait(ended, timeout=1.0)
            for speaker in speakers:
                await speaker.peer.ask("media:close")
            cpu_after, _ = usage(process)
        minutes = sum(speaker.seconds for speaker in speakers) / 60
        delays, finals, erased, said, heard = [], [], [], [], []
        for speaker in speakers:
            began = speaker.microphone.started
            assert began is not None
            log = [(t - began, c) for t, c in arrivals if c["participant"] == speaker.peer.id]
            delays += word_delays(speaker, log)
            finals += final_delays(speaker, log)
            erased.append(erasure(log))
            done = sorted((c for _, c in log if c["final"]), key=lambda c: c["start_ms"])
            said.append(speaker.text)
            heard.append(normalized(" ".join(caption["text"] for caption in done)))
        count_finals = sum(caption["final"] for _, caption in arrivals)
        return Row(
            model=model,
            speakers=count,
            seconds_of_speech=round(minutes * 60, 1),
            wer=round(jiwer.wer(said, heard), 4),
            word_delay_p50=round(statistics.median(delays), 3),
            word_delay_p95=round(quantile(delays, 0.95), 3),
            final_delay_p50=round(statistics.median(finals), 3),
            final_delay_p95=round(quantile(finals, 0.95), 3),
            erasure=round(statistics.mean(erased), 3),
            cpu_seconds_per_minute=round((cpu_after - cpu_before) / minutes, 1),
            peak_memory_mib=round(peak / 2**20),
            finals=count_finals,
            partials=len(arrivals) - count_finals,
        )


def choose() -> list[Recording]:
    chosen, total = [], 0.0
    for recording in human_voices() or our_voices():
        seconds = recording.seconds
        if recording.language == "en" and total + seconds <= LONGEST_SECONDS:
            chosen.append(recording)
            total += seconds
    return chosen


def machine() -> dict[str, object]:
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }


def table(rows: list[Row]) -> str:
    head = (
        "| model | speaking at once | WER | word delay p50 / p95, s | final delay p50 / p95, s "
        "| erasure | CPU s a minute of speech | memory, MiB |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    lines = [
        f"| {r.model} | {r.speakers} | {r.wer:.3f} | {r.word_delay_p50:.2f} / "
        f"{r.word_delay_p95:.2f} | {r.final_delay_p50:.2f} / {r.final_delay_p95:.2f} | "
        f"{r.erasure:.2f} | {r.cpu_seconds_per_minute:.0f} | {r.peak_memory_mib:.0f} |"
        for r in rows
    ]
    return "\n".join([head, *lines])


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", nargs="+", default=["tiny.en", "base"])
    parser.add_argument("--speakers", nargs="+", type=int, default=[1, 3])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    about = machine()
    print(" ".join(f"{name}={value}" for name, value in about.items()))
    recordings = choose()
    rows = [
        await measure(model, count, recordings)
        for model in options.model
        for count in options.speakers
    ]
    print(table(rows))
    if options.json:
        figures = {"machine": about, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
