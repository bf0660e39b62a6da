"""WHIP from end to end: an HTTP client, real ICE, DTLS and SRTP, captions for who watches."""

from __future__ import annotations

import asyncio

import aiohttp
import jiwer
import pytest

from tests.e2e.test_page import browser, microphone
from tests.peer import Peer
from tests.recordings import normalized
from tests.whip_client import Publisher, clip, new_call, people, watcher

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_said_by_whip_is_read_under_the_publisher_s_name(server):
    call, speech = new_call(), clip("Joe")
    async with Peer(server.url) as reader, Publisher(server) as studio:
        await watcher(reader, call)
        await studio.publish(call, speech, name="Studio 2", language="en")
        assert people(reader) == [("joined", "Studio 2")]
        await studio.microphone.ended.wait()
        assert await studio.delete() == 200
        await reader.until(lambda p: ("left", "Studio 2") in people(p))
        finals = await reader.until(lambda p: p.finals())
        assert {c["speaker"] for c in reader.captions} == {"Studio 2"}
        assert len({c["participant"] for c in reader.captions}) == 1
        assert {c["language"] for c in finals} == {"en"}
        assert jiwer.wer(normalized(speech.text), normalized(reader.text())) <= 0.1
        await reader.until(
            lambda p: [s["captioning"] for s in p.events("call:state")] == [False, True, False]
        )
        assert await studio.delete() == 404, "it is gone"


async def test_a_publisher_of_video_too_is_heard_and_sends_no_video(server):
    call, speech = new_call(), clip("Ada")
    async with Peer(server.url) as reader, Publisher(server) as obs:
        await watcher(reader, call)
        await obs.publish(call, speech, video=True, language="en")
        directions = {t.kind: t.currentDirection for t in obs.connection.getTransceivers()}
        assert directions == {"audio": "sendonly", "video": "inactive"}
        await obs.microphone.ended.wait()
        assert await obs.delete() == 200
        await reader.until(lambda p: p.finals())
        assert jiwer.wer(normalized(speech.text), normalized(reader.text())) <= 0.1


async def test_candidates_may_come_behind_the_offer(server):
    call = new_call()
    async with Peer(server.url) as reader, Publisher(server) as phone:
        await watcher(reader, call)
        whole = (await phone.offer(clip("Sam"))).splitlines()
        trickled = [
            line for line in whole if line.startswith(("a=candidate", "a=end-of-candidates"))
        ]
        assert trickled
        offer = "".join(f"{line}\r\n" for line in whole if line not in trickled)
        answer = await phone.post(call, offer, language="en")
        credentials = [line for line in whole if line.startswith(("a=ice-ufrag", "a=ice-pwd"))]
        section = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", *credentials, *trickled]
        body = "".join(f"{line}\r\n" for line in section)
        assert await phone.patch(body, **{"If-Match": phone.etag}) == 204
        await phone.take(answer)
        await reader.until(lambda p: p.captions)


async def test_a_publisher_whose_connection_ends_without_a_word_to_us_has_left(server):
    call = new_call()
    async with Peer(server.url) as reader, Publisher(server) as studio:
        await watcher(reader, call)
        await studio.publish(call, clip("Ada"), name="Studio", language="en")
        await reader.until(lambda p: p.captions)
        await studio.connection.close()
        await reader.until(lambda p: people(p) == [("joined", "Studio"), ("left", "Studio")])
        await reader.until(lambda p: p.finals())
        assert await studio.patch("a=mid:0\r\n", **{"If-Match": studio.etag}) == 404
        assert await studio.delete() == 200, "as OBS does: it closes, then deletes"


async def test_the_end_of_a_call_ends_its_publishers(server):
    call = new_call()
    async with Peer(server.url) as reader, Publisher(server) as studio:
        await watcher(reader, call)
        ended = asyncio.Event()

        @studio.connection.on("connectionstatechange")
        def changed():
            if studio.connection.connectionState in ("closed", "failed"):
                ended.set()

        await studio.publish(call, clip("Sam"))
        await reader.until(lambda p: p.captions)
        async with aiohttp.ClientSession(server.url) as http:
            assert (await http.delete(f"/api/calls/{call}")).status == 204
        await ended.wait()
        assert await studio.patch("a=mid:0\r\n", **{"If-Match": studio.etag}) == 404


PUBLISH = """async ({call, first}) => {
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
  const peer = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const tracks = media.getTracks().sort((a, b) => (b.kind === first) - (a.kind === first));
  for (const track of tracks) peer.addTransceiver(track, {direction: 'sendonly', streams: [media]});
  await peer.setLocalDescription();
  const reply = await fetch(`/whip/${call}?name=Page&language=en`, {
    method: 'POST',
    headers: {'Content-Type': 'application/sdp'},
    body: peer.localDescription.sdp,
  });
  await peer.setRemoteDescription({type: 'answer', sdp: await reply.text()});
  window.stop = () => fetch(reply.headers.get('Location'), {method: 'DELETE'});
  return Object.fromEntries(
    peer.getTransceivers().map(t => [t.sender.track.kind, t.currentDirection])
  );
}"""


@pytest.mark.parametrize("first", ["audio", "video"])
async def test_a_page_publishes_with_fetch_and_its_video_stays_at_home(server, tmp_path, first):
    call, (file, _) = new_call(), microphone(tmp_path, "Joe")
    async with (
        Peer(server.url) as reader,
        browser(f"--use-file-for-fake-audio-capture={file}%noloop") as page,
    ):
        await watcher(reader, call)
        await page.goto(server.url)
        directions = await page.evaluate(PUBLISH, {"call": call, "first": first})
        assert directions == {"audio": "sendonly", "video": "inactive"}
        await reader.until(lambda p: p.captions)
        assert reader.captions[0]["speaker"] == "Page"
        await page.evaluate("stop()")
        await reader.until(lambda p: ("left", "Page") in people(p))
