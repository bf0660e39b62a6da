"""One Whisper model (faster-whisper, CTranslate2): a window of audio to a hypothesis.

The encoder runs over the audio there is instead of over 30 padded seconds: at least
`SHORTEST_WINDOW_SECONDS`, the length plus `MARGIN_SECONDS`. Where the text then runs
away from the audio, the window is decoded again over `SECOND_WINDOW_SECONDS` and, if that
does not help, over the 30 seconds that Whisper was trained on. Synchronous; used
inside the engine process and by nobody else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_ctranslate2_storage, get_suppressed_tokens

from captions.cuda import load_cublas
from captions.rival import rival
from captions.runaway import cut_loop, ran_away
from captions.types import SAMPLE_RATE, HeardWord, Hypothesis
from captions.window import Window
from captions.words import merge_punctuation, to_words, token_probabilities, with_times

SHORTEST_WINDOW_SECONDS: Final = 8.0
MARGIN_SECONDS: Final = 1.0
SECOND_WINDOW_SECONDS: Final = 16.0
LONGEST_WINDOW_SECONDS: Final = 30.0

CLEARLY_HEARD: Final = 0.8
"""A language less likely than this does not take the place of the one expected."""

LONGEST_PROMPT: Final = 200
"""Tokens of vocabulary, some 60 names: the model has room for 224, and each costs time."""

_MOST_PROMPTS: Final = 1000

SECOND_LOOK_SECONDS: Final = 1.4
"""Of less audio nothing is shown before its language is known, however it sounds."""

_FRAMES_PER_SECOND: Final = 100


class OutOfMemory(RuntimeError):
    """The device has no memory for even one window."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A window's text before it becomes a hypothesis; `probabilities` are of the tokens."""

    tokenizer: Tokenizer
    certainty: float
    tokens: list[int]
    probabilities: list[float]
    no_speech: float
    log_probability: float

    def words(self) -> list[HeardWord]:
        """Without times, punctuation apart."""
        return to_words(self.tokenizer, self.tokens, self.probabilities)


