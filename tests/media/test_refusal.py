"""Who does not want to be captioned is not heard: nothing of theirs is decoded, or said later."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from captions.types import SAMPLE_RATE, SPOKEN, HeardWord, Hypothesis
from media import receiver as receiver_module
from media.counts import NodeCounts
from media.opus import OpusDecoder
from media.source import Joined, TrackStarted
from media.sources.lines import Line
from media.speaker import Speaker
from media.track import Track
from signaling.audio import AudioFormat
from signaling.messages import CallRef, Participant
from signaling.shared_call import Person, with_person
from tests.media.packets import stream, sweep_payloads
from tests.media.test_call import Sfu, a_call
from tests.peer import RATE, Microphone
from tests.recordings import our_voices

ANNA = Participant("p-anna", "Anna", "en")
REFUSING = Participant("p-anna", "Anna", "en", captioned=False)
TONE = (12_000 * np.sin(2 * np.pi * 440 * np.arange(30 * RATE) / RATE)).astype(np.int16)


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """Lengths of the payloads that were given to a decoder of Opus."""
    lengths: list[int] = []

    class Counting(OpusDecoder):
        def decode(self, payload):
            lengths.append(len(payload))
            return super().decode(payload)

        def decode_fec(self, payload, length):
            lengths.append(len(payload))
            return super().decode_fec(payload, length)

    monkeypatch.setattr(receiver_module, "OpusDecoder", Counting)
    return lengths


class Recognizer:
    """In the scheduler's place: requests wait until the test answers them."""

    has_final_model = False
    beat_factor = 1.0

    def __init__(self) -> None:
        self.asked: list = []
        self.submit_partial = self.submit_final = self.asked.append

    def forget(self, *_):
        pass


def hypothesis(text: str) -> Hypothesis:
    words = (HeardWord(f" {word}", (n,), confidence=0.9) for n, word in enumerate(text.split()))
    return Hypothesis(tuple(words), "en", log_probability=-0.1)


async def until(true) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is counted here tells nobody
            await asyncio.sleep(0.005)


async def test_packets_of_who_refuses_are_dropped_unread_and_then_time_goes_on(decoded):
    track, packets = Track(), stream(sweep_payloads(2.0))
    for packet in (*packets[:10], packets[11]):  # the last waits for the one before
        track.take(packet)
    assert len(decoded) == 10
    track.refuse()
    for packet in packets[10:50]:
        assert track.take(packet) == [], "nothing is asked for again"
    track.put_pcm_at(np.ones(320, np.int16), 0)
    assert len(decoded) == 10
    assert track.counts.refused == 40
    assert track.flush() == [], "nor is anything left of before"
    track.agree()
    for packet in packets[50:]:
        track.take(packet)
    assert len(decoded) == 10 + 50
    first = await anext(track)
    assert first.start == pytest.approx(50 * 320, abs=1600)


async def test_a_line_of_who_refuses_is_not_decoded():
    async def finish(track):
        track.close()

    line = Line(AudioFormat("linear16", 8000), 0, finish)
    line._decoder.decode = None  # whoever calls it fails
    line.track.refuse()
    await line.send(b"\x01\x00" * 800, 0)
    line.track.agree()
    await line.send(b"\x01\x00" * 800, 5000)
    await line.close()
    chunks = [chunk async for chunk in line.track]
    assert chunks[0].start == 5 * SAMPLE_RATE


async def test_no_packet_of_a_real_participant_who_refuses_is_decoded(monkeypatch, decoded):
    async with a_call(monkeypatch) as w:
        await w.call._running.wait()
        w.call._scheduler = Recognizer()
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.addTransceiver(Microphone(TONE), direction="sendonly")
        await connection.setLocalDescription(await connection.createOffer())
        sdp = await w.call.offer(REFUSING, connection.localDescription.sdp, 5)
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await until(lambda: w.call.direct.tracks)
        [track] = w.call.direct.tracks
        await until(lambda: track.counts.packets > 20)
        assert track.counts.refused == track.counts.packets
        assert decoded == []
        w.call.update(ANNA, 6)
        await until(lambda: len(decoded) > 5)
        w.call.update(REFUSING, 7)
        heard, packets = len(decoded), track.counts.packets
        await until(lambda: track.counts.packets > packets + 20)
        assert len(decoded) == heard
        await connection.close()


async def test_an_offer_that_comes_late_does_not_undo_a_refusal(monkeypatch):
    async with a_call(monkeypatch) as w:
        await w.call._running.wait()
        w.call.update(REFUSING, 8)
        await w.call.listen(ANNA, AudioFormat("linear16", 16000), 0, version=7)
        [track] = w.call._lines.tracks
        assert track.refused
        w.call.update(ANNA, 9)
        assert not track.refused


async def test_who_refused_is_not_heard_where_the_next_node_finds_them_at_the_sfu(monkeypatch):
    async with a_call(monkeypatch, CallRef("c", 1, 0)) as w:
        hidden = Participant("p-anna", "Anna", captioned=False, anonymous=True)
        await w.presence.change("c", lambda now: with_person(now, Person(hidden, guest=True)))
        sfu, track = Sfu(), Track()
        await w.call.attach(sfu, "en")
        sfu.tell(Joined("p-anna", "Anna"))
        sfu.tell(TrackStarted("p-anna", track))
        assert track.refused, "from the first packet on"
        assert w.call.participants["p-anna"].speaker == "Anonymous"
        track.close()


async def test_a_refusal_reaches_the_node_though_its_order_was_lost(monkeypatch):
    async with a_call(monkeypatch) as w:
        await w.call._running.wait()
        await w.call.listen(ANNA, AudioFormat("linear16", 16000), 0)
        [track] = w.call._lines.tracks
        await w.presence.change("c", lambda now: with_person(now, Person(REFUSING)))
        await until(lambda: track.refused)


async def test_what_was_heard_is_forgotten_and_what_was_shown_is_final_as_it_was_shown():
    recognizer, said = Recognizer(), []
    speaker = Speaker(
        call=SimpleNamespace(call="c", epoch=1, started_at_ms=0),
        participant=ANNA,
        language="en",
        scheduler=recognizer,
        publish=said.append,
        counts=NodeCounts(),
    )
    track = Track()
    pcm = next(r for r in our_voices() if r.speaker == "Ada").pcm()[::3]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speaker.run(track))
        track.put_pcm_at(pcm[: 2 * SAMPLE_RATE].copy(), 0)
        await until(lambda: recognizer.asked)
        recognizer.asked[0].answer(hypothesis("what I said so far"))
        track.put_pcm_at(pcm[2 * SAMPLE_RATE : 4 * SAMPLE_RATE].copy(), 2 * SAMPLE_RATE)
        await until(lambda: len(recognizer.asked) > 1)
        shown = said[-1]
        assert shown.text
        assert not shown.final
        waiting = recognizer.asked[1:]
        speaker.participant = REFUSING
        track.refuse()
        speaker.refuse()
        assert said[-1].final
        assert (said[-1].utterance, said[-1].text) == (shown.utterance, shown.text)
        before = list(said)
        for request in waiting:
            assert request.window() is None, "its audio goes to no recognizer"
            request.answer(hypothesis("what they do not want to be known"))
        track.close()
    assert said == before
    assert said[-1].feed == SPOKEN
