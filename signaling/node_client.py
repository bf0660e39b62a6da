"""Nodes over HTTP, as gateways ask them. See `signaling.node_api`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import aiohttp
import structlog

from captions.types import Caption
from signaling.audio import AudioFormat, AudioLine
from signaling.errors import ContractError
from signaling.messages import CallRef, Candidate, Participant
from signaling.node_api import NodeApi
from signaling.node_line import HEARTBEAT_SECONDS, HttpLine
from signaling.node_token import is_proven, node_headers
from signaling.orders import (
    LISTEN_PATH,
    PATH,
    CandidateOrder,
    CloseMedia,
    ListenOrder,
    OfferOrder,
    Order,
    Publish,
    Start,
    UpdateOrder,
    to_json,
    told,
)
from signaling.registry import NodeStatus, Registry
from signaling.sources import AnySource

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 1.0

ANSWER_SECONDS: Final[Mapping[str, float]] = {
    "start": 20.0,  # an SFU is joined
    "offer": 10.0,
    "candidate": 3.0,
    "close_media": 20.0,  # the last words are recognized
    "update": 3.0,
    "publish": 10.0,  # the bus may be slow
    "end": 20.0,  # likewise
    "forget_words": 3.0,
}

_MOST_CONNECTIONS: Final = 256


class HttpNodes:
    """The directory of a cluster: nodes by the URLs that they report. `async with` closes it."""

    def __init__(self, registry: Registry, secret: str, previous_secret: str = "") -> None:
        self._registry = registry
        self._secret = secret
        self._previous = previous_secret
        self._urls: dict[str, str] = {}
        self._session: aiohttp.ClientSession | None = None
        self._lines: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS)
        )
        self._lines = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in (self._lines, self._session):
            if session:
                await session.close()

    def node(self, node_id: str) -> NodeApi:
        """See `NodeDirectory`. Whether it can be reached shows when it is asked."""
        return _HttpNode(self, node_id)

    async def ask(self, node_id: str, name: str, order: Order) -> Mapping[str, Any]:
        """Give an order; `ContractError` as the node answers, `unavailable` without an answer."""
        if self._session is None:
            raise ContractError("unavailable", "the server is going down", 1000)
        timeout = aiohttp.ClientTimeout(
            total=ANSWER_SECONDS[name] + CONNECT_SECONDS, sock_connect=CONNECT_SECONDS
        )
        url = f"{await self._url(node_id)}{PATH}/{name}"
        try:
            async with self._session.post(
                url,
                json=to_json(order),
                headers=node_headers(self._secret, node_id),
                timeout=timeout,
            ) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            self._urls.pop(node_id, None)  # it may be somewhere else by now
            raise ContractError("unavailable", "the media node does not answer", 1000) from None
        if "error" in answer:
            raise told(answer["error"])
        return dict(answer)

    async def listen(self, node_id: str, order: ListenOrder) -> AudioLine:
        """Open a line; see `NodeApi.listen`."""
        if self._lines is None:
            raise ContractError("unavailable", "the server is going down", 1000)
        url = f"{await self._url(node_id)}{LISTEN_PATH}"
        try:
            socket = await self._lines.ws_connect(
                url,
                headers=node_headers(self._secret, node_id),
                heartbeat=HEARTBEAT_SECONDS,
                compress=0,
            )
        except (aiohttp.ClientError, TimeoutError):
            self._urls.pop(node_id, None)
            raise ContractError("unavailable", "the media node does not answer", 1000) from None
        line = HttpLine(socket)
        await line.open(order.model_dump_json())
        return line

    def _proven(self, status: NodeStatus) -> bool:
        said = (status.id, status.url, status.proof)
        if not status.url or is_proven(self._secret, *said, self._previous):
            return True
        log.warning("a node does not prove to be ours: it gets no orders", node=status.id)
        return False

    async def _url(self, node_id: str) -> str:
        if node_id not in self._urls:
            known = [node.status for node in await self._registry.nodes()]
            self._urls = {status.id: status.url for status in known if self._proven(status)}
        url = self._urls.get(node_id)
        if not url:
            raise ContractError("unavailable", "the media node is not there", 1000)
        return url


class _HttpNode:
    def __init__(self, nodes: HttpNodes, node_id: str) -> None:
        self._nodes = nodes
        self._id = node_id

    async def start(self, call: CallRef, source: AnySource, language: str) -> Mapping[str, Any]:
        order = Start(call=call, source=source, language=language)
        answer = await self._nodes.ask(self._id, "start", order)
        return dict(answer["details"])

    async def offer(self, call: CallRef, participant: Participant, sdp: str) -> str:
        order = OfferOrder(call=call, participant=participant, sdp=sdp)
        return str((await self._nodes.ask(self._id, "offer", order))["sdp"])

    async def listen(
        self,
        call: CallRef,
        participant: Participant,
        audio: AudioFormat,
        begins_at_ms: int,
        *,
        background: bool = False,
    ) -> AudioLine:
        order = ListenOrder(
            call=call,
            participant=participant,
            audio=audio,
            begins_at_ms=begins_at_ms,
            background=background,
        )
        return await self._nodes.listen(self._id, order)

    async def candidate(self, call: CallRef, participant: str, candidate: Candidate) -> None:
        order = CandidateOrder(call=call, participant=participant, candidate=candidate)
        await self._nodes.ask(self._id, "candidate", order)

    async def close_media(self, call: CallRef, participant: str) -> None:
        order = CloseMedia(call=call, participant=participant)
        await self._nodes.ask(self._id, "close_media", order)

    async def update(self, call: CallRef, participant: Participant) -> None:
        order = UpdateOrder(call=call, participant=participant)
        await self._nodes.ask(self._id, "update", order)

    async def publish(self, call: CallRef, finals: Sequence[Caption]) -> list[Caption]:
        order = Publish(call=call, captions=list(finals))
        answer = await self._nodes.ask(self._id, "publish", order)
        return [Caption.from_wire(caption) for caption in answer["captions"]]

    async def forget_words(self, call: CallRef) -> None:
        await self._nodes.ask(self._id, "forget_words", Order(call=call))

    async def end(self, call: CallRef) -> None:
        await self._nodes.ask(self._id, "end", Order(call=call))
