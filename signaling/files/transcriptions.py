"""Transcriptions of files, through whichever gateway they are asked for: who may see and do what.

A job is seen by the subject that posted it, and by who may manage its call.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

from signaling.bus import Bus, Letter
from signaling.errors import ContractError
from signaling.event_response import HEARTBEAT_SECONDS
from signaling.files.jobs import FileJob, FileJobs, JobChanges
from signaling.files.memory import Upload
from signaling.files.queue import FileQueue
from signaling.files.run import Wish
from signaling.inner_sockets import InnerSockets
from signaling.registry import Registry
from signaling.shared_call import now_ms
from signaling.tokens import Identity

SOCKET: Final = "files"
"""Where a gateway takes letters on its files."""

CANCEL: Final = "files:cancel"

CANCEL_SECONDS: Final = 20.0
"""How long a job may take to end: its last words are made."""

DIED: Final = "the server that had the file died: send it again"


@dataclass(frozen=True, slots=True)
class PostedFile:
    """What a file is posted with. Without `call` its own is made; `vocabulary` is for that one."""

    call: str | None = None
    name: str | None = None
    language: str | None = None
    vocabulary: tuple[str, ...] = ()


class Transcriptions:
    """Every method raises `ContractError` with what the caller is to be told."""

    def __init__(
        self,
        *,
        gateway: str,
        queue: FileQueue,
        jobs: FileJobs,
        registry: Registry,
        bus: Bus,
        sockets: InnerSockets,
    ) -> None:
        """`gateway` is this gateway's id among all."""
        self._gateway = gateway
        self._queue = queue
        self._jobs = jobs
        self._registry = registry
        self._bus = bus
        sockets.adopt(self._take, SOCKET)

    def begin(self, who: Identity, posted: PostedFile, announced: int) -> tuple[Wish, Upload]:
        """Room for a file of so many bytes, or more; needs `publish`, of the call that is chosen.

        The upload is the caller's, until it is given to `post`.
        """
        if posted.call and posted.vocabulary:
            raise ContractError("invalid", "vocabulary: a call has its own (PATCH it)")
        if posted.call is None and who.call != "*":
            who.require("publish")
            raise ContractError("forbidden", "the token is for one call: say call=, with its id")
        who.require("publish", posted.call)
        self._queue.check()
        wish = Wish(
            f"f-{secrets.token_hex(8)}",
            posted.call,
            posted.name,
            posted.language,
            posted.vocabulary,
        )
        return wish, self._queue.memory.begin(announced)

    async def post(self, who: Identity, wish: Wish, upload: Upload) -> FileJob:
        """Let a file wait for its turn."""
        upload.complete()
        return await self._queue.add(who, wish, upload)

    async def get(self, who: Identity, job: str) -> FileJob:
        """A job as it is; needs `read`."""
        who.require("read")
        return await self._known(who, job)

    async def newest(self, who: Identity, limit: int) -> list[FileJob]:
        """The newest jobs of whoever asks; of all, where they may manage all calls.

        Whose token is for one call is told that one's only.
        """
        who.require("read")
        manages = "manage" in who.grants and who.call == "*"
        if who.subject is None and not manages:
            return []
        jobs = await self._jobs.newest(None if manages else who.subject, limit)
        alive = await self._alive(jobs)
        return [self._as_is(job, alive) for job in jobs if who.call in ("*", job.call)]

    async def cancel(self, who: Identity, job: str) -> FileJob:
        """End a job that is not over; as it is then. Needs `publish`, or `manage`."""
        if "manage" not in who.grants:
            who.require("publish")
        async with self._jobs.follow(job) as changes:
            known = await self._known(who, job)
            if known.over:
                return known
            if known.gateway == self._gateway:
                self._queue.cancel(job)
            else:
                await self._bus.post(known.gateway, Letter(SOCKET, CANCEL, {"job": job}))
            try:
                async with asyncio.timeout(CANCEL_SECONDS):
                    return await _end(changes)
            except TimeoutError:
                raise ContractError("unavailable", "the job is just ending", 1000) from None

    async def events(self, who: Identity, job: str) -> AsyncGenerator[FileJob | None]:
        """A job as it is and each newest version, until it is over; None where nothing happens."""
        who.require("read")
        await self._known(who, job)
        async with self._jobs.follow(job) as changes:
            known = await self._known(who, job)
            yield known
            while not known.over:
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        newer = await changes.next()
                except TimeoutError:
                    yield None
                    newer = await self._known(who, job)  # its gateway may have died
                if newer.version > known.version:
                    known = newer
                    yield known

    async def _known(self, who: Identity, job: str) -> FileJob:
        found = self._queue.own(job) or await self._jobs.get(job)
        if found is None or not _sees(who, found):
            raise ContractError("not_found", "no such job: it is over for long, or another's")
        return self._as_is(found, await self._alive([found]))

    async def _alive(self, jobs: list[FileJob]) -> set[str]:
        others = {job.gateway for job in jobs if not job.over} - {self._gateway}
        return (await self._registry.gateways() if others else set()) | {self._gateway}

    def _as_is(self, job: FileJob, alive: set[str]) -> FileJob:
        """What is to be said of it: its gateway may have had no time to."""
        job = self._queue.own(job.id) or job
        if job.over or job.gateway in alive:
            return job
        return job.becomes(state="failed", reason=DIED, retryable=True, ended_at_ms=now_ms())

    def _take(self, event: str, payload: dict[str, Any]) -> None:
        """A letter of another gateway."""
        if event == CANCEL:
            self._queue.cancel(str(payload["job"]))


async def _end(changes: JobChanges) -> FileJob:
    while True:
        job = await changes.next()
        if job.over:
            return job


def _sees(who: Identity, job: FileJob) -> bool:
    own = who.subject is not None and who.subject == job.subject
    return who.call in ("*", job.call) and (own or "manage" in who.grants)
