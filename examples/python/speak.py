"""Say an audio file in a call, or to yourself, and print it: python speak.py URL FILE [CALL].

A server with a secret wants a token that may `publish`, in SURTITLE_TOKEN.
"""

import asyncio
import os
import sys
from pathlib import Path

import av

from surtitle.client import Client, Speech


async def show(speech: Speech) -> None:
    async for caption in speech:
        if caption.final:
            print(caption.text, flush=True)


async def main(url: str, file: Path, call: str | None = None) -> None:
    token = os.environ.get("SURTITLE_TOKEN")
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    async with Client(url, token=token) as client, client.speak(call, name=file.stem) as speech:
        showing = asyncio.create_task(show(speech))
        for frame in av.open(str(file)).decode(audio=0):
            for part in resampler.resample(frame):
                await speech.send(part.to_ndarray().tobytes())
        await speech.stop()
        await showing


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
