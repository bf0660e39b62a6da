"""The recognizer's process: that it answers, and what becomes of it when it does not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from captions.circuit import CircuitRules
from captions.engine import Engine, EngineSettings
from captions.window import Window
from captions.worker import WorkerFailed

NO_WINDOW = Window(None)  # type: ignore[arg-type]


@pytest.fixture
def settings(tiny_en: Path) -> EngineSettings:
    return EngineSettings(tiny_en, "tiny.en", device="cpu", workers=2)


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


def kill(engine: Engine, number: signal.Signals = signal.SIGKILL) -> int:
    """The process, dead or stopped."""
    assert engine.pid is not None
    pid = engine.pid
    os.kill(pid, number)
    return pid


async def text(engine: Engine, recording: Any) -> str:
    return (await engine.recognize([Window(recording.samples)]))[0].text


async def sent(engine: Engine, batches: int) -> None:
    """So many batches are with the process."""
    await until(lambda: engine._link is not None and engine._link.in_flight == batches)


async def test_a_process_of_its_own_recognizes(engine: Engine, voices: dict[str, Any]):
    assert engine.state == "ready"
    assert engine.pid not in (None, os.getpid())
    assert engine.info.name == "tiny.en"
    assert engine.info.languages == ("en",)
    assert engine.info.device == "cpu"
    assert engine.info.load_seconds > 0
    (heard,) = await engine.recognize([Window(voices["ada-1"].samples, timed=True)])
    assert heard.text == voices["ada-1"].text


async def test_batches_that_come_at_once_are_answered_each_with_its_own(
    engine: Engine, voices: dict[str, Any]
):
    batches = [["ada-1", "joe-2"], ["ada-3"], ["joe-2"], ["joe-2", "ada-3", "ada-1"]]
    heard = await asyncio.gather(
        *(engine.recognize([Window(voices[name].samples) for name in names]) for names in batches)
    )
    for names, hypotheses in zip(batches, heard, strict=True):
        for name, hypothesis in zip(names, hypotheses, strict=True):
            assert hypothesis.text.split()[-1] == voices[name].text.split()[-1]
    assert engine.windows == 7


async def test_a_batch_is_heard_as_its_windows_are_one_by_one(
    engine: Engine, voices: dict[str, Any]
):
    names = ["ada-1", "ada-2", "joe-1", "joe-2"]
    alone = [await text(engine, voices[name]) for name in names]
    together = await engine.recognize([Window(voices[name].samples) for name in names])
    assert [hypothesis.text for hypothesis in together] == alone


async def test_no_more_batches_are_with_the_process_than_it_has_workers(
    engine: Engine, voices: dict[str, Any]
):
    asked = [asyncio.create_task(text(engine, voices["ada-1"])) for _ in range(5)]
    await sent(engine, 2)
    while not all(task.done() for task in asked):
        assert engine._link is not None
        assert engine._link.in_flight <= 2
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=0.01)
    assert {task.result() for task in asked} == {voices["ada-1"].text}


async def test_the_process_tells_what_time_of_the_cpu_it_took(
    engine: Engine, voices: dict[str, Any]
):
    assert engine.cpu_seconds == 0
    await text(engine, voices["ada-1"])
    before = engine.cpu_seconds
    assert before > 0
    await gone(kill(engine))
    await text(engine, voices["ada-1"])
    assert engine.cpu_seconds > before


async def test_numpy_has_no_threads_of_its_own_in_the_process(engine: Engine):
    assert engine.pid is not None
    environment = psutil.Process(engine.pid).environ()
    assert environment["OPENBLAS_NUM_THREADS"] == environment["OMP_NUM_THREADS"] == "1"
    assert environment["PATH"] == os.environ["PATH"]


async def test_a_process_that_is_killed_with_batches_is_replaced_once_and_all_are_done_again(
    engine: Engine, voices: dict[str, Any]
):
    before = engine.pid
    names = [["ada-1", "joe-2"], ["ada-3"], ["joe-2"]]
    asked = [
        asyncio.create_task(engine.recognize([Window(voices[name].samples) for name in batch]))
        for batch in names
    ]
    await sent(engine, 2)
    kill(engine)
    for batch, task in zip(names, asked, strict=True):
        for name, hypothesis in zip(batch, await task, strict=True):
            assert hypothesis.text.split()[-1] == voices[name].text.split()[-1]
    assert engine.pid not in (None, before)
    assert engine.restarts == 1
    assert engine.state == "ready"


async def test_a_process_that_died_between_two_windows_is_replaced_unasked(
    engine: Engine, voices: dict[str, Any]
):
    dead = kill(engine)
    await until(lambda: engine.state == "restarting")
    await until(lambda: engine.state == "ready")
    assert engine.pid not in (None, dead)
    assert await text(engine, voices["ada-1"]) == voices["ada-1"].text
    assert engine.restarts == 1


async def test_a_process_that_hangs_is_replaced(settings: EngineSettings, voices: dict[str, Any]):
    async with Engine(replace(settings, hang_seconds=2)) as engine:
        before = kill(engine, signal.SIGSTOP)
        asked = [text(engine, voices["ada-1"]) for _ in range(3)]
        assert set(await asyncio.gather(*asked)) == {voices["ada-1"].text}
        assert not alive(before)
        assert engine.restarts == 1


async def test_a_process_that_hangs_is_replaced_though_nobody_waits_for_its_answer_any_more(
    settings: EngineSettings, voices: dict[str, Any]
):
    async with Engine(replace(settings, hang_seconds=1)) as engine:
        before = kill(engine, signal.SIGSTOP)
        asked = [asyncio.create_task(text(engine, voices["ada-1"])) for _ in range(2)]
        await sent(engine, 2)
        for task in asked:
            task.cancel()
        assert await text(engine, voices["ada-3"])
        assert not alive(before)


async def test_who_does_not_wait_any_more_costs_nobody_else_a_thing(
    engine: Engine, voices: dict[str, Any]
):
    before = engine.pid
    cancelled = asyncio.create_task(text(engine, voices["ada-3"]))
    beside = asyncio.create_task(text(engine, voices["joe-2"]))
    waiting = asyncio.create_task(text(engine, voices["ada-3"]))
    await sent(engine, 2)
    for task in (cancelled, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await text(engine, voices["ada-1"]) == voices["ada-1"].text
    assert (await beside).split()[-1] == voices["joe-2"].text.split()[-1]
    await sent(engine, 0)
    assert engine.pid == before
    assert engine.restarts == 0


async def test_a_window_that_cannot_be_recognized_fails_and_the_process_lives_on(
    engine: Engine, voices: dict[str, Any]
):
    before = engine.pid
    with pytest.raises(WorkerFailed, match="TypeError"):
        await engine.recognize([NO_WINDOW])
    assert engine.pid == before
    assert await text(engine, voices["ada-1"]) == voices["ada-1"].text
    assert engine.restarts == 0


async def test_a_window_that_cannot_be_recognized_does_not_spoil_its_batch(
    engine: Engine, voices: dict[str, Any]
):
    good = Window(voices["ada-1"].samples)
    with pytest.raises(WorkerFailed, match="TypeError") as failed:
        await engine.recognize([good, NO_WINDOW, good])
    texts = [one and one.text for one in failed.value.answers]
    assert texts == [voices["ada-1"].text, None, voices["ada-1"].text]
    assert engine.windows == 2


DEADLY = """
import sys
import captions.recognizer
from captions.engine_process import main

