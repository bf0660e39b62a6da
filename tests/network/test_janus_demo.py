"""The VideoRoom demo as Debian's `janus-demos` has it, with the example's one line added."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from playwright.async_api import expect

from tests.network import namespace
from tests.network.chromium import PATIENCE_MS, chromium, overlap
from tests.network.janus import Janus
from tests.recordings import ROOT, our_voices
from tests.server import Server

DEMOS = Path("/usr/share/janus/demos")
EXAMPLE = ROOT / "web" / "examples" / "janus" / "captions.js"
BEFORE = '<script type="text/javascript" src="videoroomtest.js"></script>'
JOE = next(r for r in our_voices() if r.speaker == "Joe")


def lay_out(folder: Path, janus: Janus) -> None:
    """The demos as they are, but for the file that names the server."""
    folder.mkdir()
    for each in DEMOS.iterdir():
        (folder / each.name).symlink_to(each)
    (folder / "settings.js").unlink()
    (folder / "settings.js").write_text(
        f"var server = {json.dumps(janus.url)}, iceServers = null, token, apisecret;"
    )
    (folder / "captions.js").symlink_to(EXAMPLE)


@asynccontextmanager
async def demos(folder: Path, janus: Janus) -> AsyncIterator[str]:
    """The demos on a web server, set to this Janus, out of a folder; their origin."""
    lay_out(folder, janus)
    app = web.Application()
    app.router.add_static("/", folder, follow_symlinks=True)
    runner = web.AppRunner(app)
    await runner.setup()
    port = namespace.free_port()
    try:
        await web.TCPSite(runner, namespace.ADDRESS, port).start()
        yield f"http://{namespace.ADDRESS}:{port}"
    finally:
        await runner.cleanup()


def add_captions(folder: Path, server: str) -> None:
    """What the example's README asks for."""
    page = folder / "videoroomtest.html"
    html = page.read_text()
    assert BEFORE in html
    page.unlink()
    line = f'<script type="module" src="captions.js?server={server}"></script>'
    page.write_text(html.replace(BEFORE, f"{BEFORE}\n{line}"))


async def test_captions_stand_beside_the_stock_videoroom_demo(numeric_janus, tmp_path):
    folder = tmp_path / "demos"
    async with demos(folder, numeric_janus) as origin:
        options = ("--advertise", namespace.ADDRESS, "--origin", origin)
        async with (
            Server(tmp_path / "server", *options) as server,
            aiohttp.ClientSession() as http,
            chromium(tmp_path, says=JOE) as browser,
        ):
            add_captions(folder, server.url)
            room = numeric_janus.room
            source = {"kind": "janus", "url": numeric_janus.url, "room": room}
            call = {"call": f"room-{room}", "language": "en", "source": source}
            async with http.post(f"{server.url}/api/calls", json=call) as answer:
                assert answer.status == 201, await answer.text()

            page = await browser.new_page()
            problems: list[str] = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            await page.goto(f"{origin}/videoroomtest.html?room={room}")
            await page.click("#start")
            await page.fill("#username", "Anna")
            await page.click("#register")
            final = page.locator('surtitle-captions .caption[data-final="true"]').filter(
                has_text="Anna"
            )
            await expect(final.first).to_be_visible(timeout=PATIENCE_MS)
            said = await final.first.locator(".text").inner_text()
            assert overlap(said, f"{JOE.text} {JOE.text}") >= 0.8
            await expect(page.locator("#videolocal video")).to_be_visible()
            assert problems == []
