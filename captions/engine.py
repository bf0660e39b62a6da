"""The recognizer in a process of its own, so that inference never waits for the GIL.

The parent speaks to it over pipes: a length of four bytes, then a pickle, one request at
a time. The child ends when its standard input does, so that it never outlives the
parent. A child that dies or hangs is replaced and its window done again, twice at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

import structlog

from captions.types import Hypothesis
from captions.window import ModelInfo, Window

log = structlog.get_logger(__name__)

_LENGTH: Final = struct.Struct("!I")
_TRIES: Final = 3

State = Literal["starting", "ready", "restarting", "closed"]


class EngineFailed(Exception):
    """The recognizer could not be started, or did not survive a window."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which model to load, from a folder on disk, and on what.

    `hang_seconds` is how long one window may take before the process counts as hung;
    `load_seconds` the same for loading.
    """

    model: Path
    name: str
    device: str = "auto"
    threads: int = 1
    hang_seconds: float = 30.0
    load_seconds: float = 300.0


class Engine:
    """A recognizer process and the means to replace it.

    `async with Engine(...)` starts it and waits until the model is loaded. `recognize`
    may be cancelled: the process is then replaced, because its answer has no reader.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()
        self.state: State = "starting"
        self.restarts = 0
        self.info = ModelInfo(settings.name, (), settings.device, 0.0)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:  # a cancelled start must leave no process behind either
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pid(self) -> int | None:
        """The process to look at for CPU and memory, None while there is none."""
        return self._process.pid if self._process else None

    async def recognize(self, window: Window) -> Hypothesis:
        """The hypothesis for `window`; EngineFailed where the process kept failing."""
        async with self._one_at_a_time:
            for attempt in range(_TRIES):
                if self.state == "closed":
                    raise EngineFailed("the recognizer is closed")
                try:
                    if self._process is None:
                        self.restarts += 1
                        await asyncio.sleep(0.2 * 4**attempt)  # backoff, not a wait for a condition
                        await self._start()
                    answer = await self._ask(window, self._settings.hang_seconds)
                except (EngineFailed, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                    log.error("recognizer failed", error=repr(error), attempt=attempt + 1)
                    await self._stop()
                except asyncio.CancelledError:
                    await self._stop()
                    raise
                else:
                    if isinstance(answer, Hypothesis):
                        return answer
                    raise EngineFailed(str(answer))
            raise EngineFailed(f"the recognizer failed {_TRIES} times on one window")

    async def close(self) -> None:
        """End the process; idempotent."""
        self.state = "closed"
        await self._stop()

    async def _start(self) -> None:
        settings = self._settings
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "captions.engine",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal goes to the whole group: the parent decides instead.
            start_new_session=True,
            limit=2**24,
        )
        if self.state == "closed":  # while the process was being made
            await self._stop()
            raise EngineFailed("the recognizer is closed")
        try:
            answer = await self._ask(settings, settings.load_seconds)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            await self._stop()
            raise EngineFailed(f"the recognizer did not start: {error!r}") from error
        if not isinstance(answer, ModelInfo):
            await self._stop()
            raise EngineFailed(f"the model in {settings.model} cannot be loaded: {answer}")
        self.info = answer
        self.state = "ready"

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if self.state != "closed":
            self.state = "restarting"
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # Shielded, so that a cancelled caller leaves no zombie behind.
        await asyncio.shield(process.wait())
        if process.stdin:
            process.stdin.close()

    async def _ask(self, question: object, seconds: float) -> object:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise EngineFailed("no process")
        body = pickle.dumps(question, protocol=pickle.HIGHEST_PROTOCOL)
        async with asyncio.timeout(seconds):
            process.stdin.write(_LENGTH.pack(len(body)) + body)
            await process.stdin.drain()
            (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
            return pickle.loads(await process.stdout.readexactly(length))  # noqa: S301 - our own child


def _read(stream: IO[bytes]) -> Any:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    return pickle.loads(stream.read(_LENGTH.unpack(head)[0]))  # noqa: S301 - our own parent


def _write(stream: IO[bytes], answer: object) -> None:
    body = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def serve() -> None:
    """The child's whole life: load the model, answer windows, end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up among the answers
    questions = sys.stdin.buffer
    try:
        settings: EngineSettings = _read(questions)
        begun = time.monotonic()
        try:
            from captions.recognizer import Recognizer

            recognizer = Recognizer(settings.model, settings.device, settings.threads)
        except (RuntimeError, ValueError, OSError) as error:
            _write(answers, str(error))
            return
        seconds = time.monotonic() - begun
        info = ModelInfo(settings.name, recognizer.languages, recognizer.device, seconds)
        _write(answers, info)
        while True:
            window: Window = _read(questions)
            try:
                _write(answers, recognizer.recognize(window))
            except Exception as error:  # one window's trouble: the model is still good
                _write(answers, f"{type(error).__name__}: {error}")
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    serve()
