"""The files of this gateway: they wait in order, and one after the other is captioned.

A job belongs to the gateway that took its file, in whose memory that is. Each is a participant of
a call, whose audio goes to the call's node as that of any other, but behind all who speak now.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from functools import partial
from typing import Any, Final

import structlog

from signaling.calls import Calls
from signaling.errors import ContractError, Unreachable
from signaling.files.jobs import FileJob, FileJobs
from signaling.files.memory import FileMemory, FileRules, Upload
from signaling.files.run import GOING, FileRun, Outcome, Wish
from signaling.inner_sockets import InnerSockets
from signaling.shared_call import now_ms
from signaling.tokens import Identity

log = structlog.get_logger(__name__)

BUSY_RETRY_MS: Final = 60_000

_CLOSE_SECONDS: Final = 15.0
_AGAIN_SECONDS: Final = 0.5
"""How soon what could not be told of a job is told again."""


class _Entry:
    """A job of this gateway that is not over, its file, and who captions it."""

    def __init__(self, job: FileJob, upload: Upload, run: FileRun) -> None:
        self.job = job
        self.upload = upload
        self.run = run
        self.running: asyncio.Task[Outcome] | None = None
        self.stopped: Outcome | None = None


class FileQueue:
    """Its tasks belong to the owner's TaskGroup. `run` is one of them; `close` before that ends."""

    def __init__(
        self,
        *,
        gateway: str,
        calls: Calls,
        sockets: InnerSockets,
        jobs: FileJobs,
        rules: FileRules,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`gateway` is this gateway's id among all."""
        self.memory = FileMemory(rules.largest_bytes, rules.memory_bytes)
        self._gateway = gateway
        self._calls = calls
        self._sockets = sockets
        self._jobs = jobs
        self._rules = rules
        self._tasks = tasks
        self._entries: dict[str, _Entry] = {}
        self._waiting: deque[_Entry] = deque()
        self._more = asyncio.Event()
        self._untold: dict[str, FileJob] = {}
        self._to_tell = asyncio.Event()
        self._settled = asyncio.Event()
        self._closing = False

    @property
    def waiting(self) -> int:
        """Jobs whose turn has not come."""
        return len(self._entries) - self.running

    @property
    def running(self) -> int:
        """Jobs that are being captioned."""
        return sum(entry.running is not None for entry in self._entries.values())

    def check(self) -> None:
        """`ContractError` where no file is taken just now."""
        if self._closing:
            raise ContractError("unavailable", "the server is going down", 1000)
        if self.waiting >= self._rules.most_waiting:
            raise ContractError("overloaded", "too many files wait", BUSY_RETRY_MS)

    async def add(self, who: Identity, wish: Wish, upload: Upload) -> FileJob:
        """Take a file, which is the queue's from now on, whatever is raised: `ContractError`."""
        job = FileJob(wish.job, self._gateway, who.subject, wish.own_call, now_ms())
        run = FileRun(
            wish=wish,
            who=who,
            upload=upload,
            longest_seconds=self._rules.longest_seconds,
            calls=self._calls,
            sockets=self._sockets,
            tasks=self._tasks,
            changed=partial(self._change, job.id),
        )
        entry = _Entry(job, upload, run)
        try:
            self.check()
            self._entries[job.id] = entry
            await self._jobs.put(job)
        except BaseException:
            upload.close()
            self._entries.pop(job.id, None)
            raise
        if entry.stopped is None:  # meanwhile
            self._waiting.append(entry)
            self._more.set()
        return entry.job

    def own(self, job: str) -> FileJob | None:
        """A job of this gateway as it is, None where it is not one, or not any more."""
        return self._entries[job].job if job in self._entries else self._untold.get(job)

    def cancel(self, job: str) -> None:
        """End it; what was heard stays in the transcript. Nothing where it is over."""
        if job in self._entries:
            self._stop(self._entries[job], Outcome("canceled"))

    async def run(self) -> None:
        """Caption what waits, and tell what becomes of it, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell())
            for _ in range(self._rules.at_once):
                tasks.create_task(self._work())

    async def close(self) -> None:
        """Take nothing new and stop what there is: it failed, and may be sent again elsewhere."""
        self._closing = True
        for entry in list(self._entries.values()):
            self._stop(entry, Outcome("failed", GOING, retryable=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self._entries or self._untold:
                    self._settled.clear()
                    await self._settled.wait()
        if self._entries or self._untold:
            log.warning("files not ended in time", files=len(self._entries))

    def _stop(self, entry: _Entry, outcome: Outcome) -> None:
        if entry.stopped:
            return
        entry.stopped = outcome
        if entry.running:
            entry.running.cancel()
            return
        if entry in self._waiting:
            self._waiting.remove(entry)
        self._conclude(entry, outcome)

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._more.clear()
                await self._more.wait()
            entry = self._waiting.popleft()
            self._change(entry.job.id, state="running", started_at_ms=now_ms())
            entry.running = self._tasks.create_task(entry.run.run())
            await asyncio.wait({entry.running})
            if entry.running.cancelled():
                self._conclude(entry, entry.stopped or Outcome("failed", GOING, retryable=True))
            else:
                self._conclude(entry, entry.running.result())

    def _conclude(self, entry: _Entry, outcome: Outcome) -> None:
        entry.upload.close()
        self._change(
            entry.job.id,
            state=outcome.state,
            reason=outcome.reason,
            retryable=outcome.retryable,
            ended_at_ms=now_ms(),
        )
        del self._entries[entry.job.id]
        log.info("file done with", state=outcome.state)

    # --- what is told of them ---------------------------------------------------------------

    def _change(self, job: str, **changes: Any) -> None:
        entry = self._entries[job]
        entry.job = entry.job.becomes(**changes)
        self._untold[entry.job.id] = entry.job
        self._to_tell.set()

    async def _tell(self) -> None:
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            for job in list(self._untold.values()):
                try:
                    await self._jobs.put(job)
                except Unreachable:
                    await asyncio.sleep(_AGAIN_SECONDS)
                    self._to_tell.set()
                    break
                if self._untold.get(job.id) is job:
                    del self._untold[job.id]
            self._settled.set()
