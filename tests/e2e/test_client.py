"""Captions in other people's pages, of another origin than the server's."""

from __future__ import annotations

import asyncio
import io
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import av
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import expect

from tests.e2e.test_call import new_call
from tests.e2e.test_page import browser, join
from tests.peer import Microphone, Peer
from tests.recordings import ROOT, normalized, our_voices
from tests.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = ROOT / "web" / "examples"


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[str]:
    """A web server of somebody else, on another port; its origin."""
    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pages(tmp_path_factory) -> AsyncIterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("pages")
    async with site(folder) as origin:
        yield folder, origin


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory, pages) -> AsyncIterator[Server]:
    _, origin = pages
    async with Server(tmp_path_factory.mktemp("server"), "--origin", origin) as running:
        yield running


async def speak(peer: Peer, call: str, name: str) -> str:
    """Say one sentence to its end; what it is."""
    clip = next(r for r in our_voices() if r.speaker == name)
    await peer.join(call, name)
    microphone = Microphone(clip.pcm())
    await peer.send(microphone)
    await microphone.ended.wait()
    await peer.ask("media:close")
    return normalized(clip.text)


async def test_the_element_shows_captions_in_a_page_of_few_lines(server, pages):
    folder, origin = pages
    call = new_call()
    example = (EXAMPLES / "plain.html").read_text()
    assert len(example.strip().splitlines()) < 10
    ours = example.replace("http://127.0.0.1:8080", server.url).replace('"lobby"', f'"{call}"')
    (folder / "plain.html").write_text(ours)
    async with browser() as page, Peer(server.url) as peer:
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(f"{origin}/plain.html")
        note = page.locator("surtitle-captions .note")
        speaking = asyncio.create_task(speak(peer, call, "Ada"))
        caption = page.locator("surtitle-captions .caption").first
        await expect(caption.locator(".speaker")).to_have_text("Ada", timeout=30_000)
        await expect(caption).to_have_attribute("data-final", "false")
        await expect(note).to_be_hidden()
        said = await speaking
        await expect(caption).to_have_attribute("data-final", "true", timeout=30_000)
        shown = normalized(await caption.locator(".text").inner_text())
        assert shown in said
        await expect(note).to_have_text("Nobody is captioned just now.")
        assert problems == []


async def test_a_server_that_lets_other_pages_in_still_lets_in_its_own(server):
    async with browser() as page:
        await join(page, server.url, new_call(), "Anna", microphone=False)


async def test_pages_of_no_other_origin_are_let_in(server, pages):
    handshake = f"{server.url}/socket.io/?EIO=4&transport=polling"
    expected = {pages[1]: 200, server.url: 200, "https://evil.example": 400}
    async with aiohttp.ClientSession() as http:
        for origin, status in expected.items():
            async with http.get(handshake, headers={"Origin": origin}) as answer:
                assert answer.status == status, origin


async def test_the_element_says_that_its_connection_is_lost_and_goes_on_when_it_is_back(
    tmp_path, pages
):
    folder, origin = pages
    call = new_call()
    async with Server(tmp_path, "--origin", origin) as server, browser() as page:
        element = f'<surtitle-captions call="{call}"></surtitle-captions>'
        script = f'<script type="module" src="{server.url}/client/surtitle-captions.js"></script>'
        (folder / "lost.html").write_text(f"<!doctype html>{script}{element}")
        await page.goto(f"{origin}/lost.html")
        note = page.locator("surtitle-captions .note")
        await expect(note).to_have_text("Nobody is captioned just now.")
        await server.stop()
        await expect(note).to_have_text(re.compile("Reconnecting|Trying again"))
        again = Server(tmp_path, "--origin", origin, "--port", server.url.rsplit(":", 1)[1])
        async with again, Peer(again.url) as peer:
            await expect(note).to_have_text("Nobody is captioned just now.", timeout=30_000)
            await speak(peer, call, "Joe")
            speaker = page.locator("surtitle-captions .speaker").first
            await expect(speaker).to_have_text("Joe", timeout=30_000)


async def test_a_server_that_wants_a_token_is_explained_by_the_element(tmp_path, pages):
    folder, origin = pages
    secret = "a secret of thirty-two characters and more"
    async with Server(tmp_path, "--origin", origin, "--secret", secret) as server:
        element = '<surtitle-captions call="c" token="nonsense"></surtitle-captions>'
        script = f'<script type="module" src="{server.url}/client/surtitle-captions.js"></script>'
        (folder / "refused.html").write_text(f"<!doctype html>{script}{element}")
        async with browser() as page:
            await page.goto(f"{origin}/refused.html")
            note = page.locator("surtitle-captions .note")
            await expect(note).to_have_text(re.compile("token for these captions"))


async def test_the_overlay_for_obs_is_clear_but_for_its_captions(server, pages):
    folder, origin = pages
    call = new_call()
    example = (EXAMPLES / "obs.html").read_text()
    (folder / "obs.html").write_text(example.replace("http://127.0.0.1:8080", server.url))
    async with browser() as page, Peer(server.url) as peer:
        await page.goto(f"{origin}/obs.html?call={call}&plate=yellow&opacity=0.5")
        await expect(page.locator("surtitle-captions")).to_have_attribute("call", call)
        clear = await page.screenshot(omit_background=True)
        assert _alpha(clear) == {0}
        await speak(peer, call, "Ada")
        caption = page.locator("surtitle-captions .caption").first
        await expect(caption).to_have_attribute("data-final", "true", timeout=30_000)
        shown = _alpha(await page.screenshot(omit_background=True))
        assert {0, 255} <= shown
        assert any(abs(alpha - 127) <= 2 for alpha in shown)


def _alpha(png: bytes) -> set[int]:
    """How much the picture's points cover of what is behind them: 0 nothing, 255 all."""
    with av.open(io.BytesIO(png)) as image:
        frame = next(image.decode(video=0))
    return set(frame.to_ndarray(format="rgba")[..., 3].ravel().tolist())


async def test_the_react_example_shows_captions_also_where_effects_run_twice(server, pages):
    folder, origin = pages
    call = new_call()
    building = await asyncio.create_subprocess_exec(
        *("npx", "vite", "build", "--config", "examples/react/vite.config.ts"),
        *("--base", "./", "--outDir", str(folder / "react"), "--logLevel", "error"),
        cwd=ROOT / "web",
        # React's StrictMode does what it does in development only.
        env=os.environ | {"NODE_ENV": "development"},
    )
    assert await building.wait() == 0
    async with browser() as page, Peer(server.url) as peer:
        await page.goto(f"{origin}/react/index.html?server={server.url}&call={call}")
        await expect(page.get_by_text("Nobody has spoken yet.")).to_be_visible()
        said = await speak(peer, call, "Joe")
        final = page.locator('li[data-final="true"]').first
        await expect(final).to_be_visible(timeout=30_000)
        assert normalized(await final.inner_text()).removeprefix("joe ") in said
