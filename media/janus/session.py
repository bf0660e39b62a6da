"""One session of Janus's API over one WebSocket (subprotocol `janus-protocol`)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import structlog

from media.janus.errors import JanusLost, JanusRefused
from media.janus.messages import LARGEST_MESSAGE, BadMessage, Message, number, read_message
from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.sources import Janus

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 10.0
"""For Janus to answer anything it is asked."""

KEEPALIVE_SECONDS: Final = 10.0
"""At most; a third of the session's timeout where that is less."""

_CLOSE: Final = aiohttp.ClientWSTimeout(ws_close=1.0)
_MOST_WAITING: Final = 10_000


@asynccontextmanager
async def open_session(settings: Janus, allow: AllowList) -> AsyncIterator[JanusSession]:
    """A session that is read from and kept alive; behind this it is closed.

    `JanusLost` and `JanusRefused` where there can be none, `ContractError` where the address
    is not allowed.
    """
    allow.check(settings.url)
    fault: Exception | None = None
    async with _connected(settings.url, allow) as socket, asyncio.TaskGroup() as tasks:
        session = JanusSession(socket, settings)
        reading = tasks.create_task(session.read())
        beating: asyncio.Task[None] | None = None
        try:
            timeout_seconds = await session.create()
            beating = tasks.create_task(session.keep_alive(timeout_seconds))
            yield session
        except (JanusLost, JanusRefused, ContractError) as error:
            fault = error  # raised below: a task group would wrap it
        finally:
            session.fail("closed")
            reading.cancel()
            if beating:
                beating.cancel()
    if fault:
        raise fault


@asynccontextmanager
async def _connected(
    url: str, allow: AllowList
) -> AsyncIterator[aiohttp.ClientWebSocketResponse[bool]]:
    async with allow.session(url) as http:
        http.trace_configs.append(_no_redirects())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await http.ws_connect(
                    url,
                    protocols=("janus-protocol",),
                    max_msg_size=LARGEST_MESSAGE,
                    timeout=_CLOSE,
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise JanusLost(f"Janus cannot be reached: {type(error).__name__}") from None
        try:
            yield socket
        finally:
            await socket.close()


def _no_redirects() -> aiohttp.TraceConfig:
    """What a redirect names has not been checked, and Janus makes none."""

    async def refuse(*_: object) -> None:
        raise aiohttp.ClientError("redirected")

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(refuse)
    tracing.freeze()
    return tracing


class JanusSession:
    """Requests out, answers and events in. Any of its methods may raise `JanusLost`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool], settings: Janus) -> None:
        self._socket = socket
        self._ids: dict[str, Any] = {}
        if settings.token:
            self._ids["token"] = settings.token
        if settings.api_secret:
            self._ids["apisecret"] = settings.api_secret
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._beat = ""  # the transaction of the newest keepalive
        self._lost: JanusLost | None = None

    async def create(self) -> float:
        """Begin the session; the seconds after which Janus forgets one that is silent."""
        asked, beginning = self._asking(), self._asking()
        await self._write({"janus": "info", "transaction": asked})
        await self._write({"janus": "create", "transaction": beginning})
        self._ids["session_id"] = _id(await self._answer(beginning))
        try:
            info = await self._answer(asked)
        except JanusRefused as error:  # it does without us knowing
            log.info("Janus gives no information", why=str(error))
            return 3 * KEEPALIVE_SECONDS
        return number((info.data or {}).get("session-timeout")) or 3 * KEEPALIVE_SECONDS

    async def attach(self) -> int:
        """A new handle of VideoRoom."""
        return _id(await self._ask({"janus": "attach", "plugin": "janus.plugin.videoroom"}))

    async def detach(self, handle: int) -> None:
        """Give a handle back, and all that was done by it."""
        await self._ask({"janus": "detach", "handle_id": handle})

    async def request(
        self, handle: int, body: Mapping[str, Any], offer: str | None = None
    ) -> Message:
        """What the plugin answers; `JanusRefused` where that is an error."""
        transaction = self._asking()
        await self._write(_plugin_message(transaction, handle, body, "offer", offer))
        return await self._answer(transaction)

    async def post(self, handle: int, body: Mapping[str, Any], answer: str | None = None) -> str:
        """As `request`, but the plugin's answer comes by `next`, in order with all else.

        Gives the transaction that it will have.
        """
        transaction = secrets.token_hex(8)
        await self._write(_plugin_message(transaction, handle, body, "answer", answer))
        return transaction

    async def next(self) -> Message:
        """The next message that is no answer to a `request`."""
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            raise self._lost or JanusLost("closed")
        return message

    def fail(self, reason: str) -> None:
        """All that wait, or ever will, get `JanusLost`."""
        if self._lost is None:
            self._lost = JanusLost(reason)
            self._inbox.put_nowait(None)
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(self._lost)
                    answer.exception()  # whoever waits gets it; nobody has to

    async def read(self) -> None:
        """Take what Janus sends until it is lost."""
        async for frame in self._socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            try:
                message = read_message(frame.data)
            except BadMessage as error:
                log.warning("odd message from Janus", why=str(error))
                continue
            self._take(message)
        self.fail("the connection to Janus was closed")

    async def keep_alive(self, timeout_seconds: float) -> None:
        """Show Janus that we are there, and see that it is."""
        pause = min(KEEPALIVE_SECONDS, timeout_seconds / 3)
        try:
            while True:
                await asyncio.sleep(pause)
                await self._ask({"janus": "keepalive"}, acknowledged=True)
        except (JanusLost, JanusRefused) as error:
            self.fail(str(error))

    def _take(self, message: Message) -> None:
        waiting = self._answers.get(message.transaction or "")
        if message.kind == "timeout":
            self.fail("Janus ended the session")
        elif waiting:
            # Only a keepalive is answered by `ack`; of a plugin it says "wait".
            answered = message.kind != "ack" or message.transaction == self._beat
            if answered and not waiting.done():
                waiting.set_result(message)
        elif message.kind != "ack":
            if self._inbox.qsize() >= _MOST_WAITING:
                self.fail("Janus says more than can be heard")
            else:
                self._inbox.put_nowait(message)

    async def _ask(self, message: dict[str, Any], *, acknowledged: bool = False) -> Message:
        transaction = self._asking()
        if acknowledged:
            self._beat = transaction
        await self._write({**message, "transaction": transaction})
        return await self._answer(transaction)

    def _asking(self) -> str:
        transaction = secrets.token_hex(8)
        self._answers[transaction] = asyncio.get_running_loop().create_future()
        if self._lost:
            raise self._lost
        return transaction

    async def _answer(self, transaction: str) -> Message:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                message = await self._answers[transaction]
        except TimeoutError:
            raise JanusLost("Janus does not answer") from None
        finally:
            del self._answers[transaction]
        if message.error:
            raise JanusRefused(*message.error)
        return message

    async def _write(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._socket.send_str(json.dumps({**message, **self._ids}))
        except (ConnectionError, TimeoutError, aiohttp.ClientError) as error:
            raise JanusLost(f"Janus cannot be written to: {type(error).__name__}") from None


def _plugin_message(
    transaction: str, handle: int, body: Mapping[str, Any], sdp_type: str, sdp: str | None
) -> dict[str, Any]:
    jsep = {"jsep": {"type": sdp_type, "sdp": sdp}} if sdp is not None else {}
    head = {"janus": "message", "transaction": transaction, "handle_id": handle}
    return {**head, "body": dict(body), **jsep}


def _id(message: Message) -> int:
    found = number((message.data or {}).get("id"))
    if found is None:
        raise JanusLost("Janus answered oddly")
    return found
