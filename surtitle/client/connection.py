"""One Socket.IO connection, until it is lost; who wants another makes another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiohttp
import socketio
from socketio.exceptions import SocketIOError

from surtitle.client.errors import SurtitleError

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 1.0

LARGEST_MESSAGE: Final = 64 * 2**20
"""Bytes. The finals of a whole day may come in one answer."""

LOST: Final = "disconnect"

Hear = Callable[[str, Any], None]


class Connection:
    """`hear` is called with every event and its payload, in their order, and must not wait.

    The last is `LOST`.
    """

    def __init__(self, http: aiohttp.ClientSession, hear: Hear, namespace: str = "/") -> None:
        self.lost = asyncio.Event()
        self._namespace = namespace
        self._answers: set[asyncio.Future[Any]] = set()
        self._refusal: SurtitleError | None = None
        self._sio = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            http_session=http,
            websocket_extra_options={
                "timeout": aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                "max_msg_size": LARGEST_MESSAGE,
            },
        )
        self._hear = hear
        self._sio.on("*", self._event, namespace=namespace)
        self._sio.on("connect_error", self._refused, namespace=namespace)
        self._sio.on("disconnect", self._disconnected, namespace=namespace)

    async def ask(
        self, event: str, payload: object = None, within_seconds: float = ANSWER_SECONDS
    ) -> Any:
        """What the server acknowledges with. `unavailable` where the connection is lost first."""
        answer = asyncio.get_running_loop().create_future()
        self._answers.add(answer)
        try:
            async with asyncio.timeout(within_seconds):
                await self.tell(event, payload, lambda *told: _answer(answer, told))
                return unwrapped(await answer)
        except TimeoutError as error:
            raise SurtitleError("unavailable", "the server did not answer in time") from error
        finally:
            self._answers.discard(answer)

    async def tell(
        self, event: str, payload: object = None, answered: Callable[..., None] | None = None
    ) -> None:
        """Send an event, without waiting for it to be sent; `answered` gets the acknowledgement."""
        try:
            await self._sio.emit(event, payload, namespace=self._namespace, callback=answered)
        except SocketIOError as error:
            raise _gone() from error
        if self.lost.is_set():
            raise _gone()

    async def open(self, url: str, token: str | None) -> None:
        """Connect; `unauthorized` where the token is not good, else `unavailable`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._sio.connect(
                    url,
                    auth={"token": token} if token else None,
                    transports=["websocket"],
                    namespaces=[self._namespace],
                    wait_timeout=CONNECT_SECONDS,
                )
        except (SocketIOError, aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            raise self._refusal or _unreachable() from error
        if self._sio.eio.state != "connected":  # it was lost before its loss would be told
            raise _unreachable()

    async def close(self) -> None:
        """Disconnect, also from what has not been connected wholly. Idempotent."""
        if self._sio.eio.state == "connected":
            with suppress(TimeoutError):  # whoever does not read is not waited for
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._sio.eio.queue.join()  # which Engine.IO would not write any more
        await self._sio.disconnect()
        self._disconnected()

    def _event(self, event: str, payload: object = None) -> None:
        self._hear(event, payload)

    def _refused(self, told: object = None) -> None:
        if isinstance(told, dict) and isinstance(told.get("data"), dict):
            self._refusal = SurtitleError.from_wire(told["data"])

    def _disconnected(self, reason: object = None) -> None:  # noqa: ARG002 - Socket.IO's
        if self.lost.is_set():
            return
        self.lost.set()
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(_gone())
        self._hear(LOST, None)


@asynccontextmanager
async def connected(
    http: aiohttp.ClientSession, url: str, token: str | None, hear: Hear, namespace: str = "/"
) -> AsyncIterator[Connection]:
    """A connection. `SurtitleError` where there is none: `unauthorized`, or `unavailable`."""
    connection = Connection(http, hear, namespace)
    try:
        await connection.open(url, token)
        yield connection
    finally:
        await connection.close()


def _answer(answer: asyncio.Future[Any], told: tuple[Any, ...]) -> None:
    if not answer.done():
        answer.set_result(told[0] if told else None)


def unwrapped(answer: object) -> Any:
    """What an acknowledgement says; `SurtitleError` where it says no."""
    if isinstance(answer, dict) and answer.get("ok") is True:
        return answer
    raise SurtitleError.from_wire(answer.get("error") if isinstance(answer, dict) else None)


def _gone() -> SurtitleError:
    return SurtitleError("unavailable", "the connection is lost")


def _unreachable() -> SurtitleError:
    return SurtitleError("unavailable", "the server cannot be reached")
