"""Files of speech on a real server: what is in them, in which order, and beside who speaks now."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import jiwer
import numpy as np
import pytest

from tests.media_files import media_file
from tests.recordings import normalized, our_voices
from tests.server import Server
from tests.ws_client import WsClient, encoded

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/api/transcriptions"
PAUSE = np.zeros(48_000, np.int16)


def talk(times: int = 1) -> tuple[np.ndarray, str]:
    """Our voices one after the other, and what they say."""
    clips = our_voices() * times
    pcm = np.concatenate([part for clip in clips for part in (clip.pcm(), PAUSE)])
    return pcm, " ".join(clip.text for clip in clips)


class Client:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def post(self, file: bytes, **query: str) -> dict:
        async with self.http.post(PATH, params=query, data=file) as reply:
            assert reply.status == 202, await reply.text()
            return await reply.json()

    async def versions(self, job: str):
        async with asyncio.timeout(120), self.http.get(f"{PATH}/{job}/events") as events:
            async for line in events.content:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    async def end(self, job: dict) -> dict:
        return [version async for version in self.versions(job["job"])][-1]

    async def captions(self, job: dict) -> list[dict]:
        async with self.http.get(f"/api/calls/{job['call']}/transcript") as reply:
            return (await reply.json())["captions"]


@asynccontextmanager
async def client(server: Server):
    async with aiohttp.ClientSession(server.url) as http:
        yield Client(http)


def error_rate(text: str, captions: list[dict]) -> float:
    heard = " ".join(caption["text"] for caption in captions)
    return jiwer.wer(normalized(text), normalized(heard))


@pytest.mark.parametrize(
    ("kind", "video"), [("mp3", False), ("m4a", True), ("ogg", False), ("wav", False)]
)
async def test_what_is_said_in_a_file_is_its_call_s_transcript(server, kind, video):
    pcm, text = talk()
    async with client(server) as c:
        job = await c.post(media_file(pcm, kind, video=video), name="Tape", language="en")
        job = await c.end(job)
        assert (job["state"], job["progress"]) == ("done", 1)
        assert job["seconds_done"] == pytest.approx(len(pcm) / 48_000, abs=0.5)
        captions = await c.captions(job)
        assert error_rate(text, captions) <= 0.1
        assert {caption["speaker"] for caption in captions} == {"Tape"}
        # The last voice begins where it does in the file, however fast that was read.
        begins_ms = (len(pcm) - len(our_voices()[-1].pcm()) - len(PAUSE)) / 48
        assert captions[-1]["end_ms"] > begins_ms
        assert captions[-1]["end_ms"] <= len(pcm) / 48 + 100
        assert captions[0]["start_ms"] <= 500
        assert all(caption["words"] for caption in captions)


async def test_where_the_sound_of_a_film_begins_late_its_captions_do(server):
    clip = our_voices()[4]
    async with client(server) as c:
        film = media_file(clip.pcm(), "m4a", video=True, audio_from_seconds=5.0)
        job = await c.end(await c.post(film, language="en"))
        captions = await c.captions(job)
        assert error_rate(clip.text, captions) <= 0.15
        assert captions[0]["start_ms"] >= 4500


async def test_files_are_captioned_in_the_order_in_which_they_came(server):
    async with client(server) as c:
        clips = our_voices()[4:6]
        jobs = [await c.post(media_file(clip.pcm(), "mp3"), language="en") for clip in clips]
        first, second = [await c.end(job) for job in jobs]
        assert first["ended_at"] <= second["started_at"]
        for clip, job in zip(clips, (first, second), strict=True):
            assert error_rate(clip.text, await c.captions(job)) <= 0.15


async def test_a_bad_file_is_told_and_the_next_one_is_captioned(server):
    clip = our_voices()[4]
    async with client(server) as c:
        jobs = [await c.post(b"no audio" * 1000), await c.post(media_file(clip.pcm(), "mp3"))]
        bad, good = [await c.end(job) for job in jobs]
        assert (bad["state"], bad["retryable"]) == ("failed", False)
        assert bad["reason"]
        assert good["state"] == "done"


async def test_two_recordings_of_one_meeting_are_two_people_of_one_call(server):
    async with client(server) as c:
        clips = our_voices()[4:6]
        for clip in clips:
            file = media_file(clip.pcm(), "mp3")
            job = await c.end(await c.post(file, call="meeting", name=clip.speaker, language="en"))
            assert (job["state"], job["call"]) == ("done", "meeting")
        captions = await c.captions(job)
        assert {one["speaker"] for one in captions} == {clip.speaker for clip in clips}


async def test_who_speaks_now_is_captioned_beside_a_long_file_which_is_then_canceled(server):
    pcm, text = talk(times=8)
    clip = our_voices()[5]
    async with client(server) as c:
        job = await c.post(media_file(pcm, "mp3"), language="en")
        async for version in c.versions(job["job"]):
            if version["seconds_done"] > 0:
                break
        async with WsClient(server.url, "?language=en") as live:
            await live.say(encoded(clip.pcm(), "linear16", 16000), pace=1.0)
            await live.finish()
            assert jiwer.wer(normalized(clip.text), normalized(live.text)) <= 0.15
            assert live.of("interim"), "partials come, too"
            assert live.of("error") == []
        async with c.http.get("/ready") as ready:
            assert ready.status == 200
        async with c.http.get(f"{PATH}/{job['job']}") as reply:
            assert (await reply.json())["state"] == "running"
        async with c.http.delete(f"{PATH}/{job['job']}") as reply:
            canceled = await reply.json()
        assert canceled["state"] == "canceled"
        assert 0 < canceled["progress"] < 1
        heard = " ".join(caption["text"] for caption in await c.captions(job))
        assert normalized(heard)[:20] == normalized(text)[:20], "what was heard so far stays"


async def test_what_is_too_large_is_refused_and_a_server_that_goes_down_tells_its_files(tmp_path):
    pcm, _ = talk(times=8)
    async with (
        Server(tmp_path, "--largest-file", "1", "--capacity", "1") as server,
        client(server) as c,
    ):
        async with c.http.post(PATH, data=bytes(2 * 2**20)) as reply:
            assert reply.status == 413
            assert (await reply.json())["code"] == "too_large"
        job = await c.post(media_file(pcm, "ogg")[: 2**20], language="en")
        async for version in c.versions(job["job"]):
            if version["seconds_done"] > 0:
                # The one place of this server is for who speaks now.
                async with c.http.get("/ready") as ready:
                    assert ready.status == 200
                break

        reading = asyncio.create_task(c.end(job))
        await asyncio.sleep(0.2)
        assert await server.stop() == 0
        told = await reading
        assert (told["state"], told["retryable"]) == ("failed", True)
        assert "went down" in told["reason"]
