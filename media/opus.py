"""Opus (RFC 6716) to 16 kHz mono PCM, by libopus itself.

PyAV's decoder gives 48 kHz stereo, knows no in-band FEC (2.1.7) and no concealment, and
costs three times as much with the resampling; libopus decodes to 16 kHz directly.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from pathlib import Path
from typing import Final

import av
import numpy as np

from captions.types import SAMPLE_RATE, Samples
from signaling.opus_packet import frame_ticks, packet_ticks

CONCEAL_STEP: Final = SAMPLE_RATE // 400
"""libopus conceals multiples of 2.5 ms."""

_LONGEST_SAMPLES: Final = SAMPLE_RATE * 120 // 1000
_RESET_STATE: Final = 4028
_MOST_FRAMES: Final = 48


class OpusError(ValueError):
    """A payload that is not Opus, or not within what is accepted."""


class OpusMissing(ImportError):
    """There is no libopus on this machine."""


@functools.cache
def libopus() -> ctypes.CDLL:
    """The library in PyAV's wheel, else the system's; loaded once."""
    # A wheel keeps the libraries it brings in a folder beside the package.
    beside = Path(av.__file__).parent.parent / "av.libs"
    for name in [*map(str, sorted(beside.glob("libopus*"))), "libopus.so.0"]:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        _declare(library)
        return library
    raise OpusMissing(
        "libopus was not found: install PyAV from its wheel (pip install --only-binary av av)"
        " or the system's library (apt install libopus0, dnf install opus)"
    )


def _declare(library: ctypes.CDLL) -> None:
    number, pointer = ctypes.c_int32, ctypes.c_void_p
    library.opus_decoder_create.argtypes = [number, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    library.opus_decoder_create.restype = pointer
    library.opus_decoder_destroy.argtypes = [pointer]
    library.opus_decoder_destroy.restype = None
    library.opus_decoder_ctl.argtypes = [pointer, ctypes.c_int]
    library.opus_decode.argtypes = [
        *(pointer, ctypes.c_char_p, number),
        *(pointer, ctypes.c_int, ctypes.c_int),
    ]
    library.opus_packet_parse.argtypes = [
        *(ctypes.c_char_p, number),
        *(pointer, pointer, pointer, pointer),
    ]


def has_fec(payload: bytes) -> bool:
    """Whether the payload carries the audio before it a second time (RFC 6716, 4.2.4)."""
    if payload[0] & 0x80:  # CELT has none
        return False
    frames = (ctypes.c_void_p * _MOST_FRAMES)()
    sizes = (ctypes.c_int16 * _MOST_FRAMES)()
    begin = ctypes.c_int()
    toc = ctypes.c_ubyte()
    count = libopus().opus_packet_parse(
        payload, len(payload), ctypes.byref(toc), frames, sizes, ctypes.byref(begin)
    )
    if count <= 0 or sizes[0] == 0:
        return False
    # The first frame begins with a VAD flag for each of its SILK frames, then the LBRR
    # flag; for the side channel of stereo the same again (4.2.3).
    header = payload[begin.value]
    silk_frames = max(1, frame_ticks(payload) // 960)
    lbrr = header >> (7 - silk_frames) & 1
    if payload[0] & 4:
        lbrr |= header >> max(0, 6 - 2 * silk_frames) & 1
    return bool(lbrr)


class OpusDecoder:
    """One stream's decoder. Its samples are the caller's own."""

    def __init__(self) -> None:
        self._library = libopus()
        error = ctypes.c_int()
        self._state = self._library.opus_decoder_create(SAMPLE_RATE, 1, ctypes.byref(error))
        if not self._state:
            raise MemoryError(f"libopus made no decoder: error {error.value}")
        weakref.finalize(self, self._library.opus_decoder_destroy, self._state)
        self._decode = self._library.opus_decode
        # One buffer for all calls, and its address once: both cost more than a copy.
        self._pcm = np.empty(_LONGEST_SAMPLES, np.int16)
        self._address = self._pcm.ctypes.data

    def decode(self, payload: bytes) -> Samples:
        """The payload's audio."""
        if not packet_ticks(payload):
            raise OpusError("empty, too large, or longer than 120 ms")
        return self._run(payload, _LONGEST_SAMPLES, 0)

    def decode_fec(self, payload: bytes, samples: int) -> Samples:
        """The `samples` before the payload, as the payload describes them (RFC 6716, 2.1.7).

        To be called before the payload itself is decoded. Where `has_fec` says no, libopus
        conceals instead.
        """
        if not packet_ticks(payload):
            raise OpusError("empty, too large, or longer than 120 ms")
        return self._run(payload, self._checked(samples), 1)

    def conceal(self, samples: int) -> Samples:
        """What might have come next, made from what came last; it fades to silence."""
        return self._run(None, self._checked(samples), 0)

    def reset(self) -> None:
        """Forget what was decoded: the next payload belongs to another stream."""
        self._library.opus_decoder_ctl(self._state, _RESET_STATE)

    @staticmethod
    def _checked(samples: int) -> int:
        if not 0 < samples <= _LONGEST_SAMPLES or samples % CONCEAL_STEP:
            raise OpusError(f"{samples} samples are not 2.5 to 120 ms in steps of 2.5 ms")
        return samples

    def _run(self, payload: bytes | None, samples: int, fec: int) -> Samples:
        size = len(payload) if payload else 0
        count = self._decode(self._state, payload, size, self._address, samples, fec)
        if count < 0:
            raise OpusError(f"libopus refused the payload: error {count}")
        return self._pcm[:count].copy()
