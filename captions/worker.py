"""A process of its own that answers batches of questions, and the means to replace it.

Several batches may be with the process at once. A process that dies or hangs is replaced,
once, however many batches were with it, and their questions are asked again: each by itself,
so that one that kills the process can not take others with it. A process that keeps failing
opens the circuit: questions then fail at once, and it is tried again from time to time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Literal, Self, TypeVar

import structlog

from captions.circuit import Circuit
from captions.worker_link import Link, LinkBroken
from captions.worker_wire import Failure, WorkerSettings

log = structlog.get_logger(__name__)

_TRIES: Final = 3

State = Literal["starting", "ready", "restarting", "open_circuit", "closed"]

Q = TypeVar("Q")
A = TypeVar("A")
I = TypeVar("I")  # noqa: E741 - what the process says of itself


class WorkerFailed(Exception):
    """The process could not be started, or not all questions of a batch be answered.

    `answers` is what there is of the batch, None in place of each that failed.
    """

    def __init__(self, message: str, answers: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.answers = tuple(answers)


class Worker(Generic[Q, A, I]):
    """`async with` starts it and waits until it has loaded; `WorkerFailed` where that fails.

    `ask` may be cancelled: the answer is then dropped when it comes.
    """

    def __init__(self, settings: WorkerSettings, *, lazy: bool = False) -> None:
        """`lazy` starts the process when it is first asked, or by `wake`."""
        self._settings = settings
        self._lazy = lazy
        self._woken = asyncio.Event()
        self._circuit = Circuit(settings.circuit)
        self._link: Link[Q, A, I] | None = None
        self._info: I | None = None
        self._changed = asyncio.Event()
        self._suspects = 0  # questions that may have killed a process, to be tried alone
        self._tasks = asyncio.TaskGroup()
        self._supervising: asyncio.Task[None] | None = None
        self._spent_cpu_seconds = 0.0  # by processes that have ended
        self._state: State = "starting"
        self.on_state: Callable[[], None] = lambda: None
        """Called whenever `state` changes."""
        self.restarts = 0

    async def __aenter__(self) -> Self:
        try:
            if not self._lazy:
                await self._start()
        except LinkBroken as error:
            await self.close()
            raise WorkerFailed(str(error)) from error
        except BaseException:  # a cancelled start must leave no process behind either
            await self.close()
            raise
        await self._tasks.__aenter__()
        self._supervising = self._tasks.create_task(self._supervise())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        await self._tasks.__aexit__(None, None, None)

    def wake(self) -> None:
        """Start the process by now, where it is `lazy`."""
        self._woken.set()

    @property
    def info(self) -> I:
        """What the process says of itself; `WorkerFailed` before it has."""
        if self._info is None:
            raise WorkerFailed(f"the {self._settings.role} has not started")
        return self._info

    @property
    def state(self) -> State:
        """How it is."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        changed, self._state = state != self._state, state
        if changed:
            self.on_state()

    @property
    def workers(self) -> int:
        """Batches that are answered at once."""
        return self._settings.workers

    @property
    def pid(self) -> int | None:
        """The process to look at for CPU and memory, None while there is none."""
        return self._link.pid if self._link else None

    @property
    def cpu_seconds(self) -> float:
        """Time of the CPU that its processes took, as of the newest answer."""
        return self._spent_cpu_seconds + (self._link.cpu_seconds if self._link else 0.0)

    async def ask(self, questions: Sequence[Q]) -> list[A]:
        """An answer to each question, in their order; `WorkerFailed` where one has none."""
        try:
            answers = list(await self._ask(questions))
        except LinkBroken:
            answers = [await self._again(question) for question in questions]
        good = [None if isinstance(one, Failure) else one for one in answers]
        failed = [one for one in answers if isinstance(one, Failure)]
        if failed:
            raise WorkerFailed(failed[0].why, good)
        return [one for one in answers if not isinstance(one, Failure)]

    async def close(self) -> None:
        """End the process; idempotent. Questions that are with it, or wait, fail."""
        self.state = "closed"
        self._changed.set()
        if self._supervising:
            self._supervising.cancel()
            await asyncio.wait({self._supervising})
        await self._end_link()

    async def _ask(self, questions: Sequence[Q], *, alone: bool = False) -> Sequence[A | Failure]:
        """Wait for a place and ask; LinkBroken where the process did not survive it.

        `alone` waits until nothing else is with the process and lets nothing join.
        """
        self.wake()
        self._suspects += alone
        try:
            while (link := self._place(alone=alone)) is None:
                self._changed.clear()
                await self._changed.wait()
            answers = await link.send(questions)
        finally:
            self._suspects -= alone
            self._changed.set()
        if not all(isinstance(one, Failure) for one in answers):
            self._circuit.succeeded()
        return answers

    def _place(self, *, alone: bool) -> Link[Q, A, I] | None:
        """The process, where it takes a batch now."""
        if self.state == "closed":
            raise WorkerFailed(f"the {self._settings.role} is closed")
        if self.state == "open_circuit":
            why = "keeps failing; it is tried again in a while"
            raise WorkerFailed(f"the {self._settings.role} {why}")
        if self.state != "ready" or self._link is None:
            return None
        if alone:
            return None if self._link.in_flight else self._link
        return None if self._suspects or self._link.in_flight >= self.workers else self._link

    async def _again(self, question: Q) -> A | Failure:
        """A question that was with a process that died: its answer, or why there is none."""
        for _ in range(_TRIES - 1):
            try:
                (answer,) = await self._ask([question], alone=True)
            except LinkBroken:
                continue
            except WorkerFailed as error:
                return Failure(str(error))
            return answer
        return Failure(f"the {self._settings.role} failed {_TRIES} times on one question")

    async def _supervise(self) -> None:
        if self._lazy:
            await self._woken.wait()
        while True:
            try:
                if self._link is None:
                    self.restarts += self._info is not None
                    await self._start()
                if self._link is not None:
                    await self._link.serve()
            except LinkBroken as error:
                delay = self._circuit.failed()
                self.state = "open_circuit" if self._circuit.open else "restarting"
                log.error(
                    "process failed",
                    process=self._settings.role,
                    why=str(error),
                    again_in_seconds=delay,
                )
                await self._end_link()
                self._changed.set()
                await asyncio.sleep(delay)  # backoff, not a wait for a condition

    async def _start(self) -> None:
        self._link = Link(self._settings, self._changed.set)
        self._info = await self._link.start()
        self._circuit.started()
        self.state = "ready"
        self._changed.set()

    async def _end_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._spent_cpu_seconds += link.cpu_seconds
            await link.stop()
