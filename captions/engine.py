"""The recognizer in a process of its own, so that inference never waits for the GIL.

Several batches of windows may be with the process at once. A process that dies or hangs is
replaced, once, however many batches were with it, and their windows are done again: each by
itself, so that one that kills the process can not take others with it. A process that keeps
failing opens the circuit: windows then fail at once, and it is tried again from time to time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal, Self

import structlog

from captions.circuit import Circuit, CircuitRules
from captions.engine_link import Heard, Link, LinkBroken
from captions.engine_wire import EngineSettings
from captions.types import Hypothesis
from captions.window import ModelInfo, Window

__all__ = ["CircuitRules", "Engine", "EngineFailed", "EngineSettings", "State"]

log = structlog.get_logger(__name__)

_TRIES: Final = 3

State = Literal["starting", "ready", "restarting", "open_circuit", "closed"]


class EngineFailed(Exception):
    """The recognizer could not be started, or not all windows of a batch be recognized.

    `heard` is what there is of the batch, None in place of each window that failed.
    """

    def __init__(self, message: str, heard: Sequence[Hypothesis | None] = ()) -> None:
        super().__init__(message)
        self.heard = tuple(heard)


class Engine:
    """A recognizer process and the means to replace it.

    `async with Engine(...)` starts it and waits until the model is loaded; EngineFailed
    where that fails. `recognize` may be cancelled: the answer is then dropped when it comes.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._circuit = Circuit(settings.circuit)
        self._link: Link | None = None
        self._changed = asyncio.Event()
        self._suspects = 0  # windows that may have killed a process, to be tried alone
        self._tasks = asyncio.TaskGroup()
        self._supervising: asyncio.Task[None] | None = None
        self._spent_cpu_seconds = 0.0  # by processes that have ended
        self._state: State = "starting"
        self.on_state: Callable[[], None] = lambda: None
        """Called whenever `state` changes."""
        self.restarts = 0
        self.windows = 0
        self.info = ModelInfo(settings.name, (), settings.device, 0.0)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except LinkBroken as error:
            await self.close()
            raise EngineFailed(str(error)) from error
        except BaseException:  # a cancelled start must leave no process behind either
            await self.close()
            raise
        await self._tasks.__aenter__()
        self._supervising = self._tasks.create_task(self._supervise())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        await self._tasks.__aexit__(None, None, None)

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
        """Batches that are recognized at once."""
        return self._settings.workers

    @property
    def pid(self) -> int | None:
        """The process to look at for CPU and memory, None while there is none."""
        return self._link.pid if self._link else None

    @property
    def cpu_seconds(self) -> float:
        """Time of the CPU that recognition took, as of the newest answer."""
        return self._spent_cpu_seconds + (self._link.cpu_seconds if self._link else 0.0)

    async def recognize(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """A hypothesis of each window, in their order; EngineFailed where one has none."""
        try:
            heard = list(await self._ask(windows))
        except LinkBroken:
            heard = [await self._again(window) for window in windows]
        good = [one if isinstance(one, Hypothesis) else None for one in heard]
        self.windows += sum(one is not None for one in good)
        failed = [one for one in heard if isinstance(one, str)]
        if failed:
            raise EngineFailed(failed[0], good)
        return [one for one in good if one is not None]

    async def close(self) -> None:
        """End the process; idempotent. Windows that are with it, or wait, fail."""
        self.state = "closed"
        self._changed.set()
        if self._supervising:
            self._supervising.cancel()
            await asyncio.wait({self._supervising})
        await self._end_link()

    async def _ask(self, windows: Sequence[Window], *, alone: bool = False) -> Heard:
        """Wait for a place and ask; LinkBroken where the process did not survive it.

        `alone` waits until nothing else is with the process and lets nothing join.
        """
        self._suspects += alone
        try:
            while (link := self._place(alone=alone)) is None:
                self._changed.clear()
                await self._changed.wait()
            heard = await link.send(windows)
        finally:
            self._suspects -= alone
            self._changed.set()
        if any(isinstance(one, Hypothesis) for one in heard):
            self._circuit.succeeded()
        return heard

    def _place(self, *, alone: bool) -> Link | None:
        """The process, where it takes a batch now."""
        if self.state == "closed":
            raise EngineFailed("the recognizer is closed")
        if self.state == "open_circuit":
            raise EngineFailed("the recognizer keeps failing; it is tried again in a while")
        if self.state != "ready" or self._link is None:
            return None
        if alone:
            return None if self._link.in_flight else self._link
        return None if self._suspects or self._link.in_flight >= self.workers else self._link

    async def _again(self, window: Window) -> Hypothesis | str:
        """A window that was with a process that died: what is heard, or why nothing."""
        for _ in range(_TRIES - 1):
            try:
                (heard,) = await self._ask([window], alone=True)
            except LinkBroken:
                continue
            except EngineFailed as error:
                return str(error)
            return heard
        return f"the recognizer failed {_TRIES} times on one window"

    async def _supervise(self) -> None:
        while True:
            try:
                if self._link is None:
                    self.restarts += 1
                    await self._start()
                if self._link is not None:
                    await self._link.serve()
            except LinkBroken as error:
                delay = self._circuit.failed()
                self.state = "open_circuit" if self._circuit.open else "restarting"
                log.error(
                    "recognizer failed",
                    model=self._settings.name,
                    why=str(error),
                    again_in_seconds=delay,
                )
                await self._end_link()
                self._changed.set()
                await asyncio.sleep(delay)  # backoff, not a wait for a condition

    async def _start(self) -> None:
        self._link = Link(self._settings, self._changed.set)
        self.info = await self._link.start()
        self._circuit.started()
        self.state = "ready"
        self._changed.set()

    async def _end_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._spent_cpu_seconds += link.cpu_seconds
            await link.stop()
