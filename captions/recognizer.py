"""One Whisper model (faster-whisper, CTranslate2): a window of audio to a hypothesis.

The encoder runs over the audio there is instead of over 30 padded seconds: at least
`SHORTEST_WINDOW_SECONDS`, the length plus `MARGIN_SECONDS`. Where the text then runs
away from the audio, the window is decoded again over `SECOND_WINDOW_SECONDS` and, if that
does not help, over the 30 seconds that Whisper was trained on. Synchronous; used
inside the engine process and by nobody else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_ctranslate2_storage, get_suppressed_tokens

from captions.runaway import cut_loop, ran_away
from captions.types import SAMPLE_RATE, HeardWord, Hypothesis
from captions.window import Window

SHORTEST_WINDOW_SECONDS: Final = 8.0
MARGIN_SECONDS: Final = 1.0
SECOND_WINDOW_SECONDS: Final = 16.0
LONGEST_WINDOW_SECONDS: Final = 30.0

CLEARLY_HEARD: Final = 0.8
"""A language less likely than this does not take the place of the one expected."""

_FRAMES_PER_SECOND: Final = 100
_TOKENS_PER_SECOND: Final = 50  # of the encoder's output; 20 ms a position


class Recognizer:
    """A loaded model. Not thread-safe; one window at a time."""

    def __init__(self, path: Path, device: str = "auto", threads: int = 1) -> None:
        """Load the model in `path`; RuntimeError or ValueError where it cannot be."""
        self._whisper = WhisperModel(
            str(path),
            device=device,
            compute_type="default" if device == "cuda" else "int8",
            cpu_threads=threads,
            num_workers=1,
            local_files_only=True,
        )
        self._model = self._whisper.model
        self._multilingual = bool(self._model.is_multilingual)
        self._tokenizers: dict[str, Tokenizer] = {}
        self._suppressed = get_suppressed_tokens(self._tokenizer("en"), [-1])

    @property
    def device(self) -> str:
        """Where it runs: `cpu` or `cuda`."""
        return str(self._model.device)

    @property
    def languages(self) -> tuple[str, ...]:
        """Whisper codes of the languages it knows; only `en` for an English model."""
        return tuple(self._whisper.supported_languages) if self._multilingual else ("en",)

    def recognize(self, window: Window) -> Hypothesis:
        """The most likely text of the window."""
        hypothesis = None
        for seconds in self._windows_seconds(window):
            hypothesis = self._decode(window, seconds)
            if not ran_away(hypothesis.words, len(window.samples)):
                return hypothesis
        assert hypothesis is not None
        return replace(hypothesis, words=cut_loop(hypothesis.words, keep=len(window.prefix)))

    @staticmethod
    def _windows_seconds(window: Window) -> list[float]:
        """The windows to try in turn: each costs several times the one before."""
        shortest = max(SHORTEST_WINDOW_SECONDS, window.seconds + MARGIN_SECONDS)
        second = max(SECOND_WINDOW_SECONDS, shortest + MARGIN_SECONDS)
        tries = [seconds for seconds in (shortest, second) if seconds < LONGEST_WINDOW_SECONDS]
        return [*tries, LONGEST_WINDOW_SECONDS]

    def _tokenizer(self, language: str) -> Tokenizer:
        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._whisper.hf_tokenizer,
                self._multilingual,
                task="transcribe",
                language=language if self._multilingual else "en",
            )
        return self._tokenizers[language]

    def _features(self, window: Window, seconds: float) -> npt.NDArray[np.float32]:
        frames = int(seconds * _FRAMES_PER_SECOND)
        signal = np.zeros(frames * SAMPLE_RATE // _FRAMES_PER_SECOND, np.float32)
        heard = window.samples[: len(signal)]
        signal[: len(heard)] = heard
        signal /= 32768
        features: npt.NDArray[np.float32] = self._whisper.feature_extractor(signal, padding=0)
        # The feature extractor makes one frame a hop; the encoder halves them.
        return np.ascontiguousarray(features[:, : frames // 2 * 2], dtype=np.float32)

    def _decode(self, window: Window, seconds: float) -> Hypothesis:
        features = self._features(window, seconds)
        encoded = self._model.encode(get_ctranslate2_storage(features[np.newaxis]))
        language, certainty = self._language(window, encoded)
        tokenizer = self._tokenizer(language)
        prefix = [token for word in window.prefix for token in word]
        start = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        room = int(window.seconds * 10) + 16
        result = self._model.generate(
            encoded,
            [start + prefix],
            beam_size=1,
            max_length=min(448, len(start) + len(prefix) + room),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
        )[0]
        tokens = [t for t in result.sequences_ids[0] if t < tokenizer.eot]
        if tokens[: len(prefix)] != prefix:
            tokens = prefix + tokens
        texts, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
        words = [
            HeardWord(text, tuple(group))
            for text, group in zip(texts[:-1], groups[:-1], strict=True)
        ]
        if window.timed and words:
            words = self._timed(words, tokenizer, encoded, tokens, window)
        return Hypothesis(
            words=tuple(merge_punctuation(words)),
            language=tokenizer.language_code,
            language_confidence=certainty,
            no_speech=float(result.no_speech_prob),
            log_probability=float(result.scores[0]),
            timed=window.timed,
        )

    def _language(self, window: Window, encoded: Any) -> tuple[str, float]:
        """The language to decode in, and how likely it is the one that is spoken."""
        if not self._multilingual:
            return "en", 1.0
        if window.language in self.languages:
            return str(window.language), 1.0
        likely = {token[2:-2]: p for token, p in self._model.detect_language(encoded)[0]}
        heard = max(likely, key=lambda code: likely[code])
        if window.expected in likely and likely[heard] < CLEARLY_HEARD:
            heard = str(window.expected)
        return heard, float(likely[heard])

    def _timed(
        self,
        words: list[HeardWord],
        tokenizer: Tokenizer,
        encoded: Any,
        tokens: list[int],
        window: Window,
    ) -> list[HeardWord]:
        frames = min(len(window.samples) * _FRAMES_PER_SECOND // SAMPLE_RATE + 1, 3000)
        found = self._model.align(encoded, tokenizer.sot_sequence, [tokens], frames)[0]
        text_at = np.array([pair[0] for pair in found.alignments])
        time_at = np.array([pair[1] for pair in found.alignments])
        # Of a frame or two the alignment begins before the audio.
        begins = np.maximum(time_at[np.diff(text_at, prepend=-1).astype(bool)], 0)
        if not len(begins):  # less audio than a frame: nothing to align with
            return [replace(word, end=len(window.samples)) for word in words]
        position = SAMPLE_RATE // _TOKENS_PER_SECOND
        timed, token = [], 0
        for word in words:
            after = token + len(word.tokens)
            probabilities = found.text_token_probs[token:after]
            start = int(begins[min(token, len(begins) - 1)]) * position
            end = int(begins[min(after, len(begins) - 1)]) * position
            timed.append(
                HeardWord(
                    word.text,
                    word.tokens,
                    min(start, len(window.samples)),
                    min(end, len(window.samples)),
                    float(np.mean(probabilities)) if len(probabilities) else 0.0,
                )
            )
            token = after
        return timed


def merge_punctuation(words: list[HeardWord]) -> list[HeardWord]:
    """Punctuation and hyphenated or apostrophized tails join the word before them."""
    merged: list[HeardWord] = []
    for word in words:
        bare = not any(c.isalnum() for c in word.text)
        if merged and not word.text.startswith(" ") and (bare or word.text[0] in "-'’"):
            before = merged[-1]
            merged[-1] = HeardWord(
                before.text + word.text,
                before.tokens + word.tokens,
                before.start,
                before.end if bare else word.end,
                before.confidence if bare else min(before.confidence, word.confidence),
            )
        else:
            merged.append(word)
    return merged
