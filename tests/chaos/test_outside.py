"""A telephony switch brings captions and a stock client reads them, while node and gateways die."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from tests.chaos.cluster import Cluster, token, until
from tests.chaos.scenario import scenario
from tests.chaos.stage import nothing_unwritten

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

CALL, COUNT = "outside", 120
PATH = f"/api/calls/{CALL}/captions"


def said(number: int) -> dict[str, Any]:
    times = {"start_ms": 1000 * number, "end_ms": 1000 * number + 900}
    return {"speaker": "Caller", "language": "en", "text": f"Number {number}.", **times}


class Switch:
    """Tries each request until it is answered, each time at the next gateway that lives."""

    def __init__(self, cluster: Cluster, http: httpx.AsyncClient) -> None:
        self._cluster, self._http = cluster, http
        self.answers: list[dict[str, Any]] = []
        self.tries = 0

    async def bring(self, number: int) -> None:
        headers = {"Idempotency-Key": f'"{number}"'}
        while True:
            self.tries += 1
            urls = self._cluster.urls
            url = urls[self.tries % len(urls)] + PATH
            try:
                reply = await self._http.post(url, json=said(number), headers=headers)
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
                continue
            if reply.status_code == 201:
                self.answers += reply.json()["captions"]
                return
            assert reply.status_code == 503, reply.text
            await asyncio.sleep(0.1)

    async def bring_all(self) -> None:
        for number in range(COUNT):
            await self.bring(number)
            await asyncio.sleep(0.05)


async def read(cluster: Cluster, http: httpx.AsyncClient, feed: str) -> list[dict[str, Any]]:
    """The finals, by as many streams as it takes, until the call ends."""
    finals: list[dict[str, Any]] = []
    tries = 0
    while True:
        tries += 1
        url = cluster.urls[tries % len(cluster.urls)] + PATH
        last = {"Last-Event-ID": str(finals[-1]["seq"])} if finals else {}
        try:
            async with aconnect_sse(
                http, "GET", url, params={"language": feed}, headers=last
            ) as source:
                async for event in source.aiter_sse():
                    if event.event == "end":
                        return finals
                    if event.id:
                        finals.append(json.loads(event.data))
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.1)


@scenario(seconds=40)
async def test_what_is_brought_is_there_once_whatever_dies(folder: Path) -> None:
    headers = {"Authorization": f"Bearer {token('switch')}"}
    async with (
        Cluster(folder) as cluster,
        httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(15, read=20)) as http,
        asyncio.timeout(200),
        asyncio.TaskGroup() as tasks,
    ):
        url = cluster.urls[0]
        assert (await http.post(f"{url}/api/calls", json={"call": CALL})).status_code == 201
        readers = [tasks.create_task(read(cluster, http, feed)) for feed in ("spoken", "pt")]
        switch = Switch(cluster, http)
        bringing = tasks.create_task(switch.bring_all())
        while len(switch.answers) < COUNT // 4:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await (await cluster.node_of(CALL)).kill()
        while len(switch.answers) < COUNT // 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await cluster.gateways[0].kill()
        await cluster.gateways[0].start()
        while len(switch.answers) < 3 * COUNT // 4:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await cluster.gateways[1].stop()
        await bringing
        assert [c["seq"] for c in switch.answers] == list(range(1, COUNT + 1))
        assert switch.tries > COUNT, "somebody died"
        before = list(switch.answers)
        for number in (0, COUNT // 4, COUNT - 1):
            await switch.bring(number)
            assert switch.answers.pop() == before[number]
        [transcript, translated] = [
            (await cluster.get(f"/api/calls/{CALL}/transcript?language={feed}"))["captions"]
            for feed in ("spoken", "pt")
        ]
        assert transcript == before
        assert (await http.delete(f"{cluster.urls[0]}/api/calls/{CALL}")).status_code == 204
        spoken, portuguese = [await reader for reader in readers]
        assert spoken == before
        assert [c["seq"] for c in portuguese] == list(range(1, COUNT + 1))
        assert sorted(c["utterance"] for c in portuguese) == sorted(c["utterance"] for c in before)
        assert portuguese[: len(translated)] == sorted(translated, key=lambda c: c["seq"])
        await until(lambda: nothing_unwritten(cluster))  # what the one that died had taken, too
        stored = [final for final in await cluster.stored(CALL) if final["feed"] == "spoken"]
        assert stored == before
