"""WHIP's manners (RFC 9725): who may, with which headers, and what is refused how."""

from __future__ import annotations

import aiohttp
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.sdp import SessionDescription

from signaling.messages import LARGEST_SDP
from tests.peer import Peer
from tests.recordings import normalized
from tests.server import Server
from tests.whip_client import (
    FRAGMENT,
    SDP,
    SECRET,
    Publisher,
    clip,
    new_call,
    people,
    token,
    watcher,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

STUDIO = "https://studio.example.org"


async def some_offer() -> str:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("audio", direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    sdp = connection.localDescription.sdp
    await connection.close()
    return sdp


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory):
    """A server with a secret, TURN, and another origin whose pages may publish."""
    folder = tmp_path_factory.mktemp("guarded")
    turn = ("--turn-url", "stun:s.example.org", "--turn-url", "turn:t.example.org?transport=udp")
    options = ("--secret", SECRET, "--origin", STUDIO, "--turn-secret", "north", *turn)
    async with Server(folder, "--capacity", "1000", *options) as running:
        yield running


async def test_a_patch_needs_the_session_s_etag(server):
    async with Publisher(server) as phone:
        offer = await phone.offer()
        await phone.post(new_call(), offer)
        ufrag = SessionDescription.parse(offer).media[0].ice.usernameFragment
        same = f"a=ice-ufrag:{ufrag}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n"
        restart = same.replace(ufrag, "other")
        assert await phone.patch(same) == 428
        assert await phone.patch(same, **{"If-Match": '"another"'}) == 412
        assert await phone.patch(restart, **{"If-Match": '"another"'}) == 412
        assert await phone.patch(same, **{"If-Match": f"W/{phone.etag}"}) == 412
        assert await phone.patch(restart, **{"If-Match": "*"}) == 422
        assert await phone.patch(restart, **{"If-Match": phone.etag}) == 422
        assert await phone.patch("hello", **{"If-Match": phone.etag}) == 400
        assert await phone.patch("a=x\n" * 9000, **{"If-Match": phone.etag}) == 413
        other = {"If-Match": phone.etag, "Content-Type": "application/json"}
        assert await phone.patch(same, **other) == 415
        assert await phone.patch(same, **{"If-Match": phone.etag}) == 204
        assert await phone.patch(same, **{"If-Match": f'"another", {phone.etag}'}) == 204
        assert await phone.patch(same, **{"If-Match": "*"}) == 204
        assert await phone.delete(**{"If-Match": '"another"'}) == 200, "RFC 9725, 4.3.1"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("", SDP, 400),
        ("please caption me", SDP, 400),
        ("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", SDP, 400),
        (b"\xff\xfe", SDP, 400),
        ("x" * (LARGEST_SDP + 1), SDP, 413),
        ("x" * 2**20, SDP, 413),
        ("{}", {"Content-Type": "application/json"}, 415),
        ("v=0", {"Content-Type": ""}, 415),
    ],
)
async def test_what_is_no_offer_is_refused_with_a_problem(server, body, headers, status):
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.post(f"/whip/{new_call()}", data=body, headers=headers) as reply,
    ):
        assert reply.status == status
        assert reply.content_type == "application/problem+json"
        problem = await reply.json(content_type=None)
        assert problem["status"] == status
        assert problem["detail"]


async def test_an_offer_that_cannot_be_answered_is_refused_and_nobody_has_come(server):
    call, offer = new_call(), await some_offer()
    for bad in (
        offer.replace("opus", "speex"),
        offer.replace("a=sendonly", "a=recvonly"),
        offer.replace("a=ice-ufrag", "a=x-ufrag"),
        offer.replace("a=fingerprint:sha-256", "a=fingerprint:"),
        offer.replace("m=audio", "m=video"),
        offer[: len(offer) // 2],
    ):
        async with aiohttp.ClientSession(server.url) as http:
            assert (await http.post(f"/whip/{call}", data=bad, headers=SDP)).status == 400
            reply = await http.get(f"/api/calls/{call}")
            assert reply.status == 404 or (await reply.json())["participants"] == []
            faults = [
                await http.post(f"/whip/{call}", params=q, data=offer, headers=SDP)
                for q in ({"name": "x" * 129}, {"name": " "}, {"language": "klingon!"})
            ]
            assert {reply.status for reply in faults} == {400}
            assert (await http.post("/whip/a b", data=offer, headers=SDP)).status == 400


async def test_only_who_may_publish_in_the_call_can(guarded):
    call, offer = new_call(), await some_offer()
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        (token("anna", "join", "watch", "read"), 403),
        (token("anna", "publish", call="another"), 403),
        (token("anna", "manage"), 403),
        (token("anna", "publish", call=call), 201),
    ):
        async with aiohttp.ClientSession(guarded.url, headers=headers) as http:
            reply = await http.post(f"/whip/{call}", data=offer, headers=SDP)
            assert reply.status == status
            if status == 401:
                assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_a_session_is_its_maker_s_and_the_manager_s(guarded):
    call, offer = new_call(), await some_offer()
    async with Publisher(guarded, token("anna", "publish")) as anna:
        await anna.post(call, offer)
        for headers, status in (
            ({}, 401),
            (token("ben", "publish"), 403),
            (token("anna", "publish", call="another"), 403),
            (token("anna", "watch"), 403),
            (token("boss", "manage", call="another"), 403),
            (token("boss", "manage", call=call), 200),
        ):
            async with aiohttp.ClientSession(guarded.url, headers=headers) as http:
                if status != 200:
                    assert (
                        await http.patch(anna.session, data="a=x", headers=FRAGMENT)
                    ).status == status
                    assert (await http.get(anna.session)).status == status
                assert (await http.delete(anna.session)).status == status
        assert await anna.delete() == 404


