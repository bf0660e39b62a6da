"""Sending audio to a server, by a real one, and what becomes of it when the way is cut."""

from __future__ import annotations

import asyncio

import jiwer
import pytest

from surtitle.client import Client, Speech, SurtitleError
from surtitle.client.chunks import CHUNK_BYTES
from tests.client.cable import Cable
from tests.client.test_server import SECRET, texts, token
from tests.e2e.test_call import clips, new_call, said
from tests.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


def pcm(*recordings) -> bytes:
    """16 kHz, as the contract has it."""
    return b"".join(recording.pcm(16_000).astype("<i2").tobytes() for recording in recordings)


async def read(speech: Speech) -> list:
    return [caption async for caption in speech]


async def test_who_sends_audio_is_a_participant_whom_everybody_reads(server):
    call, ada = new_call(), clips("Ada")[0]
    async with Client(server.url) as client, client.captions(call) as captions:
        async with client.speak(call, name="Bot", language="en") as speech:
            assert speech.call == call
            own = asyncio.create_task(read(speech))
            await speech.send(pcm(ada))
            there = await client.calls.get(call)
            assert [(who.id, who.name) for who in there.participants] == [
                (speech.participant, "Bot")
            ]
        mine = await own
        await client.calls.end(call)
        everybody = [caption async for caption in captions]
    finals = [caption for caption in mine if caption.final]
    assert len(mine) > 2 * len(finals)
    assert jiwer.wer(said(ada), texts(finals)) <= 0.1
    assert finals == [caption for caption in everybody if caption.final]
    assert {caption.speaker for caption in everybody} == {"Bot"}


async def test_a_session_without_a_call_is_one_s_own_and_may_be_faster_than_speech(server):
    joe = clips("Joe")[0]
    async with Client(server.url) as client:
        async with client.speak(language="en", real_time=False) as speech:
            audio = pcm(joe)
            for at in range(0, len(audio), 1001):  # of any length, also within a sample
                await speech.send(audio[at : at + 1001])
            await speech.stop()
            await speech.stop()
            with pytest.raises(SurtitleError, match="conflict"):
                await speech.send(bytes(2))
        finals = [caption for caption in await read(speech) if caption.final]
        assert jiwer.wer(said(joe), texts(finals)) <= 0.1
        assert {caption.call for caption in finals} == {speech.call}


async def test_a_cable_that_is_pulled_while_somebody_speaks_costs_no_word(server):
    call, joe = new_call(), clips("Joe")[:2]
    async with Cable(server.url) as cable, Client(cable.url) as client:
        async with client.speak(call, name="Bot", language="en") as speech:
            own = asyncio.create_task(read(speech))
            audio = pcm(*joe)
            half = len(audio) // 2 // 2 * 2
            await speech.send(audio[:half])
            who = speech.participant
            await cable.pull()
            sending = asyncio.create_task(speech.send(audio[half:]))
            await asyncio.sleep(0.5)
            await cable.plug()
            await sending
        assert speech.participant == who
        finals = [caption for caption in await own if caption.final]
        assert cable.connections > 1
        assert jiwer.wer(said(*joe), texts(finals)) <= 0.1
        assert finals == sorted(await client.transcripts.get(call), key=lambda final: final.seq)


async def test_a_server_that_comes_back_without_the_session_gets_a_new_one(tmp_path):
    call, (first, second, *_) = new_call(), clips("Ada")
    server = Server(tmp_path)
    await server.start()
    async with Client(server.url) as client:
        async with client.speak(call, name="Bot", language="en") as speech:
            own = asyncio.create_task(read(speech))
            await speech.send(pcm(first))
            server.process.kill()
            await server.process.wait()
            sending = asyncio.create_task(speech.send(pcm(second)))
            async with Server(tmp_path, "--port", server.url.rsplit(":", 1)[1]):
                await sending
                await speech.stop()
                assert said(second) in texts(await client.transcripts.get(call))
        finals = [caption for caption in await own if caption.final]
        assert last_words(second) in texts(finals)


async def test_who_waits_to_send_is_told_that_there_is_no_server_any_more(server):
    async with Cable(server.url) as cable, Client(cable.url, reconnect_seconds=1) as client:
        speech = client.speak(language="en", real_time=False, buffer_seconds=1)
        await speech.__aenter__()
        await speech.send(bytes(CHUNK_BYTES))
        await cable.pull()
        with pytest.raises(SurtitleError) as refused:
            await speech.send(bytes(100 * CHUNK_BYTES))
        assert refused.value.code == "unavailable"
        with pytest.raises(SurtitleError, match="unavailable"):
            await speech.stop()
        with pytest.raises(SurtitleError, match="unavailable"):
            await anext(speech)


def last_words(recording) -> str:
    return " ".join(said(recording).split()[-3:])


async def test_a_call_that_ends_takes_no_more_audio(server):
    call = new_call()
    async with Client(server.url) as client, client.speak(call, language="en") as speech:
        await speech.send(bytes(5 * CHUNK_BYTES))
        await client.calls.end(call)
        assert await read(speech) == []
        with pytest.raises(SurtitleError) as refused:
            await speech.send(bytes(CHUNK_BYTES))
        assert refused.value.code == "conflict"


async def test_who_fails_while_they_speak_is_gone_and_the_error_comes_out(server):
    call = new_call()
    async with Client(server.url) as client:
        await client.calls.create(call)
        with pytest.raises(ZeroDivisionError):
            async with client.speak(call) as speech:
                await speech.send(bytes(CHUNK_BYTES // 0))
        async with asyncio.timeout(20):
            while (await client.calls.get(call)).participants:  # noqa: ASYNC110 - as others would
                await asyncio.sleep(0.05)


async def test_who_may_not_publish_is_told_so(tmp_path):
    async with Server(tmp_path, "--secret", SECRET) as server:
        for kept, code in {token("join"): "forbidden", None: "unauthorized"}.items():
            async with Client(server.url, token=kept) as client:
                with pytest.raises(SurtitleError) as refused:
                    async with client.speak("a"):
                        raise AssertionError("nobody lets this in")
                assert refused.value.code == code
