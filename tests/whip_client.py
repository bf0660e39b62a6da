"""A WHIP client for tests: HTTP and a WebRTC peer that speaks a recording."""

from __future__ import annotations

import secrets

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from signaling.tokens import SharedSecret
from tests.peer import Microphone, Peer
from tests.recordings import our_voices

SECRET = "a secret of the tests that is long enough"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


def new_call() -> str:
    return f"test-{secrets.token_hex(4)}"


def clip(speaker: str):
    return next(r for r in our_voices() if r.speaker == speaker)


def token(subject: str, *grants: str, call: str = "*", name: str | None = None) -> dict[str, str]:
    issued = SharedSecret(SECRET).issue(subject, call, grants, name, 600)
    return {"Authorization": f"Bearer {issued}"}


class Publisher:
    """What a WHIP client does; `async with` closes the connection, and deletes nothing."""

    def __init__(self, server, headers=None):
        self._http = aiohttp.ClientSession(server.url, headers=headers)
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = None
        self.session = self.etag = ""
        self.reply = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.connection.close()
        await self._http.close()

    async def offer(self, *recordings, video=False) -> str:
        self.microphone = Microphone(*(r.pcm() for r in recordings))
        self.connection.addTransceiver(self.microphone, direction="sendonly")
        if video:
            self.connection.addTransceiver("video", direction="sendonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def post(self, call: str, sdp: str, **query: str) -> str:
        """The answer."""
        async with self._http.post(f"/whip/{call}", data=sdp, headers=SDP, params=query) as reply:
            assert reply.status == 201, await reply.text()
            assert reply.content_type == "application/sdp"
            self.reply = reply
            self.session, self.etag = reply.headers["Location"], reply.headers["ETag"]
            return await reply.text()

    async def take(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def publish(self, call: str, *recordings, video=False, **query: str) -> None:
        await self.take(await self.post(call, await self.offer(*recordings, video=video), **query))

    async def patch(self, body: str, **headers: str) -> int:
        everything = FRAGMENT | headers
        async with self._http.patch(self.session, data=body, headers=everything) as reply:
            return reply.status

    async def delete(self, **headers: str) -> int:
        async with self._http.delete(self.session, headers=headers) as reply:
            return reply.status


def people(peer: Peer) -> list[tuple[str, str]]:
    """Who came and went, without what changed meanwhile."""
    events = peer.events("call:participant")
    return [(e["event"], e["participant"]["name"]) for e in events if e["event"] != "updated"]


async def watcher(peer: Peer, call: str) -> Peer:
    assert (await peer.ask("call:watch", {"call": call}))["ok"]
    return peer
