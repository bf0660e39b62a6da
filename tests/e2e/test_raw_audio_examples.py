"""The programs that docs/raw-audio.md shows, on a real server."""

from __future__ import annotations

import asyncio
import wave

import jiwer
import pytest

from tests.recordings import ROOT, normalized, our_voices
from tests.transcribe_client import RATE

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_node_s_stock_client_transcribes_a_file(server, tmp_path):
    clip, file = our_voices()[0], tmp_path / "speech.wav"
    with wave.open(str(file), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        wav.writeframes(clip.pcm(RATE).astype("<i2").tobytes())
    script = ROOT / "web/examples/node/transcribe.mjs"
    node = await asyncio.create_subprocess_exec(
        *("node", str(script), server.url, str(file)), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        heard, _ = await node.communicate()
    assert node.returncode == 0
    assert jiwer.wer(normalized(clip.text), normalized(heard.decode())) <= 0.15
