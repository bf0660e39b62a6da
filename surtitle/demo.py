"""`surtitle demo`: a call whose participants speak recordings, captioned in the terminal."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from surtitle.local_call import local_server
from surtitle.settings import VOICES
from surtitle.voice import RATE, Pcm, Voice, read_audio

_COLORS = ("cyan", "magenta", "green", "yellow")
_GAP_SECONDS = 0.6


@dataclass(frozen=True, slots=True)
class Line:
    """What a clip says, by whom, and when it begins in the conversation."""

    speaker: str
    pcm: Pcm
    start: int


class Screen:
    """The newest revision of each utterance, drawn as captions are."""

    def __init__(self, colors: dict[str, str]) -> None:
        self._colors = colors
        self._captions: dict[str, dict[str, Any]] = {}
        self.finals: list[dict[str, Any]] = []

    def show(self, caption: dict[str, Any]) -> None:
        """Take a caption; an older revision changes nothing."""
        known = self._captions.get(caption["utterance"])
        if known and known["revision"] >= caption["revision"]:
            return
        shown = {**self._captions, caption["utterance"]: caption}
        if caption["final"]:
            self.finals.append(caption)
            del shown[caption["utterance"]]
        self._captions = shown  # never changed in place: rich draws from a thread of its own

    def line(self, caption: dict[str, Any]) -> Text:
        """One caption: what is stable bright, what may change dim."""
        text, stable = caption["text"], caption["stable"]
        return Text.assemble(
            (f"{caption['speaker']}: ", f"bold {self._colors.get(caption['speaker'], 'white')}"),
            text[:stable],
            (text[stable:], "" if caption["final"] else "dim"),
        )

    def __rich__(self) -> Panel:
        """What is being said now."""
        lines = [self.line(caption) for caption in self._captions.values()]
        return Panel(Group(*lines) if lines else Text("…", style="dim"), title="live captions")


async def hold(model: str, device: str, final_model: str = "") -> None:
    """Hold the call; ends when everything has been said."""
    console = Console()
    script = list(_script())
    speakers = dict.fromkeys(line.speaker for line in script)
    colors = dict(zip(speakers, itertools.cycle(_COLORS), strict=False))
    screen = Screen(colors)
    stack = AsyncExitStack()
    with console.status("Loading the model…"):
        url = await stack.enter_async_context(
            local_server(model, device, len(speakers), final_model)
        )
    async with stack:
        voices = [
            await stack.enter_async_context(Voice(url, "demo", name, "en", _track(script, name)))
            for name in speakers
        ]
        console.print(
            f"A call on {url}: {', '.join(speakers)} speak recordings, "
            "each over its own WebRTC connection.\n"
        )
        with Live(screen, console=console, refresh_per_second=15, transient=True) as live:
            printed = 0

            def show(caption: dict[str, Any]) -> None:
                nonlocal printed
                screen.show(caption)
                for final in screen.finals[printed:]:
                    live.console.print(screen.line(final))
                    printed += 1

            voices[0].on_caption(show)
            async with asyncio.TaskGroup() as tasks:
                for voice in voices:
                    tasks.create_task(voice.speak())
        console.print(f"\n{len(screen.finals)} captions. `surtitle run` opens a call of your own.")


def _script() -> Iterator[Line]:
    start = RATE // 2
    for clip in json.loads((VOICES / "manifest.json").read_text()):
        pcm = read_audio(VOICES / clip["file"])
        yield Line(clip["speaker"], pcm, start)
        start += len(pcm) + int(_GAP_SECONDS * RATE)


def _track(script: list[Line], speaker: str) -> Pcm:
    """The speaker's lines at their places in the conversation, silence between them."""
    mine = [line for line in script if line.speaker == speaker]
    pcm = np.zeros(mine[-1].start + len(mine[-1].pcm), np.int16)
    for line in mine:
        pcm[line.start : line.start + len(line.pcm)] = line.pcm
    return pcm
