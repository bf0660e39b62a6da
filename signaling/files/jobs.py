"""Files that are to be transcribed, as jobs: what is known of each, for all gateways.

One Protocol, one in-process implementation here; whatever passes
`tests/signaling/file_jobs_contract.py` may stand in for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

JobState = Literal["waiting", "running", "done", "failed", "canceled"]

KEPT_SECONDS: Final = 7 * 24 * 3600
"""How long a job is known behind its last change. The transcript is not its."""

MOST_JOBS: Final = 10_000
"""Of one subject, or within one process; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class FileJob:
    """One file. Times are milliseconds since the Unix epoch; only its `gateway` changes it.

    `subject` is of the token that it came with. `retryable`: it failed by no fault of the file.
    """

    id: str
    gateway: str
    subject: str | None
    call: str
    posted_at_ms: int
    state: JobState = "waiting"
    done_seconds: float = 0.0
    total_seconds: float | None = None
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    reason: str | None = None
    retryable: bool = False
    version: int = 1

    @property
    def over(self) -> bool:
        """Whether it changes no more."""
        return self.state in ("done", "failed", "canceled")

    @property
    def progress(self) -> float:
        """From 0 to 1; 0 while nothing is known of the file's length."""
        if self.state == "done":
            return 1.0
        return min(1.0, self.done_seconds / self.total_seconds) if self.total_seconds else 0.0

    def becomes(self, **changes: Any) -> FileJob:
        """Its next version."""
        return replace(self, version=self.version + 1, **changes)

    def to_wire(self) -> dict[str, Any]:
        """The job of the public contract."""
        wire: dict[str, Any] = {
            "job": self.id,
            "call": self.call,
            "state": self.state,
            "progress": round(self.progress, 3),
            "seconds_done": round(self.done_seconds, 1),
            "seconds_total": None if self.total_seconds is None else round(self.total_seconds, 1),
            "posted_at": _time(self.posted_at_ms),
            "started_at": _time(self.started_at_ms),
            "ended_at": _time(self.ended_at_ms),
        }
        if self.reason is not None:
            wire["reason"] = self.reason
        if self.state == "failed":
            wire["retryable"] = self.retryable
        return wire


def _time(epoch_ms: int | None) -> str | None:
    if epoch_ms is None:
        return None
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")


class JobChanges(Protocol):
    """What becomes of one job."""

    async def next(self) -> FileJob:
        """The newest version, once there is one that was not returned yet."""


class FileJobs(Protocol):
    """Every method raises `Unreachable` where what is shared is out of reach just now."""

    async def put(self, job: FileJob) -> None:
        """Keep this version of a job, and tell who follows it."""

    async def get(self, job: str) -> FileJob | None:
        """The job; None where it is not known (any more)."""

    async def newest(self, subject: str | None, limit: int) -> list[FileJob]:
        """The newest jobs of a subject, or of all, the newest first."""

    def follow(self, job: str) -> AbstractAsyncContextManager[JobChanges]:
        """The versions of a job from now on."""


class NewestJob:
    """See `JobChanges`: holds one version, since an older one is of no use."""

    def __init__(self) -> None:
        self._job: FileJob | None = None
        self._there = asyncio.Event()

    def put(self, job: FileJob) -> None:
        """There is a newer one."""
        self._job = job
        self._there.set()

    async def next(self) -> FileJob:
        """See `JobChanges`."""
        await self._there.wait()
        self._there.clear()
        assert self._job
        return self._job


class MemoryFileJobs:
    """The jobs of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: dict[str, tuple[FileJob, float]] = {}  # the one changed longest ago first
        self._followers: defaultdict[str, set[NewestJob]] = defaultdict(set)

    async def put(self, job: FileJob) -> None:
        """See `FileJobs`."""
        self._jobs.pop(job.id, None)
        self._jobs[job.id] = job, self._clock()
        self._forget()
        for follower in self._followers.get(job.id, ()):
            follower.put(job)

    async def get(self, job: str) -> FileJob | None:
        """See `FileJobs`."""
        self._forget()
        return self._jobs[job][0] if job in self._jobs else None

    async def newest(self, subject: str | None, limit: int) -> list[FileJob]:
        """See `FileJobs`."""
        self._forget()
        found = [job for job, _ in self._jobs.values() if subject in (None, job.subject)]
        return sorted(found, key=lambda job: job.posted_at_ms, reverse=True)[:limit]

    @asynccontextmanager
    async def follow(self, job: str) -> AsyncIterator[JobChanges]:
        """See `FileJobs`."""
        follower = NewestJob()
        self._followers[job].add(follower)
        try:
            yield follower
        finally:
            self._followers[job].discard(follower)
            if not self._followers[job]:
                del self._followers[job]

    def _forget(self) -> None:
        while self._jobs:
            oldest = next(iter(self._jobs))
            age = self._clock() - self._jobs[oldest][1]
            if age <= KEPT_SECONDS and len(self._jobs) <= MOST_JOBS:
                return
            del self._jobs[oldest]
