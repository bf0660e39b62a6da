"""`surtitle caption FILE…`: each file a participant of a real call, in real time."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from surtitle.local_call import local_server
from surtitle.settings import UserError
from surtitle.voice import Voice, read_audio

_CALL = "files"


async def caption_files(
    files: list[Path],
    form: str,
    language: str,
    model: str,
    device: str,
    *,
    final_model: str = "",
) -> None:
    """Caption the files at once; the transcript goes to standard output."""
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise UserError(f"no such file: {', '.join(missing)}")
    audio = {path: read_audio(path) for path in files}
    console = Console(stderr=True)
    with console.status("Loading the model…"):
        stack = AsyncExitStack()
        url = await stack.enter_async_context(local_server(model, device, len(files), final_model))
    async with stack:
        voices = [
            await stack.enter_async_context(Voice(url, _CALL, path.stem, language, pcm))
            for path, pcm in audio.items()
        ]
        await _speak(voices, console)
        async with aiohttp.ClientSession(url) as session:
            reply = await session.get(f"/api/calls/{_CALL}/transcript", params={"format": form})
            sys.stdout.write(await reply.text())
            sys.stdout.flush()


async def _speak(voices: list[Voice], console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars = {
            voice: progress.add_task(voice.name, total=voice.recording.seconds) for voice in voices
        }

        async def show() -> None:
            while True:
                for voice, bar in bars.items():
                    progress.update(bar, completed=voice.recording.played_seconds)
                await asyncio.sleep(0.2)

        showing = asyncio.ensure_future(show())
        try:
            async with asyncio.TaskGroup() as tasks:
                for voice in voices:
                    tasks.create_task(voice.speak())
        except* UserError as group:
            raise group.exceptions[0] from None
        finally:
            showing.cancel()
        for voice, bar in bars.items():
            progress.update(bar, completed=voice.recording.seconds)
