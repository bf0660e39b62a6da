"""What a chunk of raw audio may be."""

from __future__ import annotations

import pytest

from signaling.audio import AudioFormat
from signaling.errors import ContractError


@pytest.mark.parametrize(
    ("audio", "size", "seconds"),
    [
        (AudioFormat(), 3200, 0.1),
        (AudioFormat("linear16", 48000), 96_000, 1.0),
        (AudioFormat("mulaw", 8000), 1, 0.000125),
        (AudioFormat("mulaw", 8000), 8000, 1.0),
    ],
)
def test_a_chunk_is_as_long_as_its_samples(audio, size, seconds):
    assert audio.seconds(bytes(size)) == pytest.approx(seconds)


def test_an_opus_packet_says_itself_how_long_it_is():
    assert AudioFormat("opus").seconds(b"\x08") == pytest.approx(0.02)
    assert AudioFormat("opus").seconds(b"\x18") == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("audio", "size", "code"),
    [
        (AudioFormat(), 0, "invalid"),
        (AudioFormat(), 3201, "invalid"),
        (AudioFormat(), 32_002, "too_large"),
        (AudioFormat("mulaw", 8000), 8001, "too_large"),
    ],
)
def test_other_sizes_are_refused(audio, size, code):
    with pytest.raises(ContractError) as refused:
        audio.seconds(bytes(size))
    assert refused.value.code == code


@pytest.mark.parametrize(("encoding", "rate"), [("flac", 16000), ("linear16", 44100)])
def test_other_formats_are_refused(encoding, rate):
    with pytest.raises(ContractError, match="one of"):
        AudioFormat(encoding, rate)
