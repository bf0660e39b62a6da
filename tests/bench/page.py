"""Captions on the page: from their arrival to the frame that shows them, and an hour of them.

    python -m tests.bench.page [--out DIR] [--write docs/benchmarks.md]

A real gateway sends to Debian's Chromium what four people say at once, and then the captions of an
hour in minutes. Nobody is recognized: what is published is made up, at the pace of recognition.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from playwright.async_api import Page, async_playwright

from captions.types import Caption, Word
from signaling.bus import MemoryBus
from tests.bench.machine import describe
from tests.bench.report import table
from tests.bench.sizing import write as put
from tests.lone_gateway import EPOCH, lone_gateway
from tests.recordings import ROOT, our_voices

SPEAKERS = 4
BEAT_SECONDS = 0.42
"""Between two revisions of one speaker."""

WORDS_A_REVISION = 1.2
HOUR_REVISIONS = 20_000
HOUR_PACE_SECONDS = 240
LATE_MS = 34
"""A frame later than this behind the one before it left one out, at 60 a second."""

PROBE = Path(__file__).with_name("page.js")


def spoken(speaker: int) -> Iterator[tuple[list[str], bool]]:
    """What one speaker's screen text grows to, word by word, and whether that is the final."""
    words = [word for clip in our_voices() for word in clip.text.split()]
    for turn in itertools.count(speaker):
        sentence = [words[(turn * 7 + n) % len(words)] for n in range(8 + turn % 9)]
        for heard in np.arange(1, len(sentence), WORDS_A_REVISION):
            yield sentence[: int(heard)], False
        yield [*sentence[:-1], f"{sentence[-1]}-{turn}"], True


def captions(call: str, speaker: int) -> Iterator[Caption]:
    """One speaker's revisions for good."""
    utterance, revision = 0, 0
    for beat, (words, final) in enumerate(spoken(speaker)):
        revision += 1
        at = round(beat * BEAT_SECONDS * 1000)
        text = " ".join(words)
        yield Caption(
            call=call,
            utterance=f"u-{speaker}-{utterance}",
            revision=revision,
            participant=f"p-{speaker}",
            speaker=f"Speaker {speaker + 1}",
            language="en",
            source_language="en",
            text=text,
            stable=len(text) if final else len(" ".join(words[:-2])),
            final=final,
            start_ms=at,
            end_ms=at + 400,
            confidence=0.9 if final else None,
            words=tuple(Word(word, at, at + 400, 0.9) for word in words) if final else None,
        )
        if final:
            utterance, revision = utterance + 1, 0


async def publish(bus: MemoryBus, call: str, count: int, pause_seconds: float) -> None:
    """So many revisions, the speakers in turn, evenly spread."""
    speaking = [captions(call, speaker) for speaker in range(SPEAKERS)]
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for n in range(count):
        caption = next(speaking[n % SPEAKERS])
        if caption.final:
            await bus.publish_final(EPOCH, caption)
        else:
            await bus.publish_partial(EPOCH, caption)
        await asyncio.sleep(max(0, begun + (n + 1) * pause_seconds - loop.time()))


async def measured(page: Page) -> dict[str, Any]:
    """What the probe saw since it was asked last."""
    seen = await page.evaluate(
        "() => { const seen = {...figures}; "
        "Object.assign(figures, {paints: [], missing: 0, frames: [], taken: 0}); return seen; }"
    )
    frames = np.array(seen["frames"][1:])
    p50, p95, p99 = np.percentile(seen["paints"], (50, 95, 99))
    return {
        "captions": seen["taken"],
        "missing": seen["missing"],
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
        "p99_ms": round(float(p99), 1),
        "frames": len(frames),
        "late_frames": int((frames > LATE_MS).sum()),
        "longest_frame_ms": round(float(frames.max()), 1),
    }


async def memory(page: Page) -> dict[str, float]:
    """MiB of the page's JavaScript, and of its process without what it shares with others."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    await session.send("Performance.enable")
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    heap = next(metric["value"] for metric in metrics if metric["name"] == "JSHeapUsedSize")
    renderers = [
        child
        for child in psutil.Process().children(recursive=True)
        if "--type=renderer" in child.cmdline()
    ]
    own = max(child.memory_full_info().uss for child in renderers)
    return {"heap_mib": round(heap / 2**20, 1), "process_mib": round(own / 2**20)}


async def measure(seconds: int) -> dict[str, Any]:
    result: dict[str, Any] = {"machine": describe("cpu"), "speakers": SPEAKERS}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            lone_gateway(Path(folder), ["now", "hour"]) as (gateway, bus),
            async_playwright() as playwright,
        ):
            chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium")
            result["chromium"] = chromium.version
            page = await chromium.new_page(viewport={"width": 1280, "height": 800})
            await page.add_init_script(path=PROBE)
            for call in ("now", "hour"):
                await page.goto(f"{gateway.url}/?call={call}&watch")
                await page.wait_for_selector("body[data-joined=true]")
                result[f"{call}_before"] = await memory(page)
                await measured_nothing(page)
                if call == "now":
                    beats = round(seconds / BEAT_SECONDS) * SPEAKERS
                    await publish(bus, call, beats, BEAT_SECONDS / SPEAKERS)
                else:
                    pause = HOUR_PACE_SECONDS / HOUR_REVISIONS
                    await publish(bus, call, HOUR_REVISIONS, pause)
                await page.wait_for_timeout(500)
                result[call] = await measured(page) | await memory(page)
                print(call, json.dumps(result[call]), flush=True)
            await chromium.close()
    return result


async def measured_nothing(page: Page) -> None:
    """Forget what was seen while the page was loading."""
    await page.evaluate("() => { figures.frames.length = 0; }")


def markdown(result: dict[str, Any]) -> str:
    about, now, hour = result["machine"], result["now"], result["hour"]
    head = ["", "revisions", "arrival to paint p50 / p95 / p99, ms", "frames left out"]
    head += ["JavaScript, MiB", "process, MiB"]
    rows = [
        [
            name,
            f"{row['captions']}",
            f"{row['p50_ms']} / {row['p95_ms']} / {row['p99_ms']}",
            f"{row['late_frames']} of {row['frames']}",
            f"{row['heap_mib']}",
            f"{row['process_mib']}",
        ]
        for name, row in (
            (f"{result['speakers']} people at once", now),
            (f"an hour's captions in {HOUR_PACE_SECONDS // 60} minutes", hour),
        )
    ]
    conditions = (
        f"Chromium {result['chromium']}, headless, 1280 by 800; {about['cpu']}, {about['cores']} "
        f"cores shared with the gateway; load before {about['load_before']}; {about['date']}, "
        f"commit {about['commit']}."
    )
    return f"{conditions}\n\n{table(head, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.bench.page")
    parser.add_argument("--seconds", type=int, default=60, help="of four people at once")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "bench")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures in there")
    chosen = parser.parse_args()
    result = asyncio.run(measure(chosen.seconds))
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "page.json").write_text(json.dumps(result, indent=2) + "\n")
    text = markdown(result)
    print(text)
    if chosen.write:
        put(chosen.write, "page", text)


if __name__ == "__main__":
    main()
