"""Captions back into a VideoRoom: a publisher that has one data channel and nothing else.

Participants subscribe to it as to any data stream. It begins with the first caption; where
it fails, captions go on without it and it is tried again later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import structlog
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from captions.types import Caption
from media.janus.errors import JanusLost, JanusRefused
from media.janus.messages import Message
from media.janus.session import JanusSession
from signaling.errors import ContractError
from signaling.messages import LARGEST_SDP

log = structlog.get_logger(__name__)

LABEL: Final = "captions"
"""Of the data channel. Its messages are text: JSON objects whose `type` is below."""

TYPE: Final = "surtitle.caption"

OPEN_SECONDS: Final = 15.0
AGAIN_SECONDS: Final = 30.0
"""After a failure, before the next attempt."""

DRAIN_SECONDS: Final = 5.0
MOST_BUFFERED: Final = 256 * 1024
"""Bytes that wait for a slow connection before we do."""


class JanusCaptions:
    """`send` is for one task at a time, `take` and `close` for any."""

    def __init__(self, session: JanusSession, access: Mapping[str, Any]) -> None:
        """`access` is what a publisher joins with: room, PIN, name and the like."""
        self._session = session
        self._access = access
        self.handle: int | None = None
        self._connection: RTCPeerConnection | None = None
        self._channel: RTCDataChannel | None = None
        self._opened = asyncio.Event()
        self._again_at = 0.0
        self._closed = False

    async def send(self, caption: Caption) -> None:
        """`ContractError` `unavailable` where it cannot be sent, at once or in seconds."""
        try:
            channel = await self._open_channel()
            await self._drained(channel)
            channel.send(json.dumps({"type": TYPE, "caption": caption.to_wire()}))
        except ContractError:
            raise
        except Exception as error:  # whatever it is of aiortc's or Janus's: recognition goes on
            await self._give_up()
            message = f"no data channel to Janus: {error!r:.200}"
            raise ContractError("unavailable", message, 1000) from None

    def take(self, message: Message) -> None:
        """A message to this publisher's handle that answers no request."""
        kicked = message.topic == "event" and (message.data or {}).get("leaving") == "ok"
        if kicked or message.kind in ("hangup", "detached"):
            log.info("Janus wants no captions back", why=message.reason or message.topic)
            self._channel = None
            self._wait_before_again()

    async def close(self) -> None:
        """Idempotent."""
        self._closed = True
        self._opened.set()  # whoever waits for it shall not
        await self._give_up()

    async def _open_channel(self) -> RTCDataChannel:
        if self._channel and self._channel.readyState == "open":
            return self._channel
        now = asyncio.get_running_loop().time()
        if self._closed or now < self._again_at:
            raise ContractError("unavailable", "there is no data channel to Janus", 1000)
        async with asyncio.timeout(OPEN_SECONDS):
            await self._disconnect()
            self._channel = await self._connect()
        return self._channel

    async def _connect(self) -> RTCDataChannel:
        if self.handle is None:
            self.handle = await self._session.attach()
        join = {"request": "join", "ptype": "publisher", **self._access}
        await self._session.request(self.handle, join)
        self._connection = connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        channel = connection.createDataChannel(LABEL)
        self._opened.clear()
        channel.on("open", self._opened.set)
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp
        answer = (await self._session.request(self.handle, {"request": "publish"}, offer)).sdp
        if not answer or len(answer) > LARGEST_SDP:
            raise JanusLost("Janus answered oddly")
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await self._opened.wait()
        return channel

    async def _drained(self, channel: RTCDataChannel) -> None:
        if channel.bufferedAmount <= MOST_BUFFERED:
            return
        drained = asyncio.Event()
        channel.bufferedAmountLowThreshold = MOST_BUFFERED // 2
        channel.once("bufferedamountlow", drained.set)
        async with asyncio.timeout(DRAIN_SECONDS):
            await drained.wait()

    async def _give_up(self) -> None:
        self._wait_before_again()
        await self._disconnect()

    def _wait_before_again(self) -> None:
        self._again_at = asyncio.get_running_loop().time() + AGAIN_SECONDS

    async def _disconnect(self) -> None:
        """Begin anew with a handle of its own: the old one may be in any state."""
        self._channel = None
        connection, self._connection = self._connection, None
        if connection:
            await connection.close()
        handle, self.handle = self.handle, None
        if handle is not None and not self._closed:
            try:
                await self._session.detach(handle)
            except (JanusLost, JanusRefused) as error:
                log.info("handle not detached", why=str(error))
