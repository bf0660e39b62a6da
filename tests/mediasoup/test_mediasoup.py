from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from media.source import CallSource
from media.sources.rtp import RtpSource
from signaling.sources import Rtp, RtpStream, Srtp
from tests.media.rtp_sender import HERE, Port, Sender
from tests.media.source_contract import SourceContract, listening

BUILT = Path(__file__).parent.parent.parent / ".cache/mediasoup"
SCRIPT = Path(__file__).parent / "router.mjs"


class Router:
    """A mediasoup router in a process of its own, with one transport to the captioner."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._one_at_a_time = asyncio.Lock()
        self._speaking: dict[str, asyncio.Task[None]] = {}
        self._ways_in: list[Sender] = []

    @classmethod
    @asynccontextmanager
    async def started(cls) -> AsyncIterator[Router]:
        process = await asyncio.create_subprocess_exec(
            "node",
            str(SCRIPT),
            cwd=BUILT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        router = cls(process)
        try:
            assert "version" in await router._answer()
            yield router
        finally:
            for speaking in router._speaking.values():
                speaking.cancel()
            await asyncio.gather(*router._speaking.values(), return_exceptions=True)
            for sender in router._ways_in:
                sender.close()
            process.stdin.close()
            await process.wait()

    async def do(self, what: str, **fields: Any) -> Any:
        async with self._one_at_a_time:
            self._process.stdin.write(json.dumps({"do": what, **fields}).encode() + b"\n")
            return await self._answer()

    async def _answer(self) -> Any:
        async with asyncio.timeout(20):
            answer = json.loads(await self._process.stdout.readline())
        assert "ok" in answer, answer
        return answer["ok"]

    async def enter(self, name: str) -> int:
        """Somebody speaks, and the captioner's transport consumes them; the SSRC they get."""
        way_in = Port()
        ssrc = 1000 + len(self._ways_in)
        way_in.address = (HERE, (await self.do("produce", name=name, ssrc=ssrc))["port"])
        sender = Sender(way_in, payload_type=100)
        self._ways_in.append(sender)
        self._speaking[name] = asyncio.create_task(sender.pace(ssrc))
        consumer = await self.do("consume", name=name)
        assert consumer["payloadType"] == 111
        return consumer["ssrc"]

    async def leave(self, name: str) -> None:
        await self.do("close", name=name)
        self._speaking[name].cancel()


@pytest_asyncio.fixture
async def router() -> AsyncIterator[Router]:
    async with Router.started() as running:
        yield running


class Stage:
    def __init__(self, router: Router) -> None:
        self._router = router
        self._port = Port()
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        await self._port.connected.wait()
        await self._router.do("connect", ip=HERE, port=self._port.address[1])

    def source(self) -> CallSource:
        return self._port.new_source()

    def refused_source(self) -> CallSource:
        return RtpSource(Rtp(srtp=Srtp(key="A" * 64)), [HERE])

    async def enter(self, name: str) -> None:
        await self._router.enter(name)
        await self._router.do("resume", name=name)

    async def leave(self, name: str) -> None:
        await self._router.leave(name)
        await self._port.leap(61)

    async def lose(self) -> None:
        raise NotImplementedError

    async def restore(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        self._connecting.cancel()
        await asyncio.gather(self._connecting, return_exceptions=True)


class TestMediasoup(SourceContract):
    names = False  # mediasoup picks the SSRC: whoever is not listed beforehand has a number
    recovers = False

    @pytest_asyncio.fixture
    async def stage(self, router: Router) -> AsyncIterator[Stage]:
        await router.do("captioner")
        stage = Stage(router)
        yield stage
        await stage.stop()


@pytest.mark.parametrize(
    "suite",
    [
        None,
        "AES_CM_128_HMAC_SHA1_80",
        "AES_CM_128_HMAC_SHA1_32",  # newer ones know AEAD too
    ],
)
async def test_everybody_is_heard_under_their_name_in_plain_and_with_each_suite(router, suite):
    """The order that an operator keeps: consume, create the call, connect, resume."""
    captioner = await router.do("captioner", srtp=suite)
    streams = [
        RtpStream(ssrc=await router.enter(name), participant=f"p-{name.lower()}", name=name)
        for name in ("Anna", "Bert")
    ]
    srtp = Srtp(**captioner["srtp"]) if suite else None
    sender = f"{HERE}:{captioner['port']}"
    port = Port(streams=streams, srtp=srtp, sender=sender)
    async with listening(port.source) as ear:
        await router.do("connect", ip=HERE, port=port.address[1])
        for name in ("Anna", "Bert"):
            await router.do("resume", name=name)
        await ear.until(lambda e: e.hears("Anna", 1.0) and e.hears("Bert", 1.0))
        assert ear.names == {"p-anna": "Anna", "p-bert": "Bert"}
        assert port.source.counts.malformed == 0
        assert all(track.counts.lost == 0 for track in ear.open)


@pytest.mark.parametrize("suite", [None, "AES_CM_128_HMAC_SHA1_80"])
async def test_mediasoup_understands_the_receiver_reports(router, suite):
    captioner = await router.do("captioner", srtp=suite)
    streams = [RtpStream(ssrc=await router.enter("Anna"), name="Anna")]
    port = Port(streams=streams, srtp=Srtp(**captioner["srtp"]) if suite else None)
    async with listening(port.source) as ear:
        await router.do("connect", ip=HERE, port=port.address[1])
        await router.do("resume", name="Anna")
        async with asyncio.timeout(30):
            # A report of ours counts there once it answers one of theirs.
            while not any(s.get("roundTripTime") for s in await router.do("stats", name="Anna")):
                await ear.until(lambda e: e.hears("Anna"))
                await asyncio.sleep(0.2)
        assert port.source.counts.reports
        assert port.source.counts.reports_sent
