"""WHEP against a real server of its own: media, HTTP's corners, and hostile answers."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from aiohttp import web

from media.pauses import LONGEST_ASKED_SECONDS, LONGEST_SECONDS, Pauses
from media.source import (
    Connected,
    Joined,
    Left,
    Lost,
    Recovered,
    TrackStarted,
    participant_id,
)
from media.sources.whep import WhepSource
from media.whep_http import LARGEST_ANSWER, checked_answer
from signaling.allowlist import AllowList
from signaling.errors import ContractError
from signaling.sources import Whep
from tests.media.source_contract import Ear, SourceContract, Stage, listening
from tests.media.whep_server import WhepServer

ANY = AllowList([], allow_any=True)


class WhepStage:
    def __init__(self, server: WhepServer) -> None:
        self.server = server

    def source(self) -> WhepSource:
        return source_of(self.server)

    def refused_source(self) -> WhepSource:
        return source_of(self.server, url=f"{self.server.origin}/whep/nothing")

    async def enter(self, name: str) -> None:
        self.server.publisher = name

    async def leave(self, name: str) -> None:
        assert self.server.publisher == name
        self.server.publisher = None
        await self.server.drop()

    async def lose(self) -> None:
        self.server.publisher = None
        await self.server.stop()

    async def restore(self) -> None:
        await self.server.start()


def source_of(server: WhepServer, *, allow: AllowList = ANY, **settings) -> WhepSource:
    return WhepSource(Whep(**{"url": server.url, **settings}), allow)


@pytest_asyncio.fixture
async def server():
    server = WhepServer()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def other():
    server = WhepServer()
    await server.start()
    yield server
    await server.stop()


class TestWhep(SourceContract):
    names = False

    @pytest_asyncio.fixture
    async def stage(self, server) -> Stage:
        return WhepStage(server)


async def refusal(source: WhepSource) -> ContractError:
    ear = Ear()
    with pytest.raises(ContractError) as refused:
        async with asyncio.timeout(20):
            await source.run(ear.tell)
    assert not ear.events
    return refused.value


async def heard(source: WhepSource) -> Ear:
    async with listening(source) as ear:
        await ear.until(lambda e: e.names and e.hears(next(iter(e.names.values()))))
    return ear


async def test_the_offer_asks_for_opus_with_fec_alone_and_has_its_candidates(server):
    server.publisher = "Anna"
    await heard(source_of(server))
    [offer] = server.offers
    lines = offer.splitlines()
    assert [line for line in lines if line.startswith("m=")] == [lines_of(lines, "m=audio")[0]]
    [rtpmap] = lines_of(lines, "a=rtpmap:")
    assert rtpmap.endswith("opus/48000/2")
    assert lines_of(lines, "a=fmtp:")[0].endswith(" useinbandfec=1")
    assert "a=recvonly" in lines
    assert lines_of(lines, "a=candidate:")


def lines_of(lines: list[str], begin: str) -> list[str]:
    return [line for line in lines if line.startswith(begin)]


async def test_who_speaks_comes_from_the_settings(server):
    server.publisher = "Anna"
    ear = await heard(source_of(server, participant="p-1", name="Anna", language="pt-BR"))
    assert ear.of(Joined) == [Joined("p-1", "Anna", "pt-BR")]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/whep/studio-1", "studio-1"),
        ("/whep/studio/", "studio"),
        ("/studio/whep", "studio"),
        ("/rtc/v1/whep/?app=live&stream=anna", "anna"),
        ("/live%20room/whep?stream=", "live room"),
        ("/whep", "whep"),
        ("", "whep"),
    ],
)
def test_or_from_the_address(path, name):
    source = WhepSource(Whep(url=f"http://sfu.example.com{path}"), ANY)
    assert source._participant == participant_id(name)
    assert source._name == name


async def test_a_stream_that_nobody_publishes_yet_is_waited_for(server):
    async with listening(source_of(server)) as ear:
        await server.until(lambda: server.asked("POST") >= 2)
        assert [type(event) for event in ear.events] == [Connected]
        server.publisher = "Anna"
        await ear.until(lambda e: e.of(TrackStarted))
        assert not ear.of(Lost)


async def test_a_publisher_who_leaves_is_no_loss_of_the_server(server):
    server.publisher = "Anna"
    async with listening(source_of(server)) as ear:
        await ear.until(lambda e: e.of(TrackStarted))
        server.publisher = None
        server.stream = "away"  # 404 from now on
        await server.drop()
        await ear.until(lambda e: e.of(Left))
        posts = server.asked("POST")
        await server.until(lambda: server.asked("POST") >= posts + 2)
        server.stream, server.publisher = "studio", "Bert"
        await ear.until(lambda e: len(e.of(TrackStarted)) == 2)
        assert not ear.of(Lost)


async def test_a_server_that_fails_meanwhile_is_lost_and_recovers(server):
    server.publisher = "Anna"
    async with listening(source_of(server)) as ear:
        await ear.until(lambda e: e.of(TrackStarted))
        server.responses = [web.Response(status=503, headers={"Retry-After": "0"})]
        await server.drop()
        await ear.until(lambda e: e.of(Recovered))
        await ear.until(lambda e: len(e.of(TrackStarted)) == 2)
        assert [type(event) for event in ear.events].count(Lost) == 1


async def test_a_token_that_is_no_longer_good_is_refused_for_good(server):
    server.token, server.publisher = "one", "Anna"
    running = source_of(server, token="one")
    ear = Ear()
    run = asyncio.ensure_future(running.run(ear.tell))
    await ear.until(lambda e: e.of(TrackStarted))
    server.token = "two"
    await server.drop()
    async with asyncio.timeout(20):
        with pytest.raises(ContractError) as refused:
            await run
    assert refused.value.code == "forbidden"
    assert not ear.names


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "forbidden"),
        (403, "forbidden"),
        (404, "not_found"),
        (410, "not_found"),
        (400, "unavailable"),
        (406, "unavailable"),
        (500, "unavailable"),
        (503, "unavailable"),
        (200, "unavailable"),
        (302, "unavailable"),
    ],
)
async def test_what_is_refused_at_first_is_told_in_the_contract_s_words(server, status, code):
    server.responses = [web.Response(status=status, headers={"Retry-After": "7"})]
    error = await refusal(source_of(server))
    assert error.code == code
    assert error.retry_after_ms == 7000
    assert str(status) in error.message


async def test_who_cannot_be_reached_is_unavailable(server):
    await server.stop()
    assert (await refusal(source_of(server))).code == "unavailable"


async def test_the_token_is_sent_and_the_session_is_deleted_at_the_end(server):
    server.token, server.publisher = "secret", "Anna"
    await heard(source_of(server, token="secret"))
    assert server.requests == [
        ("POST", "/whep/studio", "Bearer secret"),
        ("DELETE", "/session/s1", "Bearer secret"),
    ]


async def test_a_location_may_be_absolute_and_elsewhere_without_the_token(server, other):
    server.token, server.publisher = "secret", "Anna"
    server.location = f"{other.origin}/session/{{id}}"
    await heard(source_of(server, token="secret"))
    assert other.requests == [("DELETE", "/session/s1", None)]


async def test_a_session_without_a_location_is_heard_all_the_same(server):
    server.publisher = "Anna"
    server.location = ""
    await heard(source_of(server))
    assert server.asked("DELETE") == 0


async def test_redirects_are_followed_but_no_other_origin_gets_the_token(server, other):
    other.publisher = "Anna"
    server.responses = [
        web.Response(status=307, headers={"Location": "elsewhere?a=1"}),
        web.Response(status=308, headers={"Location": other.url}),
    ]
    await heard(source_of(server, token="secret"))
    assert server.requests == [
        ("POST", "/whep/studio", "Bearer secret"),
        ("POST", "/whep/elsewhere", "Bearer secret"),
    ]
    assert other.requests == [("POST", "/whep/studio", None), ("DELETE", "/session/s1", None)]


async def test_redirects_are_followed_three_times_only(server):
    server.responses = [
        web.Response(status=307, headers={"Location": f"/whep/{n}"}) for n in range(9)
    ]
    assert (await refusal(source_of(server))).code == "unavailable"
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/", "http://[::1]/", "ws://127.0.0.1/"]
)
async def test_a_redirect_to_what_is_not_listed_is_refused(server, location):
    server.responses = [web.Response(status=307, headers={"Location": location})]
    listed = AllowList(["http://127.0.0.1:1", "127.0.0.0/8"])
    error = await refusal(source_of(server, allow=listed))
    assert error.code in ("forbidden", "unavailable")
    assert len(server.requests) == 1


async def test_a_location_that_is_not_listed_is_refused(server):
    server.publisher = "Anna"
    server.location = "http://169.254.169.254/latest"
    error = await refusal(source_of(server, allow=AllowList([server.origin])))
    assert error.code == "forbidden"


async def test_an_address_that_is_not_listed_is_never_asked(server):
    error = await refusal(source_of(server, allow=AllowList(["https://sfu.example.com"])))
    assert error.code == "forbidden"
    assert not server.requests


@pytest.mark.parametrize(
    "answer",
    ["", "garbage", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\n", "v=0\r\n" + "a=x\r\n" * 9000],
)
async def test_garbage_for_an_answer_is_the_server_s_fault(server, answer):
    server.responses = [web.Response(status=201, text=answer, headers={"Location": "/session/1"})]
    assert (await refusal(source_of(server))).code == "unavailable"


async def test_a_huge_answer_is_not_read(server):
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=201)
        await response.prepare(request)
        sent = 0
        while sent < 100 * LARGEST_ANSWER:
            try:
                await response.write(b"a=" + b"x" * 8190)
            except ConnectionError:
                break
            sent += 8192
        server.sent = sent
        return response

    app = web.Application()
    app.router.add_post("/whep", endless)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        error = await refusal(source_of(server, url=f"http://127.0.0.1:{port}/whep"))
    finally:
        await runner.cleanup()
    assert error.code == "unavailable"
    assert "bytes" in error.message


ANSWER = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
m=audio 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=rtcp-mux
a=rtpmap:96 opus/48000/2
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=setup:active
a=fingerprint:sha-256 AA:BB
a=candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host
"""


