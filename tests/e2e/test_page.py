"""The page in Debian's Chromium, with a recording as its microphone."""

from __future__ import annotations

import re
import secrets
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jiwer
import numpy as np
import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.network.chromium import FLAGS
from tests.recordings import normalized, our_voices

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Media of tests stays on 127.0.0.1, which Chromium leaves out unless told otherwise.
LOOPBACK_FLAGS = [*FLAGS, "--allow-loopback-in-peer-connection"]


def microphone(folder: Path, speaker: str) -> tuple[Path, str]:
    """A WAV file of everything a speaker says, and the text of it."""
    clips = [r for r in our_voices() if r.speaker == speaker]
    silence = np.zeros(48_000, np.int16)
    pcm = np.concatenate([part for clip in clips for part in (silence, clip.pcm())])
    path = folder / f"{speaker}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(np.concatenate([pcm, silence, silence, silence]).tobytes())
    return path, " ".join(clip.text for clip in clips)


@asynccontextmanager
async def browser(*flags: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=[*LOOPBACK_FLAGS, *flags]
        )
        try:
            context = await chromium.new_context(
                viewport={"width": 1280, "height": 800}, permissions=["microphone", "camera"]
            )
            yield await context.new_page()
        finally:
            await chromium.close()


async def join(
    page: Page, url: str, call: str, name: str, *, microphone: bool = True, **wishes: bool
) -> None:
    """`wishes` are `captioned` and `anonymous`, as they are by themselves where not named."""
    await page.goto(f"{url}/?call={call}")
    for wish, wanted in wishes.items():
        await page.set_checked(f"#join-{wish}", wanted)
    await page.fill("#name", name)
    await page.set_checked("#camera-enabled", False)
    await page.set_checked("#microphone-enabled", microphone)
    await page.click("#join-button")
    await expect(page.locator("body")).to_have_attribute("data-joined", "true")


async def test_words_spoken_into_a_microphone_are_read_over_the_picture_and_beside(
    server, tmp_path
):
    path, text = microphone(tmp_path, "Sam")
    call = f"test-{secrets.token_hex(4)}"
    async with browser(f"--use-file-for-fake-audio-capture={path}") as page:
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await join(page, server.url, call, "Sam")
        overlay = page.get_by_test_id("overlay").get_by_test_id("caption")
        await expect(overlay.first).to_be_visible(timeout=30_000)
        await expect(overlay.first.locator(".speaker")).to_have_text(re.compile("Sam"))
        finals = page.get_by_test_id("panel").get_by_test_id("final")
        await expect(finals.nth(1)).to_be_visible(timeout=60_000)
        heard = normalized(" ".join(await finals.locator(".text").all_inner_texts()))
        words = heard.split()
        # The fake microphone begins anywhere and loops: judge the words by the whole text.
        spoken = normalized(f"{text} {text}")
        best = min(
            jiwer.wer(" ".join(words), " ".join(spoken.split()[n : n + len(words)]))
            for n in range(len(spoken.split()) // 2 + 1)
        )
        assert best <= 0.25, heard
        assert problems == []


async def test_a_recorded_speaker_shows_captions_to_who_has_no_microphone(server):
    call = f"test-{secrets.token_hex(4)}"
    async with browser() as page:
        await join(page, server.url, call, "Listener", microphone=False)
        await page.click("#recorded-speaker")
        finals = page.get_by_test_id("panel").get_by_test_id("final")
        await expect(finals.first).to_be_visible(timeout=60_000)
        speaker = (await finals.first.locator(".speaker").inner_text()).strip()
        mine = normalized(" ".join(r.text for r in our_voices() if r.speaker == speaker))
        said = normalized(await finals.first.locator(".text").inner_text())
        assert said
        assert said in mine or jiwer.wer(mine[: len(said)], said) <= 0.25


async def test_two_people_see_each_other_and_one_goes(server):
    call = f"test-{secrets.token_hex(4)}"
    async with browser() as one, browser() as two:
        await join(one, server.url, call, "Anna", microphone=False)
        await join(two, server.url, call, "Ben", microphone=False)
        await expect(one.get_by_test_id("tile")).to_have_count(2)
        await expect(two.get_by_test_id("tile")).to_have_count(2)
        await two.close()
        await expect(one.get_by_test_id("tile")).to_have_count(1, timeout=40_000)
