"""What a worker and its process say to each other: a length of four bytes, then a pickle.

The parent sends its settings, then batches of questions; the child answers with what it is
(or, where it cannot load what the settings name, with a `Failure`) and then with the answers
to each batch, in the order in which they are done.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar, Final

from captions.circuit import CircuitRules

_LENGTH: Final = struct.Struct("!I")

HEAD: Final = _LENGTH.size
"""Bytes before a message, which say how long it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a process works, whatever it is for.

    `workers` batches are answered at once, each on `threads` threads of the CPU.
    `hang_seconds` is how long one batch may take before the process counts as hung;
    `load_seconds` the same for loading.
    """

    module: ClassVar[str] = ""
    """What the process runs, by `python -m`."""
    role: ClassVar[str] = "worker"
    """What messages call it."""

    threads: int = 1
    workers: int = 1
    hang_seconds: float = 30.0
    load_seconds: float = 300.0
    circuit: CircuitRules = field(default_factory=CircuitRules)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer, or no process."""

    why: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions that are answered together; `id` is the answers', too."""

    id: int
    questions: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """An answer to each question of a batch, or a `Failure`.

    `cpu_seconds` is the time of the CPU that the process has used so far.
    """

    id: int
    answers: tuple[Any, ...]
    cpu_seconds: float


def packed(message: object) -> bytes:
    """The message as it goes over a pipe."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def length_of(head: bytes) -> int:
    """Bytes of the message behind its head."""
    (length,) = _LENGTH.unpack(head)
    return int(length)


def read(stream: IO[bytes]) -> Any:
    """The next message of a pipe; EOFError at its end."""
    head = stream.read(HEAD)
    if len(head) < HEAD:
        raise EOFError
    length = length_of(head)
    body = stream.read(length)
    if len(body) < length:
        raise EOFError
    return pickle.loads(body)  # noqa: S301 - our own parent
