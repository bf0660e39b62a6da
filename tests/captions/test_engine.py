"""The recognizer's process: that it answers, and what becomes of it when it does not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from captions.engine import Engine, EngineFailed, EngineSettings
from captions.window import Window


@pytest.fixture
def settings(tiny_en: Path) -> EngineSettings:
    return EngineSettings(tiny_en, "tiny.en", device="cpu")


@pytest.fixture
async def engine(settings: EngineSettings) -> AsyncIterator[Engine]:
    async with Engine(settings) as engine:
        yield engine


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], bool]) -> None:
    """Wait, at most until the test's own time is over."""
    while not condition():  # noqa: ASYNC110 - processes set no events
        await asyncio.sleep(0.01)


async def gone(pid: int) -> None:
    await until(lambda: not alive(pid))


async def test_a_process_of_its_own_recognizes(engine: Engine, voices: dict[str, Any]):
    assert engine.state == "ready"
    assert engine.pid not in (None, os.getpid())
    assert engine.info.name == "tiny.en"
    assert engine.info.languages == ("en",)
    assert engine.info.device == "cpu"
    assert engine.info.load_seconds > 0
    heard = await engine.recognize(Window(voices["ada-1"].samples, timed=True))
    assert heard.text == voices["ada-1"].text


async def test_windows_that_come_at_once_are_answered_each_with_its_own(
    engine: Engine, voices: dict[str, Any]
):
    names = ["ada-1", "ada-3", "joe-2"]
    heard = await asyncio.gather(
        *(engine.recognize(Window(voices[name].samples)) for name in names)
    )
    for name, hypothesis in zip(names, heard, strict=True):
        assert hypothesis.text.split()[-1] == voices[name].text.split()[-1]


async def test_a_process_that_was_killed_is_replaced_and_its_window_done_again(
    engine: Engine, voices: dict[str, Any]
):
    before = engine.pid
    assert before is not None
    window = Window(voices["ada-1"].samples)
    recognizing = asyncio.create_task(engine.recognize(window))
    await asyncio.sleep(0)  # the window has been sent
    os.kill(before, signal.SIGKILL)
    assert (await recognizing).text == voices["ada-1"].text
    assert engine.pid not in (None, before)
    assert engine.restarts == 1
    assert engine.state == "ready"


async def test_a_process_that_died_between_two_windows_is_replaced(
    engine: Engine, voices: dict[str, Any]
):
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    await gone(engine.pid)
    assert (await engine.recognize(Window(voices["ada-1"].samples))).text == voices["ada-1"].text
    assert engine.restarts == 1


async def test_a_process_that_hangs_is_replaced(tiny_en: Path, voices: dict[str, Any]):
    settings = EngineSettings(tiny_en, "tiny.en", device="cpu", hang_seconds=2)
    async with Engine(settings) as engine:
        before = engine.pid
        assert before is not None
        os.kill(before, signal.SIGSTOP)
        heard = await engine.recognize(Window(voices["ada-1"].samples))
        assert heard.text == voices["ada-1"].text
        assert not alive(before)


async def test_a_cancelled_window_leaves_no_answer_behind_for_the_next(
    engine: Engine, voices: dict[str, Any]
):
    before = engine.pid
    cancelled = asyncio.create_task(engine.recognize(Window(voices["ada-3"].samples)))
    waiting = asyncio.create_task(engine.recognize(Window(voices["joe-2"].samples)))
    await asyncio.sleep(0)
    waiting.cancel()  # one that has not been sent costs nothing
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    heard = await engine.recognize(Window(voices["ada-1"].samples))
    assert heard.text == voices["ada-1"].text
    assert before is not None
    assert not alive(before)
    assert engine.restarts == 1


async def test_a_window_that_cannot_be_recognized_fails_and_the_process_lives_on(
    engine: Engine, voices: dict[str, Any]
):
    before = engine.pid
    with pytest.raises(EngineFailed, match="TypeError"):
        await engine.recognize(Window(None))  # type: ignore[arg-type]
    assert engine.pid == before
    assert (await engine.recognize(Window(voices["ada-1"].samples))).text == voices["ada-1"].text
    assert engine.restarts == 0


