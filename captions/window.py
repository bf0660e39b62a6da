"""What goes to a recognizer and what it says of itself: no model is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from captions.types import SAMPLE_RATE, HeardWord, Samples
from captions.ways import base


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of one speaker's audio to recognize.

    `samples` is int16 at 16 kHz, shape (n,), at most 30 s. `language` is a Whisper
    language code, None to detect it; `expected` is then the language to keep to unless
    another is clearly heard. `prefix` are words (their tokens) that the text
    must begin with; `shown` are the words on the screen, those of the prefix among them,
    for the model to weigh against what it hears now. `timed` asks for
    the words' times. `final` says that nothing will be heard behind it: worth another look
    where the text ran away. `vocabulary` are words and names that may well be said, for
    their spelling. `translate` asks for what is said in English, whatever `language` it is in.
    """

    samples: Samples
    language: str | None = None
    expected: str | None = None
    prefix: tuple[tuple[int, ...], ...] = ()
    shown: tuple[HeardWord, ...] = ()
    timed: bool = False
    final: bool = False
    vocabulary: tuple[str, ...] = ()
    translate: bool = False

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a loaded model can do: its languages (Whisper codes) and its device.

    `translates`: it can write what is said in other languages in English.
    """

    name: str
    languages: tuple[str, ...]
    device: str
    load_seconds: float
    translates: bool = False

    @property
    def english_only(self) -> bool:
        """Whether it knows nothing else."""
        return self.languages == ("en",)

    def code(self, tag: str) -> str | None:
        """Its code for a BCP 47 tag; None to detect, also where it has none."""
        code = base(tag)
        return code if code in self.languages else None

    def understands(self, tag: str) -> bool:
        """Whether it does not write nonsense of what is spoken there, a BCP 47 tag or `auto`."""
        return not self.english_only or base(tag) in ("auto", "en")
