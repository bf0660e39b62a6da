"""`surtitle doctor`: tries what a server of these settings needs, and says how to mend it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from rich.console import Console
from rich.text import Text

from captions.models import ModelUnavailable, has_cuda
from captions.worker import WorkerFailed
from media.addresses import host_addresses
from signaling.errors import Unreachable
from signaling.redis.link import Link
from surtitle.recognizers import start_recognizers
from surtitle.settings import Settings, UserError
from surtitle.stores import transcript_store
from turn.probe import RelayError, relay

CHECK_SECONDS: Final = 300.0
"""Of one check: a model may have to be fetched."""


class Wrong(Exception):
    """What a check found; the message says how to mend it."""


class NotSet(Exception):
    """There is nothing to check; the message names the option."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one check: `state` is `well`, `wrong` or `not set`."""

    name: str
    state: str
    text: str


Check = Callable[[Settings], Awaitable[str]]
"""What is well, in words; `Wrong`, `NotSet`, or what its parts raise."""


async def examine(settings: Settings) -> None:
    """Print what each check found; `UserError` where something is wrong."""
    console = Console(highlight=False, soft_wrap=True)
    findings = [await _examined(name, check, settings, console) for name, check in CHECKS]
    if wrong := [finding.name for finding in findings if finding.state == "wrong"]:
        raise UserError(f"not well: {', '.join(wrong)}.")


async def check_settings(settings: Settings) -> str:
    """Whether they go together."""
    settings.check()
    open_to_all = "; without --secret or --jwks everybody may do everything"
    return f"go together{open_to_all if settings.is_open else ''}"


async def check_model(settings: Settings) -> str:
    """Fetched where need be, and loaded in a process of its own."""
    _need_a_recognizer()
    begun = time.monotonic()
    async with AsyncExitStack() as stack:
        engine, _ = await start_recognizers(settings, stack)
        device = engine.info.device
    return f"{settings.model} recognizes on {device}, ready after {time.monotonic() - begun:.1f} s"


async def check_devices(settings: Settings) -> str:
    """Whether the asked-for one is there."""
    _need_a_recognizer()
    cuda = await asyncio.to_thread(has_cuda)
    if settings.device == "cuda" and not cuda:
        raise Wrong(
            "no CUDA device is seen: does nvidia-smi show one, and is surtitle[cuda] installed? "
            "In a container it needs the NVIDIA Container Toolkit. Or --device cpu."
        )
    device = "cuda" if cuda and settings.device != "cpu" else "cpu"
    speakers = settings.capacity_on(device)
    return f"{device}, {os.cpu_count() or 1} cores: {speakers} speakers at once"


async def check_redis(settings: Settings) -> str:
    """A PING."""
    if not settings.redis:
        raise NotSet("--redis: needed by a cluster only")
    where = urlsplit(settings.redis).netloc.rpartition("@")[2]
    try:
        async with Link(settings.redis) as link:
            begun = time.monotonic()
            await link.do("PING")
            return f"{where} answers in {1000 * (time.monotonic() - begun):.1f} ms"
    except ValueError as error:
        raise Wrong(f"--redis: {error}.") from None
    except Unreachable:
        raise Wrong(
            f"{where} cannot be reached: does it run, is its port open, and the password right?"
        ) from None


async def check_store(settings: Settings) -> str:
    """MongoDB, or the embedded store where that is not set: opened as a server would, and read."""
    where = "MongoDB" if settings.mongo else f"SQLite in {settings.data}"
    try:
        async with transcript_store(settings.mongo, settings.data) as store:
            begun = time.monotonic()
            await store.calls(1)
            return f"{where} answers in {1000 * (time.monotonic() - begun):.1f} ms"
    except OSError as error:
        hint = "does it run, and may the user write?" if settings.mongo else "--data: a folder"
        raise Wrong(f"{error} ({hint})") from None


async def check_turn(settings: Settings) -> str:
    """A packet through each server and back, by the credential that a client would get."""
    urls = [url for url in settings.turn.all_urls if url.startswith("turn")]
    if not urls:
        raise NotSet("--turn-url: needed by people behind strict firewalls")
    login = settings.turn.credential("doctor")

    async def tried(url: str) -> tuple[bool, str]:
        try:
            took = await relay(url, login["username"], login["credential"])
        except (RelayError, ValueError) as error:
            return False, f"{url}: {error}"
        return True, f"{url} relays in {1000 * took:.1f} ms"

    found = await asyncio.gather(*(tried(url) for url in urls))
    text = "\n".join(each for _, each in found)
    if not all(well for well, _ in found):
        raise Wrong(text)
    return text


async def check_ports(settings: Settings) -> str:
    """The server's, and UDP for media on each address."""
    addresses = [settings.advertise] if settings.advertise else host_addresses()
    for address in addresses:
        _bind_udp(address)
    try:
        server = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, settings.host, settings.port
        )
    except OSError as error:
        if await _surtitle_answers(settings):
            return f"a Surtitle listens on port {settings.port}; media on {', '.join(addresses)}"
        raise Wrong(
            f"cannot listen on {settings.host}, port {settings.port} ({error.strerror}): end what "
            "does, or choose another --port; below 1024 it needs rights."
        ) from None
    server.close()
    await server.wait_closed()
    return f"port {settings.port} is free; media on {', '.join(addresses)}"


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("settings", check_settings),
    ("ports", check_ports),
    ("store", check_store),
    ("Redis", check_redis),
    ("TURN", check_turn),
    ("devices", check_devices),
    ("model", check_model),
)


async def _examined(name: str, check: Check, settings: Settings, console: Console) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            finding = Finding(name, "well", await check(settings))
    except NotSet as error:
        finding = Finding(name, "not set", str(error))
    except TimeoutError:
        finding = Finding(name, "wrong", f"no answer within {CHECK_SECONDS:.0f} s")
    except (Wrong, UserError, ModelUnavailable, WorkerFailed, OSError, ValueError) as error:
        finding = Finding(name, "wrong", str(error))
    style = {"well": "green", "wrong": "bold red", "not set": "dim"}[finding.state]
    first, *more = finding.text.splitlines()
    console.print(Text(f"{finding.state:8} ", style).append(f"{name:9} {first}", ""))
    for line in more:
        console.print(Text(f"{'':19}{line}"))
    return finding


def _need_a_recognizer() -> None:
    if not find_spec("faster_whisper"):
        raise NotSet("a gateway's installation: recognizers are on nodes")


def _bind_udp(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as media:
            media.bind((address, 0))
    except OSError as error:
        raise Wrong(
            f"media cannot use {address} ({error.strerror}): --advertise must be an address of "
            "this machine's own."
        ) from None


async def _surtitle_answers(settings: Settings) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    timeout = aiohttp.ClientTimeout(total=1)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"http://{host}:{settings.port}/health") as answer,
        ):
            return "recognizer" in await answer.json()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False