async def test_a_window_that_always_kills_the_process_fails_after_three_times(
    tiny_en: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = EngineSettings(tiny_en, "tiny.en", device="cpu")
    async with Engine(settings) as engine:
        asked: list[int | None] = []

        async def die(*_: object) -> object:
            asked.append(engine.pid)
            raise asyncio.IncompleteReadError(b"", 4)

        async def start() -> None:
            pass

        sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", lambda _: sleep(0))  # the backoff
        monkeypatch.setattr(engine, "_ask", die)
        monkeypatch.setattr(engine, "_start", start)
        with pytest.raises(EngineFailed, match="3 times"):
            await engine.recognize(Window(np.zeros(160, np.int16)))
        assert len(asked) == 3
        assert engine.state == "restarting"


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
async def test_a_folder_without_a_good_model_fails_and_names_it(tmp_path: Path, damage: str):
    folder = tmp_path / "model"
    if damage != "missing":
        folder.mkdir()
    if damage == "garbage":
        (folder / "model.bin").write_bytes(b"no model at all")
        (folder / "config.json").write_text("{}")
    engine = Engine(EngineSettings(folder, "bad", device="cpu"))
    with pytest.raises(EngineFailed, match="model"):
        await engine.__aenter__()
    assert engine.pid is None
    assert engine.state == "closed"


async def test_closing_twice_and_closing_what_never_started_is_fine(settings: EngineSettings):
    engine = Engine(settings)
    await engine.close()
    await engine.close()
    async with Engine(settings) as engine:
        pid = engine.pid
        await engine.close()
        assert pid is not None
        assert not alive(pid)
        await engine.close()
    assert engine.pid is None
    assert engine.state == "closed"
    with pytest.raises(EngineFailed, match="closed"):
        await engine.recognize(Window(np.zeros(16_000, np.int16)))


async def test_closing_ends_a_process_that_has_already_ended(settings: EngineSettings):
    async with Engine(settings) as engine:
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        await gone(engine.pid)
    assert engine.pid is None


async def test_closing_while_a_window_is_with_the_process_fails_the_window(
    engine: Engine, voices: dict[str, Any]
):
    pid = engine.pid
    recognizing = asyncio.create_task(engine.recognize(Window(voices["ada-1"].samples)))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(EngineFailed, match="closed"):
        await recognizing
    assert pid is not None
    assert not alive(pid)
    assert (engine.pid, engine.state) == (None, "closed")


async def test_closing_while_the_process_is_being_replaced_leaves_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    made: list[asyncio.subprocess.Process] = []
    making = asyncio.Event()
    go_on = asyncio.Event()
    create = asyncio.create_subprocess_exec

    async def slowly(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        making.set()
        await go_on.wait()
        made.append(await create(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    recognizing = asyncio.create_task(engine.recognize(Window(np.zeros(16_000, np.int16))))
    await making.wait()
    await engine.close()
    go_on.set()
    with pytest.raises(EngineFailed, match="closed"):
        await recognizing
    assert len(made) == 1
    assert not alive(made[0].pid)
    assert (engine.pid, engine.state) == (None, "closed")


async def test_a_start_that_is_cancelled_leaves_no_process(settings: EngineSettings):
    engine = Engine(settings)
    starting = asyncio.create_task(engine.__aenter__())
    await until(lambda: engine.pid is not None)
    pid = engine.pid
    assert pid is not None
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not alive(pid)
    assert (engine.pid, engine.state) == (None, "closed")


PARENT = """
import asyncio, sys
from pathlib import Path
from captions.engine import Engine, EngineSettings

async def main():
    async with Engine(EngineSettings(Path(sys.argv[1]), "tiny.en", device="cpu")) as engine:
        print(engine.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_process_does_not_outlive_a_parent_that_is_killed(tiny_en: Path):
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tiny_en), stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert alive(child)
    parent.kill()
    await parent.wait()
    await gone(child)
