"""What must not be in logs, and whose logs are looked at: those of all servers of a session.

Who starts a server has it watched; what events in this process print is read from the reports
of tests. `tests/conftest.py` looks at both, and fails the session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.recordings import human_voices, our_voices

LOGS: Final[set[Path]] = set()
SECRETS: Final[set[str]] = set()

WORDS_IN_A_ROW: Final = 3
"""So many words of a recording are no chance."""

NAMES: Final = ("Anna", "Ben", "Benjamin", "Eve", "Sam", "Joe", "Ada", "Guest")
"""Display names of tests' participants; ids are of small letters."""

_SECRETS: Final = {
    "a token": r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    "a bearer": r"[Bb]earer [\w-]{8,}",
    "a secret of webhooks": r"whsec_[\w+/=-]{8,}",
    "a secret of the tests": r"a secret of the tests|long enough to be a secret",
    "a password in a URL": r"://[^/\s:@]+:[^/\s@]+@",
    "SDP": r"a=(ice-pwd|ice-ufrag|fingerprint|candidate|crypto)|\bm=audio\b",
    "a credential of ICE": r"ice-?(pwd|ufrag)",
    "a fingerprint": r"\b([0-9A-F]{2}:){15,}[0-9A-F]{2}\b",
    "a candidate": r"candidate:\d+ \d",
    "a TURN user": r"\b\d{10}:p-[0-9a-f]{12}\b",
}

_IDS: Final = {
    "the id of a participant": r"\bp-([0-9a-f]{12}|anna|ben)\b",
    "the id of a call": r"\b(test-[0-9a-f]{8}|c-[0-9a-f]{16})\b",
}
"""Servers log hashes of them; events in this process have not come to where that is done."""


def watch(log: Path, options: Sequence[str] = ()) -> None:
    """Look at a server's log in the end; `options` are its own, secrets among them."""
    LOGS.add(log)
    for name, value in pairwise(options):
        if name.endswith("secret"):
            SECRETS.add(value)


def found_in(text: str, *, ids: bool = True) -> Iterator[str]:
    """What is in a log and must not be, each with its line."""
    patterns = {**_SECRETS, **(_IDS if ids else {})}
    for line in text.splitlines():
        for what, pattern in patterns.items():
            if re.search(pattern, line):
                yield f"{what}: {line}"
        if any(secret in line for secret in SECRETS):
            yield f"a secret: {line}"
        if re.search(rf"\b({'|'.join(NAMES)})\b", line):
            yield f"a name: {line}"
        if _runs(line) & _said():
            yield f"what was said: {line}"


def found_in_logs() -> list[str]:
    """Of all servers' logs that are still there."""
    found = []
    for log in sorted(LOGS):
        if log.exists():
            text = log.read_text(errors="replace")
            found += [f"{log.parent.name}/{log.name}: {what}" for what in found_in(text)]
    return found


@cache
def _said() -> frozenset[str]:
    runs = [_runs(recording.text) for recording in (*our_voices(), *human_voices())]
    return frozenset().union(*runs)


def _runs(text: str) -> set[str]:
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)?", text.lower())
    return {" ".join(words[n : n + WORDS_IN_A_ROW]) for n in range(len(words) - WORDS_IN_A_ROW + 1)}
