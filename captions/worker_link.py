"""The parent's end of one worker process: questions out, answers in, until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from captions.worker_wire import HEAD, Answers, Batch, Failure, WorkerSettings, length_of, packed

Q = TypeVar("Q")
A = TypeVar("A")
I = TypeVar("I")  # noqa: E741 - what the process says of itself


class LinkBroken(Exception):
    """The process died, hung, or did not start; says which."""


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A batch that is with the process.

    Its place is taken until the answer comes, also where nobody waits for that any more.
    """

    answers: asyncio.Future[Any]
    hanging: asyncio.TimerHandle


class Link(Generic[Q, A, I]):
    """One process, from its start to its end; never used again. `start`, `serve`, `stop`."""

    def __init__(self, settings: WorkerSettings, on_answer: Callable[[], None]) -> None:
        """`on_answer` is called whenever there is room for another batch."""
        self._settings = settings
        self._on_answer = on_answer
        self._process: asyncio.subprocess.Process | None = None
        self._in_flight: dict[int, _InFlight] = {}
        self._newest = 0
        self._stopped = False
        self._why = f"the {settings.role}'s process died"
        self.cpu_seconds = 0.0

    @property
    def pid(self) -> int | None:
        """The process, None before it is there."""
        return self._process.pid if self._process else None

    @property
    def in_flight(self) -> int:
        """Batches that are with the process."""
        return len(self._in_flight)

    async def start(self) -> I:
        """What the process says once it has loaded; `LinkBroken` where it cannot.

        To be stopped in any case.
        """
        threads = str(self._settings.threads)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._settings.module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal goes to the whole group: the parent decides instead.
            start_new_session=True,
            # numpy's own threads would spin for work that is not there.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": threads},
        )
        if self._stopped:  # while the process was being made
            await self.stop()
            raise LinkBroken("stopped")
        try:
            async with asyncio.timeout(self._settings.load_seconds):
                self._write(self._settings)
                answer = await self._read()
        except TimeoutError:
            seconds = self._settings.load_seconds
            role = self._settings.role
            raise LinkBroken(f"the {role} did not load within {seconds:g} s") from None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise LinkBroken(f"the {self._settings.role} did not start: {error!r}") from error
        if isinstance(answer, Failure):
            raise LinkBroken(answer.why)
        return cast("I", answer)

    def send(self, questions: Sequence[Q]) -> asyncio.Future[Sequence[A | Failure]]:
        """Ask; the future gets an answer to each question, or `LinkBroken`."""
        loop = asyncio.get_running_loop()
        self._newest += 1
        answers: asyncio.Future[Sequence[A | Failure]] = loop.create_future()
        hanging = loop.call_later(self._settings.hang_seconds, self._hung)
        self._in_flight[self._newest] = _InFlight(answers, hanging)
        # Not drained: no more is ever written than `workers` batches.
        self._write(Batch(self._newest, tuple(questions)))
        return answers

    async def serve(self) -> None:
        """Hand out answers until the process ends: raises `LinkBroken` with why."""
        try:
            while True:
                answer = await self._read()
                if isinstance(answer, Answers):
                    self._take(answer)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise LinkBroken(self._why) from error

    async def stop(self) -> None:
        """End the process and fail what is with it; idempotent."""
        self._stopped = True
        process, self._process = self._process, None
        try:
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                # Shielded, so that a cancelled caller leaves no zombie behind.
                await asyncio.shield(process.wait())
                if process.stdin:
                    process.stdin.close()
        finally:
            self._fail_all()

    def _fail_all(self) -> None:
        for batch in self._in_flight.values():
            batch.hanging.cancel()
            if not batch.answers.done():
                batch.answers.set_exception(LinkBroken(self._why))
        self._in_flight.clear()

    def _take(self, answer: Answers) -> None:
        self.cpu_seconds = answer.cpu_seconds
        batch = self._in_flight.pop(answer.id, None)
        if batch is None:
            return
        batch.hanging.cancel()
        if not batch.answers.done():  # else whoever asked has been cancelled
            batch.answers.set_result(answer.answers)
        self._on_answer()

    def _hung(self) -> None:
        seconds = self._settings.hang_seconds
        self._why = f"the {self._settings.role} did not answer within {seconds:g} s"
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()  # `serve` finds its output at an end

    def _write(self, message: object) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise LinkBroken(self._why)
        process.stdin.write(packed(message))

    async def _read(self) -> object:
        process = self._process
        if process is None or process.stdout is None:
            raise LinkBroken(self._why)
        length = length_of(await process.stdout.readexactly(HEAD))
        return pickle.loads(await process.stdout.readexactly(length))  # noqa: S301 - our own child
