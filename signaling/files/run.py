"""One file on its way into its call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

import structlog

from signaling.audio import AudioFormat
from signaling.audio_session import AudioSession
from signaling.calls import Calls
from signaling.errors import ContractError
from signaling.files.audio import FileUnreadable, read_file
from signaling.files.memory import Upload
from signaling.files.messages import RATE, Begun, Piece
from signaling.inner_sockets import InnerSockets
from signaling.messages import Join
from signaling.tokens import Identity

log = structlog.get_logger(__name__)

TELL_SECONDS: Final = 1.0
"""Between two words on how far it is."""

OPEN_SECONDS: Final = 60.0
"""How long the call is tried to be joined where what is shared is away."""

GOING: Final = "the server went down before the file was done: send it again"
CALL_ENDED: Final = "the call was ended before the file was done"
NAME: Final = "Recording"
"""Of who speaks in a file, where nobody says it."""

FAULT: Final = "the server could not caption the file: send it again"

_AGAIN_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a file is posted with, and the name of its job. Without `call` it has its own."""

    job: str
    call: str | None = None
    name: str | None = None
    language: str | None = None
    vocabulary: tuple[str, ...] = field(default=())

    @property
    def own_call(self) -> str:
        """Where its transcript is."""
        return self.call or self.job


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `retryable`: it failed by no fault of the file."""

    state: Literal["done", "failed", "canceled"]
    reason: str | None = None
    retryable: bool = False


class Changed(Protocol):
    """Takes what changes of the job, at once."""

    def __call__(self, **changes: Any) -> None:
        """By the fields of `FileJob`."""


class FileRun:
    """Captions one file, once. See `Outlet`."""

    def __init__(
        self,
        *,
        wish: Wish,
        who: Identity,
        upload: Upload,
        longest_seconds: float,
        calls: Calls,
        sockets: InnerSockets,
        tasks: asyncio.TaskGroup,
        changed: Changed,
    ) -> None:
        self._wish = wish
        # Not who sent it: they may be in the call themselves, or send several files to it.
        self._who = replace(who, subject=wish.job)
        self._upload = upload
        self._longest_seconds = longest_seconds
        self._calls = calls
        self._sockets = sockets
        self._tasks = tasks
        self._changed = changed
        self._fault = FAULT
        self._end_seconds = 0.0  # of what was read
        self._told = time.monotonic()

    async def run(self) -> Outcome:
        """Until its last word is final. Cancelled, what was heard so far is."""
        session: AudioSession | None = None
        try:
            async with aclosing(
                read_file(self._upload.descriptor, self._longest_seconds)
            ) as messages:
                async for message in messages:
                    if isinstance(message, Begun):
                        self._changed(total_seconds=message.seconds)
                    else:
                        session = session or await self._opened()
                        await self._send(session, message)
            if session:
                await session.finish()
            self._changed(done_seconds=self._end_seconds)
        except FileUnreadable as error:
            if session:
                await session.finish()
            return Outcome("failed", str(error))
        except ContractError as error:
            why = self._fault if session and session.over else error.message
            return Outcome("failed", why, retryable=why != CALL_ENDED)
        except Exception:  # one file's fault must not be another's: logged here once
            log.exception("file not captioned")
            return Outcome("failed", FAULT, retryable=True)
        finally:
            if session:
                await session.give_up()
        return Outcome("done")

    async def _opened(self) -> AudioSession:
        wish = self._wish
        name = wish.name or self._who.name or NAME
        joining = Join(call=wish.own_call, name=name, language=wish.language)
        settings = {"vocabulary": list(wish.vocabulary)} if wish.vocabulary else {}
        until = time.monotonic() + OPEN_SECONDS
        while True:
            session = self._session()
            try:
                await session.open(self._who, joining, settings)
            except ContractError as error:
                passes = error.code in ("unavailable", "overloaded", "rate_limited")
                if not passes or time.monotonic() > until:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return session

    def _session(self) -> AudioSession:
        return AudioSession(
            calls=self._calls,
            sockets=self._sockets,
            outlet=self,
            audio=AudioFormat(),
            private=self._wish.call is None,
            tasks=self._tasks,
            recorded=True,
        )

    async def _send(self, session: AudioSession, piece: Piece) -> None:
        session.send(piece.pcm, piece.offset_ms)
        await session.room()
        self._end_seconds = piece.offset_ms / 1000 + len(piece.pcm) / 2 / RATE
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            waiting = session.received_seconds - session.carried_seconds
            self._changed(done_seconds=max(0.0, self._end_seconds - waiting))

    def caption(self, caption: Mapping[str, Any]) -> None:
        """See `Outlet`; they are in the transcript."""

    def error(self, error: ContractError) -> None:
        """See `Outlet`; a recording waits where no node takes it."""
        log.info("file waits for a node", code=error.code, why=error.logged)

    def ended(self) -> None:
        """See `Outlet`."""
        self._fault = CALL_ENDED
