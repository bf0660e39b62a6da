"""What is known of files' jobs: within a process, and as clients read it."""

from __future__ import annotations

import pytest

from signaling.files.jobs import KEPT_SECONDS, MOST_JOBS, MemoryFileJobs
from tests.signaling.file_jobs_contract import FileJobsContract, job


class TestMemoryFileJobs(FileJobsContract):
    @pytest.fixture
    async def jobs(self):
        return MemoryFileJobs()


async def test_jobs_are_forgotten_in_time_and_the_oldest_before_there_are_too_many():
    now = 0.0
    jobs = MemoryFileJobs(lambda: now)
    await jobs.put(job("old"))
    now += KEPT_SECONDS / 2
    await jobs.put(job("newer"))
    now += KEPT_SECONDS / 2 + 1
    assert await jobs.get("old") is None
    assert [one.id for one in await jobs.newest(None, 10)] == ["newer"]
    for n in range(MOST_JOBS):
        await jobs.put(job(f"f{n}"))
    assert await jobs.get("newer") is None
    assert await jobs.get("f0")


async def test_nothing_is_kept_of_who_followed():
    jobs = MemoryFileJobs()
    async with jobs.follow("f1"):
        assert jobs._followers
    assert not jobs._followers


def test_progress_is_between_nothing_and_all_whatever_a_file_says_of_its_length():
    running = job("f1").becomes(state="running", done_seconds=30.0)
    assert running.to_wire()["progress"] == 0
    assert running.becomes(total_seconds=60.0).to_wire()["progress"] == 0.5
    assert running.becomes(total_seconds=10.0).to_wire()["progress"] == 1
    assert running.becomes(state="done").to_wire()["progress"] == 1
    assert "retryable" not in running.to_wire()
    assert running.becomes(state="failed").to_wire()["retryable"] is False
