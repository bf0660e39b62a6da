"""What is read of a file that somebody sent, whatever is in it."""

from __future__ import annotations

import asyncio
import io
import os
from contextlib import aclosing
from itertools import pairwise

import av
import numpy as np
import pytest

from signaling.files import audio as file_audio
from signaling.files.audio import BROKEN, STUCK, FileUnreadable, read_file
from signaling.files.messages import LARGEST_BODY, RATE, Begun, Piece, packed
from signaling.files.reader import Reading, Unreadable, read
from tests.media_files import KINDS, media_file, tone

LONGEST = 3600.0


def heard(file: bytes, longest_seconds: float = LONGEST) -> tuple[float | None, list[Piece]]:
    begun, *pieces = read(io.BytesIO(file), longest_seconds)
    assert isinstance(begun, Begun)
    return begun.seconds, pieces


def samples(pieces: list[Piece]) -> np.ndarray:
    return np.concatenate([np.frombuffer(piece.pcm, "<i2") for piece in pieces])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_stays_the_tone_it_was_and_as_long(kind, channels):
    total, pieces = heard(media_file(tone(3.3), kind, channels=channels))
    assert total == pytest.approx(3.3, abs=0.1)
    sound = samples(pieces).astype(float)
    assert len(sound) / RATE == pytest.approx(3.3, abs=0.1)
    assert all(b.offset_ms - a.offset_ms == 500 for a, b in pairwise(pieces))
    assert all(len(piece.pcm) <= LARGEST_BODY for piece in pieces)
    middle = sound[RATE : 2 * RATE]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 440
    mixed = 1.0 if channels == 1 else 0.707  # to two channels, and back to one
    assert np.abs(middle).max() == pytest.approx(8000 * mixed, rel=0.15)


def test_of_a_film_the_sound_is_where_it_is_in_the_picture():
    _, pieces = heard(media_file(tone(2.0), "m4a", video=True, audio_from_seconds=3.0))
    assert pieces[0].offset_ms == pytest.approx(3000, abs=60)
    assert len(samples(pieces)) / RATE == pytest.approx(2.0, abs=0.1)


