"""What a server costs and says of itself while it runs: its processes and its /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families

SAMPLE_SECONDS = 1.0


def reading(metrics: str, name: str, default: float = 0.0) -> float:
    """The sum of a metric's samples; `default` where the server does not have it."""
    found = [
        sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == name
    ]
    return sum(found) if found else default


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def most_resident(process: psutil.Process) -> int:
    """Bytes; since the process began where the system keeps that, else now."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return process.memory_info().rss


def gpu_now() -> tuple[float, int] | None:
    """Share of the time busy and MiB used, of the first GPU."""
    asked = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used"]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        answer = subprocess.run(
            [*asked, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.splitlines()[0]
        busy, used = answer.split(",")
        return float(busy) / 100, int(used)
    return None


class ServerEnded(Exception):
    """The server is gone in the middle of a run."""


class Watch:
    """`async with` samples until it ends; CPU counts from then on, memory from the start."""

    def __init__(self, pid: int, url: str, *, gpu: bool) -> None:
        self._server = psutil.Process(pid)
        self._url = url
        self._gpu = gpu
        self._cpu: dict[int, float] = {}  # newest, by process: one that died is not forgotten
        self._before: dict[int, float] = {}
        self._memory: dict[int, int] = {}
        self._gpu_seen: list[tuple[float, int]] = []
        self.metrics = ""
        self.load_level = 0
        self.elsewhere_cores = 0.0

    async def __aenter__(self) -> Self:
        self._http = await aiohttp.ClientSession(self._url).__aenter__()
        self._begun, self._own_before = time.monotonic(), time.process_time()
        self._busy_before = busy_seconds()
        await self.sample()
        self._before = dict(self._cpu)
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        # An error of its own was raised where somebody waited for the run.
        await asyncio.gather(self.task, return_exceptions=True)
        await self._http.close()

    @property
    def server_cpu_seconds(self) -> float:
        return self._used(self._server.pid)

    @property
    def recognizer_cpu_seconds(self) -> float:
        """Of every process that the server started: one a model."""
        return sum(self._used(pid) for pid in self._cpu if pid != self._server.pid)

    @property
    def server_memory_mib(self) -> int:
        return round(self._memory[self._server.pid] / 2**20)

    @property
    def recognizer_memory_mib(self) -> int:
        found = [size for pid, size in self._memory.items() if pid != self._server.pid]
        return round(sum(found) / 2**20)

    @property
    def participants_cpu_seconds(self) -> float:
        """Of this process: participants encode and encrypt, and read captions."""
        return time.process_time() - self._own_before

    @property
    def gpu_busy(self) -> float | None:
        seen = [busy for busy, _ in self._gpu_seen]
        return sum(seen) / len(seen) if seen else None

    @property
    def gpu_memory_mib(self) -> int | None:
        return max((used for _, used in self._gpu_seen), default=None)

    def _used(self, pid: int) -> float:
        return self._cpu[pid] - self._before.get(pid, 0.0)

    async def sample(self) -> None:
        """Look once, now. `ServerEnded` where there is nothing to look at."""
        try:
            await self._look()
        except (psutil.NoSuchProcess, aiohttp.ClientError) as error:
            raise ServerEnded(str(error)) from error

    async def _look(self) -> None:
        for process in (self._server, *self._server.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # replaced at this moment
                self._cpu[process.pid] = cpu_seconds(process)
                most = max(self._memory.get(process.pid, 0), most_resident(process))
                self._memory[process.pid] = most
        async with self._http.get("/metrics") as reply:
            self.metrics = await reply.text()
        self.load_level = max(self.load_level, int(reading(self.metrics, "surtitle_load_level")))
        if self._gpu and (seen := await asyncio.to_thread(gpu_now)):
            self._gpu_seen.append(seen)
        ours = self.server_cpu_seconds + self.recognizer_cpu_seconds + self.participants_cpu_seconds
        passed = max(0.1, time.monotonic() - self._begun)
        elsewhere = busy_seconds() - self._busy_before - ours
        self.elsewhere_cores = max(0.0, elsewhere / passed)

    async def until(self, wanted: Callable[[], bool], seconds: float) -> None:
        """Wait for it, but not for ever: then things are measured as they are."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not wanted():
                    await asyncio.sleep(SAMPLE_SECONDS / 4)
                    await self.sample()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            await self.sample()


def busy_seconds() -> float:
    """Of all cores, by everybody, since the machine began."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
