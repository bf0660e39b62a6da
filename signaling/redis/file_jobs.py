"""Jobs of files on Redis: a text each, that is forgotten in time. See `signaling.files.jobs`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Final

from signaling.files.jobs import KEPT_SECONDS, MOST_JOBS, FileJob, JobChanges
from signaling.redis.hub import Hub, Missed, Subscription
from signaling.redis.keys import file_job, file_jobs, file_jobs_of
from signaling.redis.link import Link

_FOLLOWER_QUEUE: Final = 64


class RedisFileJobs:
    """Its keys are of one shard: files are few beside captions."""

    def __init__(self, link: Link, hub: Hub) -> None:
        self._link = link
        self._hub = hub

    async def put(self, job: FileJob) -> None:
        """See `FileJobs`."""
        text, kept_ms = json.dumps(asdict(job)), KEPT_SECONDS * 1000
        commands: list[tuple[str | int, ...]] = [("SET", file_job(job.id), text, "PX", kept_ms)]
        of_subject = [] if job.subject is None else [file_jobs_of(job.subject)]
        for index in (file_jobs(), *of_subject):
            commands += [
                ("ZADD", index, job.posted_at_ms, job.id),
                ("ZREMRANGEBYRANK", index, 0, -MOST_JOBS - 1),
                ("PEXPIRE", index, kept_ms),
            ]
        await self._link.do_all(commands)
        await self._link.do("PUBLISH", file_job(job.id), text)

    async def get(self, job: str) -> FileJob | None:
        """See `FileJobs`."""
        text = await self._link.do("GET", file_job(job))
        return None if text is None else _job(text)

    async def newest(self, subject: str | None, limit: int) -> list[FileJob]:
        """See `FileJobs`."""
        index = file_jobs() if subject is None else file_jobs_of(subject)
        names = await self._link.do("ZREVRANGE", index, 0, limit - 1)
        texts = await self._link.do("MGET", *map(file_job, names)) if names else []
        return [_job(text) for text in texts if text is not None]

    @asynccontextmanager
    async def follow(self, job: str) -> AsyncIterator[JobChanges]:
        """See `FileJobs`."""
        async with self._hub.subscribe(file_job(job), queue_size=_FOLLOWER_QUEUE) as messages:
            yield _Changes(self, job, messages)


class _Changes:
    def __init__(self, jobs: RedisFileJobs, job: str, messages: Subscription) -> None:
        self._jobs = jobs
        self._job = job
        self._messages = messages

    async def next(self) -> FileJob:
        """See `JobChanges`."""
        while True:
            message = await self._messages.get()
            if not self._messages.empty:
                continue  # a newer one is there
            if not isinstance(message, Missed):
                return _job(message[1])
            known = await self._jobs.get(self._job)
            if known:
                return known


def _job(text: str) -> FileJob:
    return FileJob(**json.loads(text))
