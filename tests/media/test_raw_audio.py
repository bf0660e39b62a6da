"""Raw audio in every encoding of the contract becomes the same PCM."""

from __future__ import annotations

import numpy as np
import pytest

from media.raw_audio import RawDecoder
from signaling.audio import AudioFormat
from signaling.errors import ContractError
from tests.ws_client import encoded

FORMATS = [
    *(("linear16", rate) for rate in (8000, 16000, 48000)),
    *(("mulaw", rate) for rate in (8000, 16000, 48000)),
    *(("opus", rate) for rate in (8000, 16000, 48000)),
]


def tone(seconds: float) -> np.ndarray:
    """440 Hz, int16 at 48 kHz."""
    t = np.arange(int(seconds * 48_000)) / 48_000
    return (np.sin(2 * np.pi * 440 * t) * 9000).astype(np.int16)


def spectrum(samples: np.ndarray) -> float:
    """Hz of what is loudest."""
    loudness = np.abs(np.fft.rfft(samples.astype(float) * np.hanning(len(samples))))
    return float(np.argmax(loudness) * 16_000 / len(samples))


@pytest.mark.parametrize(("encoding", "rate"), FORMATS)
def test_a_tone_stays_the_tone_it_was_and_as_long(encoding, rate):
    said = tone(2.0)
    decoder = RawDecoder(AudioFormat(encoding, rate))
    parts = [decoder.decode(chunk) for chunk, _ in encoded(said, encoding, rate)]
    heard = np.concatenate([*parts, decoder.flush()])
    assert heard.dtype == np.int16
    assert abs(len(heard) - 32_000) <= 400, "Opus leaves out what its lookahead holds"
    assert spectrum(heard) == pytest.approx(440, abs=2)
    middle = heard[8000:24_000].astype(float)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(
        np.sqrt(np.mean(said[24_000:72_000].astype(float) ** 2)), rel=0.1
    )


@pytest.mark.parametrize(
    ("audio", "chunk"),
    [
        (AudioFormat("linear16"), b""),
        (AudioFormat("linear16"), b"odd"),
        (AudioFormat("opus"), b""),
        (AudioFormat("opus"), b"\xfb\xff" + bytes(20)),
        (AudioFormat("opus"), b"OggS" + bytes(40)),
        (AudioFormat("opus"), bytes(1501)),
    ],
)
def test_what_is_not_of_the_format_is_refused_and_the_next_is_taken(audio, chunk):
    decoder = RawDecoder(audio)
    with pytest.raises(ContractError) as refused:
        decoder.decode(chunk)
    assert refused.value.code == "invalid"
    good = next(encoded(tone(1.0), audio.encoding, audio.sample_rate))
    assert len(decoder.decode(good[0])) > 0
