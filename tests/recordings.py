"""Speech to test with: our own voices always, human recordings where the folder is there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).parent.parent
VOICES = ROOT / "surtitle" / "voices"
HUMAN = ROOT.parent / "shared" / "speech"


@dataclass(frozen=True)
class Recording:
    """A file of speech, what is said in it, and when each word ends (seconds)."""

    path: Path
    speaker: str
    text: str
    language: str
    seconds: float
    word_ends: tuple[float, ...] = ()

    def pcm(self, rate: int = 48_000) -> np.ndarray:
        """Mono int16, shape (n,)."""
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        parts = []
        with av.open(str(self.path)) as container:
            for frame in container.decode(audio=0):
                parts += [out.to_ndarray()[0] for out in resampler.resample(frame)]
            parts += [out.to_ndarray()[0] for out in resampler.resample(None)]
        return np.concatenate(parts)


def read_manifest(folder: Path) -> list[Recording]:
    return [
        Recording(
            path=folder / item["file"],
            speaker=item["speaker"],
            text=item["text"],
            language=item["language"],
            seconds=item["seconds"],
            word_ends=tuple(item.get("word_ends", ())),
        )
        for item in json.loads((folder / "manifest.json").read_text())
    ]


def our_voices() -> list[Recording]:
    return read_manifest(VOICES)


def human_voices() -> list[Recording]:
    """Empty in a clone that stands alone."""
    return read_manifest(HUMAN) if HUMAN.is_dir() else []


def samples(language: str) -> list[Recording]:
    """Clips of other people in a language, from a package that `make test` unpacks."""
    folder = ROOT / ".venv/samples/pytest_audioeval/samples/audio" / language
    found = [
        Recording(path, language, path.with_suffix(".txt").read_text().strip(), language, 0.0)
        for path in sorted(folder.glob("*.wav"))
    ]
    assert found, f"no samples in {folder}: run `make test`"
    return found


def normalized(text: str) -> str:
    """Lower case, no punctuation: what word error rates compare."""
    text = text.lower().replace("’", "'").replace("mister", "mr")
    return re.sub(r"\s+", " ", re.sub(r"[^\w' ]", " ", text)).strip()
