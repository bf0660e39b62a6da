"""Take the pictures of the page that the READMEs show.

python -m tests.e2e.picture docs
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, expect

from tests.e2e.test_page import browser, join, microphone
from tests.server import Server

PHONE = {"width": 390, "height": 780}


async def take(folder: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix="surtitle-picture-"))
    ada, joe = (microphone(aside, name)[0] for name in ("Ada", "Joe"))
    async with (
        Server(aside) as server,
        browser(f"--use-file-for-fake-audio-capture={ada}") as one,
        browser(f"--use-file-for-fake-audio-capture={joe}") as two,
    ):
        await one.goto(f"{server.url}/?call=standup")
        await one.fill("#name", "Ada")
        await one.screenshot(path=folder / "page-join.png")
        await join(one, server.url, "standup", "Ada")
        await join(two, server.url, "standup", "Joe")
        await finals(one, 6)
        await words_of_two(one)
        await one.screenshot(path=folder / "page.png")
        await one.click("#settings-button")
        await one.select_option("#pref-plate", "yellow")
        await one.select_option("#pref-size", "150")
        await one.screenshot(path=folder / "page-settings.png")
        await one.keyboard.press("Escape")
        await one.fill("#finals-query", "joe")
        await one.screenshot(path=folder / "page-history.png")
        await two.set_viewport_size(PHONE)
        await words_of_two(two)
        await two.screenshot(path=folder / "page-phone.png")
        await one.fill("#finals-query", "")
        await one.click("#settings-button")
        await one.select_option("#pref-plate", "dark")
        await one.select_option("#pref-size", "100")
        await one.select_option("#captions-language", "pt")
        await one.keyboard.press("Escape")
        await finals(one, 4)
        await words_of_two(one)
        await one.screenshot(path=folder / "page-languages.png")
        await one.goto(f"{server.url}/search")
        await one.fill("#query", "captions")
        await one.keyboard.press("Enter")
        await expect(one.get_by_test_id("result").first).to_be_visible()
        await one.screenshot(path=folder / "page-search.png")


async def finals(page: Page, count: int) -> None:
    last = page.get_by_test_id("panel").get_by_test_id("final").nth(count - 1)
    await expect(last).to_be_visible(timeout=90_000)


async def words_of_two(page: Page) -> None:
    """Until two people's unfinished words are on the picture."""
    overlay = page.get_by_test_id("overlay")
    await expect(overlay.locator("[data-final=false]").nth(1)).to_be_visible(timeout=30_000)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
