"""Take the picture of the page that the README shows: two people in a call, captioned.

python -m tests.e2e.picture docs/page.png
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import expect

from tests.e2e.test_page import browser, join, microphone
from tests.server import Server


async def take(target: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="surtitle-picture-"))
    ada, joe = (microphone(folder, name)[0] for name in ("Ada", "Joe"))
    async with (
        Server(folder) as server,
        browser(f"--use-file-for-fake-audio-capture={ada}") as one,
        browser(f"--use-file-for-fake-audio-capture={joe}") as two,
    ):
        await join(one, server.url, "standup", "Ada")
        await join(two, server.url, "standup", "Joe")
        finals = one.get_by_test_id("panel").get_by_test_id("final")
        await expect(finals.nth(5)).to_be_visible(timeout=90_000)
        overlay = one.get_by_test_id("overlay")
        await expect(overlay.locator("[data-final=false]").nth(1)).to_be_visible(timeout=30_000)
        await one.screenshot(path=target)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
