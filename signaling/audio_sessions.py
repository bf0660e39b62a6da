"""The audio sessions of this gateway: who may open one, and one that waits for its client.

A client whose connection was lost may come back for `RESUME_SECONDS`: until then its session
goes on, and what was said before becomes final.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from signaling.audio import AudioFormat
from signaling.audio_session import AudioSession, Outlet
from signaling.calls import Calls
from signaling.contained import contained
from signaling.errors import ContractError
from signaling.health import Health
from signaling.inner_sockets import InnerSockets
from signaling.limits.limiter import Lease, Limiter, holder
from signaling.messages import Join
from signaling.tokens import Identity

log = structlog.get_logger(__name__)

RESUME_SECONDS: Final = 30.0

_CLOSE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a session is asked for with. Without `call` it is the client's own.

    `language` is a BCP 47 tag; `vocabulary` is for a session of one's own: a call has its own.
    """

    call: str | None = None
    name: str | None = None
    language: str | None = None
    audio: AudioFormat = field(default_factory=AudioFormat)
    vocabulary: tuple[str, ...] = ()


@dataclass(slots=True)
class _Kept:
    session: AudioSession
    who: Identity
    call: str | None  # None: it is the client's own
    lease: Lease
    expiring: asyncio.Task[None] | None = field(default=None)


class AudioSessions:
    """Every method raises `ContractError`, as `Calls` does. Its tasks belong to the owner's."""

    def __init__(
        self,
        *,
        calls: Calls,
        sockets: InnerSockets,
        health: Health,
        tasks: asyncio.TaskGroup,
        resume_seconds: float = RESUME_SECONDS,
        limiter: Limiter | None = None,
    ) -> None:
        self._limiter = limiter or Limiter()
        self._calls = calls
        self._sockets = sockets
        self._health = health
        self._tasks = tasks
        self._resume_seconds = resume_seconds
        self._sessions: dict[str, _Kept] = {}

    @property
    def count(self) -> int:
        """Sessions that are open, those that wait for their client among them."""
        return len(self._sessions)

    async def open(self, who: Identity, wish: Wish, outlet: Outlet) -> tuple[str, AudioSession]:
        """Begin a session; its name, for `resume`, and itself.

        It needs `publish`, of the call where it is not the client's own.
        """
        who.require("publish", wish.call)
        if wish.call is None and not who.may("publish", "*"):
            raise ContractError("forbidden", "the token is for one call: say its id as call")
        if wish.call and wish.vocabulary:
            raise ContractError("invalid", "custom_vocabulary: a call has its own (PATCH it)")
        if wish.call is None and not self._health.fleet.takes_calls:
            raise ContractError("overloaded", "no media node takes new calls", 2000)
        lease = await self._limiter.hold(
            {
                "streams_per_gateway": self._limiter.id,
                "streams_per_tenant": who.tenant,
                "connections_per_subject": holder(who),
            }
        )
        session = AudioSession(
            calls=self._calls,
            sockets=self._sockets,
            outlet=outlet,
            audio=wish.audio,
            private=wish.call is None,
            tasks=self._tasks,
            limiter=self._limiter,
        )
        call = wish.call or f"s-{secrets.token_hex(8)}"
        settings: dict[str, Any] = {}
        if wish.call is None and wish.vocabulary:
            settings["vocabulary"] = list(wish.vocabulary)
        joining = Join(call=call, name=wish.name, language=wish.language)
        try:
            await session.open(who, joining, settings)
        except BaseException:
            lease.release()
            raise
        name = secrets.token_urlsafe(24)
        self._sessions[name] = _Kept(session, who, wish.call, lease)
        return name, session

    async def resume(self, name: str, who: Identity, outlet: Outlet) -> AudioSession:
        """Go on with a session whose connection was lost, or is about to be found so."""
        kept = self._sessions.get(name)
        if kept is None or kept.session.over or kept.who.subject != who.subject:
            raise ContractError("not_found", "no such session: it is over, or another server's")
        who.require("publish", kept.call or "*")
        if kept.expiring:
            kept.expiring.cancel()
            kept.expiring = None
        kept.session.outlet = outlet
        return kept.session

    def allows(self, name: str, who: Identity) -> bool:
        """Whether they may begin such a session; of one that is over, they may."""
        kept = self._sessions.get(name)
        return kept is None or who.may("publish", kept.call or "*")

    def let_wait(self, name: str, outlet: Outlet) -> None:
        """The connection is lost: the session waits for its client to come back."""
        kept = self._sessions.get(name)
        if kept and kept.session.outlet is outlet:  # it has not come back already
            kept.session.outlet = Nobody()
            kept.expiring = self._tasks.create_task(self._expire(name))

    async def finish(self, name: str) -> None:
        """End a session behind its last final. Idempotent."""
        kept = self._sessions.pop(name, None)
        if kept:
            kept.lease.release()
            if kept.expiring and kept.expiring is not asyncio.current_task():
                kept.expiring.cancel()
            await kept.session.finish()

    def end_soon(self, name: str) -> None:
        """End a session whose client does not wait for its last final."""
        self._tasks.create_task(self.finish(name))

    async def close(self) -> None:
        """End all of them, each behind its last final, in `_CLOSE_SECONDS`."""
        with contained("audio sessions not ended in time"):
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await asyncio.gather(*(self._dismiss(name) for name in list(self._sessions)))
            except TimeoutError:
                log.warning("audio sessions not ended in time", sessions=self.count)

    async def _dismiss(self, name: str) -> None:
        kept = self._sessions.get(name)
        await self.finish(name)
        if kept:
            kept.session.outlet.ended()

    async def _expire(self, name: str) -> None:
        await asyncio.sleep(self._resume_seconds)
        log.info("nobody came back for an audio session")
        await self.finish(name)


class Nobody:
    """The outlet of a session whose client is away. See `Outlet`."""

    def caption(self, caption: Mapping[str, Any]) -> None:
        """Finals are asked for again by who comes back."""

    def error(self, error: ContractError) -> None:
        """Nobody is there to be told."""

    def ended(self) -> None:
        """Who comes back finds it over."""
