"""Who refuses while they speak, on a real server with a real recognizer."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.e2e.test_call import check_rules, clips, new_call, speak
from tests.peer import Microphone, Peer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def metric(url: str, name: str) -> float:
    async with aiohttp.ClientSession(url) as http, http.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.split(" ")[0].split("{")[0] == name
    )


async def test_nothing_is_said_of_who_refuses_but_the_final_of_what_was_shown(server):
    call, clip = new_call(), clips("Joe")[0]
    async with Peer(server.url) as anna, Peer(server.url) as ben:
        await ben.join(call, "Ben")
        await anna.join(call, "Anna", language="en")
        microphone = Microphone(clip.pcm(), clip.pcm())
        await anna.send(microphone)
        await ben.until(lambda p: p.captions and p.captions[-1]["text"])
        answer = await anna.ask("call:update", {"captioned": False})
        assert answer["participant"]["captioned"] is False
        await ben.until(lambda p: p.finals())
        heard, refused = (
            await metric(server.url, "surtitle_audio_seconds_total"),
            await metric(server.url, "surtitle_rtp_packets_refused_total"),
        )
        *_, shown, final = ben.captions
        assert final["final"]
        assert (final["utterance"], final["text"]) == (shown["utterance"], shown["text"])
        state = await ben.until(lambda p: p.events("call:state")[-1:])
        assert state[0]["captioning"] is False
        await asyncio.sleep(2)  # of speech
        assert ben.captions[-1] == final
        assert await metric(server.url, "surtitle_audio_seconds_total") == heard
        assert await metric(server.url, "surtitle_rtp_packets_refused_total") > refused + 50
        await anna.ask("call:update", {"captioned": True})
        await ben.until(lambda p: p.events("call:state")[-1]["captioning"])
        await anna.connection.close()
        await speak(anna, clip)
        await ben.until(lambda p: len(p.finals()) > 1)
        check_rules(ben.captions)
        assert ben.finals()[-1]["start_ms"] > final["end_ms"] + 1500
