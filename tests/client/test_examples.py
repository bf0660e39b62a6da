"""The examples, and what docs/python-client.md shows, run as they are."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import sys
import wave

import jiwer
import pytest

import surtitle.client
from surtitle.client import Client
from tests.client.test_server import spoken
from tests.e2e.test_call import clips, new_call
from tests.recordings import ROOT, normalized

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = ROOT / "examples" / "python"
TOUR = ROOT / "docs" / "python-client.md"


async def example(*command: object) -> asyncio.subprocess.Process:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SURTITLE_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *map(str, command)),
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(ROOT)},  # this clone's, whichever is installed
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """Standard output and standard error of an example that succeeded."""
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode(), err.decode()


async def test_watch_prints_what_is_said_until_the_call_ends(server):
    call = new_call()
    async with Client(server.url) as client:
        watching = await example(EXAMPLES / "watch.py", server.url, call)
        async with spoken(server, call):
            await client.calls.end(call)
        out, err = await ended(watching)
    assert normalized(out).split()[0] == "joe"
    assert normalized(out).split()[-1] == normalized(clips("Joe")[0].text).split()[-1]
    assert err.splitlines()[0] == "-- listening"
    assert err.splitlines()[-1].strip() == "-- ended"


async def test_speak_says_a_file_in_a_call_and_prints_its_captions(server, tmp_path):
    call, joe = new_call(), clips("Joe")[0]
    file = tmp_path / "Announcer.wav"
    with wave.open(str(file), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(48_000)
        wav.writeframes(joe.pcm().tobytes())
    out, _ = await ended(await example(EXAMPLES / "speak.py", server.url, file, call))
    assert jiwer.wer(normalized(joe.text), normalized(out)) <= 0.1
    async with Client(server.url) as client:
        said = await client.transcripts.get(call)
    assert {caption.speaker for caption in said} == {"Announcer"}
    assert [caption.text for caption in said] == out.splitlines()
    private, _ = await ended(await example(EXAMPLES / "speak.py", server.url, joe.path))
    assert jiwer.wer(normalized(joe.text), normalized(private)) <= 0.1


async def test_transcript_saves_what_was_said(server, tmp_path):
    call, file = new_call(), tmp_path / "said.vtt"
    async with spoken(server, call):
        out, _ = await ended(await example(EXAMPLES / "transcript.py", server.url, call, file))
    assert out == f"{file} has what was said by Joe\n"
    assert file.read_text().startswith("WEBVTT")
    refused = await example(EXAMPLES / "transcript.py", server.url, "nobody-was-there", file)
    _, err = await refused.communicate()
    assert refused.returncode == 1
    assert err == b"nobody-was-there: no such call (not_found)\n"


async def test_every_example_is_short():
    files = sorted(EXAMPLES.glob("*.py"))
    assert files
    assert [file.name for file in files if len(file.read_text().splitlines()) >= 40] == []


async def test_what_the_tour_shows_runs(server, tmp_path, capsys):
    call = new_call()
    program, *pieces = (
        piece.replace("http://127.0.0.1:8080", server.url).replace('"standup"', f'"{call}"')
        for piece in re.findall(r"```python\n(.*?)```", TOUR.read_text(), re.DOTALL)
    )
    file = tmp_path / "program.py"
    file.write_text(program)
    async with Client(server.url) as client:
        async with asyncio.TaskGroup() as tasks:
            watching = await example(file)
            names = {name: getattr(surtitle.client, name) for name in surtitle.client.__all__}
            for piece in pieces:
                tasks.create_task(run(piece, names | {"client": client}))
            async with spoken(server, call):
                await client.calls.end(call)
        out, _ = await ended(watching)
    assert out.startswith("Joe: ")
    shown = capsys.readouterr().out.splitlines()
    assert "WEBVTT" in shown
    assert "that was it" in shown
    assert "not_found no such call None" in shown


async def run(piece: str, names: dict) -> None:
    """A piece of a program, which may await."""
    code = compile(piece, str(TOUR), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    done = eval(code, names)
    if inspect.isawaitable(done):
        await done
