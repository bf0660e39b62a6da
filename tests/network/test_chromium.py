"""The whole way: somebody in Chromium, Janus, a media node, and the page of whoever reads."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jiwer
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Page, expect

from signaling.tokens import SharedSecret
from tests.network import namespace
from tests.network.chromium import PATIENCE_MS, chromium, join, overlap, shows
from tests.network.janus import Janus
from tests.network.publisher import Publisher
from tests.peer import Microphone, Peer
from tests.recordings import normalized, our_voices
from tests.server import Server

SECRET = "of-all-tokens-of-this-call-and-no-other"
JOE, ADA = (next(r for r in our_voices() if r.speaker == name) for name in ("Joe", "Ada"))
PACKETS_TO_ONE_LOST = 20


@dataclass(frozen=True)
class Call:
    """A call at Janus, on a server with a secret that may reach this Janus alone."""

    id: str
    url: str
    janus: Janus

    def token(self, who: str, *grants: str) -> str:
        return SharedSecret(SECRET).issue(who, self.id, grants, None, 3600)

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON of an answer to the operator."""
        operator = {"Authorization": f"Bearer {self.token('p-operator', 'manage', 'read')}"}
        async with (
            aiohttp.ClientSession(self.url, headers=operator) as http,
            http.request(method, path, **more) as answer,
        ):
            return answer.status, (await answer.json() if answer.content_length else None)

    async def transcript(self) -> dict[str, str]:
        """What each speaker has said in the whole call, which ends by this."""
        status, _ = await self.ask("DELETE", f"/api/calls/{self.id}")
        assert status == 204
        status, transcript = await self.ask("GET", f"/api/calls/{self.id}/transcript")
        assert status == 200
        said: dict[str, str] = {}
        for caption in transcript["captions"]:
            name = caption["speaker"]
            said[name] = f"{said.get(name, '')} {caption['text']}"
        return said

    async def metric(self, name: str) -> float:
        async with aiohttp.ClientSession(self.url) as http, http.get("/metrics") as answer:
            lines = dict(line.split(" ", 1) for line in (await answer.text()).splitlines())
        return float(lines[name])

    def watcher(self) -> Peer:
        return Peer(self.url, self.token("p-watcher", "watch"))


@pytest_asyncio.fixture
async def call(janus: Janus, tmp_path: Path) -> AsyncIterator[Call]:
    options = ("--advertise", namespace.ADDRESS, "--secret", SECRET, "--sfu", janus.url)
    async with Server(tmp_path / "server", *options) as server:
        call = Call("c-at-janus", server.url, janus)
        source = {"kind": "janus", "url": janus.url, "room": janus.room}
        wanted = {"call": call.id, "language": "en", "source": source}
        status, created = await call.ask("POST", "/api/calls", json=wanted)
        assert status == 201, created
        yield call


@pytest_asyncio.fixture
async def front_end() -> AsyncIterator[str]:
    """Where `janus_page.html` is."""
    app = web.Application()
    app.router.add_static("/", Path(__file__).parent)
    runner = web.AppRunner(app)
    await runner.setup()
    port = namespace.free_port()
    await web.TCPSite(runner, namespace.ADDRESS, port).start()
    yield f"http://{namespace.ADDRESS}:{port}/janus_page.html"
    await runner.cleanup()


class Somebody:
    """A tab that publishes its microphone to a room of Janus."""

    def __init__(self, page: Page, janus: Janus, name: str) -> None:
        self._page = page
        self._arguments = [janus.url, janus.room, name]

    async def enter(self) -> None:
        """Returns when media flows; also again, after Janus was away."""
        await self._page.evaluate("(arguments) => enter(...arguments)", self._arguments)


@asynccontextmanager
async def anna_and_rita(
    call: Call, front_end: str, folder: Path
) -> AsyncIterator[tuple[Somebody, Page]]:
    """Anna, who speaks in the room, and the page of Rita, who reads."""
    async with chromium(folder, says=JOE) as browser:
        rita = await browser.new_page()
        await join(rita, call.url, call.id, "Rita", token=call.token("p-rita", "join"))
        tab = await browser.new_page()
        await tab.goto(front_end)
        anna = Somebody(tab, call.janus, "Anna")
        await anna.enter()
        yield anna, rita


def states(watcher: Peer) -> list[str]:
    """The call's states, each once for as long as it lasts."""
    told = [each["state"] for each in watcher.events("call:state")]
    return [state for state, _ in itertools.groupby(told)]


async def test_who_speaks_in_chromium_is_read_under_their_name_on_the_page(
    call, front_end, tmp_path
):
    async with anna_and_rita(call, front_end, tmp_path) as (_, rita):
        await shows(rita, "Anna", JOE.text)
        await expect(rita.locator("#state")).to_have_attribute("data-state", "live")


async def test_a_janus_that_crashes_costs_nothing_that_was_said_before_or_after(
    call, front_end, tmp_path
):
    bert = Publisher(call.janus.url, call.janus.room, "Bert", Microphone(ADA.pcm()))
    async with (
        anna_and_rita(call, front_end, tmp_path) as (anna, rita),
        call.watcher() as watcher,
    ):
        assert (await watcher.ask("call:watch", {"call": call.id}))["state"] == "live"
        state = rita.locator("#state")
        await shows(rita, "Anna", JOE.text)

        await call.janus.kill()
        await expect(state).to_have_attribute("data-state", "recovering")
        await call.janus.start()
        await expect(state).to_have_attribute("data-state", "live", timeout=PATIENCE_MS)
        await watcher.until(lambda w: states(w) == ["live", "recovering", "live"])

        async with bert:
            await anna.enter()
            await shows(rita, "Bert", ADA.text)
            # To Janus she is somebody new.
            await watcher.until(
                lambda w: len({c["participant"] for c in w.finals() if c["speaker"] == "Anna"}) == 2
            )
            late = await rita.context.new_page()
            await join(late, call.url, call.id, "Lea", token=call.token("p-lea", "join"))
            await shows(late, "Anna", JOE.text)
            await shows(late, "Bert", ADA.text)
        said = await call.transcript()
        assert set(said) == {"Anna", "Bert"}
        assert overlap(JOE.text, said["Anna"]) >= 0.8
        assert jiwer.wer(normalized(ADA.text), normalized(said["Bert"])) <= 0.2


async def test_who_speaks_behind_loss_is_read_as_they_speak(call):
    clips = [r for r in our_voices() if r.speaker == "Joe"]
    microphone = Microphone(*(clip.pcm() for clip in clips))
    anna = Publisher(
        call.janus.url, call.janus.room, "Anna", microphone, lose_every=PACKETS_TO_ONE_LOST
    )
    async with anna:
        await microphone.ended.wait()
    lost_seconds = 0.02 * await call.metric("surtitle_rtp_packets_lost_total")
    assert lost_seconds * PACKETS_TO_ONE_LOST >= sum(clip.seconds for clip in clips)
    said = await call.transcript()
    assert set(said) == {"Anna"}
    text = " ".join(clip.text for clip in clips)
    assert jiwer.wer(normalized(text), normalized(said["Anna"])) <= 0.2
