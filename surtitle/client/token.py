"""The token, or what gives a fresh one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

Token = str | Callable[[], str | Awaitable[str]]
"""A JWT, or a function (async or not) that gives one."""


class Tokens:
    """Keeps a token while it is good. What the caller's function raises goes through."""

    def __init__(self, token: Token | None) -> None:
        self._token = token
        self._kept = token if isinstance(token, str) else None

    @property
    def refreshes(self) -> bool:
        """Whether another one may be had than the last."""
        return callable(self._token)

    async def fresh(self) -> str | None:
        """A new one, where there is a function for it."""
        if callable(self._token):
            token = self._token()
            self._kept = await token if inspect.isawaitable(token) else token
        return self._kept

    async def kept(self) -> str | None:
        """The last one."""
        return self._kept or await self.fresh()
