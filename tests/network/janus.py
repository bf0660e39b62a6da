"""Debian's Janus as an operator starts one, on a configuration of its own."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Self

from tests.network import namespace

SYSTEM = Path("/etc/janus/janus.jcfg")
PATIENCE_SECONDS = 20

GENERAL = """
general: {{
    configs_folder = "{folder}"
    plugins_folder = "{folder}/plugins"
    transports_folder = "{folder}/transports"
    events_folder = "{folder}/none"
    loggers_folder = "{folder}/none"
    debug_level = 4
    debug_colors = false
    admin_secret = "unused"
    protected_folders = []
    session_timeout = {session_timeout}
    {secrets}
}}
certificates: {{
    cert_pem = "{folder}/certificate.pem"
    cert_key = "{folder}/key.pem"
}}
media: {{ ipv6 = false }}
nat: {{
    ice_enforce_list = "{address}"
    full_trickle = {full_trickle}
    ignore_mdns = true
}}
"""

WEBSOCKETS = """
general: {{
    json = "compact"
    ws = true
    ws_ip = "{address}"
    ws_port = {port}
    wss = false
}}
admin: {{ admin_ws = false }}
"""

VIDEOROOM = """
general: {{ string_ids = {string_ids} }}
room-{room}: {{ description = "open", publishers = 100, {more} }}
room-{pin_room}: {{ description = "with a PIN", publishers = 100, pin = "{pin}" }}
room-{announcing_room}: {{ description = "listeners too", publishers = 100, notify_joining = true }}
"""


class Janus:
    """`async with` starts it and waits until it listens."""

    pin = "4711"

    def __init__(
        self,
        folder: Path,
        *,
        string_ids: bool = True,
        session_timeout: int = 60,
        api_secret: str | None = None,
        room_settings: str = "",
        full_trickle: bool = False,
    ) -> None:
        """`room_settings` are further settings of `room`, as in Janus's configuration."""
        self._folder = folder
        self.port = namespace.free_port()
        self.url = f"ws://{namespace.ADDRESS}:{self.port}"
        self.log = folder / "janus.log"
        self.room: str | int = "call-1" if string_ids else 1001
        self.pin_room: str | int = "call-with-pin" if string_ids else 1002
        self.announcing_room: str | int = "call-announced" if string_ids else 1003
        self._news = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._draining: asyncio.Task[None] | None = None
        self._folder.mkdir(parents=True)
        self._configure(
            string_ids=str(string_ids).lower(),
            session_timeout=session_timeout,
            secrets=f'api_secret = "{api_secret}"' if api_secret else "",
            more=room_settings,
            full_trickle=str(full_trickle).lower(),
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Returns when it accepts connections; rooms are as at first, and empty."""
        assert self._process is None, "it runs"
        command = f"janus -F {self._folder} -C {self._folder}/janus.jcfg"
        self._process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL"),  # it shall not outlive the tests
            *command.split(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        listening = asyncio.Event()
        self._draining = asyncio.create_task(self._drain(self._process, listening))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await listening.wait()
        except BaseException:
            await self.kill()
            raise
        assert self._process.returncode is None, self.log.read_text()

    async def kill(self) -> None:
        """As a crash: nobody gets a word of farewell."""
        if self._process and self._draining:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            await self._draining
        self._process = None

    async def logged(self, words: str, times: int = 1) -> None:
        """Wait until it has written this so many times, since it was first started."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            while self.log.read_text().count(words) < times:
                await self._news.wait()

    async def freed(self, handle: int, times: int) -> None:
        """Wait until it has done away with so many connections of a handle."""
        await self.logged(f"[{handle}] WebRTC resources freed", times)

    async def _drain(self, process: asyncio.subprocess.Process, listening: asyncio.Event) -> None:
        assert process.stdout
        with self.log.open("ab") as log:
            async for line in process.stdout:
                log.write(line)
                log.flush()
                async with self._news:
                    self._news.notify_all()
                if b"WebSockets thread started" in line:
                    listening.set()
        listening.set()

    def _configure(self, **settings: str | int) -> None:
        (self._folder / "none").mkdir()
        self._link("plugins", "libjanus_videoroom.so")
        self._link("transports", "libjanus_websockets.so")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:P-256", "-nodes", "-days", "7", "-subj", "/CN=janus"),
                *("-keyout", self._folder / "key.pem", "-out", self._folder / "certificate.pem"),
            ],
            check=True,
            capture_output=True,
        )
        settings |= {"folder": str(self._folder), "address": namespace.ADDRESS, "port": self.port}
        settings |= {"room": self.room, "pin_room": self.pin_room, "pin": self.pin}
        settings |= {"announcing_room": self.announcing_room}
        for name, text in (
            ("janus.jcfg", GENERAL),
            ("janus.transport.websockets.jcfg", WEBSOCKETS),
            ("janus.plugin.videoroom.jcfg", VIDEOROOM),
        ):
            (self._folder / name).write_text(text.format_map(settings))

    def _link(self, kind: str, library: str) -> None:
        """Let Janus load this library of the system's and no other."""
        found = re.search(rf'^\s*{kind}_folder\s*=\s*"([^"]+)"', SYSTEM.read_text(), re.MULTILINE)
        assert found, f"{SYSTEM} names no {kind}_folder"
        (self._folder / kind).mkdir()
        (self._folder / kind / library).symlink_to(Path(found[1]) / library)
