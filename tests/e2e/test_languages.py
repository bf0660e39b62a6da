"""Languages other than English, by the packaged multilingual model, language not told."""

from __future__ import annotations

import jiwer
import pytest

from tests.e2e.test_call import check_rules, new_call
from tests.peer import Microphone, Peer
from tests.recordings import normalized, samples
from tests.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_each_speaker_s_language_is_found_and_written(tmp_path):
    # A pangram is harder than speech: half of its words may be misheard by a small model.
    said = {
        "fr": [clip for clip in samples("fr") if clip.path.stem == "pangrama"],
        "pt": [clip for clip in samples("pt") if clip.path.stem in ("contagem", "pangrama")],
    }
    call = new_call()
    async with Server(tmp_path, model="base") as server:
        for language, clips in said.items():
            async with Peer(server.url) as peer:
                await peer.join(call, language)
                microphone = Microphone(*(clip.pcm() for clip in clips))
                await peer.send(microphone)
                await microphone.ended.wait()
                await peer.ask("media:close")
                finals = await peer.until(lambda p: p.finals(p.id))
                check_rules(peer.captions)
                assert {final["language"] for final in finals} == {language}
                text = normalized(" ".join(clip.text for clip in clips))
                assert jiwer.wer(text, normalized(peer.text(peer.id))) <= 0.5
