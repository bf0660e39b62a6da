"""What other languages cost and how well they are heard: `python -m tests.bench.languages`.

Two tables. Translation: people speak English, first for nobody who reads another language, then
for readers of three, in turn on one server; how late a translated final is behind the one that was
spoken, and what becomes of the spoken captions' own delay. Recognition: recordings in other
languages, not told, beside faster-whisper on the whole file with the same model.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from faster_whisper import WhisperModel

from tests import argos_package
from tests.bench.judge import final_text, judge, quantile
from tests.bench.live import Heard
from tests.bench.machine import describe
from tests.bench.offline import RATE, weights
from tests.bench.participants import Participant
from tests.e2e.test_translation import DICTIONARY
from tests.peer import Microphone, Peer
from tests.recordings import Recording, human_voices, normalized, our_voices
from tests.server import Server

READ = ("pt", "de", "fr")
SETTLE_SECONDS = 30.0


class Reader:
    """Reads one feed of a call, and when each of its finals came."""

    def __init__(self, url: str, feed: str) -> None:
        self.peer = Peer(url)
        self.feed = feed
        self.finals: dict[str, float] = {}
        self.peer.socket.on("caption", self._take)

    def _take(self, caption: dict[str, Any]) -> None:
        if caption["final"]:
            self.finals.setdefault(caption["utterance"], time.monotonic())


async def spoken(
    server: Server, speakers: int, feeds: Sequence[str], said: Sequence[tuple[Recording, Any]]
) -> tuple[list[float], dict[str, list[float]]]:
    """Word delays of one call, and by feed how late each translated final was, in seconds."""
    call = f"bench-{time.monotonic_ns()}"
    people = [Participant(server.url, n, said) for n in range(speakers)]
    heard = Heard()
    async with contextlib.AsyncExitStack() as stack:
        readers = [Reader(server.url, feed) for feed in ("spoken", *feeds)]
        for reader in readers:
            await stack.enter_async_context(reader.peer)
            wanted = {"call": call, "captions_language": reader.feed}
            assert (await reader.peer.ask("call:watch", wanted))["ok"]
        people[0].peer.socket.on("caption", heard)
        for person in people:
            await stack.enter_async_context(person.peer)
            await person.peer.join(call, person.name, language="en")
        for person in people:
            await person.speak(0.0)
        await asyncio.gather(*(person.voice.ended.wait() for person in people))
        for person in people:
            await person.peer.ask("media:close")
        original, *others = readers
        async with asyncio.timeout(SETTLE_SECONDS):
            while any(r.finals.keys() != original.finals.keys() for r in others):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    verdict = judge([(person.said, heard.of(person)) for person in people])
    late = {
        reader.feed: [at - original.finals[key] for key, at in reader.finals.items()]
        for reader in others
    }
    return list(verdict.word_delays), late


def milliseconds(values: Sequence[float]) -> str:
    middle, most = quantile(values, 0.5), quantile(values, 0.95)
    return "–" if middle is None or most is None else f"{1000 * middle:.0f} / {1000 * most:.0f}"


async def translation(folder: Path, rounds: int, speakers: int, model: str) -> None:
    packages = folder / "packages"
    for target in ("de", "fr"):
        built = argos_package.build(folder / target, "en", target, DICTIONARY)
        argos_package.installed(built, packages)
    os.environ["ARGOS_PACKAGES_DIR"] = str(packages)
    said = [(recording, recording.pcm()) for recording in our_voices()[:6]]
    plain: list[float] = []
    translated: list[float] = []
    late: dict[str, list[float]] = {feed: [] for feed in READ}
    async with Server(folder / "server", model=model) as server:
        await spoken(server, 1, READ, said[:1])  # loads the translators, once
        for _ in range(rounds):
            plain += (await spoken(server, speakers, (), said))[0]
            delays, behind = await spoken(server, speakers, READ, said)
            translated += delays
            for feed, values in behind.items():
                late[feed] += values
    print(f"\n{model}, {speakers} at once, {rounds} rounds of each; p50 / p95 in ms\n")
    print("| | nobody reads another language | three languages are read |")
    print("| --- | ---: | ---: |")
    print(f"| word delay, as spoken | {milliseconds(plain)} | {milliseconds(translated)} |")
    for feed, values in late.items():
        count = f"{len(values)} finals"
        print(f"| final in `{feed}`, behind the one spoken ({count}) | | {milliseconds(values)} |")


async def recognition(folder: Path, model: str) -> None:
    whisper = WhisperModel(
        str(weights(model)), device="cpu", compute_type="int8", local_files_only=True
    )
    print(f"\n{model}, language not told\n")
    print("| recording | found | WER live | WER of faster-whisper, the whole file |")
    print("| --- | --- | ---: | ---: |")
    async with Server(folder / "server", model=model) as server:
        for recording in human_voices():
            live, languages = await _heard(server, recording)
            audio = recording.pcm(RATE).astype(np.float32) / 32768
            segments, _ = whisper.transcribe(audio, language=recording.language)
            offline = " ".join(segment.text for segment in segments)
            wers = [jiwer.wer(normalized(recording.text), normalized(t)) for t in (live, offline)]
            found = ", ".join(sorted(languages))
            print(
                f"| {recording.path.name} | {found} | {wers[0]:.3f} | {wers[1]:.3f} |", flush=True
            )


async def _heard(server: Server, recording: Recording) -> tuple[str, set[str]]:
    """The finals of one recording spoken live, and the languages that they are in."""
    async with Peer(server.url) as peer:
        await peer.join(f"bench-{time.monotonic_ns()}", recording.speaker)
        microphone = Microphone(recording.pcm())
        await peer.send(microphone)
        await microphone.ended.wait()
        await peer.ask("media:close")
        log = [(0.0, caption) for caption in peer.captions]
        return final_text(log), {caption["language"] for caption in peer.finals()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.bench.languages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--speakers", type=int, default=2)
    parser.add_argument("--model", default="tiny.en", help="that translated English is heard by")
    parser.add_argument("--skip-recognition", action="store_true")
    chosen = parser.parse_args()
    print(describe("cpu"))
    with tempfile.TemporaryDirectory(prefix="surtitle-bench-") as name:
        folder = Path(name)
        asyncio.run(translation(folder, chosen.rounds, chosen.speakers, chosen.model))
        if not chosen.skip_recognition:
            asyncio.run(recognition(folder / "recognition", "base"))


if __name__ == "__main__":
    main()
