"""Who is in which call, and how each call is: the same for all gateways and nodes.

One Protocol, one in-process implementation here; whatever passes
`tests/signaling/presence_contract.py` may stand in for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from signaling.channels import Channels
from signaling.errors import Unreachable
from signaling.messages import CallEvent
from signaling.shared_call import SharedCall, heard, now_us
from signaling.store import CallRecord

log = structlog.get_logger(__name__)

Transition = Callable[[SharedCall | None], SharedCall | None]
"""What a call is to be instead of what it is, None for over (or not begun).

Pure, since it may be asked again where somebody else changed the call meanwhile. What equals
what it was given changes nothing. It may raise `ContractError`.
"""

_FOLLOWER_QUEUE: Final = 64

_AGAIN_SECONDS: Final = 0.5
"""How soon a call is followed again that could not be."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Of a call, what it takes to see whether somebody has to look after it.

    Times are milliseconds since the Unix epoch.
    """

    node: str | None
    state: str
    gateways: frozenset[str]
    moving_since_ms: int | None = None
    empty_since_ms: int | None = None
    ending_since_ms: int | None = None
    astray: bool = False
    reopen: bool = False


def summary_of(call: SharedCall) -> Summary:
    """The summary of a version."""
    return Summary(
        node=call.node,
        state=call.state,
        gateways=call.gateways,
        moving_since_ms=call.moved_at_ms if call.awaited or call.leaving else None,
        empty_since_ms=call.empty_since_ms,
        ending_since_ms=call.ending_since_ms,
        astray=call.astray,
        reopen=call.reopen,
    )


class Presence(Protocol):
    """Every method raises `Unreachable` where what is shared is out of reach just now."""

    async def read(self, call: str) -> SharedCall | None:
        """The call as it is, None where it is over or has not begun."""

    async def record(self, call: str) -> CallRecord | None:
        """No more of the call than its record."""

    async def change(self, call: str, transition: Transition) -> SharedCall | None:
        """Change a call, against whatever else changes it at the same time.

        Returns the version that came of it (which others may have changed again since).
        """

    def follow(self, call: str) -> AbstractAsyncContextManager[AsyncIterator[SharedCall | None]]:
        """The versions of a call from now on, at least each newest one; None ends it: over."""

    async def summaries(self) -> Mapping[str, Summary]:
        """All calls there are, by id."""


async def tell(presence: Presence, event: CallEvent, epoch: int) -> SharedCall | None:
    """A node's word on a call that it owns by `epoch`; nothing of a call that is over."""
    return await presence.change(
        event.call, lambda call: None if call is None else heard(call, event, epoch)
    )


async def versions(presence: Presence, call: str) -> AsyncIterator[SharedCall | None]:
    """The call as it is and each version from then on, whatever becomes of what is shared."""
    while True:
        try:
            async with presence.follow(call) as changes:
                yield await presence.read(call)
                async for shared in changes:
                    yield shared
        except Unreachable:
            log.info("call not followed: what is shared is out of reach")
        await asyncio.sleep(_AGAIN_SECONDS)


def successor(call: SharedCall | None, becomes: SharedCall) -> SharedCall:
    """The next version: microseconds since the Unix epoch, or one more than the last.

    So a call that begins is a later version than any of it that is over.
    """
    return replace(becomes, version=max(call.version + 1 if call else 0, now_us()))


class MemoryPresence:
    """The calls of one process."""

    def __init__(self) -> None:
        self._calls: dict[str, SharedCall] = {}
        self._versions = Channels[str, SharedCall](_FOLLOWER_QUEUE)

    async def read(self, call: str) -> SharedCall | None:
        """See `Presence`."""
        return self._calls.get(call)

    async def record(self, call: str) -> CallRecord | None:
        """See `Presence`."""
        shared = self._calls.get(call)
        return shared.record if shared else None

    async def change(self, call: str, transition: Transition) -> SharedCall | None:
        """See `Presence`."""
        now = self._calls.get(call)
        becomes = transition(now)
        if becomes == now:
            return now
        if becomes is None:
            del self._calls[call]
            self._versions.publish(call, None)
            return None
        self._calls[call] = successor(now, becomes)
        self._versions.publish(call, self._calls[call])
        return self._calls[call]

    @asynccontextmanager
    async def follow(self, call: str) -> AsyncIterator[AsyncIterator[SharedCall | None]]:
        """See `Presence`."""
        async with self._versions.listen(call) as versions:

            async def until_over() -> AsyncIterator[SharedCall | None]:
                async for version in versions:
                    yield version
                yield None

            yield until_over()

    async def summaries(self) -> Mapping[str, Summary]:
        """See `Presence`."""
        return {name: summary_of(call) for name, call in self._calls.items()}
