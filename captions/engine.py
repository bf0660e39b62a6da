"""The recognizer in a process of its own, so that inference never waits for the GIL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from captions.types import Hypothesis
from captions.window import ModelInfo, Window
from captions.worker import Worker, WorkerFailed
from captions.worker_wire import WorkerSettings


@dataclass(frozen=True, slots=True)
class EngineSettings(WorkerSettings):
    """Which model to load, from a folder on disk, and on what."""

    module: ClassVar[str] = "captions.engine_process"
    role: ClassVar[str] = "recognizer"

    model: Path
    name: str
    device: str = "auto"


class Engine(Worker[Window, Hypothesis, ModelInfo]):
    """A recognizer process and the means to replace it. See `Worker`."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.windows = 0

    async def recognize(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """A hypothesis of each window, in their order; `WorkerFailed` where one has none."""
        try:
            heard = await self.ask(windows)
        except WorkerFailed as error:
            self.windows += sum(one is not None for one in error.answers)
            raise
        self.windows += len(heard)
        return heard
