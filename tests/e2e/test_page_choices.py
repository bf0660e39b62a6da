"""What viewers choose for themselves, and what the pages are like for those who need them most."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.e2e.test_call import new_call
from tests.e2e.test_client import speak
from tests.e2e.test_page import browser, join, microphone
from tests.peer import Peer
from tests.recordings import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "tests" / "e2e" / "out"
PHONE, DESKTOP = {"width": 390, "height": 780}, {"width": 1280, "height": 800}


async def say(url: str, call: str, *speakers: str) -> None:
    """Each in turn says a sentence to its end."""
    for name in speakers:
        async with Peer(url) as peer:
            await speak(peer, call, name)
            await peer.until(lambda p: p.finals(p.id))


async def violations(page: Page, screen: str) -> list[str]:
    """What axe-core finds, by rule and element. A picture of the screen is kept."""
    size = "phone" if page.viewport_size == PHONE else "desktop"
    await page.screenshot(path=PICTURES / f"{screen}-{size}.png")
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


async def test_choices_about_captions_are_kept_over_a_reload(server):
    call = new_call()
    chosen = {"size": "200", "lines": "3", "font": "serif", "plate": "yellow", "opacity": "50"}
    async with browser() as page:
        await join(page, server.url, call, "Anna", microphone=False)
        overlay = page.get_by_test_id("overlay")
        size = "parseFloat(getComputedStyle(document.getElementById('overlay')).fontSize)"
        before = await page.evaluate(size)
        await page.click("#settings-button")
        for name, value in chosen.items():
            await page.select_option(f"#pref-{name}", value)
        await page.set_checked("#pref-partials", False)
        await join(page, server.url, call, "Anna", microphone=False)
        assert await page.evaluate(size) == pytest.approx(2 * before)
        await page.click("#settings-button")
        for name, value in chosen.items():
            await expect(page.locator(f"#pref-{name}")).to_have_value(value)
        await expect(page.locator("#pref-partials")).not_to_be_checked()
        family = await overlay.evaluate("element => getComputedStyle(element).fontFamily")
        assert "serif" in family


async def test_a_viewer_reads_in_another_language_beside_the_original_and_keeps_it(server):
    call = new_call()
    async with browser() as page:
        await join(page, server.url, call, "Rita", microphone=False)
        await page.click("#settings-button")
        await page.select_option("#captions-language", "pt")
        await page.keyboard.press("Escape")
        await say(server.url, call, "Ada")
        final = page.get_by_test_id("panel").get_by_test_id("final").first
        await expect(final.locator(".text")).to_have_attribute("lang", "pt", timeout=30_000)
        original = final.locator(".original")
        await expect(original).to_have_attribute("lang", "en")
        said = await original.inner_text()
        assert said
        assert await final.locator(".text").inner_text() != said
        transcript = page.locator("#transcript a").first
        await expect(transcript).to_have_attribute("href", re.compile("language=pt"))
        await join(page, server.url, call, "Rita", microphone=False)
        await expect(final.locator(".text")).to_have_attribute("lang", "pt")
        await page.click("#settings-button")
        await expect(page.locator("#captions-language")).to_have_value("pt")
        await page.select_option("#captions-language", "spoken")
        await expect(final.locator(".text")).to_have_attribute("lang", "en")
        await expect(final.locator(".original")).to_have_count(0)


async def test_who_joins_a_server_that_knows_english_only_is_told_before(server):
    async with browser() as page:
        await page.goto(server.url)
        await expect(page.locator("#language-note")).to_be_visible()


async def test_captions_are_moved_by_keys_and_by_hand_and_stay_there(server):
    call = new_call()
    async with browser() as page:
        await join(page, server.url, call, "Anna", microphone=False)
        place, grip = page.locator("#captions-place"), page.locator("#move-captions")
        start = await place.bounding_box()
        assert start
        await grip.focus()
        for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowLeft"):
            await page.keyboard.press(key)
        moved = await place.bounding_box()
        assert moved
        bottom = moved["y"] + moved["height"]
        assert bottom < start["y"] + start["height"] - 20
        assert moved["x"] < start["x"] - 2
        await join(page, server.url, call, "Anna", microphone=False)
        again = await place.bounding_box()
        assert again
        assert again["x"] == pytest.approx(moved["x"], abs=1)
        await page.locator("#stage").hover()
        handle = await grip.bounding_box()
        assert handle
        x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.mouse.move(x + 40, y - 60, steps=4)
        await page.mouse.up()
        dragged = await place.bounding_box()
        assert dragged
        assert dragged["x"] == pytest.approx(again["x"] + 40, abs=3)
        assert dragged["y"] + dragged["height"] == pytest.approx(bottom - 60, abs=3)
        await grip.focus()
        await page.keyboard.press("Home")
        home = await place.bounding_box()
        assert home
        assert home["x"] == pytest.approx(start["x"], abs=1)


async def test_a_link_to_read_along_shows_captions_to_somebody_who_is_not_in_the_call(server):
    call = new_call()
    async with browser() as page, Peer(server.url) as peer:
        await peer.join(call, "Listener")
        await page.goto(f"{server.url}/?call={call}&watch")
        await expect(page.locator("body")).to_have_attribute("data-watching", "true")
        await expect(page.locator("#mute")).to_be_hidden()
        await say(server.url, call, "Ada")
        finals = page.get_by_test_id("panel").get_by_test_id("final")
        await expect(finals.first.locator(".speaker")).to_have_text("Ada", timeout=30_000)
        joined = [
            p["participant"]["name"] for event, p in peer.heard if event == "call:participant"
        ]
        assert set(joined) == {"Ada"}
        await page.click("#leave")
        await expect(page.locator("#join-screen")).to_be_visible()


async def test_what_was_said_can_be_searched_beside_the_picture(server):
    call = new_call()
    async with browser() as page:
        await say(server.url, call, "Ada", "Joe")
        await page.goto(f"{server.url}/?call={call}&watch")
        finals = page.get_by_test_id("panel").get_by_test_id("final")
        await expect(finals.first).to_be_visible(timeout=30_000)
        count = await finals.count()
        assert count >= 2
        await page.fill("#finals-query", "JOE")
        await expect(page.locator("#finals-found")).to_have_text(re.compile(r"^\d+ found$"))
        visible = finals.filter(visible=True)
        assert 0 < await visible.count() < count
        await expect(visible.first.locator(".speaker")).to_have_text("Joe")
        await page.fill("#finals-query", "")
        await expect(visible).to_have_count(count)


async def test_who_hides_their_name_on_joining_is_nameless_from_the_first_word(
    server, tmp_path: Path
):
    path, _ = microphone(tmp_path, "Sam")
    call = new_call()
    async with (
        Peer(server.url) as peer,
        browser(f"--use-file-for-fake-audio-capture={path}") as page,
    ):
        await peer.join(call, "Listener")
        await join(page, server.url, call, "Sam", anonymous=True)
        await peer.until(lambda p: any(caption["final"] for caption in p.captions))
        assert {caption["speaker"] for caption in peer.captions} == {"Anonymous"}
        await expect(page.locator("#anonymous")).to_be_checked()


async def test_who_wants_no_captions_on_joining_sends_no_speech(server, tmp_path: Path):
    path, _ = microphone(tmp_path, "Sam")
    call = new_call()
    async with (
        Peer(server.url) as peer,
        browser(f"--use-file-for-fake-audio-capture={path}") as page,
    ):
        await peer.join(call, "Listener")
        await join(page, server.url, call, "Sam", captioned=False)
        await expect(page.locator("#captioned")).to_have_attribute("aria-checked", "false")
        await expect(page.locator("#captioner-status")).to_have_text("off")
        await say(server.url, call, "Ada")
        people = [p["participant"] for event, p in peer.heard if event == "call:participant"]
        assert not any(who["publishing"] for who in people if who["name"] == "Sam")
        await page.click("#captioned")
        await peer.until(lambda p: any(c["speaker"] == "Sam" for c in p.captions))


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_past_calls_are_searched_read_and_erased(server, size):
    call = new_call()
    await say(server.url, call, "Ada", "Joe")
    async with browser() as page:
        await page.set_viewport_size(size)
        await page.goto(f"{server.url}/search")
        await page.select_option("#call", call)
        results = page.get_by_test_id("result")
        await expect(results.filter(has_text="Ada").first).to_be_visible()
        await page.select_option("#speaker", label="Ada")
        await expect(results.filter(has_text="Joe")).to_have_count(0)
        await page.fill("#query", "words")
        await page.keyboard.press("Enter")
        await expect(results.locator("mark").first).to_have_text("words")
        assert await violations(page, "search") == []
        await results.first.locator("button").click()
        await expect(page.locator("#transcript-title")).to_have_text(call)
        await expect(page.locator("#finals .wanted .text")).to_contain_text("words")
        assert await violations(page, "transcript") == []
        await page.click("#erase")
        assert await violations(page, "erase") == []
        await page.click("text=Keep it")
        await expect(page.locator("#finals .final").first).to_be_visible()
        await page.click("#erase")
        await page.click("text=Erase for good")
        await expect(page.locator("#message")).to_contain_text("is erased")
        await page.select_option("#speaker", "")
        await page.fill("#query", "")
        await page.keyboard.press("Enter")
        await expect(page.locator("#message")).to_have_text("Nothing was found.")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_every_screen_of_a_call_is_accessible(server, size):
    call = new_call()
    await say(server.url, call, "Ada")
    async with browser() as page:
        await page.set_viewport_size(size)
        await page.goto(f"{server.url}/?call={call}")
        assert await violations(page, "join") == []
        await join(page, server.url, call, "Anna", microphone=False)
        await expect(page.get_by_test_id("final").first).to_be_visible(timeout=30_000)
        await say(server.url, call, "Joe")
        await expect(page.get_by_test_id("overlay").locator(".caption").first).to_be_visible()
        assert await violations(page, "call") == []
        await page.click("#settings-button")
        assert await violations(page, "settings") == []
        await page.goto(f"{server.url}/docs")
        await expect(page.get_by_text("call:watch").first).to_be_visible()
        assert await violations(page, "docs") == []


async def test_a_call_is_joined_read_and_left_by_keyboard_alone(server):
    call = new_call()
    async with browser() as page:
        await page.goto(f"{server.url}/?call={call}")
        await expect(page.locator("#name")).to_be_focused()
        await page.keyboard.type("Anna")
        await page.keyboard.press("Enter")
        await expect(page.locator("body")).to_have_attribute("data-joined", "true")
        await expect(page.locator("#mute")).to_be_focused()
        reached = set()
        for _ in range(40):
            await page.keyboard.press("Tab")
            reached.add(await page.evaluate("document.activeElement.id || ''"))
        wanted = {"invite", "invite-watch", "settings-button", "move-captions", "finals-query"}
        wanted |= {"panel-scroll", "mute", "camera-button", "captioned", "leave"}
        assert wanted <= reached
        await page.locator("#settings-button").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#settings")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#settings")).to_be_hidden()
        await page.locator("#leave").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#join-screen")).to_be_visible()