async def test_a_session_is_found_under_its_call_only(server):
    async with Publisher(server) as studio, aiohttp.ClientSession(server.url) as http:
        await studio.post(new_call(), await studio.offer())
        assert (await http.get(studio.session)).status == 204
        session = studio.session.rsplit("/", maxsplit=1)[1]
        assert len(session) >= 32
        for elsewhere in (f"/whip/{new_call()}/{session}", f"{studio.session}x"):
            assert (await http.get(elsewhere)).status == 404
            assert (await http.delete(elsewhere)).status == 404
            assert (await http.patch(elsewhere, data="a=x", headers=FRAGMENT)).status == 404


async def test_the_answer_names_the_ice_servers(guarded):
    async with Publisher(guarded, token("anna", "publish")) as anna:
        await anna.post(new_call(), await anna.offer())
        stun, turn = anna.reply.headers.getall("Link")
        assert stun == '<stun:s.example.org>; rel="ice-server"'
        assert turn.startswith('<turn:t.example.org?transport=udp>; rel="ice-server"; username="')
        assert ':anna"; credential="' in turn
        assert turn.endswith('credential-type="password"')
        async with anna._http.options("/whip/any") as reply:
            assert len(reply.headers.getall("Link")) == 2, "for who must know them before"
        preflight = {"Access-Control-Request-Method": "POST"}
        async with anna._http.options("/whip/any", headers=preflight) as reply:
            assert "Link" not in reply.headers


async def test_pages_of_origins_that_may_can_publish_and_others_cannot(guarded):
    call, offer = new_call(), await some_offer()
    asked = {"Access-Control-Request-Method": "POST"}
    async with aiohttp.ClientSession(guarded.url) as http:
        for path, allowed in ((f"/whip/{call}", "POST"), (f"/whip/{call}/x", "PATCH")):
            reply = await http.options(path, headers={"Origin": STUDIO, **asked})
            assert reply.status == 200
            assert reply.headers["Access-Control-Allow-Origin"] == STUDIO
            assert allowed in reply.headers["Access-Control-Allow-Methods"]
            for header in ("Authorization", "Content-Type", "If-Match"):
                assert header in reply.headers["Access-Control-Allow-Headers"]
            assert "Origin" in reply.headers["Vary"]
            reply = await http.options(path, headers={"Origin": "https://evil.example", **asked})
            assert reply.status == 200
            assert not [name for name in reply.headers if name.startswith("Access-Control")]
        page = {"Origin": STUDIO, **SDP}
        refused = await http.post(f"/whip/{call}", data=offer, headers=page)
        assert refused.status == 401
        assert refused.headers["Access-Control-Allow-Origin"] == STUDIO, "so that it can be read"
        anna = token("anna", "publish")
        reply = await http.post(f"/whip/{call}", data=offer, headers=page | anna)
        assert reply.status == 201
        for header in ("Location", "ETag", "Link"):
            assert header in reply.headers["Access-Control-Expose-Headers"]


async def test_what_can_be_done_is_told(server):
    async with aiohttp.ClientSession(server.url) as http:
        reply = await http.options("/whip/any")
        assert reply.status == 200
        assert reply.headers["Accept-Post"] == "application/sdp"
        assert "POST" in reply.headers["Allow"]
        assert (await http.get("/whip/any")).status == 204
        for method, path in (("PUT", "/whip/any"), ("PATCH", "/whip/any"), ("POST", "/whip/any/x")):
            reply = await http.request(method, path)
            assert reply.status == 405
            assert reply.headers["Allow"]


async def test_who_publishes_again_takes_the_place_of_their_earlier_session(guarded):
    call, speech = new_call(), clip("Joe")
    reading = token("reader", "watch")["Authorization"].split()[1]
    anna = token("anna", "publish", call=call, name="Anna")
    async with (
        Peer(guarded.url, reading) as reader,
        Publisher(guarded, anna) as first,
        Publisher(guarded, anna) as second,
    ):
        await watcher(reader, call)
        await first.publish(call, speech)
        await reader.until(lambda p: p.captions)
        await second.publish(call, speech, language="en")
        assert await first.delete() == 404
        await second.microphone.ended.wait()
        assert await second.delete() == 200
        await reader.until(lambda p: ("left", "Anna") in people(p))
        assert people(reader) == [("joined", "Anna"), ("left", "Anna")]
        assert {c["participant"] for c in reader.captions} == {"anna"}
        assert normalized(speech.text) in normalized(reader.text())
