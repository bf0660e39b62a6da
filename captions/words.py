"""From a model's tokens to words with their times and confidence. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from faster_whisper.tokenizer import Tokenizer

from captions.types import SAMPLE_RATE, HeardWord

_TOKENS_PER_SECOND: Final = 50  # of the encoder's output; 20 ms a position


def to_words(
    tokenizer: Tokenizer, tokens: list[int], probabilities: list[float]
) -> list[HeardWord]:
    """Words without times; a word's confidence is the mean of its tokens' probabilities."""
    texts, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    words, at = [], 0
    for text, group in zip(texts[:-1], groups[:-1], strict=True):
        found = probabilities[at : at + len(group)]
        at += len(group)
        words.append(HeardWord(text, tuple(group), confidence=float(np.mean(found))))
    return words


def with_times(
    words: list[HeardWord], alignments: list[tuple[int, int]], length: int
) -> list[HeardWord]:
    """Words with the times of an alignment of tokens to the encoder's positions."""
    text_at = np.array([pair[0] for pair in alignments])
    time_at = np.array([pair[1] for pair in alignments])
    # Of a frame or two the alignment begins before the audio.
    begins = np.maximum(time_at[np.diff(text_at, prepend=-1).astype(bool)], 0)
    if not len(begins):  # less audio than a frame, or no text: nothing to align with
        return [replace(word, end=length) for word in words]
    position = SAMPLE_RATE // _TOKENS_PER_SECOND
    timed, token = [], 0
    for word in words:
        after = token + len(word.tokens)
        start = int(begins[min(token, len(begins) - 1)]) * position
        end = int(begins[min(after, len(begins) - 1)]) * position
        timed.append(replace(word, start=min(start, length), end=min(end, length)))
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


def token_probabilities(logits: Any, tokens: list[int]) -> list[float]:
    """How probable the model found each token, 0 to 1, by the logits of each step."""
    found = []
    for token, step in zip(tokens, logits, strict=False):
        scores = np.asarray(step)
        found.append(float(1 / np.exp(scores - scores[token]).sum()))
    return found
