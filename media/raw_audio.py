"""Raw audio in the formats of `signaling.audio` to 16 kHz mono PCM."""

from __future__ import annotations

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from captions.types import SAMPLE_RATE, Samples
from media.opus import OpusDecoder, OpusError
from signaling.audio import AudioFormat
from signaling.errors import ContractError


class RawDecoder:
    """One stream's decoder; what it needs is made when the first audio comes."""

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._opus: OpusDecoder | None = None
        self._mulaw: AudioCodecContext | None = None
        self._resampler: av.AudioResampler | None = None

    def decode(self, chunk: bytes) -> Samples:
        """The audio of a chunk, int16, shape (n,); resampling holds some back for the next.

        `ContractError` `invalid` where it is not of the format.
        """
        self._audio.seconds(chunk)
        match self._audio.encoding:
            case "opus":
                return self._of_opus(chunk)
            case "mulaw":
                return self._resampled(self._of_mulaw(chunk))
            case _:
                return self._resampled(np.frombuffer(chunk, "<i2").astype(np.int16))

    def flush(self) -> Samples:
        """What is still held back."""
        if self._resampler is None:
            return np.zeros(0, np.int16)
        return _joined(self._resampler.resample(None))

    def _of_opus(self, packet: bytes) -> Samples:
        self._opus = self._opus or OpusDecoder()
        try:
            return self._opus.decode(packet)
        except OpusError as error:
            raise ContractError("invalid", f"no Opus packet: {error}") from None

    def _of_mulaw(self, chunk: bytes) -> Samples:
        if self._mulaw is None:
            codec = av.CodecContext.create("pcm_mulaw", "r")
            assert isinstance(codec, AudioCodecContext)
            codec.sample_rate, codec.layout = self._audio.sample_rate, "mono"
            self._mulaw = codec
        return _joined(self._mulaw.decode(av.Packet(chunk)))

    def _resampled(self, samples: Samples) -> Samples:
        rate = self._audio.sample_rate
        if rate == SAMPLE_RATE:
            return samples
        if self._resampler is None:
            self._resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        return _joined(self._resampler.resample(frame))


def _joined(frames: list[av.AudioFrame]) -> Samples:
    parts = [frame.to_ndarray()[0] for frame in frames]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)
