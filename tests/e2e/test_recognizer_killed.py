"""The recognizer's process dies in the middle of a sentence: the sentence is captioned."""

from __future__ import annotations

import os
import re
import signal

import aiohttp
import jiwer
import psutil
import pytest

from tests.peer import Microphone, Peer
from tests.recordings import normalized, our_voices
from tests.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


def recognizer_of(server: Server) -> int:
    assert server.process
    children = psutil.Process(server.process.pid).children()
    (found,) = (c.pid for c in children if "captions.engine_process" in c.cmdline())
    return found


async def test_a_recognizer_that_is_killed_in_mid_utterance_loses_no_word(tmp_path):
    clips = [r for r in our_voices() if r.speaker == "Ada"][:2]
    async with Server(tmp_path) as server, Peer(server.url) as anna:
        await anna.join("killed", "Anna", language="en")
        microphone = Microphone(*(clip.pcm() for clip in clips), gap_seconds=0.2)
        await anna.send(microphone)
        await anna.until(lambda p: len(p.captions) >= 3)
        assert not anna.captions[-1]["final"]
        before = recognizer_of(server)
        os.kill(before, signal.SIGKILL)
        await microphone.ended.wait()
        assert (await anna.ask("media:close"))["ok"]
        await anna.until(lambda p: p.finals())
        said = normalized(" ".join(clip.text for clip in clips))
        assert jiwer.wer(said, normalized(anna.text())) <= 0.1
        assert recognizer_of(server) != before
        await anna.until(lambda p: p.events("call:state")[-1]["state"] == "live")
        states = [event["state"] for event in anna.events("call:state")]
        assert "degraded" in states
        async with aiohttp.ClientSession(server.url) as http:
            metrics = await (await http.get("/metrics")).text()
            assert "surtitle_recognizer_restarts_total 1.0" in metrics
            assert "surtitle_audio_lost_seconds_total 0.0" in metrics
            assert "surtitle_load_level" in metrics
            assert "surtitle_partials_dropped_total" in metrics
            for name in ("recognizer_windows_total", "recognizer_cpu_seconds_total"):
                (value,) = re.findall(rf"^surtitle_{name} (\S+)$", metrics, re.MULTILINE)
                assert float(value) > 0
            health = await (await http.get("/health")).json()
            assert health["recognizer"] == "ready"
