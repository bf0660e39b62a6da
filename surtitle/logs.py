"""Logs: one line an event on standard error, as text or JSON; libraries' lines too.

What calls and people are called is opaque and may be personal: ids are logged as hashes. Of
exceptions the place is told, and the message where it can quote nothing that was said.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import sys
import traceback
from collections.abc import Iterator
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from signaling.errors import ContractError, told

_IDS: Final = ("call", "participant")
"""Fields of events whose values are hashed."""

_PLAIN: Final = (OSError, RuntimeError, AssertionError, ContractError)
"""Messages of others quote values: a KeyError its key, a ValueError what it could not read."""


def hashed(key: bytes, opaque: str) -> str:
    """An id in logs: 12 hexadecimal digits of HMAC-SHA256 by a key of the server's own."""
    return hmac.new(key, opaque.encode(errors="replace"), hashlib.sha256).hexdigest()[:12]


def configure(
    form: Literal["text", "json"], level: int = logging.INFO, *, secret: str = ""
) -> None:
    """Set up logging for the process. Never log text of captions, names or tokens.

    Servers with the same `secret` log the same hash of an id; without one, each its own.
    """
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _HashIds(secret),
        _keep_to_one_line,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Processor] = (
        [
            structlog.processors.ExceptionRenderer(lambda raised: "\n".join(_lines(raised[1]))),
            structlog.processors.JSONRenderer(),
        ]
        if form == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=_write_exception
            )
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for room in ("captions", "media", "signaling", "surtitle", "turn"):
        logging.getLogger(room).setLevel(level)


class _HashIds:
    """A processor of structlog."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(f"surtitle log {secret}".encode()).digest()
        if not secret:
            self._key = secrets.token_bytes(32)

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        for name in _IDS:
            if isinstance(event.get(name), str):
                event[name] = hashed(self._key, event[name])
        return event


def _keep_to_one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # Values are quoted by both forms. What libraries say is not, and may be of what came in.
    said = str(event.get("event", ""))
    if not said.isprintable():
        event["event"] = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in said
        )
    return event


def _write_exception(out: TextIO, raised: ExcInfo) -> None:
    # structlog's own shows messages, and by default local variables: texts, names, tokens.
    out.write("\n" + "\n".join(_lines(raised[1])))


def _lines(error: BaseException | None) -> Iterator[str]:
    """Where an exception came from, the one before it first, and what it is."""
    if error is None:
        return
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before:
        yield from _lines(before)
        yield "then"
    for entry in traceback.format_tb(error.__traceback__):
        yield entry.rstrip("\n")
    message = str(error).partition("\n")[0] if isinstance(error, _PLAIN) else ""
    if isinstance(error, ContractError):
        message = error.logged
    yield f"{type(error).__name__}: {message}" if message else told(error)
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            for line in _lines(each):
                yield f"  | {line}"
