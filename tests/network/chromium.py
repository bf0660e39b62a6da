"""Debian's Chromium as a participant, with a recording as its microphone."""

from __future__ import annotations

import asyncio
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from tests.recordings import Recording, normalized

RATE = 48_000
PAUSE_SECONDS = 2
PATIENCE_MS = 60_000

# Media of 127.77.0.1 needs no flag: it is not the loopback device's.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]

# Who said what, by the panel beside the picture.
FINALS = """() => [...document.querySelectorAll("[data-testid=panel] [data-testid=final]")].map(
  (final) => [".speaker", ".text"].map((part) => final.querySelector(part).textContent))"""


@asynccontextmanager
async def chromium(
    folder: Path, says: Recording | None = None, *, trusts: str = ""
) -> AsyncIterator[BrowserContext]:
    """A browser; what it `says` into its microphone, it says again and again.

    It `trusts` the certificate with this public key (SHA-256 in base64) as if of an authority.
    """
    program = shutil.which("chromium")
    assert program, "chromium not found"
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={_wav(folder, says)}"] if says else FLAGS
    if trusts:
        flags = [*flags, f"--ignore-certificate-errors-spki-list={trusts}"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=flags)
        try:
            context = await browser.new_context(permissions=["microphone", "camera"])
            context.set_default_timeout(PATIENCE_MS)
            yield context
        finally:
            await browser.close()


async def join(
    page: Page, url: str, call: str, name: str, *, token: str = "", microphone: bool = False
) -> None:
    """Be in a call by the page."""
    await page.goto(f"{url}/?call={call}" + (f"&token={token}" if token else ""))
    await page.fill("#name", name)
    await page.set_checked("#camera-enabled", False)
    await page.set_checked("#microphone-enabled", microphone)
    if microphone:
        await page.select_option("#language", "en")
    await page.click("#join-button")
    await expect(page.locator("body")).to_have_attribute("data-joined", "true")


def overlap(text: str, heard: str) -> float:
    """How much of the text's words has been heard, in their order; 1 is all."""
    said, got = normalized(text).split(), normalized(heard).split()
    blocks = SequenceMatcher(None, said, got, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(said)


async def shows(page: Page, speaker: str, text: str) -> None:
    """Wait until the page shows a final of `speaker` with four fifths of the text's words."""
    finals: list[tuple[str, str]] = []
    try:
        async with asyncio.timeout(PATIENCE_MS / 1000):
            while not any(who == speaker and overlap(text, said) >= 0.8 for who, said in finals):
                # The first that has not been looked at, as soon as it is there.
                await page.get_by_test_id("final").nth(len(finals)).wait_for(state="attached")
                finals = await page.evaluate(FINALS)
    except TimeoutError:
        raise AssertionError(f"{speaker} said {text!r}; the page shows {finals}") from None


def _wav(folder: Path, recording: Recording) -> Path:
    """The recording, behind and before a pause: Chromium begins anywhere, and repeats it."""
    path = folder / f"{recording.path.stem}.wav"
    pause = np.zeros(PAUSE_SECONDS * RATE // 2, np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate([pause, recording.pcm(RATE), pause]).tobytes())
    return path