def test_an_answer_keeps_its_candidates_but_those_that_want_looking_up():
    hidden = "a=candidate:2 1 udp 2130706430 abc.local 40000 typ host\n"
    assert checked_answer(ANSWER + hidden).splitlines() == ANSWER.splitlines()


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("a=sendonly", "a=inactive"),
        ("a=sendonly", "a=recvonly"),
        ("m=audio", "m=video"),
        ("opus/48000/2", "PCMU/8000"),
        ("a=ice-ufrag:abcd\n", ""),
        ("a=ice-pwd:abcdefghijklmnopqrstuv\n", ""),
        ("a=fingerprint:sha-256 AA:BB\n", ""),
        (" 40000 ", " 70000 "),
        (" 40000 ", " x "),
        ("m=audio 9", "m=audio x"),
        ("a=mid:0", "m=audio 9 UDP/TLS/RTP/SAVPF 96"),
        ("a=mid:0\n", "a=candidate:1 1 udp 1 127.0.0.1 4 typ host\n" * 65),
    ],
)
def test_an_answer_that_gives_no_audio_or_cannot_be_is_refused(line, instead):
    assert line in ANSWER
    with pytest.raises(ContractError) as refused:
        checked_answer(ANSWER.replace(line, instead))
    assert refused.value.code == "unavailable"


def test_pauses_grow_up_to_a_limit_and_heed_the_server_within_reason():
    pauses = Pauses()
    waited = [pauses.next() for _ in range(20)]
    assert waited[0] <= 0.5
    assert all(LONGEST_SECONDS / 2 <= seconds <= LONGEST_SECONDS for seconds in waited[8:])
    assert pauses.next(20.0) == 20.0
    assert pauses.next(1e9) == LONGEST_ASKED_SECONDS
    pauses.reset()
    assert pauses.next() <= 0.5
