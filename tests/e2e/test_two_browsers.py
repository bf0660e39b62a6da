"""Two people in browsers, one with a bad connection: each reads the other, and all of it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Self

import aiohttp
import pytest
from playwright.async_api import Page, expect

from tests.e2e.test_call import new_call
from tests.e2e.test_page import browser, join, microphone

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Line:
    """The way to a server, which can be cut. Media goes another."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rsplit(":", 1)[1])
        self._connections: set[asyncio.StreamWriter] = set()
        self._cut = False
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()

    def cut(self) -> None:
        self._cut = True
        for writer in self._connections:
            writer.close()

    def mend(self) -> None:
        self._cut = False

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._connections |= {writer, back}
        await asyncio.gather(_carry(reader, back), _carry(there, writer))
        self._connections -= {writer, back}


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def half_said(page: Page) -> None:
    """Until words are on the picture that are not finished."""
    unfinished = page.get_by_test_id("overlay").locator('.caption[data-final="false"]')
    await expect(unfinished.first).to_be_visible(timeout=30_000)


async def seqs(page: Page) -> list[int]:
    return await page.get_by_test_id("final").evaluate_all(
        "entries => entries.map(entry => Number(entry.dataset.seq))"
    )


async def test_each_reads_the_other_and_a_cut_and_a_reload_lose_and_double_nothing(
    server, tmp_path: Path
):
    call = new_call()
    ada, joe = (microphone(tmp_path, name)[0] for name in ("Ada", "Joe"))
    async with (
        Line(server.url) as line,
        browser(f"--use-file-for-fake-audio-capture={ada}") as one,
        browser(f"--use-file-for-fake-audio-capture={joe}") as two,
    ):
        await join(one, server.url, call, "Ada")
        await join(two, line.url, call, "Joe")
        for page, other in ((one, "Joe"), (two, "Ada")):
            final = page.get_by_test_id("final").filter(has_text=other)
            await expect(final.first.locator(".speaker")).to_have_text(other, timeout=60_000)
        await half_said(two)
        line.cut()
        await expect(two.locator("#banner")).to_have_text("Connection lost. Reconnecting…")
        seen = len(await seqs(one))
        await expect(one.get_by_test_id("final").nth(seen)).to_be_attached(timeout=30_000)
        line.mend()
        await expect(two.locator("#state-name")).to_have_text("Live", timeout=30_000)
        await half_said(two)
        await join(two, line.url, call, "Joe")  # a reload
        await half_said(two)
        for page in (one, two):
            await page.click("#captioned")  # nothing more is said
        async with aiohttp.ClientSession() as http:
            before = -1
            while len(said := await seqs(one)) != before:  # until the last words are final
                before = len(said)
                await asyncio.sleep(2)
            async with http.get(f"{server.url}/api/calls/{call}/transcript") as response:
                transcript = (await response.json())["captions"]
        everything = list(range(1, len(transcript) + 1))
        assert sorted(caption["seq"] for caption in transcript) == everything
        await expect(two.get_by_test_id("final")).to_have_count(len(transcript))
        assert await seqs(one) == await seqs(two) == everything
        assert {caption["speaker"] for caption in transcript} == {"Ada", "Joe"}
