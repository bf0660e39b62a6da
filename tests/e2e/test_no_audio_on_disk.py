"""Audio never comes to a disk: what a server opens for writing, and what it has written, is none.

The server has an empty folder for temporary files, which nobody may leave anything in. Whatever it
opens for writing meanwhile is seen by inotify, by every process of it, deleted again or not.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import secrets
import struct
import wave
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from tests.e2e.test_call import clips, new_call
from tests.peer import Microphone, Peer
from tests.server import Server


def as_wav(pcm: np.ndarray) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(pcm.tobytes())
    return data.getvalue()


class Watch:
    """What is made or written in folders, by whomever: inotify(7), which Python has not."""

    _CREATE, _MODIFY = 0x100, 0x2

    def __init__(self, *folders: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK)
        self._folders = {self._add(folder): folder for folder in folders}

    def _add(self, folder: Path) -> int:
        number = self._libc.inotify_add_watch(
            self._fd, os.fsencode(folder), self._CREATE | self._MODIFY
        )
        assert number > 0, os.strerror(ctypes.get_errno())
        return number

    def end(self) -> set[str]:
        data, found = b"", set()
        with contextlib.suppress(BlockingIOError):
            while True:
                data += os.read(self._fd, 65_536)
        os.close(self._fd)
        while data:
            number, mask, _, size = struct.unpack_from("iIII", data)
            assert not mask & 0x4000, "some of it was not told"
            name = data[16 : 16 + size].rstrip(b"\0")
            found.add(str(self._folders[number] / os.fsdecode(name)))
            data = data[16 + size :]
        return found


def children(pid: int) -> list[int]:
    """It, and all processes that it started."""
    tasks = Path(f"/proc/{pid}/task")
    own = [task / "children" for task in tasks.iterdir()] if tasks.exists() else []
    below = [int(child) for file in own for child in file.read_text().split()]
    return [pid, *(each for child in below for each in children(child))]


def open_for_writing(pid: int) -> set[str]:
    """Regular files; what has no name on a disk (`memfd`, shared memory) is none."""
    found = set()
    for process in children(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended, closed meanwhile
            for info in Path(f"/proc/{process}/fdinfo").iterdir():
                flags = int(info.read_text().split("flags:")[1].split()[0], 8)
                path = str(Path(f"/proc/{process}/fd/{info.name}").readlink())
                if flags & os.O_ACCMODE != os.O_RDONLY and path.startswith("/"):
                    found.add(path)
    return {path for path in found if not path.startswith(("/dev/", "/memfd:"))}


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(folder))
    return folder


async def test_speech_and_files_leave_no_audio_on_the_disk(tmp_path, temporary):
    data, pcm = tmp_path / "data", clips("Ada")[0].pcm()[: 3 * 48_000]
    wav = as_wav(pcm)
    written: set[str] = set()
    async with Server(data) as server, aiohttp.ClientSession(server.url) as http:
        pid = server.process.pid
        watched = Watch(temporary, data)
        async with Peer(server.url) as anna:
            await anna.join(new_call(), "Anna", language="en")
            await anna.send(Microphone(pcm))
            await anna.until(lambda p: p.captions)
            written |= open_for_writing(pid)
            await anna.until(lambda p: p.finals())
        reply = await http.post(
            "/api/transcriptions",
            data=wav,
            headers={"Content-Type": "audio/wav", "Idempotency-Key": secrets.token_hex(4)},
        )
        assert reply.status in (201, 202), await reply.text()
        job = (await reply.json())["job"]
        async with http.get(f"/api/transcriptions/{job}/events") as events:
            async for _ in events.content:
                written |= open_for_writing(pid)
        done = await (await http.get(f"/api/transcriptions/{job}")).json()
        assert done["state"] == "done"
        changed = watched.end()
    store = {str(data / f"surtitle.db{suffix}") for suffix in ("", "-wal", "-shm")}
    assert written - store == {str(server.log)}
    assert changed <= {*store, str(server.log)}
    assert list(temporary.iterdir()) == []
    kept = b"".join(file.read_bytes() for file in data.iterdir())
    loudest = int(np.abs(pcm).argmax())
    for audio in (pcm[loudest : loudest + 32], pcm[::3][loudest // 3 : loudest // 3 + 32]):
        assert audio.tobytes() not in kept
    assert wav[:44] not in kept
    assert b"RIFF" not in kept
    assert b"OpusHead" not in kept
