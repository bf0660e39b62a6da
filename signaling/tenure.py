"""How long who is connected may stay: until their token has expired, and a grace on top.

Each connection has one timer, of the event loop's; what it has to wait for is a task of the
gateway's own group.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from signaling.errors import ContractError
from signaling.tokens import Authority, Grant, Identity

log = structlog.get_logger(__name__)

GRACE_SECONDS: Final = 30.0

WARNED_SECONDS: Final = 60.0
"""How long before its end a token is said to expire; of a short one half of what is left."""

_AGAIN_SECONDS: Final = 2.0


class Holder(Protocol):
    """A connection, as its tenure knows it."""

    def expiring(self, *, expired: bool, closes_in_ms: int) -> None:
        """The token expires soon, or has; without another the connection is then closed."""

    async def close(self) -> None:
        """The grace is over."""


class Unwarned:
    """The holder of a connection that can only be told by its end. See `Holder`."""

    def __init__(self, close: Callable[[], object]) -> None:
        self._close = close

    def expiring(self, *, expired: bool, closes_in_ms: int) -> None:
        """Nothing would come of it."""

    async def close(self) -> None:
        """See `Holder`."""
        self._close()


class Tenures:
    """Those of all connections of a gateway. Their tasks belong to the owner's group."""

    def __init__(
        self,
        authority: Authority,
        tasks: asyncio.TaskGroup,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.authority = authority
        self.grace_seconds = grace_seconds
        self._tasks = tasks

    async def begin(self, token: str | None) -> Tenure:
        """Of who holds this token; `ContractError` as `Authority` raises it."""
        return Tenure(self, token, await self.authority.authenticate(token))

    def spawn(self, work: Awaitable[None]) -> None:
        """Do something that has to wait."""

        async def contained() -> None:
            try:
                await work
            except Exception:  # one connection's fault must not be the others'
                log.exception("a connection was not looked after")

        self._tasks.create_task(contained())


class Tenure:
    """One connection's. `start` it with who is to be told, and `end` it with the connection."""

    def __init__(self, tenures: Tenures, token: str | None, who: Identity) -> None:
        self.who = who
        self.expired = False
        self._tenures = tenures
        self._token = token
        self._holder: Holder | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, holder: Holder) -> None:
        """From now on it is looked after."""
        self._holder = holder
        self._schedule()

    def end(self) -> None:
        """The connection is gone. Idempotent."""
        self._holder = None
        self._stop()

    def require(self, grant: Grant, call: str | None = None) -> None:
        """As `Identity.require`; `unauthorized` where the token has expired since."""
        if self.expired:
            raise ContractError("unauthorized", "the token has expired: send another")
        self.who.require(grant, call)

    async def refresh(self, token: str | None) -> None:
        """Go on by another token of the same subject; `ContractError` where it is none."""
        who = await self._tenures.authority.authenticate(token)
        if who.subject != self.who.subject:
            raise ContractError("forbidden", "the token is somebody else's")
        self.who, self._token, self.expired = who, token, False
        if self._holder:
            self._schedule()

    @property
    def expires_in_ms(self) -> int | None:
        """How long the token is good; None where it does not expire by itself."""
        if self.who.good_until is None or self.who.renews:
            return None
        return max(0, round((self.who.good_until - time.time()) * 1000))

    def _schedule(self) -> None:
        good_until = self.who.good_until
        if good_until is None:
            self._stop()
            return
        left = max(0.0, good_until - time.time())
        if self.who.renews:
            self._in(left, self._look)
        else:
            self._in(left - min(WARNED_SECONDS, left / 2), self._warn)

    def _warn(self) -> None:
        left_ms = self.expires_in_ms or 0
        self._tell(expired=False, closes_in_ms=left_ms + round(self._grace_seconds * 1000))
        self._in(left_ms / 1000, self._look)

    def _look(self) -> None:
        self._tenures.spawn(self._identify())

    async def _identify(self) -> None:
        before = self._token
        try:
            who = await self._tenures.authority.authenticate(before)
        except ContractError as error:
            if self._token != before:  # it was refreshed meanwhile
                return
            if error.code == "unauthorized":
                self._expire()
            else:
                self._in(_AGAIN_SECONDS, self._look)
            return
        if self._token != before:
            return
        later = (who.good_until or 0.0) > (self.who.good_until or 0.0)
        self.who = who
        if later:
            self._schedule()
        else:  # the timer was early
            self._in(_AGAIN_SECONDS / 2, self._look)

    def _expire(self) -> None:
        self.expired = True
        self._tell(expired=True, closes_in_ms=round(self._grace_seconds * 1000))
        self._in(self._grace_seconds, self._close)

    def _close(self) -> None:
        if self._holder:
            log.info("a token has expired: its connection is closed")
            self._tenures.spawn(self._holder.close())

    @property
    def _grace_seconds(self) -> float:
        """None for what was revoked: somebody wanted that."""
        return 0.0 if self.who.renews else self._tenures.grace_seconds

    def _tell(self, *, expired: bool, closes_in_ms: int) -> None:
        if self._holder:
            self._holder.expiring(expired=expired, closes_in_ms=closes_in_ms)

    def _in(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop()
        if self._holder:
            self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
