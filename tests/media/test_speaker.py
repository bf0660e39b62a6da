"""A speaker who pauses, and one whose track ends: nothing that came stays behind."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from media import speaker as speaker_module
from media.counts import NodeCounts
from media.speaker import Speaker
from media.track import Track
from tests.media.packets import stream, sweep_payloads


class Listener:
    """In the captioner's place: always in the middle of an utterance."""

    speaking = True

    def __init__(self) -> None:
        self.heard: list[str | int] = []
        self.flushed = asyncio.Event()

    def feed(self, chunk):
        self.heard.append(chunk.start)
        return []

    def flush(self):
        self.heard.append("flush")
        self.flushed.set()
        return []


@pytest.fixture
def listener(monkeypatch) -> Listener:
    monkeypatch.setattr(speaker_module, "VoiceActivity", lambda: None)
    monkeypatch.setattr(speaker_module, "PAUSE_SECONDS", 0.05)
    listener = Listener()
    monkeypatch.setattr(speaker_module, "Captioner", lambda *_, **__: listener)
    return listener


def new_speaker(scheduler=None, begins_at_ms=None, *, background=False) -> Speaker:
    return Speaker(
        call=SimpleNamespace(call="c", epoch=1, started_at_ms=0),
        participant=SimpleNamespace(id="p", speaker="Anna", captioned=True),
        language="en",
        scheduler=scheduler
        or SimpleNamespace(forget=lambda *_: None, has_final_model=False, beat_factor=1.0),
        publish=lambda _: None,
        counts=NodeCounts(),
        begins_at_ms=begins_at_ms,
        background=background,
    )


