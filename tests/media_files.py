"""Files as people have them, made by PyAV: audio of any codec, video beside it on wish."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np

KINDS = {
    "mp3": ("mp3", "libmp3lame", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "flac": ("flac", "flac", 16_000),
    "wav": ("wav", "pcm_s16le", 16_000),
    "mkv": ("matroska", "libopus", 48_000),
    "ts": ("mpegts", "aac", 48_000),
}
"""Container, codec and rate."""


def media_file(
    pcm: np.ndarray,
    kind: str,
    *,
    video: bool = False,
    audio_from_seconds: float = 0.0,
    channels: int = 1,
) -> bytes:
    """`pcm` is mono int16 at 48 kHz; with `video` an `m4a` is an MP4 of a film."""
    container, codec, rate = KINDS[kind]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4" if video and kind == "m4a" else container) as out:
        picture = out.add_stream("mpeg4", rate=10) if video else None
        if picture:
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream(codec, rate=rate, layout="stereo" if channels == 2 else "mono")
        if picture:
            blank = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            for n in range(round((audio_from_seconds + len(pcm) / 48_000) * 10)):
                blank.pts, blank.time_base = n, Fraction(1, 10)
                out.mux(picture.encode(blank))
            out.mux(picture.encode(None))
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
        resampler = av.AudioResampler(sound.codec_context.format, sound.codec_context.layout, rate)
        fifo = av.AudioFifo()
        for resampled in (*resampler.resample(frame), *resampler.resample(None)):
            resampled.pts = None
            fifo.write(resampled)
        size, at = sound.codec_context.frame_size or 1024, round(audio_from_seconds * rate)
        while (part := fifo.read(size, partial=True)) is not None:
            part.pts, part.time_base = at, Fraction(1, rate)
            at += part.samples
            out.mux(sound.encode(part))
        out.mux(sound.encode(None))
    return file.getvalue()


def tone(seconds: float) -> np.ndarray:
    """440 Hz, int16 at 48 kHz."""
    at = np.arange(round(seconds * 48_000)) / 48_000
    return (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
