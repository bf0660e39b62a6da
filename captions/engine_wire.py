"""What the engine and its process say to each other: a length of four bytes, then a pickle.

The parent sends its settings, then questions; the child answers with `ModelInfo` (or, where
the model cannot be loaded, with why not) and then with an answer to each question, in the
order in which they are done.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from captions.circuit import CircuitRules
from captions.types import Hypothesis
from captions.window import Window

LENGTH: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which model to load, from a folder on disk, and on what.

    `workers` batches are recognized at once, each on `threads` threads of the CPU.
    `hang_seconds` is how long one batch may take before the process counts as hung;
    `load_seconds` the same for loading.
    """

    model: Path
    name: str
    device: str = "auto"
    threads: int = 1
    workers: int = 1
    hang_seconds: float = 30.0
    load_seconds: float = 300.0
    circuit: CircuitRules = field(default_factory=CircuitRules)


@dataclass(frozen=True, slots=True)
class Question:
    """A batch of windows; `id` is the answer's."""

    id: int
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A hypothesis of each window, or why there is none.

    `cpu_seconds` is the time of the CPU that the process has used so far.
    """

    id: int
    heard: tuple[Hypothesis | str, ...]
    cpu_seconds: float


def packed(message: object) -> bytes:
    """The message as it goes over a pipe."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body