def with_gap() -> bytes:
    """Two tones of a second, 5 s apart by their times."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska", options={"live": "1"}) as out:  # says no length
        sound = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for at in (0, 6 * 16_000):
            pcm = tone(1.0)[::3].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), "s16", "mono")
            frame.sample_rate, frame.pts = 16_000, at
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    return file.getvalue()


def test_a_gap_in_the_times_of_a_file_is_one_in_what_is_heard():
    _, pieces = heard(with_gap())
    assert [piece.offset_ms for piece in pieces] == [0, 500, 6000, 6500]


def test_what_is_longer_than_it_may_be_is_refused_by_its_header_and_by_what_is_in_it():
    with pytest.raises(Unreadable, match="longer than"):
        heard(media_file(tone(3.0), "wav"), 2.0)
    messages = read(io.BytesIO(with_gap()), 3.0)
    assert next(messages) == Begun(pytest.approx(2.0, abs=0.1))
    with pytest.raises(Unreadable, match="longer than"):
        list(messages)
    reading = Reading(longest_seconds=2.0)
    assert len(list(reading.take(np.zeros(2 * RATE, np.int16)))) == 4
    with pytest.raises(Unreadable, match="longer than"):
        list(reading.take(np.zeros(1, np.int16)))


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"no file of any kind" * 100,
        os.urandom(100_000),
        b"\xff\xfb" * 5000,
        media_file(tone(1.0), "m4a")[:2000],
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"RIFF\xff\xff\xff\xffWAVEfmt ",
    ],
)
def test_what_is_no_audio_is_told_to_be_none(file):
    with pytest.raises(Unreadable):
        heard(file)


def test_a_film_without_sound_has_no_audio():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        picture = out.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        out.mux([*picture.encode(frame), *picture.encode(None)])
    with pytest.raises(Unreadable, match="no audio"):
        heard(file.getvalue())


def test_a_file_that_is_broken_in_places_is_heard_but_for_those():
    file = bytearray(media_file(tone(10.0), "mp3"))
    file[len(file) // 2 : len(file) // 2 + 2000] = os.urandom(2000)
    _, pieces = heard(bytes(file))
    assert len(samples(pieces)) / RATE == pytest.approx(10.0, abs=1.0)


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile there.wav\n", "{hls}"])
def test_a_list_of_other_files_reads_none_of_them(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.wav").write_bytes(media_file(tone(1.0), "wav"))
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nthere.wav\n#EXT-X-ENDLIST\n"
    with pytest.raises(Unreadable):
        heard(text.format(hls=hls).encode())


# --- in its process ----------------------------------------------------------------------


def in_memory(file: bytes) -> int:
    descriptor = os.memfd_create("test")
    os.write(descriptor, file)
    return descriptor


async def test_the_process_hands_over_what_it_reads_and_waits_for_who_takes_it():
    descriptor = in_memory(media_file(tone(30.0), "ogg"))
    async with aclosing(read_file(descriptor, LONGEST)) as messages:
        assert (await anext(messages)).seconds == pytest.approx(30.0, abs=0.1)
        pieces = [piece async for piece in messages]
    assert len(samples(pieces)) / RATE == pytest.approx(30.0, abs=0.1)
    # Again, for who was interrupted.
    async with aclosing(read_file(descriptor, LONGEST)) as messages:
        await anext(messages)
        assert (await anext(messages)).offset_ms == 0
    os.close(descriptor)


async def test_a_process_that_is_far_ahead_of_who_takes_ends_with_them():
    descriptor = in_memory(media_file(tone(60.0), "wav"))
    messages = read_file(descriptor, LONGEST)
    await anext(messages)
    await asyncio.sleep(1.0)  # as much as fits is read, and then some
    async with asyncio.timeout(5):
        await messages.aclose()
    os.close(descriptor)


async def test_what_cannot_be_read_is_told_in_words_for_people():
    descriptor = in_memory(b"no file of any kind")
    with pytest.raises(FileUnreadable, match="cannot be read as audio or video"):
        await anext(read_file(descriptor, LONGEST))
    os.close(descriptor)


class Instead:
    """Another program in the place of the one that reads."""

    def __init__(self, monkeypatch, program: str) -> None:
        start = asyncio.create_subprocess_exec
        self.processes: list[asyncio.subprocess.Process] = []

        async def other(python, *_, **more):
            self.processes.append(await start(python, "-c", program, **more))
            return self.processes[-1]

        monkeypatch.setattr(file_audio.asyncio, "create_subprocess_exec", other)


@pytest.mark.parametrize(
    "program",
    [
        "import os; os.abort()",
        "print('X' * 100)",
        f"import os; os.write(1, {packed(Begun(3.0))!r} + b'P\\xff\\xff\\xff\\xff')",
    ],
)
async def test_a_process_that_dies_or_says_nonsense_is_one_file_s_end(monkeypatch, program):
    instead = Instead(monkeypatch, program)
    descriptor = in_memory(b"")
    with pytest.raises(FileUnreadable, match=BROKEN):
        async for _ in read_file(descriptor, LONGEST):
            pass
    assert instead.processes[0].returncode is not None
    os.close(descriptor)


async def test_a_process_that_hangs_is_ended(monkeypatch):
    instead = Instead(monkeypatch, "import time; time.sleep(3600)")
    descriptor = in_memory(b"")
    with pytest.raises(FileUnreadable, match=STUCK):
        await anext(read_file(descriptor, LONGEST, stall_seconds=0.05))
    assert instead.processes[0].returncode is not None
    os.close(descriptor)


async def test_the_process_knows_no_secrets_and_writes_to_no_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("SURTITLE_SECRET", "a secret")
    program = (
        "import os, sys; from signaling.files import reader as r; from signaling.files.messages "
        "import *; r._limit()\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"try:\n  open({str(tmp_path / 'copy')!r}, 'wb', 0).write(b'x'); why = 'wrote'\n"
        "except OSError: why = 'no disk'\n"
        "os.write(1, packed(Failed(why + os.environ.get('SURTITLE_SECRET', ''))))"
    )
    Instead(monkeypatch, program)
    descriptor = in_memory(b"")
    with pytest.raises(FileUnreadable, match=r"^no disk$"):
        await anext(read_file(descriptor, LONGEST))
    os.close(descriptor)
