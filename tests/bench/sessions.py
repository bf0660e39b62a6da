"""Raw audio without WebRTC: `python -m tests.bench.sessions`.

What a session costs on one server that is gateway and node in one process, idle and speaking, and
whether every door gives the same words of the same recordings.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.bench.judge import judge, quantile, spoken, word_error_rate
from tests.bench.machine import describe
from tests.peer import RATE, Microphone, Peer
from tests.recordings import Recording, human_voices, our_voices
from tests.server import Server
from tests.transcribe_client import RATE as RAW_RATE
from tests.transcribe_client import TranscribeClient
from tests.ws_client import WsClient, encoded, resample

AT_ONCE = 50
"""Connections that are opened at a time."""

SETTLE_SECONDS = 3.0
DOORS = (
    ("linear16", 16000),
    ("linear16", 8000),
    ("linear16", 48000),
    ("mulaw", 8000),
    ("opus", 48000),
)
GAP = np.zeros(RATE, np.int16)


class Timed(WsClient):
    """Knows when each message came."""

    def __init__(self, url: str, query: str) -> None:
        super().__init__(url, query)
        self.log: list[tuple[float, dict[str, Any]]] = []
        self.began = 0.0

    async def _hear(self) -> None:
        async for text in self.socket:
            message = self.read(text)
            if message["type"] != "error":
                caption = {
                    "utterance": message["utterance"],
                    "text": message["transcript"],
                    "final": message["is_final"],
                    "revision": message["revision"],
                    "start_ms": message["start"] * 1000,
                    "seq": None,
                }
                self.log.append((time.monotonic() - self.began, caption))
        self.closed.set()


def resident_bytes(server: Server) -> int:
    """Of gateway and node, without the recognizer's process."""
    assert server.process
    return int(psutil.Process(server.process.pid).memory_info().rss)


def cpu_seconds(server: Server) -> tuple[float, float]:
    """Of gateway and node, and of the recognizer's and other processes."""
    assert server.process
    process = psutil.Process(server.process.pid)

    def used(one: psutil.Process) -> float:
        times = one.cpu_times()
        return float(times.user + times.system)

    return used(process), sum(used(child) for child in process.children(recursive=True))


async def opened(
    stack: AsyncExitStack, server: Server, count: int, *, heard: bool
) -> list[WsClient]:
    """Sessions that have begun; where `heard`, each has sent a second of silence."""
    clients: list[WsClient] = []
    for _ in range(0, count, AT_ONCE):
        batch = [WsClient(server.url, "?language=en") for _ in range(min(AT_ONCE, count))]
        await asyncio.gather(*(stack.enter_async_context(client) for client in batch))
        for client in batch:
            await client.configure()
            if heard:
                await client.socket.send(bytes(2 * RAW_RATE))
        clients += batch
    await asyncio.sleep(SETTLE_SECONDS)
    return clients


async def idle(folder: Path, count: int, *, heard: bool) -> float:
    """KiB of one idle session."""
    async with Server(folder, "--capacity", str(2 * count + 100)) as server:
        async with AsyncExitStack() as stack:
            await opened(stack, server, AT_ONCE, heard=heard)  # what is made once is made
        await asyncio.sleep(SETTLE_SECONDS)
        before = resident_bytes(server)
        async with AsyncExitStack() as stack:
            await opened(stack, server, count, heard=heard)
            return (resident_bytes(server) - before) / count / 1024


