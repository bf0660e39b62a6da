"""A server with two models: one for while somebody speaks, one for what has been said."""

from __future__ import annotations

import aiohttp
import jiwer
import psutil
import pytest

from tests.peer import Microphone, Peer
from tests.recordings import normalized, our_voices
from tests.server import Server
from tests.surtitle.test_cli import one_line, surtitle

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_partials_come_of_one_model_and_finals_of_the_other(tmp_path):
    clips = [r for r in our_voices() if r.speaker == "Joe"][:2]
    server = Server(tmp_path, "--final-model", "base", "--device", "cpu")
    async with server, Peer(server.url) as anna:
        assert "final_model=base" in server.log.read_text()
        assert server.process
        children = psutil.Process(server.process.pid).children()
        engines = [child for child in children if "captions.engine_process" in child.cmdline()]
        assert len(engines) == 2
        await anna.join("two", "Anna", language="en")
        microphone = Microphone(*(clip.pcm() for clip in clips))
        await anna.send(microphone)
        await microphone.ended.wait()
        assert (await anna.ask("media:close"))["ok"]
        await anna.until(lambda p: p.finals())
        said = normalized(" ".join(clip.text for clip in clips))
        assert jiwer.wer(said, normalized(anna.text())) <= 0.1
        assert len(anna.captions) > 2 * len(anna.finals())
        assert all(word["end_ms"] for final in anna.finals() for word in final["words"])
        async with aiohttp.ClientSession(server.url) as http:
            assert (await (await http.get("/health")).json())["recognizer"] == "ready"


async def test_a_model_for_finals_that_knows_fewer_languages_is_refused():
    done = await surtitle("run", "--port", "0", "--model", "base", "--final-model", "tiny.en")
    message = one_line(done)
    assert "--final-model tiny.en" in message
    assert "languages" in message
