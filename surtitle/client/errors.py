"""What a server refuses, or why it could not be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from signaling.errors import HTTP_STATUS, Code

PASSING: Final[frozenset[Code]] = frozenset({"overloaded", "rate_limited", "unavailable"})
"""What may go better a moment later."""

_CODES: Final[dict[int, Code]] = {status: code for code, status in HTTP_STATUS.items()}


class SurtitleError(Exception):
    """A refusal in the words of the public contract.

    `code` is one of its error codes; a server that cannot be reached is `unavailable`.
    `retry_after_ms` is how long to wait before asking again, None where it does not matter.
    """

    def __init__(self, code: Code, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code: Code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    @classmethod
    def from_wire(cls, wire: object, status: int = 503) -> SurtitleError:
        """Of the `error` of an acknowledgement, or of a problem document (RFC 9457).

        Something between here and the server may answer in its own words: then `status`, of HTTP,
        is all that is known.
        """
        if not isinstance(wire, Mapping) or "code" not in wire:
            return cls(_code(status), f"the server answered with status {status}")
        fields: Mapping[str, Any] = wire
        message = fields.get("message") or fields.get("detail") or "the server refused"
        return cls(fields["code"], message, fields.get("retry_after_ms"))


def _code(status: int) -> Code:
    if status >= 500:
        return "unavailable"
    return _CODES.get(status, "invalid")
