"""Files that wait and are captioned, one after the other; their calls' node is a stand-in."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from signaling.errors import ContractError, Unreachable
from signaling.files import run as file_run
from signaling.files import transcriptions
from signaling.files.jobs import FileJob, MemoryFileJobs
from signaling.files.memory import FileRules
from signaling.files.queue import FileQueue
from signaling.files.run import CALL_ENDED, FAULT, GOING
from signaling.files.transcriptions import DIED, PostedFile, Transcriptions
from signaling.inner_sockets import InnerSockets
from signaling.registry import MemoryRegistry
from signaling.tokens import GRANTS, Identity
from tests.media_files import media_file, tone
from tests.signaling.cluster import Clock
from tests.signaling.world import ANYBODY, Gate, World, code_of, known, nothing_left, world

SHORT = media_file(tone(1.2), "wav")
LONG = media_file(tone(60.0), "ogg")

ANNA = Identity("anna", "Anna", "*", frozenset({"publish", "read"}))
BOB = Identity("bob", "Bob", "*", frozenset({"publish", "read"}))
BOSS = Identity("boss", "Boss", "*", frozenset(GRANTS))


class Jobs(MemoryFileJobs):
    """May be out of reach."""

    away = False

    async def put(self, job):
        if self.away:
            raise Unreachable
        await super().put(job)


@dataclass
class Files:
    w: World
    jobs: Jobs
    queue: FileQueue
    here: Transcriptions

    async def post(self, file: bytes = SHORT, who: Identity = ANNA, **posted) -> FileJob:
        wish, upload = self.here.begin(who, PostedFile(**posted), len(file))
        upload.write(file)
        return await self.here.post(who, wish, upload)

    async def end(self, job: FileJob, who: Identity = BOSS) -> FileJob:
        """As it is when it is over."""
        async with asyncio.timeout(20), aclosing(self.here.events(who, job.id)) as versions:
            return [version async for version in versions if version][-1]

    async def until(self, job: FileJob, state: str) -> None:
        async with asyncio.timeout(20), aclosing(self.here.events(BOSS, job.id)) as versions:
            async for version in versions:
                if version and version.state == state:
                    return

    @property
    def heard(self) -> list[float]:
        """Seconds that came to each line."""
        return [sum(len(chunk) for chunk, _ in line.heard) / 32_000 for line in self.w.node.lines]


@asynccontextmanager
async def files(folder, **rules):
    async with world(folder) as w:
        tasks, jobs = w.sessions._tasks, Jobs()
        queue = FileQueue(
            gateway="g1",
            calls=w.calls,
            sockets=w.inner,
            jobs=jobs,
            rules=FileRules(**rules),
            tasks=tasks,
        )
        running = tasks.create_task(queue.run())
        here = Transcriptions(
            gateway="g1",
            queue=queue,
            jobs=jobs,
            registry=w.registry,
            bus=w.bus,
            sockets=w.inner,
        )
        yield Files(w, jobs, queue, here)
        jobs.away = False
        await queue.close()
        running.cancel()
        assert queue.memory.used == 0
        assert not queue._entries


async def test_a_file_is_a_call_of_its_own_with_one_participant_and_a_vocabulary(tmp_path):
    async with files(tmp_path) as f:
        f.w.node.gates["send"] = gate = Gate()
        job = await f.post(name="Tape", language="de", vocabulary=("Ada",))
        assert (job.state, job.call, job.subject) == ("waiting", job.id, "anna")
        async with asyncio.timeout(20):
            await gate.reached.wait()
        shared = await f.w.presence.read(job.id)
        assert shared.record.settings == {"vocabulary": ["Ada"]}
        [person] = shared.people.values()
        assert (person.participant.id, person.participant.name) == (job.id, "Tape")
        assert person.participant.language == "de"
        assert [asked[-1] for asked in f.w.node.asked if asked[0] == "listen"] == [True]
        gate.opened.set()
        job = await f.end(job)
        assert (job.state, job.progress) == ("done", 1.0)
        assert job.total_seconds == job.done_seconds == pytest.approx(1.2)
        assert f.heard == [pytest.approx(1.2)]
        assert (await f.w.store.call(job.id)).ended_at_ms is not None
        await f.w.settled()
        nothing_left(f.w)
        assert list(f.w.inner._takers) == [transcriptions.SOCKET]


async def test_a_file_in_a_chosen_call_is_somebody_else_than_who_sent_it(tmp_path):
    async with files(tmp_path) as f:
        await f.w.join("s0", "a", known("anna"))
        job = await f.end(await f.post(call="a"))
        assert (job.state, job.call) == ("done", "a")
        shared = await f.w.presence.read("a")
        assert list(shared.people) == ["anna"], "the file has left, and she has not"
        assert [asked[2] for asked in f.w.node.asked if asked[0] == "listen"] == [job.id]


async def test_files_wait_in_order_and_are_captioned_one_after_the_other(tmp_path):
    async with files(tmp_path) as f:
        f.w.node.gates["send"] = gate = Gate()
        jobs = [await f.post() for _ in range(3)]
        async with asyncio.timeout(20):
            await gate.reached.wait()
        assert (f.queue.running, f.queue.waiting) == (1, 2)
        assert f.queue.memory.used == 3 * len(SHORT)
        gate.opened.set()
        ended = [await f.end(job) for job in jobs]
        assert [job.state for job in ended] == ["done"] * 3
        assert all(a.ended_at_ms <= b.started_at_ms for a, b in pairwise(ended))
        assert f.queue.memory.used == 0


async def test_as_many_as_one_says_are_captioned_at_once(tmp_path):
    async with files(tmp_path, at_once=2) as f:
        f.w.node.gates["send"] = gate = Gate()
        jobs = [await f.post() for _ in range(3)]
        await f.until(jobs[1], "running")
        assert (f.queue.running, f.queue.waiting) == (2, 1)
        gate.opened.set()
        assert [(await f.end(job)).state for job in jobs] == ["done"] * 3


async def test_a_file_comes_no_faster_than_its_node_takes_it(tmp_path):
    async with files(tmp_path) as f:
        f.w.node.gates["send"] = gate = Gate()
        job = await f.post(LONG)
        async with asyncio.timeout(20):
            await gate.reached.wait()
        await asyncio.sleep(0.2)
        [session] = f.w.inner._takers.keys() - {transcriptions.SOCKET}
        session = f.w.inner._takers[session].__self__
        assert session.received_seconds < 10
        gate.opened.set()
        assert (await f.end(job)).state == "done"
        assert f.heard == [pytest.approx(60.0, abs=0.1)]


async def test_what_is_no_audio_fails_in_words_for_people_and_the_next_goes_on(tmp_path):
    async with files(tmp_path, longest_seconds=30) as f:
        jobs = [await f.post(file) for file in (b"no file", LONG, SHORT)]
        bad, long, good = [await f.end(job) for job in jobs]
        assert (bad.state, bad.retryable) == ("failed", False)
        assert bad.reason == "the file cannot be read as audio or video"
        assert "longer than" in long.reason
        assert good.state == "done"
        assert len(f.w.node.lines) == 1
        assert await f.w.store.call(bad.id) is None


@pytest.mark.parametrize("who", [ANNA, BOSS])
async def test_a_file_is_canceled_while_it_waits_and_while_it_is_captioned(tmp_path, who):
    async with files(tmp_path) as f:
        f.w.node.gates["send"] = gate = Gate()
        f.w.node.on_close_media = gate.opened.set
        running, waiting, last = [await f.post(LONG), await f.post(), await f.post()]
        async with asyncio.timeout(20):
            await gate.reached.wait()
            assert (await f.here.cancel(who, waiting.id)).state == "canceled"
            canceled = await f.here.cancel(who, running.id)
        assert canceled.state == "canceled"
        assert canceled.ended_at_ms
        assert "retryable" not in canceled.to_wire()
        assert await f.here.cancel(who, running.id) == canceled, "it is over"
        assert (await f.end(last)).state == "done"
        assert f.heard[0] < 10
        assert len(f.heard) == 2
        await f.w.settled()
        nothing_left(f.w)


async def test_a_file_whose_call_is_ended_by_somebody_fails(tmp_path):
    async with files(tmp_path) as f:
        f.w.node.gates["send"] = gate = Gate()
        job = await f.post(LONG)
        async with asyncio.timeout(20):
            await gate.reached.wait()
        gate.opened.set()
        await f.w.calls.end(job.id)
        job = await f.end(job)
        assert (job.state, job.reason, job.retryable) == ("failed", CALL_ENDED, False)


async def test_a_server_that_goes_down_says_of_its_files_that_they_may_be_sent_again(tmp_path):
    async with files(tmp_path) as f:
        f.w.node.gates["send"] = gate = Gate()
        f.w.node.on_close_media = gate.opened.set
        jobs = [await f.post(LONG), await f.post()]
        async with asyncio.timeout(20):
            await gate.reached.wait()
            await f.queue.close()
        for job in jobs:
            known_last = await f.jobs.get(job.id)
            assert (known_last.state, known_last.reason) == ("failed", GOING)
            assert known_last.retryable
        with pytest.raises(ContractError) as refused:
            await f.post()
        assert code_of(refused) == "unavailable"


async def test_a_fault_of_ours_is_one_file_s_end(tmp_path, monkeypatch):
    async with files(tmp_path) as f:
        with monkeypatch.context() as patched:
            patched.setattr(file_run, "Join", None)
            job = await f.end(await f.post())
        assert (job.state, job.reason, job.retryable) == ("failed", FAULT, True)
        assert (await f.end(await f.post())).state == "done"


async def test_a_file_waits_while_its_call_cannot_be_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(file_run, "_AGAIN_SECONDS", 0.01)
    async with files(tmp_path) as f:
        begin, tried = f.w.rooms.lifecycle.begin, asyncio.Event()

        async def away(*_):
            tried.set()
            raise Unreachable

        f.w.rooms.lifecycle.begin = away
        job = await f.post()
        async with asyncio.timeout(20):
            await tried.wait()
        f.w.rooms.lifecycle.begin = begin
        assert (await f.end(job)).state == "done"
        monkeypatch.setattr(file_run, "OPEN_SECONDS", 0.0)
        f.w.rooms.lifecycle.begin = away
        job = await f.end(await f.post())
        assert (job.state, job.retryable) == ("failed", True)


async def test_what_cannot_be_told_of_a_job_is_told_later_and_known_here_meanwhile(tmp_path):
    async with files(tmp_path) as f:
        f.w.node.gates["send"] = gate = Gate()
        job = await f.post()
        await f.until(job, "running")
        f.jobs.away = True
        with pytest.raises(Unreachable):
            await f.post()
        gate.opened.set()
        async with asyncio.timeout(20):
            while f.queue.running:  # noqa: ASYNC110 - what would tell of it is away
                await asyncio.sleep(0.01)
        assert (await f.here.get(ANNA, job.id)).state == "done"
        assert (await f.jobs.get(job.id)).state == "running"
        async with asyncio.timeout(5), f.jobs.follow(job.id) as changes:
            f.jobs.away = False
            assert (await changes.next()).state == "done"
        await asyncio.sleep(0)
        assert f.queue.own(job.id) is None


@pytest.mark.parametrize(
    ("who", "posted", "code"),
    [
        (Identity("a", None, "*", frozenset({"read"})), {}, "forbidden"),
        (Identity("a", None, "b", frozenset({"publish"})), {}, "forbidden"),
        (Identity("a", None, "b", frozenset({"publish"})), {"call": "c"}, "forbidden"),
        (ANNA, {"call": "c", "vocabulary": ("Ada",)}, "invalid"),
    ],
)
async def test_who_may_not_posts_no_file(tmp_path, who, posted, code):
    async with files(tmp_path) as f:
        with pytest.raises(ContractError) as refused:
            await f.post(who=who, **posted)
        assert code_of(refused) == code


async def test_jobs_are_seen_by_who_posted_them_and_by_who_may_manage_their_call(tmp_path):
    async with files(tmp_path) as f:
        job = await f.end(await f.post(call="a"))
        of_call = Identity("c", None, "a", frozenset({"read", "manage"}))
        for who in (ANNA, BOSS, ANYBODY, of_call):
            assert await f.here.get(who, job.id) == job
        other_call = Identity("c", None, "b", frozenset({"read", "manage"}))
        for who in (BOB, other_call, Identity(None, None, "*", frozenset({"read"}))):
            for asking in (f.here.get, f.here.cancel):
                with pytest.raises(ContractError) as refused:
                    await asking(
                        Identity(who.subject, None, who.call, who.grants | {"publish"}), job.id
                    )
                assert code_of(refused) == "not_found"
            assert await f.here.newest(who, 10) == []
        with pytest.raises(ContractError) as refused:
            await f.here.get(Identity("anna", None, "*", frozenset({"publish"})), job.id)
        assert code_of(refused) == "forbidden"
        others = await f.end(await f.post(who=BOB))
        assert await f.here.newest(ANNA, 10) == [job]
        assert {one.id for one in await f.here.newest(BOSS, 10)} == {job.id, others.id}


async def test_more_files_than_may_wait_are_told_to_come_again(tmp_path):
    async with files(tmp_path, most_waiting=2) as f:
        f.w.node.gates["send"] = gate = Gate()
        running = await f.post()
        await f.until(running, "running")
        jobs = [await f.post(), await f.post()]
        with pytest.raises(ContractError) as refused:
            await f.post()
        assert code_of(refused) == "overloaded"
        assert refused.value.retry_after_ms
        gate.opened.set()
        assert [(await f.end(job)).state for job in jobs] == ["done", "done"]


# --- through another gateway -------------------------------------------------------------


def other_gateway(f: Files, registry: MemoryRegistry) -> Transcriptions:
    """One that shares bus, jobs and registry, and has no files."""
    rules, tasks = FileRules(), f.w.sessions._tasks
    sockets = InnerSockets(f.w.sockets)
    queue = FileQueue(
        gateway="g2", calls=f.w.calls, sockets=sockets, jobs=f.jobs, rules=rules, tasks=tasks
    )
    return Transcriptions(
        gateway="g2", queue=queue, jobs=f.jobs, registry=registry, bus=f.w.bus, sockets=sockets
    )


async def test_a_job_is_seen_and_canceled_through_any_gateway(tmp_path):
    async with files(tmp_path) as f:
        await f.w.registry.report_gateway("g1")
        there = other_gateway(f, f.w.registry)
        f.w.node.gates["send"] = gate = Gate()
        f.w.node.on_close_media = gate.opened.set
        job = await f.post(LONG)
        async with asyncio.timeout(20):
            await gate.reached.wait()
        assert (await there.get(ANNA, job.id)).state == "running"
        assert [one.id for one in await there.newest(ANNA, 10)] == [job.id]

        async def deliver() -> None:
            async with f.w.bus.letters("g1") as letters:
                listening.set()
                letter = await anext(aiter(letters))
                await f.w.inner.emit(letter.event, letter.payload, letter.socket)

        listening = asyncio.Event()
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(deliver())
            await listening.wait()
            assert (await there.cancel(ANNA, job.id)).state == "canceled"


async def test_of_a_gateway_that_died_a_job_has_failed_and_who_reads_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(transcriptions, "HEARTBEAT_SECONDS", 0.01)
    clock = Clock()
    registry = MemoryRegistry(clock=clock)
    async with files(tmp_path) as f:
        await registry.report_gateway("g1")
        there = other_gateway(f, registry)
        f.w.node.gates["send"] = gate = Gate()
        f.w.node.on_close_media = gate.opened.set
        job = await f.post(LONG)
        await f.until(job, "running")
        async with asyncio.timeout(20), aclosing(there.events(ANNA, job.id)) as versions:
            assert (await anext(versions)).state == "running"
            assert await anext(versions) is None, "a sign of life"
            clock.now += 60
            told = [version async for version in versions if version]
        assert [(one.state, one.reason, one.retryable) for one in told] == [("failed", DIED, True)]
        assert (await there.get(ANNA, job.id)).state == "failed"
        assert [one.state for one in await there.newest(ANNA, 10)] == ["failed"]
        assert (await f.here.get(ANNA, job.id)).state == "running", "which knows better"
