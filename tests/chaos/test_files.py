"""A file is transcribed, and asked for through another gateway, while its node and gateway die."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jiwer
import pytest
from httpx_sse import aconnect_sse

from signaling.files.transcriptions import DIED
from tests.chaos.cluster import Cluster, token
from tests.chaos.scenario import scenario
from tests.e2e.test_files import talk
from tests.media_files import media_file
from tests.recordings import normalized

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

PATH = "/api/transcriptions"


async def versions(http: httpx.AsyncClient, url: str, job: str) -> AsyncIterator[dict[str, Any]]:
    async with aconnect_sse(http, "GET", f"{url}{PATH}/{job}/events") as source:
        async for event in source.aiter_sse():
            if event.data:  # this client makes an event of a comment, too
                yield json.loads(event.data)


@scenario(seconds=50)
async def test_a_file_outlives_its_node_and_its_gateway_s_death_is_told(folder: Path) -> None:
    pcm, text = talk(times=4)
    file = media_file(pcm, "mp3")
    headers = {"Authorization": f"Bearer {token('anna')}"}
    async with (
        Cluster(folder) as cluster,
        httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(60)) as http,
    ):
        here, there = cluster.urls
        job = (await http.post(f"{here}{PATH}?language=en", content=file)).json()
        killed = False
        async for version in versions(http, there, job["job"]):
            if version["seconds_done"] > 20 and not killed:
                killed = True
                await (await cluster.node_of(job["call"])).kill()
        assert killed
        assert version["state"] == "done"
        captions = (await cluster.get(f"/api/calls/{job['call']}/transcript"))["captions"]
        heard = " ".join(caption["text"] for caption in captions)
        assert jiwer.wer(normalized(text), normalized(heard)) <= 0.1
        assert not any(caption.get("gap_ms") for caption in captions), "nothing was lost"

        job = (await http.post(f"{here}{PATH}?language=en", content=file)).json()
        async for version in versions(http, there, job["job"]):
            if version["seconds_done"] > 20 and cluster.gateways[0].runs:
                await cluster.gateways[0].kill()
        assert (version["state"], version["retryable"]) == ("failed", True)
        assert version["reason"] == DIED
        known = (await http.get(f"{there}{PATH}")).json()["transcriptions"]
        assert (known[0]["job"], known[0]["state"]) == (job["job"], "failed")

        await cluster.gateways[0].start()
        job = (await http.post(f"{here}{PATH}?language=en", content=file)).json()
        async for version in versions(http, there, job["job"]):
            if version["state"] == "running":
                break
        canceled = await http.delete(f"{there}{PATH}/{job['job']}")
        assert canceled.json()["state"] == "canceled"
