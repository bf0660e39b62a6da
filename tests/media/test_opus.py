"""libopus by ctypes: what it gives, and what it is never given."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import opus
from media.opus import OpusDecoder, OpusError, has_fec, libopus
from signaling.opus_packet import LARGEST_PACKET_BYTES, packet_ticks
from tests.media.packets import encode, sweep_payloads, tone

FRAME = 320  # samples of 20 ms


def likeness(one: np.ndarray, other: np.ndarray, most_shift: int = 200) -> float:
    """The highest correlation within a few milliseconds of codec delay."""
    one, other = one.astype(float), other.astype(float)
    return max(
        np.corrcoef(one[shift : len(one) - most_shift + shift], other[: len(other) - most_shift])[
            0, 1
        ]
        for shift in range(most_shift)
    )


def test_opus_becomes_16_khz_mono_that_sounds_like_what_was_encoded():
    decoder = OpusDecoder()
    pcm = np.concatenate([decoder.decode(payload) for payload in sweep_payloads(4.0)])
    assert pcm.dtype == np.int16
    assert pcm.shape == (4 * 16_000,)
    assert likeness(pcm[8000:40_000], tone(4.0)[::3][8000:40_000]) > 0.9


@pytest.mark.parametrize("packet_ms", [10, 20, 40, 60])
def test_each_packet_length_has_its_samples(packet_ms):
    payloads = encode(tone(1.0), packet_ms=packet_ms)
    decoder = OpusDecoder()
    for payload in payloads:
        assert packet_ticks(payload) == packet_ms * 48
        assert len(decoder.decode(payload)) == packet_ms * 16


def test_samples_are_the_caller_s_own():
    decoder = OpusDecoder()
    first = decoder.decode(sweep_payloads(1.0)[10])
    kept = first.copy()
    decoder.decode(sweep_payloads(1.0)[11])
    assert (first == kept).all()


@given(st.binary(min_size=1, max_size=40))
def test_the_length_by_the_first_bytes_is_what_libopus_says(payload):
    said = libopus().opus_packet_get_nb_samples(payload, len(payload), 48_000)
    assert packet_ticks(payload) == max(0, said)


def test_fec_gives_back_the_packet_before_better_than_concealment():
    payloads = sweep_payloads(6.0, fec=True)
    whole = OpusDecoder()
    truth = [whole.decode(payload) for payload in payloads]
    errors = {"fec": [], "concealed": []}
    for lost in range(20, len(payloads) - 1, 7):
        if not has_fec(payloads[lost + 1]):
            continue
        for how, got in errors.items():
            decoder = OpusDecoder()
            for payload in payloads[:lost]:
                decoder.decode(payload)
            if how == "fec":
                pcm = decoder.decode_fec(payloads[lost + 1], FRAME)
            else:
                pcm = decoder.conceal(FRAME)
            assert len(pcm) == FRAME
            got.append(np.mean((pcm.astype(float) - truth[lost]) ** 2))
    assert len(errors["fec"]) > 10
    assert np.median(errors["fec"]) < 0.5 * np.median(errors["concealed"])


def test_fec_is_seen_where_the_encoder_was_asked_for_it_and_nowhere_else():
    assert sum(map(has_fec, sweep_payloads(6.0, fec=True))) > 100
    assert not any(map(has_fec, sweep_payloads(6.0, fec=False)))


def test_what_libopus_says_of_fec_is_what_we_say():
    assert hasattr(libopus(), "opus_packet_has_lbrr"), "PyAV's wheel has libopus 1.5 or newer"
    for payload in sweep_payloads(6.0, fec=True) + sweep_payloads(2.0, fec=False):
        assert has_fec(payload) == (libopus().opus_packet_has_lbrr(payload, len(payload)) == 1)


@settings(max_examples=300)
@given(st.binary(min_size=1, max_size=60))
def test_fec_of_anything_is_what_libopus_says(payload):
    assert has_fec(payload) == (libopus().opus_packet_has_lbrr(payload, len(payload)) == 1)


def test_concealment_goes_on_and_fades():
    decoder = OpusDecoder()
    for payload in sweep_payloads(2.0):
        heard = decoder.decode(payload)
    made_up = [np.abs(decoder.conceal(FRAME)).max() for _ in range(10)]
    assert made_up[0] > 0.3 * np.abs(heard).max()
    assert made_up[-1] < 0.2 * made_up[0]


def test_after_a_reset_there_is_nothing_to_go_on_with():
    decoder = OpusDecoder()
    for payload in sweep_payloads(1.0):
        decoder.decode(payload)
    decoder.reset()
    assert not decoder.conceal(FRAME).any()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(LARGEST_PACKET_BYTES + 1),
        bytes([0b11111011]),  # any number of frames, but not how many
        bytes([0b11111011, 0]),  # none
        bytes([0b00011011, 3, 0, 0, 0]),  # 180 ms
        bytes([0b11111001, 1, 2, 3]),  # two of the same size in an odd number of bytes
    ],
)
def test_what_is_not_opus_or_too_much_is_refused(payload):
    decoder = OpusDecoder()
    with pytest.raises(OpusError):
        decoder.decode(payload)
    with pytest.raises(OpusError):
        decoder.decode_fec(payload, FRAME)
    assert len(decoder.decode(sweep_payloads(1.0)[0])) == FRAME


@pytest.mark.parametrize("samples", [0, -320, 321, 1960])
def test_lengths_that_libopus_cannot_make_are_refused(samples):
    decoder = OpusDecoder()
    with pytest.raises(OpusError):
        decoder.conceal(samples)
    with pytest.raises(OpusError):
        decoder.decode_fec(sweep_payloads(1.0)[0], samples)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=80), max_size=20))
def test_garbage_is_decoded_or_refused(payloads):
    decoder = OpusDecoder()
    for payload in payloads:
        try:
            samples = decoder.decode(payload)
        except OpusError:
            continue
        assert len(samples) * 3 == packet_ticks(payload)


def test_without_libopus_the_error_names_the_mends(monkeypatch):
    def nothing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", nothing)
    with pytest.raises(opus.OpusMissing, match=r"pip install.*libopus0"):
        libopus.__wrapped__()
