"""What can go wrong with Janus: it refuses, or is lost."""

from __future__ import annotations

from typing import Final

from signaling.errors import Code, ContractError

# Of Janus itself, then of VideoRoom.
_CODES: Final[dict[int, Code]] = {
    403: "forbidden",
    460: "not_found",
    472: "unavailable",
    426: "not_found",
    429: "forbidden",  # we always say all but what is secret: a PIN is missing, or a token
    432: "unavailable",
    433: "forbidden",
}

WRONG_TYPE: Final = 430
"""VideoRoom's code for a number where it wants a string, or a string for a number."""


class JanusLost(Exception):
    """The way to Janus, or what we had there, is lost. Its message is for people."""


class JanusRefused(Exception):
    """Janus, or its plugin, answered with an error."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"Janus refused: {reason or 'no reason given'} ({code})")
        self.code = code

    def of_contract(self) -> ContractError:
        """The same in the contract's words."""
        return ContractError(_CODES.get(self.code, "invalid"), str(self))
