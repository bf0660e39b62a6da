"""Participants who reach the captioner through coturn alone, as behind a strict firewall."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jiwer
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from playwright.async_api import BrowserContext, Page

from tests.network import namespace
from tests.network.chromium import chromium, join, shows
from tests.peer import Microphone, Peer
from tests.recordings import normalized, our_voices
from tests.server import Server
from tests.turn_server import SECRET, TurnServer

CALL = "c-behind-a-firewall"
ADA = next(r for r in our_voices() if r.speaker == "Ada")
PACKETS = int(ADA.seconds * 50)

over_each = pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])

# What the page would do where no other way is open, and what came of it.
RELAYED_ONLY = """
  window.ways = { candidates: [], errors: [], connections: [] };
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) {
      super({ ...configuration, iceTransportPolicy: "relay" });
      ways.connections.push(this);
      this.addEventListener("icecandidate", ({ candidate }) => {
        if (candidate?.candidate) ways.candidates.push(candidate.candidate);
      });
      this.addEventListener("icecandidateerror", ({ errorCode }) => ways.errors.push(errorCode));
    }
  };
"""

# The chosen pair of the connection that is up: our candidate.
CHOSEN = """async () => {
  const connection = ways.connections.find((one) => one.connectionState === "connected");
  const stats = await connection.getStats();
  const transport = [...stats.values()].find(({ type }) => type === "transport");
  const { candidateType, relayProtocol } =
    stats.get(stats.get(transport.selectedCandidatePairId).localCandidateId);
  return { candidateType, relayProtocol };
}"""


@pytest_asyncio.fixture
async def coturn(tmp_path: Path, monkeypatch) -> AsyncIterator[TurnServer]:
    """As in production, but for one private peer that it may relay to: the node's address."""
    folder = tmp_path / "coturn"
    folder.mkdir()
    async with TurnServer(folder, namespace.ADDRESS, allowed_peers=namespace.ADDRESS) as running:
        # aiortc verifies certificates, against what OpenSSL is told to believe.
        monkeypatch.setenv("SSL_CERT_FILE", str(running.certificates.authority))
        yield running


@asynccontextmanager
async def server(
    folder: Path, coturn: TurnServer, transport: str, secret: str
) -> AsyncIterator[str]:
    """A server that tells its clients of coturn; its address."""
    turn = ("--turn-url", coturn.url(transport), "--turn-secret", secret)
    async with Server(folder / "server", "--advertise", namespace.ADDRESS, *turn) as running:
        yield running.url


class RelayedPeer(Peer):
    """Sends by the `ice_servers` that it was given on joining, and by no other way."""

    async def join(self, call: str, name: str, **more: Any) -> dict[str, Any]:
        answer = await super().join(call, name, **more)
        servers = [RTCIceServer(**each) for each in answer["ice_servers"]]
        self.connection = RTCPeerConnection(
            RTCConfiguration(servers, iceTransportPolicy=RTCIceTransportPolicy.RELAY)
        )
        return answer

    async def send(self, track: Microphone) -> None:
        self.connection.addTransceiver(track, direction="sendonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = {"sdp": self.connection.localDescription.sdp, "type": "offer"}
        answer = await self.ask("media:offer", offer)
        assert answer["ok"], answer
        await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))

    @property
    def offered(self) -> list[str]:
        lines = self.connection.localDescription.sdp.splitlines()
        return [each for each in lines if each.startswith("a=candidate:")]


@over_each
async def test_a_participant_whose_only_way_is_coturn_is_captioned(coturn, tmp_path, transport):
    async with server(tmp_path, coturn, transport, SECRET) as url:
        async with RelayedPeer(url) as ada:
            await ada.join(CALL, "Ada", language="en")
            microphone = Microphone(ADA.pcm())
            await ada.send(microphone)
            assert all(" typ relay " in each for each in ada.offered)
            assert len(ada.offered) == 1
            await microphone.ended.wait()
            assert (await ada.ask("media:close"))["ok"]
            await ada.until(lambda p: p.finals())
            assert jiwer.wer(normalized(ADA.text), normalized(ada.text())) <= 0.2
        assert await coturn.relayed(ada.id) >= PACKETS


@over_each
async def test_a_page_whose_only_way_is_coturn_is_captioned(coturn, tmp_path, transport):
    async with (
        server(tmp_path, coturn, transport, SECRET) as url,
        chromium(tmp_path, says=ADA, trusts=coturn.certificates.spki) as browser,
    ):
        page = await relayed_page(browser, url, "Ada")
        await shows(page, "Ada", ADA.text)
        chosen = await page.evaluate(CHOSEN)
        assert chosen == {"candidateType": "relay", "relayProtocol": transport}
        offered = await page.evaluate("ways.candidates")
        assert offered
        assert all(" typ relay " in each for each in offered)
        ada = await page.get_by_test_id("final").first.get_attribute("data-participant")
        await page.click("#leave")
        assert await coturn.relayed(ada) >= PACKETS


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_who_has_no_way_but_a_coturn_that_does_not_believe_them_is_not_heard(
    coturn, tmp_path, transport
):
    """The server has another secret than coturn; who has another way is captioned all the same."""
    async with (
        server(tmp_path, coturn, transport, "not-coturns") as url,
        RelayedPeer(url) as bert,
        Peer(url) as ada,
        chromium(tmp_path, says=ADA, trusts=coturn.certificates.spki) as browser,
    ):
        page = await relayed_page(browser, url, "Cleo")
        await page.wait_for_function("() => ways.errors.includes(401)")
        await bert.join(CALL, "Bert", language="en")
        await bert.send(Microphone(ADA.pcm()))
        assert bert.offered == []
        await coturn.refused(bert.id)

        await ada.join(CALL, "Ada", language="en")
        microphone = Microphone(ADA.pcm())
        await ada.send(microphone)
        await microphone.ended.wait()
        await shows(page, "Ada", ADA.text)
        await bert.until(lambda p: p.finals(ada.id))
        assert {c["speaker"] for c in bert.captions} == {"Ada"}
        assert await page.evaluate("ways.candidates") == []


async def relayed_page(browser: BrowserContext, url: str, name: str) -> Page:
    """The page of somebody who speaks and whose only way is coturn."""
    page = await browser.new_page()
    await page.add_init_script(RELAYED_ONLY)
    await join(page, url, CALL, name, microphone=True)
    return page
