"""Save what was said in a call: python transcript.py URL CALL FILE.vtt (or .srt, .txt, .json).

A server with a secret wants a token that may `read`, in SURTITLE_TOKEN.
"""

import asyncio
import os
import sys
from pathlib import Path

from surtitle.client import Client, SurtitleError


async def read(url: str, call: str, form: str) -> tuple[str, set[str]]:
    async with Client(url, token=os.environ.get("SURTITLE_TOKEN")) as client:
        text = await client.transcripts.text(call, form)
        return text, {caption.speaker for caption in await client.transcripts.get(call)}


if __name__ == "__main__":
    url, call, file = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    try:
        text, speakers = asyncio.run(read(url, call, file.suffix.removeprefix(".")))
    except SurtitleError as error:
        sys.exit(f"{call}: {error.message} ({error.code})")
    file.write_text(text)
    print(f"{file} has what was said by {', '.join(sorted(speakers)) or 'nobody'}")
