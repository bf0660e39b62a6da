"""What every `signaling.files.jobs.FileJobs` must do. A subclass gives `jobs` and `other`."""

from __future__ import annotations

import asyncio

import pytest

from signaling.files.jobs import FileJob


def job(name: str, subject: str | None = "anna", posted_at_ms: int = 1_700_000_000_000) -> FileJob:
    return FileJob(name, "g1", subject, f"call-{name}", posted_at_ms)


class FileJobsContract:
    """Each test has jobs of its own; `other` are the same ones, as another process has them."""

    @pytest.fixture
    async def jobs(self):
        raise NotImplementedError

    @pytest.fixture
    async def other(self, jobs):
        return jobs

    async def test_a_job_is_as_it_was_put_last(self, jobs, other):
        assert await other.get("f1") is None
        first = job("f1")
        await jobs.put(first)
        assert await other.get("f1") == first
        ended = first.becomes(
            state="failed", reason="why", retryable=True, total_seconds=3.5, ended_at_ms=7
        )
        await jobs.put(ended)
        assert await other.get("f1") == ended
        assert ended.version == 2

    async def test_the_newest_of_a_subject_come_first_and_no_others(self, jobs, other):
        for n in range(4):
            await jobs.put(job(f"f{n}", posted_at_ms=1000 + n))
        await jobs.put(job("g", "bob", 2000))
        await jobs.put(job("h", None, 3000))
        await jobs.put(job("f1", posted_at_ms=1001).becomes(state="done"))
        assert [one.id for one in await other.newest("anna", 3)] == ["f3", "f2", "f1"]
        assert [one.id for one in await other.newest("bob", 10)] == ["g"]
        assert [one.id for one in await other.newest("eve", 10)] == []
        assert [one.id for one in await other.newest(None, 3)] == ["h", "g", "f3"]
        assert (await other.newest("anna", 10))[2].state == "done"

    async def test_who_follows_a_job_gets_its_newest_version_and_no_other_job_s(self, jobs, other):
        first = job("f1")
        await jobs.put(first)
        async with asyncio.timeout(10), other.follow("f1") as changes:
            await jobs.put(job("f2"))
            await jobs.put(first.becomes(state="running"))
            assert (await changes.next()).state == "running"
            last = first
            for n in range(300):
                last = last.becomes(done_seconds=float(n))
                await jobs.put(last)
            while (await changes.next()).version < last.version:
                pass

    async def test_who_waits_in_vain_for_a_change_misses_none_behind_that(self, jobs, other):
        first = job("f1")
        async with asyncio.timeout(10), other.follow("f1") as changes:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await changes.next()
            await jobs.put(first)
            assert await changes.next() == first
