"""The disk of `surtitle run` is full: a small tmpfs that only the server sees, and a large file.

It is mounted in a mount namespace of the server's own, so nothing is left of it when that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.chaos.cluster import SECRET, token, until
from tests.chaos.judge import breaks
from tests.chaos.programs import Program
from tests.chaos.scenario import scenario
from tests.chaos.speaker import Speaker
from tests.chaos.stage import record
from tests.chaos.watcher import Watcher

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

SIZE = "2m"
CALL = "chaos-disk"


READ = f"""
import json, sqlite3, sys
db = sqlite3.connect(f"file:{{sys.argv[1]}}/surtitle.db?mode=ro", uri=True)
rows = db.execute("SELECT caption FROM finals WHERE call = '{CALL}' ORDER BY seq")
print(json.dumps([json.loads(row[0]) for row in rows]))
"""


def namespace() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What gives a command mounts of its own, and another one those of a process."""
    for prefix, enter in (
        (("unshare", "-m"), ("nsenter", "-m", "-t")),
        (("unshare", "-Urm"), ("nsenter", "-U", "--preserve-credentials", "-m", "-t")),
    ):
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix, enter
    raise AssertionError("this needs a mount namespace, which is not allowed here")


class SmallDisk:
    """`surtitle run` as a cluster of one, whose data are on a disk of 2 MiB."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._data.mkdir()
        prefix, self._enter = namespace()
        mounted = f'mount -t tmpfs -o size={SIZE} tmpfs "{self._data}" && exec "$@"'
        self.program = Program(
            *(folder, "server", "run", "--data", str(self._data), "--secret", SECRET),
            *("--advertise", "127.0.0.1", "--model", "tiny.en"),
            prefix=(*prefix, "sh", "-c", mounted, "sh"),
        )
        self.gateways = [self.program]

    @property
    def urls(self) -> list[str]:
        return [self.program.url]

    @property
    def data(self) -> Path:
        """As seen from here."""
        assert self.program.process
        return Path(f"/proc/{self.program.process.pid}/root{self._data}")

    def fill(self) -> None:
        """Until not a byte more can be written."""
        room = os.statvfs(self.data)
        with (self.data / "large").open("wb") as large:
            large.write(bytes(room.f_bavail * room.f_frsize))
        assert os.statvfs(self.data).f_bavail == 0

    def tidy(self) -> None:
        (self.data / "large").unlink()

    async def stored(self) -> list[dict[str, Any]]:
        """What SQLite itself has; it resolves paths, so it has to be opened in there."""
        assert self.program.process
        enter = (*self._enter, str(self.program.process.pid))
        reading = await asyncio.create_subprocess_exec(
            *(*enter, sys.executable, "-c", READ, str(self._data)), stdout=asyncio.subprocess.PIPE
        )
        told, _ = await reading.communicate()
        assert reading.returncode == 0
        return json.loads(told)


@scenario(seconds=40)
async def test_the_disk_is_full_under_sqlite(folder: Path) -> None:
    """Captions go on; what was said is written once there is room again."""
    disk = SmallDisk(folder)
    async with (
        disk.program,
        Watcher(disk, CALL) as watcher,
        Speaker(disk, CALL, "Ada") as ada,
    ):

        async def all_written() -> bool:
            return len(await disk.stored()) == len(watcher.finals)

        await watcher.until(lambda w: w.finals)
        await until(all_written)
        disk.fill()
        full, written = time.monotonic(), len(await disk.stored())
        await watcher.until(lambda w: len([f for f in w.finals if f["seq"] > written]) >= 3)
        assert len(await disk.stored()) == written
        late = Watcher(disk, CALL, subject="late")
        async with late:
            assert len(late.finals) >= written + 3
        assert "transcripts not written" in disk.program.log.read_text()
        disk.tidy()
        room = time.monotonic()
        await ada.finish()
        await watcher.until(lambda w: not w.open)
        await until(all_written)
        record("disk full", written_seconds=time.monotonic() - room, full_seconds=room - full)
        headers = {"Authorization": f"Bearer {token('judge')}"}
        async with aiohttp.ClientSession(disk.program.url, headers=headers) as http:
            answer = await http.get(f"/api/calls/{CALL}/transcript")
            transcript = (await answer.json())["captions"]
        people = (watcher, ada)
        assert not breaks([each.captions for each in people], transcript, await disk.stored())
        assert await disk.program.stop() == 0
