"""The contract's errors: one code, one message, for Socket.IO and HTTP alike."""

from __future__ import annotations

from typing import Any, Literal

Code = Literal[
    "unauthorized",
    "forbidden",
    "not_found",
    "invalid",
    "too_large",
    "rate_limited",
    "overloaded",
    "unavailable",
    "conflict",
]

HTTP_STATUS: dict[Code, int] = {
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "invalid": 400,
    "too_large": 413,
    "rate_limited": 429,
    "overloaded": 503,
    "unavailable": 503,
    "conflict": 409,
}


class ContractError(Exception):
    """Something the caller is told, in the words of the public contract."""

    def __init__(self, code: Code, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    @property
    def logged(self) -> str:
        """The message as it may be logged: behind a colon is what was wrong, in its own words."""
        return self.message.partition(":")[0]

    def to_wire(self) -> dict[str, Any]:
        """The `error` object of an acknowledgement."""
        wire: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.retry_after_ms is not None:
            wire["retry_after_ms"] = self.retry_after_ms
        return wire

    def to_problem(self) -> dict[str, Any]:
        """The problem document of RFC 9457, with the contract's code."""
        return {
            "type": "about:blank",
            "title": self.code.replace("_", " "),
            "status": HTTP_STATUS[self.code],
            "detail": self.message,
            **self.to_wire(),
        }


class Unreachable(ContractError):
    """What gateways and nodes share is out of reach: Redis is down, or the way to it."""

    def __init__(self, message: str = "the server cannot reach what it needs") -> None:
        super().__init__("unavailable", message, 1000)


def told(error: BaseException) -> str:
    """An exception as it may be logged: many quote what they could not handle."""
    name = type(error).__name__
    if isinstance(error, ContractError):
        return f"{name}: {error.logged}"
    return f"{name}: {error}" if isinstance(error, OSError) else name