async def speaking(
    folder: Path, model: str, idle_count: int, count: int, clips: Sequence[Recording]
) -> dict[str, float | None]:
    """`count` speak at once, beside so many that are silent."""
    pcm = [resample(clip.pcm(), RAW_RATE) for clip in clips]
    async with (
        Server(folder, "--capacity", str(2 * idle_count + 200), model=model) as server,
        AsyncExitStack() as stack,
    ):
        await opened(stack, server, idle_count, heard=False)
        before = cpu_seconds(server)
        begun = time.monotonic()
        people = [Timed(server.url, "?language=en") for _ in range(count)]
        await asyncio.gather(*(stack.enter_async_context(person) for person in people))

        async def speak(person: Timed, number: int) -> list[tuple[float, float]]:
            await asyncio.sleep(number / count)  # not all in step
            person.began = time.monotonic()
            spans, at = [], 0.0
            for clip in pcm:
                spans.append((at, at + len(clip) / RAW_RATE))
                with_gap = np.concatenate([clip, np.zeros(RAW_RATE, np.int16)])
                await person.say(_chunks(with_gap))
                at += len(with_gap) / RAW_RATE
            await person.finish()
            return spans

        spans = await asyncio.gather(*(speak(person, n) for n, person in enumerate(people)))
        seconds = time.monotonic() - begun
        after = cpu_seconds(server)
    said = [spoken(clips, one) for one in spans]
    verdict = judge([(one, person.log) for one, person in zip(said, people, strict=True)])
    return {
        "cores_server": (after[0] - before[0]) / seconds,
        "cores_recognizer": (after[1] - before[1]) / seconds,
        "word_p50": quantile(verdict.word_delays, 0.5),
        "word_p95": quantile(verdict.word_delays, 0.95),
        "final_p95": quantile(verdict.final_delays, 0.95),
        "wer": verdict.wer,
    }


def _chunks(pcm: np.ndarray) -> Any:
    for at in range(0, len(pcm), RAW_RATE // 10):
        part = pcm[at : at + RAW_RATE // 10]
        yield part.astype("<i2").tobytes(), len(part) / RAW_RATE


async def doors(folder: Path, model: str, clips: Sequence[Recording]) -> None:
    """The same recordings through every door, one after the other, in real time."""
    pcm = np.concatenate([part for clip in clips for part in (clip.pcm(), GAP)])
    said = " ".join(clip.text for clip in clips)
    print(f"\n{model}, {len(pcm) / RATE:.0f} s of speech\n\n| door | WER |\n| --- | ---: |")
    async with Server(folder, model=model) as server:
        async with Peer(server.url) as peer:
            await peer.join("doors", "Anna", language="en")
            microphone = Microphone(pcm)
            await peer.send(microphone)
            await microphone.ended.wait()
            await peer.ask("media:close")
            _row("WebRTC", said, peer.text(peer.id))
        pcm = np.concatenate([GAP[: RATE // 2], pcm])  # as the microphone begins
        async with TranscribeClient(server.url) as phone:
            await phone.ask("start_transcription", {"language_code": "en"})
            await phone.say(resample(pcm, RAW_RATE))
            await phone.ask("stop_transcription")
            _row("`/transcribe`", said, phone.text)
        for encoding, rate in DOORS:
            async with WsClient(server.url, "?language=en") as client:
                await client.configure(encoding=encoding, sample_rate=rate)
                await client.say(encoded(pcm, encoding, rate))
                await client.finish()
                _row(f"`/ws/v1/transcribe`, {encoding}, {rate} Hz", said, client.text)


def _row(door: str, said: str, heard: str) -> None:
    print(f"| {door} | {word_error_rate([said], [heard]):.3f} |", flush=True)


async def main(arguments: argparse.Namespace) -> None:
    print(describe("cpu"))
    clips = our_voices()[:3]
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.skip_doors:
            english = [clip for clip in human_voices() if clip.language == "en"][: arguments.clips]
            for model in arguments.models:
                await doors(Path(folder) / f"doors-{model}", model, english or our_voices())
        for heard in (False, True):
            kib = await idle(Path(folder) / f"idle-{heard}", arguments.idle, heard=heard)
            what = "silent since its first second" if heard else "begun, and nothing sent"
            print(f"{arguments.idle} sessions, {what}: {kib:.0f} KiB each", flush=True)
        for count in arguments.speaking:
            figures = await speaking(
                Path(folder) / f"speaking-{count}", "tiny.en", arguments.idle, count, clips
            )
            print(f"{count} speak beside {arguments.idle} idle, tiny.en: {figures}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--speaking", type=int, nargs="+", default=[4, 50])
    parser.add_argument("--models", nargs="+", default=["tiny.en", "base"])
    parser.add_argument("--clips", type=int, default=8, help="recordings through each door")
    parser.add_argument("--skip-doors", action="store_true")
    # Thousands of sockets need as many files.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.environ.pop("SURTITLE_SECRET", None)
    asyncio.run(main(parser.parse_args()))
