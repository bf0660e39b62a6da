"""A Surtitle server from asyncio: captions, transcripts, calls and audio, by the public contract.

    async with Client("http://127.0.0.1:8080") as client:
        async for caption in client.captions("standup", language="pt"):
            print(caption.speaker, caption.text)

Importing this loads nothing that hears or recognizes speech.
"""

from signaling.sources import AnySource, Direct, Janus, LiveKit, Rtp, RtpStream, Srtp, Whep
from surtitle.client.call import Call, CallState, Participant
from surtitle.client.caption import SPOKEN, Caption, Word
from surtitle.client.client import Client
from surtitle.client.errors import SurtitleError
from surtitle.client.operation import Check, Health, Languages
from surtitle.client.speech import Speech
from surtitle.client.token import Token
from surtitle.client.watch import Watch

__all__ = [
    "SPOKEN",
    "AnySource",
    "Call",
    "CallState",
    "Caption",
    "Check",
    "Client",
    "Direct",
    "Health",
    "Janus",
    "Languages",
    "LiveKit",
    "Participant",
    "Rtp",
    "RtpStream",
    "Speech",
    "Srtp",
    "SurtitleError",
    "Token",
    "Watch",
    "Whep",
    "Word",
]