class Recognizer(captions.recognizer.Recognizer):
    def recognize_batch(self, windows):
        if any(window.language == "deadly" for window in windows):
            import os
            os._exit(9)
        return super().recognize_batch(windows)

captions.recognizer.Recognizer = Recognizer
main()
"""


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows in the language `deadly` end the process."""
    create = asyncio.create_subprocess_exec

    async def instead(program: str, *_: str, **options: Any) -> asyncio.subprocess.Process:
        return await create(program, "-c", DEADLY, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", instead)


async def test_a_window_that_always_kills_the_process_fails_after_three_times_and_alone(
    mortal: None, settings: EngineSettings, voices: dict[str, Any]
):
    good = Window(voices["ada-1"].samples)
    deadly = Window(voices["ada-1"].samples, language="deadly")
    async with Engine(settings) as engine:
        beside = asyncio.create_task(engine.recognize([good]))
        with pytest.raises(WorkerFailed, match="3 times") as failed:
            await engine.recognize([good, deadly, good])
        texts = [one and one.text for one in failed.value.answers]
        assert texts == [voices["ada-1"].text, None, voices["ada-1"].text]
        assert (await beside)[0].text == voices["ada-1"].text
        await until(lambda: engine.state == "ready")
        assert engine.restarts == 3


async def test_a_model_that_vanishes_opens_the_circuit_and_one_that_is_back_closes_it(
    tmp_path: Path, tiny_en: Path, voices: dict[str, Any]
):
    model = tmp_path / "model"
    model.symlink_to(tiny_en)
    rules = CircuitRules(failures=3, first_delay_seconds=0.01, open_seconds=0.5)
    async with Engine(EngineSettings(model, "tiny.en", device="cpu", circuit=rules)) as engine:
        model.unlink()
        kill(engine)
        with pytest.raises(WorkerFailed, match="keeps failing"):
            await text(engine, voices["ada-1"])
        assert engine.state == "open_circuit"
        assert engine.restarts == 2
        with pytest.raises(WorkerFailed, match="keeps failing"):
            await engine.recognize([Window(voices["ada-1"].samples)])
        await until(lambda: engine.restarts == 4)  # by itself, and in vain
        assert engine.state == "open_circuit"
        model.symlink_to(tiny_en)
        await until(lambda: engine.state == "ready")
        await gone(kill(engine))  # nothing has succeeded yet: open again at once
        await until(lambda: engine.state == "open_circuit")
        await until(lambda: engine.state == "ready")
        assert await text(engine, voices["ada-1"]) == voices["ada-1"].text
        kill(engine)
        await until(lambda: engine.state == "restarting")
        assert await text(engine, voices["ada-1"]) == voices["ada-1"].text


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
async def test_a_folder_without_a_good_model_fails_and_names_it(tmp_path: Path, damage: str):
    folder = tmp_path / "model"
    if damage != "missing":
        folder.mkdir()
    if damage == "garbage":
        (folder / "model.bin").write_bytes(b"no model at all")
        (folder / "config.json").write_text("{}")
    engine = Engine(EngineSettings(folder, "bad", device="cpu"))
    with pytest.raises(WorkerFailed, match="model"):
        await engine.__aenter__()
    assert engine.pid is None
    assert engine.state == "closed"


async def test_a_model_that_takes_too_long_to_load_fails(settings: EngineSettings):
    engine = Engine(replace(settings, load_seconds=0.01))
    with pytest.raises(WorkerFailed, match=r"within 0\.01 s"):
        await engine.__aenter__()
    assert engine.pid is None


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
    with pytest.raises(WorkerFailed, match="closed"):
        await engine.recognize([Window(np.zeros(16_000, np.int16))])


async def test_closing_ends_a_process_that_has_already_ended(settings: EngineSettings):
    async with Engine(settings) as engine:
        await gone(kill(engine))
    assert engine.pid is None


async def test_closing_while_windows_are_with_the_process_or_wait_fails_them(
    engine: Engine, voices: dict[str, Any]
):
    pid = engine.pid
    asked = [asyncio.create_task(text(engine, voices["ada-1"])) for _ in range(3)]
    await sent(engine, 2)
    await engine.close()
    for task in asked:
        with pytest.raises(WorkerFailed, match="closed"):
            await task
    assert pid is not None
    assert not alive(pid)
    assert (engine.pid, engine.state) == (None, "closed")


async def test_closing_while_the_process_is_being_replaced_leaves_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    made: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def watched(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        made.append(await create(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    kill(engine)
    recognizing = asyncio.create_task(engine.recognize([Window(np.zeros(16_000, np.int16))]))
    await until(lambda: bool(made))  # which now loads its model
    await engine.close()
    with pytest.raises(WorkerFailed, match="closed"):
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
