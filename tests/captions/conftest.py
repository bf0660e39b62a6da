"""Recorded speech and the models that hear it, for the tests of `captions`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import settings

from captions.models import locate
from captions.recognizer import Recognizer
from captions.types import SAMPLE_RATE, Samples

ROOT = Path(__file__).parents[2]
VOICES = ROOT / "surtitle" / "voices"
# Human recordings that are not ours to commit: heard as well where they are.
SHARED_SPEECH = ROOT.parent / "shared" / "speech"

# The same examples every time: a failure in CI is a failure here.
settings.register_profile("captions", derandomize=True, deadline=None)
settings.load_profile("captions")


@dataclass(frozen=True, slots=True)
class Recording:
    """A file with one voice, what it says, and when each word of that ends, in seconds."""

    path: Path
    language: str
    text: str
    seconds: float
    word_ends: tuple[float, ...]

    @property
    def samples(self) -> Samples:
        """int16 at 16 kHz, mono, shape (n,)."""
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        with av.open(str(self.path)) as container:
            frames = [r for frame in container.decode(audio=0) for r in resampler.resample(frame)]
            frames += resampler.resample(None)
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])


def recordings(folder: Path) -> list[Recording]:
    if not folder.is_dir():
        return []
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    return [
        Recording(
            folder / entry["file"],
            entry["language"],
            entry["text"],
            entry["seconds"],
            tuple(entry["word_ends"]),
        )
        for entry in manifest
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `recording` is run over each of one window's length in English."""
    if "recording" in metafunc.fixturenames:
        heard = [
            recording
            for recording in recordings(VOICES) + recordings(SHARED_SPEECH)
            if recording.language == "en" and recording.seconds < 30
        ]
        metafunc.parametrize("recording", heard, ids=[recording.path.stem for recording in heard])


@pytest.fixture(scope="session")
def voices() -> dict[str, Recording]:
    """The committed recordings by the names of their files without the extension."""
    return {recording.path.stem: recording for recording in recordings(VOICES)}


@pytest.fixture(scope="session")
def tiny_en(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the smallest English model."""
    return locate("tiny.en", tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def recognizer(tiny_en: Path) -> Recognizer:
    return Recognizer(tiny_en, device="cpu")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """The multilingual packaged model."""
    return Recognizer(locate("base", tmp_path_factory.mktemp("models")), device="cpu")
