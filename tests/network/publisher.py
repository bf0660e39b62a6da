"""People in a VideoRoom, as a front-end team's client would be: a WebSocket and a WebRTC peer."""

from __future__ import annotations

import asyncio
import secrets
import time
from fractions import Fraction
from typing import Any, Self

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import is_rtcp

RATE = 48_000
FRAME = RATE // 50
PATIENCE_SECONDS = 20


class Refused(Exception):
    """Janus answered with an error."""


class Client:
    """One Janus session with one handle of VideoRoom. All that is heard is kept in `heard`."""

    def __init__(self, url: str, secret: str | None = None) -> None:
        self._url = url
        self._secret = {"apisecret": secret} if secret else {}
        self._ids: dict[str, int] = {}
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._news = asyncio.Condition()
        self.heard: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(self._url, protocols=["janus-protocol"])
        self._reading = asyncio.create_task(self._read())
        self._ids["session_id"] = (await self._ask({"janus": "create"}))["data"]["id"]
        attached = await self._ask({"janus": "attach", "plugin": "janus.plugin.videoroom"})
        self._ids["handle_id"] = attached["data"]["id"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()
        await self._http.close()
        await self._reading

    @property
    def handle(self) -> int:
        return self._ids["handle_id"]

    async def request(self, jsep: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
        """What the plugin answers; `Refused` where that is an error."""
        message: dict[str, Any] = {"janus": "message", "body": body}
        if jsep:
            message["jsep"] = jsep
        answer = await self._ask(message)
        data = answer["plugindata"]["data"]
        if "error" in data:
            raise Refused(f"{data['error_code']}: {data['error']}")
        return answer

    async def until(self, wanted: Any, since: int = 0) -> Any:
        """The first true value of `wanted(message)` of what was (from `since` on) or will be."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            at = since
            while True:
                for message in self.heard[at:]:
                    if found := wanted(message):
                        return found
                at = len(self.heard)
                await self._news.wait()

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        transaction = secrets.token_hex(8)
        answer = self._answers[transaction] = asyncio.get_running_loop().create_future()
        await self._socket.send_json(
            {**message, **self._ids, **self._secret, "transaction": transaction}
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await answer

    async def _read(self) -> None:
        async for frame in self._socket:
            message = frame.json()
            if message["janus"] == "ack":
                continue
            answer = self._answers.pop(message.get("transaction"), None)
            if answer and not answer.done():
                if message["janus"] == "error":
                    answer.set_exception(Refused(str(message["error"])))
                else:
                    answer.set_result(message)
            async with self._news:
                self.heard.append(message)
                self._news.notify_all()


class Tone(MediaStreamTrack):
    """A tone without end, in real time."""

    kind = "audio"

    def __init__(self, hz: float) -> None:
        super().__init__()
        # A whole number of periods a second: the second can be repeated.
        second = np.sin(2 * np.pi * round(hz) * np.arange(RATE) / RATE)
        self._second = (second * 9000).astype(np.int16)
        self._at = 0
        self.started: float | None = None

    async def recv(self) -> av.AudioFrame:
        self.started = self.started or time.monotonic()
        await asyncio.sleep(max(0, self.started + self._at / RATE - time.monotonic()))
        begin = self._at % RATE
        chunk = self._second[begin : begin + FRAME]
        frame = av.AudioFrame.from_ndarray(chunk.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
        self._at += FRAME
        return frame


class Publisher:
    """Somebody in a room. `enter` joins and publishes; `async with` enters and leaves."""

    def __init__(
        self,
        url: str,
        room: str | int,
        name: str | None,
        *tracks: MediaStreamTrack,
        feed: str | int | None = None,
        pin: str | None = None,
        token: str | None = None,
        secret: str | None = None,
        lose_every: int = 0,
    ) -> None:
        """`tracks` are sent, each on an m-line of its own.

        Of `lose_every` RTP packets one never leaves: those whose sequence number can be
        divided by it, sent again or not.
        """
        self.client = Client(url, secret)
        self.feed = feed
        self._room = room
        self._name = name
        self._tracks = tracks or (Tone(440),)
        self._access = {**({"pin": pin} if pin else {}), **({"token": token} if token else {})}
        self._lose_every = lose_every
        self.lost = 0
        self._connection: RTCPeerConnection | None = None

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def enter(self) -> None:
        await self.join()
        await self.publish()

    async def join(self) -> None:
        """Be in the room without sending anything."""
        await self.client.__aenter__()
        named = {"display": self._name} if self._name is not None else {}
        chosen = {"id": self.feed} if self.feed is not None else {}
        joined = await self.client.request(
            request="join", ptype="publisher", room=self._room, **named, **chosen, **self._access
        )
        self.feed = joined["plugindata"]["data"]["id"]

    async def publish(self) -> None:
        self._connection = connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for track in self._tracks:
            connection.addTransceiver(track, direction="sendonly")
        await self._negotiate(connection, "publish")

    async def publish_again(self, seconds: float = 5.0) -> bool:
        """Publish behind `unpublish`; whether Janus takes what is sent.

        Busy, Janus 1.1.2 now and then refuses, or leaves a handle that publishes again without
        ICE or DTLS for good; who leaves and enters anew gets another handle.
        """
        try:
            await self.publish()
        except Refused:
            return False
        connection = self._connection
        assert connection
        changed = asyncio.Event()
        connection.on("connectionstatechange", changed.set)
        try:
            async with asyncio.timeout(seconds):
                while connection.connectionState != "connected":
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return False
        return True

    async def add(self, track: MediaStreamTrack) -> None:
        """Send one more."""
        assert self._connection
        self._connection.addTransceiver(track, direction="sendonly")
        await self._negotiate(self._connection, "configure")

    async def rename(self, name: str) -> None:
        await self.client.request(request="configure", display=name)

    async def unpublish(self) -> None:
        """Be silent but stay in the room.

        Janus 1.1.2 takes a `publish` that comes before it has freed the connection for one of
        the old: media never flows, or it crashes. Only its log says when it has; see
        `Janus.freed`.
        """
        since = len(self.client.heard)
        await self.client.request(request="unpublish")
        await self._stop()
        await self.client.until(lambda message: message["janus"] == "hangup", since)

    async def leave(self) -> None:
        """Leave in good order."""
        await self.client.request(request="leave")
        await self.vanish()

    async def vanish(self) -> None:
        """Be gone without a word."""
        await self._stop()
        await self.client.__aexit__()

    async def _negotiate(self, connection: RTCPeerConnection, request: str) -> None:
        await connection.setLocalDescription(await connection.createOffer())
        local = connection.localDescription
        for transceiver in connection.getTransceivers():
            self._lossy(transceiver.sender.transport)
        answer = await self.client.request({"type": "offer", "sdp": local.sdp}, request=request)
        await connection.setRemoteDescription(
            RTCSessionDescription(answer["jsep"]["sdp"], "answer")
        )

    def _lossy(self, transport: Any) -> None:
        if not self._lose_every:
            return
        send = transport._send_rtp

        async def send_some(data: bytes) -> None:
            if not is_rtcp(data) and int.from_bytes(data[2:4]) % self._lose_every == 0:
                self.lost += 1
            else:
                await send(data)

        transport._send_rtp = send_some

    async def _stop(self) -> None:
        if self._connection:
            await self._connection.close()
            self._connection = None