class Recognizer:
    """A loaded model. Up to `workers` threads may call it at once."""

    def __init__(
        self, path: Path, device: str = "auto", threads: int = 1, workers: int = 1
    ) -> None:
        """Load the model in `path`; RuntimeError or ValueError where it cannot be.

        Each of the `workers` that serve callers on a CPU has `threads` threads.
        """
        if device != "cpu":
            load_cublas()
        self._whisper = WhisperModel(
            str(path),
            device=device,
            compute_type="default" if device == "cuda" else "int8",
            cpu_threads=threads,
            num_workers=workers,
            local_files_only=True,
        )
        self._model = self._whisper.model
        self._multilingual = bool(self._model.is_multilingual)
        self._tokenizers: dict[tuple[str, bool], Tokenizer] = {}
        self._prompts: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._suppressed = get_suppressed_tokens(self._tokenizer("en"), [-1])
        if self.device == "cuda":
            self._warm_up()

    @property
    def device(self) -> str:
        """Where it runs: `cpu` or `cuda`."""
        return str(self._model.device)

    @property
    def languages(self) -> tuple[str, ...]:
        """Whisper codes of the languages it knows; only `en` for an English model."""
        return tuple(self._whisper.supported_languages) if self._multilingual else ("en",)

    @property
    def multilingual(self) -> bool:
        """Whether it knows more than English."""
        return self._multilingual

    def recognize(self, window: Window) -> Hypothesis:
        """The most likely text of the window."""
        return self.recognize_batch([window])[0]

    def recognize_batch(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """The most likely text of each window; what each is decoded with, so is it alone.

        Windows of one length, and with as much vocabulary, are decoded together. Where the
        device's memory is too small for that, fewer are; `OutOfMemory` where it is too small for
        one.
        """
        heard: dict[int, Hypothesis] = {}
        waiting = list(range(len(windows)))
        tries = 0
        while waiting:
            groups: dict[tuple[float, bool, int], list[int]] = {}
            for n in waiting:
                seconds = windows_seconds(windows[n])[tries]
                prompted = len(self._prompt(windows[n].vocabulary))
                groups.setdefault((seconds, windows[n].timed, prompted), []).append(n)
            for (seconds, _, _), group in groups.items():
                found = self._decode([windows[n] for n in group], seconds)
                heard.update(zip(group, found, strict=True))
            tries += 1
            waiting = [
                n
                for n in waiting
                if ran_away(heard[n].words, len(windows[n].samples))
                and tries < len(windows_seconds(windows[n]))
            ]
        return [
            replace(heard[n], words=cut_loop(heard[n].words, keep=len(window.prefix)))
            for n, window in enumerate(windows)
        ]

    def _warm_up(self) -> None:
        """Recognize a second of silence: the first window compiles kernels and finds libraries.

        Better while the model is loading than while somebody speaks.
        """
        try:
            self.recognize(Window(np.zeros(SAMPLE_RATE, np.int16), timed=True))
        except RuntimeError as error:
            if "cublas" not in str(error):
                raise
            raise RuntimeError(
                f"{error}. `pip install 'surtitle[cuda]'` brings it; --device cpu does without."
            ) from error

    def _tokenizer(self, language: str, *, translate: bool = False) -> Tokenizer:
        key = (language, translate)
        if key not in self._tokenizers:
            self._tokenizers[key] = Tokenizer(
                self._whisper.hf_tokenizer,
                self._multilingual,
                task="translate" if translate else "transcribe",
                language=language if self._multilingual else "en",
            )
        return self._tokenizers[key]

    def _prompt(self, vocabulary: tuple[str, ...]) -> tuple[int, ...]:
        """The tokens that say words which may well come, as if they had just been said.

        Their place is that of the text before (Radford et al. 2022, section 2.3). As a sentence:
        a bare list is said again over noise, and teaches the model to end without a mark.
        """
        if not vocabulary:
            return ()
        if vocabulary not in self._prompts:
            if len(self._prompts) > _MOST_PROMPTS:
                self._prompts.clear()
            tokenizer = self._tokenizer("en")
            words = tokenizer.encode(f" Words: {', '.join(vocabulary)}.")
            prompt = (tokenizer.sot_prev, *words[:LONGEST_PROMPT])
            self._prompts[vocabulary] = prompt
        return self._prompts[vocabulary]

    def _features(self, window: Window, seconds: float) -> npt.NDArray[np.float32]:
        frames = int(seconds * _FRAMES_PER_SECOND)
        signal = np.zeros(frames * SAMPLE_RATE // _FRAMES_PER_SECOND, np.float32)
        heard = window.samples[: len(signal)]
        signal[: len(heard)] = heard
        signal /= 32768
        features: npt.NDArray[np.float32] = self._whisper.feature_extractor(signal, padding=0)
        # The feature extractor makes one frame a hop; the encoder halves them.
        return np.ascontiguousarray(features[:, : frames // 2 * 2], dtype=np.float32)

    def _decode(self, windows: list[Window], seconds: float) -> list[Hypothesis]:
        """Windows that are all timed or all not, over `seconds` each."""
        try:
            features = np.stack([self._features(window, seconds) for window in windows])
            encoded = self._model.encode(get_ctranslate2_storage(features))
            decoded = self._generate(windows, encoded)
            decoded = self._weighed(windows, encoded, decoded)
            words = [one.words() for one in decoded]
            if windows[0].timed:
                words = self._timed(words, decoded, encoded, windows)
        except RuntimeError as error:
            if "out of memory" not in str(error).lower():
                raise
            if len(windows) == 1:
                raise OutOfMemory(
                    f"the {self.device} device has no memory left for {seconds:.0f} s of audio: "
                    f"choose a smaller model, or free its memory ({error})"
                ) from error
            half = len(windows) // 2
            return self._decode(windows[:half], seconds) + self._decode(windows[half:], seconds)
        return [
            Hypothesis(
                words=tuple(merge_punctuation(found)),
                language=one.tokenizer.language_code,
                language_confidence=one.certainty,
                no_speech=one.no_speech,
                log_probability=one.log_probability,
                timed=windows[0].timed,
            )
            for found, one in zip(words, decoded, strict=True)
        ]

    def _generate(self, windows: list[Window], encoded: Any) -> list[_Decoded]:
        languages = self._languages(windows, encoded)
        tokenizers = [
            self._tokenizer(code, translate=window.translate)
            for window, (code, _) in zip(windows, languages, strict=True)
        ]
        prefixes = [[token for word in window.prefix for token in word] for window in windows]
        rooms = [
            len(prefix) + int(window.seconds * 10) + 16
            for prefix, window in zip(prefixes, windows, strict=True)
        ]
        starts = [
            [*self._prompt(window.vocabulary), *t.sot_sequence, t.no_timestamps]
            for window, t in zip(windows, tokenizers, strict=True)
        ]
        on_cuda = self.device == "cuda"
        results = self._model.generate(
            encoded,
            [start + prefix for start, prefix in zip(starts, prefixes, strict=True)],
            beam_size=1,
            max_length=min(448, len(starts[0]) + max(rooms)),
            return_scores=True,
            return_logits_vocab=not on_cuda,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
        )
        texts = [
            [t for t in result.sequences_ids[0] if t < tokenizer.eot][:room]
            for result, tokenizer, room in zip(results, tokenizers, rooms, strict=True)
        ]
        if on_cuda:
            # Logits are there, out of numpy's reach; to fetch those of each step takes longer
            # than to ask the model once more about the whole text.
            found = self._align(windows, encoded, tokenizers[0], texts)
            probabilities = [_probabilities(alignment) for alignment in found]
        else:
            probabilities = [
                token_probabilities(result.logits[0], tokens)
                for result, tokens in zip(results, texts, strict=True)
            ]
        return [
            _Decoded(
                tokenizers[n],
                languages[n][1],
                texts[n],
                probabilities[n],
                float(result.no_speech_prob),
                float(result.scores[0]),
            )
            for n, result in enumerate(results)
        ]

    def _weighed(
        self, windows: list[Window], encoded: Any, decoded: list[_Decoded]
    ) -> list[_Decoded]:
        """What is on the screen instead of what was decoded, where the model finds it as likely."""
        rivals = [
            rival(window.shown, tuple(merge_punctuation(one.words())))
            for window, one in zip(windows, decoded, strict=True)
        ]
        if not any(rivals):
            return decoded
        texts = [
            [token for word in other.words for token in word.tokens] if other else one.tokens
            for other, one in zip(rivals, decoded, strict=True)
        ]
        found = self._align(windows, encoded, decoded[0].tokenizer, texts)
        weighed = []
        for one, other, tokens, alignment in zip(decoded, rivals, texts, found, strict=True):
            probabilities = _probabilities(alignment)
            likelihood = _log_sum(probabilities)
            if other and other.stays(likelihood, _log_sum(one.probabilities)):
                one = replace(  # noqa: PLW2901
                    one,
                    tokens=tokens,
                    probabilities=probabilities,
                    log_probability=likelihood / len(tokens),
                )
            weighed.append(one)
        return weighed

    def _align(
        self,
        windows: list[Window],
        encoded: Any,
        tokenizer: Tokenizer,
        texts: list[list[int]],
    ) -> Any:
        """Where in the audio each token is, and how probable; `tokenizer` is of any of them."""
        frames = [
            min(len(window.samples) * _FRAMES_PER_SECOND // SAMPLE_RATE + 1, 3000)
            for window in windows
        ]
        # Languages do not matter to the alignment of text that is there.
        return self._model.align(encoded, tokenizer.sot_sequence, texts, frames)

    def _languages(self, windows: list[Window], encoded: Any) -> list[tuple[str, float]]:
        """The language to decode each in, and how likely it is the one that is spoken."""
        if not self._multilingual:
            return [("en", 1.0)] * len(windows)
        if all(window.language in self.languages for window in windows):
            return [(str(window.language), 1.0) for window in windows]
        found = []
        for window, likely in zip(windows, self._detect(encoded), strict=True):
            if window.language in self.languages:
                found.append((str(window.language), 1.0))
                continue
            if _most(likely) != window.expected and window.seconds >= SECOND_LOOK_SECONDS:
                likely = self._detect_again(window)  # noqa: PLW2901
            heard = _most(likely)
            if window.expected in likely and likely[heard] < CLEARLY_HEARD:
                heard = str(window.expected)
            found.append((heard, likely[heard]))
        return found

    def _detect(self, encoded: Any) -> list[dict[str, float]]:
        """How likely each language is, of each window."""
        return [
            {token[2:-2]: float(p) for token, p in ranked}
            for ranked in self._model.detect_language(encoded)
        ]

    def _detect_again(self, window: Window) -> dict[str, float]:
        """Over the 30 s that the model was trained on: dearer, and much less often wrong."""
        features = np.stack([self._features(window, LONGEST_WINDOW_SECONDS)])
        (likely,) = self._detect(self._model.encode(get_ctranslate2_storage(features)))
        return likely

    def _timed(
        self,
        words: list[list[HeardWord]],
        decoded: list[_Decoded],
        encoded: Any,
        windows: list[Window],
    ) -> list[list[HeardWord]]:
        texts = [one.tokens for one in decoded]
        found = self._align(windows, encoded, decoded[0].tokenizer, texts)
        return [
            with_times(words[n], found[n].alignments, len(windows[n].samples))
            for n in range(len(windows))
        ]


def _most(likely: dict[str, float]) -> str:
    """The most likely language."""
    return max(likely, key=lambda code: likely[code])


def _probabilities(alignment: Any) -> list[float]:
    """Of the tokens of a text."""
    return [float(p) for p in alignment.text_token_probs]


def _log_sum(probabilities: list[float]) -> float:
    return float(np.log(np.maximum(probabilities, 1e-9)).sum())


def windows_seconds(window: Window) -> list[float]:
    """How much audio to decode it over, in turn: each try costs several times the one before.

    Whole even seconds, so that windows of about one length share a batch.
    """
    shortest = max(SHORTEST_WINDOW_SECONDS, window.seconds + MARGIN_SECONDS)
    shortest = min(2.0 * math.ceil(shortest / 2), LONGEST_WINDOW_SECONDS)
    second = max(SECOND_WINDOW_SECONDS, shortest + 2)
    tries = [seconds for seconds in (shortest, second) if seconds < LONGEST_WINDOW_SECONDS]
    # A partial is heard again soon, and 30 s cost as much as many of them.
    return tries if tries and not window.final else [*tries, LONGEST_WINDOW_SECONDS]
