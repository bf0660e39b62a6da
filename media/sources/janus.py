"""A room of Janus's VideoRoom plugin: everybody's audio, told apart by who published it."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from captions.types import Caption
from media.janus.errors import JanusLost, JanusRefused
from media.janus.room import JanusRoom, People
from media.janus.session import open_session
from media.pauses import Pauses
from media.source import Connected, Lost, Recovered, Tell
from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.sources import Janus

log = structlog.get_logger(__name__)

REFUSED_SECONDS: Final = 60.0
"""How long after a loss refusals are taken for a room that is not there yet again."""

STEADY_SECONDS: Final = 10.0
"""Lost sooner than this after joining, it is not tried again at once."""


class JanusSource:
    """See `CallSource`."""

    def __init__(self, settings: Janus, allow: AllowList) -> None:
        self._settings = settings
        self._allow = allow
        self._closed = asyncio.Event()
        self._scope: asyncio.Timeout | None = None
        self._room: JanusRoom | None = None
        self._known = False  # whether we were in the room before
        self._lost = False
        self._refused_since: float | None = None
        self._joined_at = 0.0

    async def run(self, tell: Tell) -> None:
        """See `CallSource`. Returns where the room is destroyed by its owner.

        `ContractError`: `forbidden` for a PIN or token that Janus does not take and where we
        are thrown out, `not_found` for a room, `unavailable` for a Janus that cannot be
        reached, `invalid` for other refusals.
        """
        people = People(tell)
        try:
            async with asyncio.timeout(0 if self._closed.is_set() else None) as self._scope:
                await self._stay(people, tell)
        except TimeoutError:
            if not self._closed.is_set():
                raise
        finally:
            self._scope = None
            people.update({})

    async def send(self, caption: Caption) -> None:
        """See `CallSource`. By a data channel; `ContractError` where there can be none now."""
        if self._settings.captions_back and self._room and self._room.captions:
            await self._room.captions.send(caption)

    async def close(self) -> None:
        """See `CallSource`."""
        if not self._closed.is_set():
            self._closed.set()
            if self._scope:
                self._scope.reschedule(0)

    async def _stay(self, people: People, tell: Tell) -> None:
        """Be in the room until it is over, again and again where it is lost."""
        pauses = Pauses()
        while True:
            try:
                await self._visit(people, tell)
            except JanusRefused as error:
                self._refused(error)
                self._lose(tell, str(error))
            except JanusLost as error:
                if not self._known:
                    raise ContractError("unavailable", str(error), 1000) from None
                self._lose(tell, str(error))
            else:
                return
            steady = asyncio.get_running_loop().time() - self._joined_at > STEADY_SECONDS
            if self._joined_at and steady:
                pauses.reset()
                self._joined_at = 0.0
            else:
                await pauses.wait(self._closed)

    async def _visit(self, people: People, tell: Tell) -> None:
        """Once, to the end."""
        async with open_session(self._settings, self._allow) as session:
            self._room = JanusRoom(session, self._settings, people, tell)
            try:
                await self._room.join()
                self._refused_since = None
                self._joined_at = asyncio.get_running_loop().time()
                tell(Recovered() if self._known else Connected())
                self._known, self._lost = True, False
                log.info("joined Janus's room")
                await self._room.attend()
            finally:
                room, self._room = self._room, None
                await room.close()

    def _lose(self, tell: Tell, reason: str) -> None:
        log.warning("lost Janus's room", why=reason)
        if not self._lost:
            self._lost = True
            tell(Lost(reason))

    def _refused(self, error: JanusRefused) -> None:
        """`ContractError` where it is for good."""
        now = asyncio.get_running_loop().time()
        self._refused_since = self._refused_since or now
        if not self._known or now - self._refused_since > REFUSED_SECONDS:
            raise error.of_contract() from None
