"""What a run of `make bench` found, as it is written to and read from `captions.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TARGETS = {"word_delay_p95": 1.3}
"""Seconds that a figure of a row shall not pass; charts and `docs/sizing.md` use them."""

WINDOWS_TARGET = 1 / 5
"""Of what 30 s windows would cost."""


@dataclass(frozen=True)
class Row:
    """One live run. Seconds everywhere; CPU is of all threads, memory the most resident.

    None where nothing was heard. `final_model` is empty where the server was not given one.
    """

    model: str
    final_model: str
    speakers: int
    loss: float
    speech_seconds: float
    wer: float | None
    word_delay_p50: float | None
    word_delay_p95: float | None
    final_delay_p50: float | None
    final_delay_p95: float | None
    erasure: float | None
    words_never_shown: int
    words_added: int  # finals hold, nobody said: delays look better than they are
    finals: int
    partials: int
    server_cpu_seconds: float
    recognizer_cpu_seconds: float
    participants_cpu_seconds: float
    server_memory_mib: int
    recognizer_memory_mib: int
    audio_lost_seconds: float
    audio_concealed_seconds: float
    audio_missing_seconds: float
    audio_dropped_seconds: float
    packets_lost: int  # on the way, by `loss`, those sent again among them
    skipped_seconds: float  # by participants whose own machine was too slow to speak in time
    degraded: tuple[str, ...]  # reasons of call:state `degraded`, each once
    load_level: int  # surtitle_load_level at its highest
    windows: int  # recognized
    elsewhere_cores: float  # busy with neither server nor participants: noise
    gpu_busy: float | None  # mean share of the time, and the most memory; CUDA only
    gpu_memory_mib: int | None
    heard: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The models, as `--model` takes them."""
        return f"{self.model}+{self.final_model}" if self.final_model else self.model

    @property
    def quiet(self) -> bool:
        """Whether other programs left the machine alone: a figure with noise says so."""
        return self.elsewhere_cores < 0.1

    def a_minute(self, cpu_seconds: float) -> float:
        """CPU seconds per minute of speech."""
        return cpu_seconds / self.speech_seconds * 60

    @property
    def cores_a_speaker(self) -> float:
        """Server and recognizer, while somebody speaks."""
        return (self.server_cpu_seconds + self.recognizer_cpu_seconds) / self.speech_seconds

    @property
    def kept_up(self) -> bool:
        """Whether every target was met and all audio recognized."""
        met = all(
            (value := getattr(self, name)) is not None and value <= limit
            for name, limit in TARGETS.items()
        )
        return met and not self.audio_lost_seconds


@dataclass(frozen=True)
class Reference:
    """faster-whisper itself, offline, on the same recordings; CPU seconds of all threads."""

    model: str
    speech_seconds: float
    wer: float  # its default call: beam of 5
    wer_greedy: float
    cpu_seconds: float
    cpu_seconds_greedy: float
    window_cpu_seconds: float  # one greedy call on a beginning of a recording, padded to 30 s
    window_seconds: float  # the same by the clock
    text: str = ""

    @property
    def cpu_a_second(self) -> float:
        """CPU seconds per second of speech, by its default call."""
        return self.cpu_seconds / self.speech_seconds

    @property
    def cpu_a_second_greedy(self) -> float:
        """CPU seconds per second of speech, beam of 1."""
        return self.cpu_seconds_greedy / self.speech_seconds


@dataclass(frozen=True)
class Figures:
    """All of one run of the benchmark."""

    machine: dict[str, Any]
    rows: list[Row]
    references: list[Reference]

    @property
    def plain(self) -> list[Row]:
        """Runs under the least loss, which is mostly none."""
        least = min((row.loss for row in self.rows), default=0.0)
        return [row for row in self.rows if row.loss == least]

    def reference(self, model: str) -> Reference | None:
        """Of that model, if it was measured."""
        return next((r for r in self.references if r.model == model), None)

    def window_share(self, row: Row) -> float | None:
        """The recognizer's CPU as a share of what 30 s windows would have cost."""
        thirty = self.thirty(row)
        return row.recognizer_cpu_seconds / thirty if thirty else None

    def thirty(self, row: Row) -> float | None:
        """CPU seconds of as many plain calls as the recognizer had windows."""
        reference = self.reference(row.model)
        return reference.window_cpu_seconds * row.windows if reference else None

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> Figures:
    """What `write` wrote."""
    found = json.loads(path.read_text())
    rows = [Row(**{**row, "degraded": tuple(row["degraded"])}) for row in found["rows"]]
    return Figures(found["machine"], rows, [Reference(**r) for r in found["references"]])
