"""Print what is said in a call, while it is said: python watch.py URL CALL [LANGUAGE].

A server with a secret wants a token that may `watch`, in SURTITLE_TOKEN.
"""

import asyncio
import os
import sys

from surtitle.client import CallState, Caption, Client


async def main(url: str, call: str, language: str = "spoken") -> None:
    async with Client(url, token=os.environ.get("SURTITLE_TOKEN")) as client:
        async for event in client.events(call, language=language):
            match event:
                case Caption(final=True):
                    print(f"{event.speaker}: {event.text}", flush=True)
                case Caption() if sys.stdout.isatty():
                    print(f"{event.speaker}: {event.text}", end="\033[K\r", flush=True)
                case CallState(state="live", reason=None):
                    print("-- listening", file=sys.stderr)
                case CallState():
                    print(f"-- {event.state}", event.reason or "", file=sys.stderr)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