async def test_a_pause_gives_what_waits_behind_a_lost_packet_before_the_final(listener):
    track, packets = Track(), stream(sweep_payloads(1.0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(new_speaker().run(track))
        for packet in (packets[0], packets[1], packets[3]):
            track.take(packet)
        async with asyncio.timeout(5):
            await listener.flushed.wait()
        assert listener.heard == [0, 320, 640, 960, "flush"]
        track.take(packets[4])
        track.close()
    assert listener.heard[5:] in ([1280, "flush"], ["flush", 1280, "flush"])


async def test_a_closed_track_is_heard_to_its_end(listener):
    track, packets = Track(), stream(sweep_payloads(1.0))
    for packet in (packets[0], packets[2]):
        track.take(packet)
    track.close()
    async with asyncio.timeout(5):
        await new_speaker().run(track)
    assert listener.heard == [0, 320, 640, "flush"]


class Confused(Listener):
    """Fails when its turn at the recognizer comes, as a fault of ours would."""

    speaking = False

    def feed(self, chunk):
        self.heard.append(chunk.start)
        utterance = SimpleNamespace(length=16_000)

        def window():
            raise ZeroDivisionError("a fault of ours")

        due = SimpleNamespace(utterance=utterance, final=False, known=None, window=window)
        return [due]


async def test_a_speaker_s_own_fault_ends_the_speaker_and_not_the_scheduler(monkeypatch, listener):
    monkeypatch.setattr(speaker_module, "Captioner", lambda *_, **__: Confused())
    asked = []
    scheduler = SimpleNamespace(
        has_final_model=False,
        beat_factor=1.0,
        forget=lambda *_: None,
        submit_partial=lambda request: asked.append(request.window()),
    )
    speaker = new_speaker(scheduler)
    track = Track()
    for packet in stream(sweep_payloads(1.0))[:3]:
        track.take(packet)
    track.close()
    async with asyncio.timeout(5):
        with pytest.raises(ZeroDivisionError):
            await speaker.run(track)
    assert asked == [None]


class Talker(Listener):
    """Every chunk is an utterance of its own."""

    speaking = False

    def feed(self, chunk):
        self.heard.append(chunk.start)
        utterance = SimpleNamespace(length=1600)
        return [SimpleNamespace(utterance=utterance, final=True, known=None, window=None)]


async def test_who_can_wait_leaves_few_finals_to_the_recognizer(monkeypatch, listener):
    talker = Talker()
    monkeypatch.setattr(speaker_module, "Captioner", lambda *_, **__: talker)
    asked: asyncio.Queue = asyncio.Queue()
    scheduler = SimpleNamespace(
        forget=lambda *_: None,
        has_final_model=False,
        beat_factor=1.0,
        submit_final=asked.put_nowait,
    )
    speaker = new_speaker(scheduler, begins_at_ms=0)
    track = Track()
    for n in range(5):
        track.put_pcm_at(np.zeros(1600, np.int16), n * 1600)
    track.close()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(speaker.run(track))
        for n in range(5):
            await asyncio.sleep(0.01)
            heard = [start for start in talker.heard if start != "flush"]
            assert len(heard) == min(n + 2, 5), "one waits for its answer, one is behind it"
            await asked.get()
            speaker._unanswered -= 1
            speaker._answered.set()
        await running


async def test_noise_is_taken_out_while_the_call_wants_that(listener):
    speaker, track = new_speaker(), Track()
    heard: list[np.ndarray] = []
    feed = listener.feed
    listener.feed = lambda chunk: heard.append(chunk.samples) or feed(chunk)
    noise = np.random.default_rng(7).normal(0, 500, 16_000).astype(np.int16)
    speaker.reduces_noise = True
    for n in range(2):
        track.put_pcm_at(noise.copy(), n * 16_000)
    track.close()
    async with asyncio.timeout(5):
        await speaker.run(track)
    assert np.std(heard[1]) < 0.7 * np.std(noise)
    speaker.reduces_noise, track = False, Track()
    track.put_pcm_at(noise.copy(), 0)
    track.close()
    async with asyncio.timeout(5):
        await speaker.run(track)
    assert np.array_equal(heard[-1], noise)


class Slow:
    """In the scheduler's place: answers nothing by itself; what it is asked stays."""

    has_final_model = False
    beat_factor = 1.0

    def __init__(self) -> None:
        self.finals = []
        self.hurried = asyncio.Event()

    def submit_final(self, request):
        self.finals.append(request)

    def hurry(self, call, speaker):
        assert (call, speaker) == ("c", "p")
        self.hurried.set()

    def forget(self, call, speaker):
        pass


async def test_a_recording_has_finals_only_and_nothing_of_it_waits_behind_its_end(
    monkeypatch, listener
):
    talker, scheduler, track = Talker(), Slow(), Track()
    monkeypatch.setattr(speaker_module, "Captioner", lambda *_, **__: talker)
    feed = talker.feed

    def with_partial(chunk):
        partial = SimpleNamespace(utterance=SimpleNamespace(length=1600), final=False, known=None)
        return [partial, *feed(chunk)]

    talker.feed = with_partial
    speaker = new_speaker(scheduler, begins_at_ms=0, background=True)

    def answered() -> None:
        speaker._unanswered -= 1
        speaker._answered.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(speaker.run(track))
        for n in range(3):
            track.put_pcm_at(np.zeros(1600, np.int16), n * 1600)
        await asyncio.sleep(0.01)
        assert [request.background for request in scheduler.finals] == [True, True]
        assert not scheduler.hurried.is_set()
        track.close()
        assert scheduler.hurried.is_set(), "though it waits for answers, and reads no track"
        for _ in range(3):
            answered()
            await asyncio.sleep(0)
        await running
    assert [request.background for request in scheduler.finals] == [True, True, False]


async def test_a_recording_that_comes_slowly_has_no_pauses_that_are_not_in_it(listener):
    track = Track()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(new_speaker(Slow(), begins_at_ms=0, background=True).run(track))
        track.put_pcm_at(np.zeros(1600, np.int16), 0)
        await asyncio.sleep(4 * speaker_module.PAUSE_SECONDS)
        track.put_pcm_at(np.zeros(1600, np.int16), 1600)
        track.close()
    assert listener.heard == [0, 1600, "flush"]
