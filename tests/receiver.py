"""A program that takes webhooks on 127.0.0.1, as its owner writes one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_KEY = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass(frozen=True)
class Told:
    """One request, whose signature was good."""

    id: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def event(self) -> str:
        return self.body["type"]


class Receiver:
    """`async with` listens. `answer` says how each is answered, 204 unless told otherwise."""

    def __init__(self, secret: str = KEY, port: int = 0) -> None:
        self._webhook = Webhook(secret)
        self.port = port
        self.told: list[Told] = []
        self.answer: Callable[[Told], web.StreamResponse] = lambda _: web.Response(status=204)
        self._more = asyncio.Condition()
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def url(self, path: str = "hook") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    async def hears(self, number: int, *events: str, seconds: float = 30) -> list[Told]:
        """The first requests of these events, once there are so many."""
        async with asyncio.timeout(seconds), self._more:
            await self._more.wait_for(lambda: len(self._of(events)) >= number)
        return self._of(events)[:number]

    def _of(self, events: tuple[str, ...]) -> list[Told]:
        return [told for told in self.told if not events or told.event in events]

    async def _take(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = dict(request.headers)
        body = self._webhook.verify(raw, headers)
        told = Told(request.headers["webhook-id"], request.path, body, headers)
        answer = self.answer(told)
        async with self._more:
            self.told.append(told)
            self._more.notify_all()
        return answer
