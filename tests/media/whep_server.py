"""A small WHEP server with one stream: real HTTP, ICE, DTLS and SRTP on 127.0.0.1."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import aioice.ice
import av
import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]

RATE = 48_000
FRAME = RATE // 50


class Tone(MediaStreamTrack):
    """A tone, on and on."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self._started: float | None = None

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._started = self._started or loop.time()
        await asyncio.sleep(max(0, self._started + self._at / RATE - loop.time()))
        t = np.arange(self._at, self._at + FRAME) / RATE
        pcm = (9000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
        self._at += FRAME
        return frame


class WhepServer:
    """`/whep/<stream>` has one publisher at most; what was asked for is in `requests`."""

    def __init__(self, stream: str = "studio", token: str | None = None) -> None:
        self.stream = stream
        self.token = token
        self.publisher: str | None = None
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, token
        self.offers: list[str] = []
        self.responses: list[web.Response] = []
        """Given out, one each, instead of what would be."""
        self.location = "/session/{id}"
        self.news = asyncio.Condition()
        self._sessions: dict[str, RTCPeerConnection] = {}
        self._runner: web.AppRunner | None = None
        self._made = 0
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/whep/{self.stream}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        await self.drop()

    async def drop(self) -> None:
        """All sessions end, as they do when the publisher has left."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    async def until(self, wanted) -> None:
        async with asyncio.timeout(20), self.news:
            await self.news.wait_for(wanted)

    def asked(self, method: str, path: str = "") -> int:
        return sum(m == method and path in p for m, p, _ in self.requests)

    async def _handle(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization")
        self.requests.append((request.method, request.path, token))
        try:
            return await self._answer(request, token)
        finally:
            async with self.news:
                self.news.notify_all()

    async def _answer(self, request: web.Request, token: str | None) -> web.Response:
        if request.method == "DELETE":
            session = self._sessions.pop(request.path.rpartition("/")[2], None)
            if session:
                await session.close()
            return web.Response(status=200 if session else 404)
        if self.responses:
            return self.responses.pop(0)
        if self.token and token != f"Bearer {self.token}":
            return web.Response(status=401)
        if request.path != f"/whep/{self.stream}":
            return web.Response(status=404)
        if self.publisher is None:
            return web.Response(status=409)
        return await self._begin(await request.text())

    async def _begin(self, offer: str) -> web.Response:
        self.offers.append(offer)
        self._made += 1
        name = f"s{self._made}"
        session = self._sessions[name] = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        session.addTrack(Tone())
        await session.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await session.setLocalDescription(await session.createAnswer())
        headers = {"Location": self.location.format(id=name), "Content-Type": "application/sdp"}
        return web.Response(status=201, text=session.localDescription.sdp, headers=headers)
