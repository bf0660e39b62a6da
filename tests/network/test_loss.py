"""Somebody in Chromium on a network that loses every twentieth packet."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.network import namespace
from tests.network.chromium import chromium, join, shows
from tests.network.lossy import dropped, losing_every
from tests.recordings import our_voices
from tests.server import Server

JOE = next(r for r in our_voices() if r.speaker == "Joe")


async def test_what_the_network_loses_the_browser_sends_again(tmp_path: Path):
    async with (
        Server(tmp_path / "server", "--advertise", namespace.ADDRESS) as server,
        chromium(tmp_path, says=JOE) as browser,
    ):
        page = await browser.new_page()
        with losing_every(20):
            await join(page, server.url, "lossy", "Joe", microphone=True)
            await shows(page, "Joe", JOE.text)
            gone = dropped()
        async with aiohttp.ClientSession(server.url) as http, http.get("/metrics") as answer:
            lines = dict(line.split(" ", 1) for line in (await answer.text()).splitlines())
        assert float(lines["surtitle_rtp_packets_total"]) > 15 * gone
        assert gone > 10
        # What was asked for again may be dropped again, and then there is no more time.
        assert float(lines["surtitle_rtp_packets_lost_total"]) <= gone / 4
