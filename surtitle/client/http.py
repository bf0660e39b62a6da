"""Requests of the contract over HTTP (aiohttp)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from surtitle.client.backoff import Backoff
from surtitle.client.errors import SurtitleError
from surtitle.client.token import Tokens

ANSWER_WITHIN: Final = aiohttp.ClientTimeout(total=60, sock_connect=10)
"""The end of a call waits for its last words."""


class Http:
    """Asks as often as the server wishes, and raises `SurtitleError` with what it refuses.

    Cancelled, a request may or may not have been done.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, tokens: Tokens, retry_seconds: float
    ) -> None:
        """`retry_seconds` is for how long a server that has too much to do is asked again."""
        self._session = session
        self._url = url
        self._tokens = tokens
        self._retry_seconds = retry_seconds

    async def json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        accept: frozenset[int] = frozenset(),
    ) -> Any:
        """The JSON of an answer. `accept` are statuses above 399 that have one, too."""
        return json.loads(await self.text(method, path, query=query, body=body, accept=accept))

    async def text(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        accept: frozenset[int] = frozenset(),
    ) -> str:
        """The body of an answer. What is None in `query` is left out."""
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        request = _Request(method, self._url + path, given, body, accept)
        backoff = Backoff(self._retry_seconds)
        token = await self._tokens.kept()
        refreshed = False
        while True:
            try:
                return await self._once(request, token)
            except SurtitleError as error:
                if error.code == "unauthorized" and self._tokens.refreshes and not refreshed:
                    refreshed, token = True, await self._tokens.fresh()
                elif error.code in ("overloaded", "rate_limited"):
                    await backoff.pause(error)
                else:
                    raise

    async def _once(self, request: _Request, token: str | None) -> str:
        try:
            async with self._session.request(
                request.method,
                request.url,
                params=request.query,
                json=request.body,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=ANSWER_WITHIN,
            ) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SurtitleError("unavailable", "the server does not answer") from error
        if answer.status < 400 or answer.status in request.accept:
            return text
        raise SurtitleError.from_wire(_parsed(text), answer.status)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    query: Mapping[str, str]
    body: object
    accept: frozenset[int]


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
