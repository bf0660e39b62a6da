"""Sounds that are not speech, made by synthesis: nothing may be written on them.

Every kind is seeded and of any length. Levels are those of a microphone in use: some are
faint, some loud. Babble is many voices at once, too many for any one to be understood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tests.recordings import our_voices

RATE: Final = 16_000

Signal = np.ndarray  # float64, about -1 to 1


def _time(seconds: float) -> Signal:
    return np.arange(int(seconds * RATE)) / RATE


def _white(seconds: float, draw: np.random.Generator) -> Signal:
    return draw.standard_normal(int(seconds * RATE))


def _colored(seconds: float, draw: np.random.Generator, exponent: float) -> Signal:
    """Noise whose power falls with frequency by this exponent."""
    spectrum = np.fft.rfft(_white(seconds, draw))
    frequencies = np.fft.rfftfreq(int(seconds * RATE), 1 / RATE)
    spectrum /= np.maximum(frequencies, 20.0) ** (exponent / 2)
    return _normal(np.fft.irfft(spectrum, int(seconds * RATE)))


def _band(signal: Signal, low: float, high: float) -> Signal:
    spectrum = np.fft.rfft(signal)
    frequencies = np.fft.rfftfreq(len(signal), 1 / RATE)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    return np.fft.irfft(spectrum, len(signal))


def _normal(signal: Signal) -> Signal:
    return signal / (np.abs(signal).max() or 1.0)


def _events(
    seconds: float,
    draw: np.random.Generator,
    every: tuple[float, float],
    make: Callable[[], Signal],
) -> Signal:
    """Single sounds, with pauses of between `every` seconds."""
    out = np.zeros(int(seconds * RATE))
    at = draw.uniform(*every)
    while at < seconds:
        sound = make()
        begin = int(at * RATE)
        end = min(len(out), begin + len(sound))
        out[begin:end] += sound[: end - begin]
        at += len(sound) / RATE * 0.5 + draw.uniform(*every)
    return out


def silence(seconds: float, draw: np.random.Generator) -> Signal:
    """Of a switched-off and of a real, quiet microphone by turns."""
    faint = 0.0005 * _white(seconds, draw)
    return faint * (_time(seconds) % 20 > 10)


def hum(seconds: float, draw: np.random.Generator) -> Signal:
    """Of the mains, with its harmonics."""
    t = _time(seconds)
    base = 50.0 if draw.random() < 0.5 else 60.0
    tones = sum(np.sin(2 * np.pi * base * n * t) / n for n in range(1, 9))
    return 0.15 * _normal(tones) * (0.7 + 0.3 * np.sin(2 * np.pi * 0.1 * t))


def white_noise(seconds: float, draw: np.random.Generator) -> Signal:
    """Louder and fainter."""
    return 0.1 * _normal(_white(seconds, draw)) * (1 + np.sin(2 * np.pi * 0.05 * _time(seconds)))


def fan(seconds: float, draw: np.random.Generator) -> Signal:
    """Of a laptop."""
    t = _time(seconds)
    return 0.2 * _colored(seconds, draw, 1.0) + 0.02 * np.sin(2 * np.pi * 187 * t)


def traffic(seconds: float, draw: np.random.Generator) -> Signal:
    """Cars that pass behind a window."""
    passing = np.abs(np.sin(2 * np.pi * 0.07 * _time(seconds))) ** 4
    return 0.5 * _colored(seconds, draw, 2.0) * (0.1 + passing)


def babble(seconds: float, draw: np.random.Generator) -> Signal:
    """A full restaurant: sixteen of our voices on top of each other, from afar."""
    voices = [r.pcm()[::3].astype(float) for r in our_voices()]
    out = np.zeros(int(seconds * RATE))
    for _ in range(16):
        order = draw.permutation(len(voices))
        line = np.concatenate([voices[n] for n in order])
        line = np.resize(np.roll(line, int(draw.integers(len(line)))), len(out))
        out += line
    echo = np.zeros_like(out)
    for delay in (0.031, 0.057, 0.083, 0.121):
        echo[int(delay * RATE) :] += out[: -int(delay * RATE)] * np.exp(-6 * delay)
    return 0.12 * _normal(_band(out * 0.3 + echo, 150, 3500))


def music(seconds: float, draw: np.random.Generator) -> Signal:
    """Chords, a bass, a melody and a drum, without a voice."""
    out = np.zeros(int(seconds * RATE))
    beat, at = 0.5, 0
    chords = [(220, 277.2, 329.6), (246.9, 311.1, 370), (196, 246.9, 293.7), (174.6, 220, 261.6)]
    while at * beat < seconds:
        t = _time(beat)
        chord = chords[at // 4 % 4]
        decay = np.exp(-3 * t)
        sound = sum(np.sin(2 * np.pi * f * t) + 0.3 * np.sin(4 * np.pi * f * t) for f in chord)
        melody = chord[int(draw.integers(3))] * 2
        sound = sound * 0.3 + np.sign(np.sin(2 * np.pi * melody * t)) * 0.2 * decay
        sound += np.sin(2 * np.pi * chord[0] / 2 * t) * 0.5 * decay
        sound[: RATE // 20] += (
            0.4 * draw.standard_normal(RATE // 20) * np.exp(-60 * t[: RATE // 20])
        )
        begin = int(at * beat * RATE)
        out[begin : begin + len(sound)] += sound[: len(out) - begin]
        at += 1
    return 0.4 * _normal(out)


def keys(seconds: float, draw: np.random.Generator) -> Signal:
    """Somebody types."""

    def key() -> Signal:
        t = _time(0.03)
        click = draw.standard_normal(len(t)) * np.exp(-200 * t)
        return draw.uniform(0.2, 0.6) * click

    return _events(seconds, draw, (0.05, 0.35), key) + 0.001 * _white(seconds, draw)


def breathing(seconds: float, draw: np.random.Generator) -> Signal:
    """Into a headset, in and out."""

    def breath() -> Signal:
        length = draw.uniform(0.8, 1.6)
        t = _time(length)
        return (
            0.25 * _normal(_band(_white(length, draw), 300, 2500)) * np.sin(np.pi * t / length) ** 2
        )

    return _events(seconds, draw, (0.3, 0.9), breath)


def dtmf(seconds: float, draw: np.random.Generator) -> Signal:
    """Somebody dials."""
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477, 1633)

    def digit() -> Signal:
        t = _time(draw.uniform(0.08, 0.3))
        row, column = rows[int(draw.integers(4))], columns[int(draw.integers(4))]
        return 0.25 * (np.sin(2 * np.pi * row * t) + np.sin(2 * np.pi * column * t))

    return _events(seconds, draw, (0.08, 0.8), digit)


def ringing(seconds: float, draw: np.random.Generator) -> Signal:
    """An old telephone, and the tone that the caller hears."""
    t = _time(seconds)
    bell = np.sin(2 * np.pi * 1000 * t) * (np.sin(2 * np.pi * 20 * t) > 0) * (t % 6 < 2)
    tone = (
        (np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 480 * t)) / 2 * (t % 6 >= 3) * (t % 6 < 5)
    )
    return 0.3 * bell + 0.2 * tone


def coughs(seconds: float, draw: np.random.Generator) -> Signal:
    """And the clearing of throats."""

    def cough() -> Signal:
        length = draw.uniform(0.2, 0.4)
        t = _time(length)
        voiced = np.sign(np.sin(2 * np.pi * draw.uniform(90, 160) * t)) * 0.2
        burst = _normal(_band(_white(length, draw), 200, 5000))
        return 0.5 * (burst + voiced) * np.exp(-12 * t)

    return _events(seconds, draw, (0.4, 3.0), cough)


def applause(seconds: float, draw: np.random.Generator) -> Signal:
    """Forty people clap."""
    out = np.zeros(int(seconds * RATE))
    for _ in range(40):
        period = draw.uniform(0.2, 0.32)
        for at in np.arange(draw.uniform(0, period), seconds - 0.05, period):
            begin = int((at + draw.uniform(0, 0.02)) * RATE)
            out[begin : begin + 320] += draw.standard_normal(320) * np.exp(-np.arange(320) / 60)
    return 0.4 * _normal(out)


KINDS: Final[dict[str, Callable[[float, np.random.Generator], Signal]]] = {
    make.__name__: make
    for make in (
        silence, hum, white_noise, fan, traffic, babble, music, keys, breathing, dtmf, ringing,
        coughs, applause,
    )
}  # fmt: skip


def noise(kind: str, seconds: float, seed: int = 0) -> np.ndarray:
    """16 kHz, int16."""
    draw = np.random.default_rng([seed, *kind.encode()])
    return (np.clip(KINDS[kind](seconds, draw), -1, 1) * 32767).astype(np.int16)
