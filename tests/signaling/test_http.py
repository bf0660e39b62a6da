"""The HTTP API of a real server, open and guarded by a secret."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
import socketio

from captions.types import SPOKEN
from signaling.errors import HTTP_STATUS
from signaling.http import LARGEST_BODY
from signaling.store import CallRecord
from signaling.store_sqlite import SqliteStore
from signaling.tokens import GRANTS, SharedSecret
from tests.peer import Peer
from tests.server import Server
from tests.signaling.bus_contract import final

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of the tests that is long enough"

FAULT = "Traceback"


def new_call() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest_asyncio.fixture(loop_scope="session")
async def http(server):
    before = server.log.read_text().count(FAULT)
    async with aiohttp.ClientSession(server.url) as session:
        yield session
    assert server.log.read_text().count(FAULT) == before, "whatever came, it was no fault"


async def problem_of(reply: aiohttp.ClientResponse) -> dict:
    """The problem document; what RFC 9457 and the contract say of each is checked here."""
    assert reply.headers["Content-Type"].split(";")[0] == "application/problem+json"
    document = await reply.json(content_type=None)
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"]
    assert document["status"] == reply.status
    assert document["code"] in HTTP_STATUS
    return document


async def refusal(reply: aiohttp.ClientResponse) -> tuple[int, str]:
    document = await problem_of(reply)
    assert reply.status in (HTTP_STATUS[document["code"]], 405)
    return reply.status, document["code"]


async def held(folder: Path, call: str, *texts: str, feed: str = SPOKEN, started_at_ms: int = 0):
    """A call of the past, as another run of the server left it in the store."""
    async with SqliteStore(folder / "surtitle.db") as store:
        await store.save_call(CallRecord(call, started_at_ms, started_at_ms + 60_000))
        finals = [
            final(f"u{n}", text, call=call, feed=feed, start_ms=1000 * n, end_ms=1000 * n + 900)
            for n, text in enumerate(texts, start=1)
        ]
        captions = [caption.numbered(n) for n, caption in enumerate(finals, start=1)]
        await store.save_captions(captions)
        return captions


# --- calls ----------------------------------------------------------------------------------


async def test_a_call_is_created_listed_read_and_ended(http):
    call = new_call()
    reply = await http.post("/api/calls", json={"call": call, "language": "de"})
    assert reply.status == 201
    assert reply.headers["Location"] == f"/api/calls/{call}"
    created = await reply.json()
    started = created.pop("started_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", started)
    assert created == {
        "call": call,
        "state": "live",
        "source": {"kind": "direct"},
        "participants": [],
        "language": "de",
        "seq": 0,
        "ended_at": None,
        "node": "node-1",
    }
    described = {**created, "started_at": started}
    assert await (await http.get(f"/api/calls/{call}")).json() == described
    assert described in (await (await http.get("/api/calls")).json())["calls"]
    reply = await http.delete(f"/api/calls/{call}")
    assert (reply.status, await reply.read()) == (204, b"")
    ended = await (await http.get(f"/api/calls/{call}")).json()
    assert ended["state"] == "ended"
    assert ended["ended_at"] >= started
    assert ended["node"] is None
    assert (await http.delete(f"/api/calls/{call}")).status == 204, "it is ended"


async def test_a_call_without_an_id_gets_one(http):
    replies = [await http.post("/api/calls", json={}) for _ in range(2)]
    calls = {(await reply.json())["call"] for reply in replies}
    assert len(calls) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_.:-]{1,128}", call) for call in calls)


async def test_the_settings_of_a_call_are_changed_while_it_goes_on(http):
    created = await (await http.post("/api/calls", json={"language": "de"})).json()
    path = f"/api/calls/{created['call']}"
    reply = await http.patch(path, json={"vocabulary": ["Okonkwo"], "profanity": "mask"})
    assert reply.status == 200
    assert (await reply.json())["language"] == "de"
    for wrong in ({"vocabulary": ["a,b"]}, {"vocabulary": [" "]}, {"profanity": "shout"}, []):
        assert await refusal(await http.patch(path, json=wrong)) == (400, "invalid")
    assert (await http.delete(path)).status == 204
    assert await refusal(await http.patch(path, json={})) == (409, "conflict")
    assert await refusal(await http.patch("/api/calls/never", json={})) == (404, "not_found")


async def test_creating_a_call_again_is_the_same_call_and_with_other_settings_a_conflict(http):
    settings = {"call": new_call(), "language": "de", "vocabulary": ["Kubernetes"]}
    first = await http.post("/api/calls", json=settings)
    again = await http.post("/api/calls", json=settings)
    assert first.status == again.status == 201
    assert await first.json() == await again.json()
    for other in ({"language": "fr"}, {"vocabulary": []}, {"profanity": "mask"}):
        reply = await http.post("/api/calls", json=settings | other)
        assert await refusal(reply) == (409, "conflict")
    assert (await (await http.get(f"/api/calls/{settings['call']}")).json())["language"] == "de"


async def test_who_is_in_a_call_is_shown_and_told_of_its_end(http, server):
    call = new_call()
    async with Peer(server.url) as anna:
        await anna.join(call, "Anna", language="en")
        shown = await (await http.get(f"/api/calls/{call}")).json()
        assert shown["participants"] == [
            {
                "id": anna.id,
                "name": "Anna",
                "language": "en",
                "captioned": True,
                "publishing": False,
            }
        ]
        assert (await http.delete(f"/api/calls/{call}")).status == 204
        state = (await anna.until(lambda p: p.events("call:state")[1:]))[0]
        assert state == {"state": "ended", "captioning": False}
        again = await anna.join(call, "Anna")
        assert again["state"] == "live"


async def test_the_number_of_calls_that_are_listed_is_bounded(http):
    for _ in range(2):
        await http.post("/api/calls", json={"call": new_call()})
    assert len((await (await http.get("/api/calls?limit=1")).json())["calls"]) == 1
    for limit in ("0", "-1", "1001", "ten", "", "1.5", "9" * 30, "٣"):
        reply = await http.get("/api/calls", params={"limit": limit})
        assert await refusal(reply) == (400, "invalid"), limit


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/calls/nobody"),
        ("DELETE", "/api/calls/nobody"),
        ("GET", "/api/calls/nobody/transcript"),
        ("GET", "/api/calls/nobody/transcript?format=vtt"),
        ("DELETE", "/api/calls/nobody/transcript"),
        ("GET", "/api/nothing"),
        ("POST", "/nothing"),
    ],
)
async def test_what_is_not_there_is_not_found(http, method, path):
    assert await refusal(await http.request(method, path)) == (404, "not_found")


@pytest.mark.parametrize("path", ["/assets/nothing.js", "/voices/nothing.opus"])
async def test_a_file_that_is_not_there_is_not_found(http, path):
    assert (await http.get(path)).status == 404


@pytest.mark.parametrize("path", ["/voices/..%2Fcli.py", "/assets/..%2F..%2Fhttp.py", "/http.py"])
async def test_no_file_is_served_from_beside_the_page(server, path):
    reply = await raw(server, f"GET {path} HTTP/1.1")
    assert reply.split()[1] == b"404"
    assert b"import" not in reply


@pytest.mark.parametrize("call", ["a%20b", "a%2Fb", "x" * 129, "%00", "a%0A", "%C3%A9", "*", "a?b"])
@pytest.mark.parametrize("rest", ["", "/transcript"])
async def test_a_bad_id_is_invalid(server, call, rest):
    call = call.replace("?", "%3F")
    for method in ("GET", "DELETE"):
        reply = await raw(server, f"{method} /api/calls/{call}{rest} HTTP/1.1")
        assert reply.split()[1] == b"400", reply
        assert b'"code": "invalid"' in reply


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/calls", {"GET", "HEAD", "POST"}),
        ("PUT", "/api/calls/a", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("POST", "/api/calls/a/transcript", {"GET", "HEAD", "DELETE"}),
        ("DELETE", "/health", {"GET", "HEAD"}),
        ("POST", "/", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_told_which_are_right(http, method, path, allowed):
    reply = await http.request(method, path)
    assert await refusal(reply) == (405, "invalid")
    assert set(reply.headers["Allow"].split(",")) == allowed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'"call"',
        b"\xff\xfe",
        b'{"call": "\xff"}',
        b"[" * 100_000,
        b'{"call": 7}',
        b'{"call": "a/b"}',
        b'{"call": ""}',
        b'{"language": "klingon!"}',
        b'{"language": null}',
        b'{"vocabulary": "word"}',
        b'{"vocabulary": ["\\ud800"]}',
        b'{"source": {"kind": "carrier pigeon"}}',
        b'{"source": "direct"}',
        b'{"retention_days": 0}',
        b'{"retention_days": 1e3}',
        b'{"retention_days": NaN}',
        b'{"profanity": "shout"}',
    ],
    ids=lambda body: ascii(body)[2:30],
)
async def test_a_wrong_body_is_invalid(http, body):
    reply = await http.post("/api/calls", data=body)
    assert await refusal(reply) == (400, "invalid")


async def test_a_body_in_an_unknown_charset_is_invalid(http):
    kind = {"Content-Type": "application/json; charset=klingon"}
    reply = await http.post("/api/calls", data=b"{}", headers=kind)
    assert await refusal(reply) == (400, "invalid")


async def test_a_body_that_is_too_large_is_not_read(http):
    body = json.dumps({"call": new_call(), "more": "x" * LARGEST_BODY}).encode()
    reply = await http.post("/api/calls", data=body)
    assert await refusal(reply) == (413, "too_large")
    small = json.dumps({"call": new_call(), "more": "x" * (LARGEST_BODY - 100)}).encode()
    assert (await http.post("/api/calls", data=small)).status == 201


async def raw(server, *lines: str) -> bytes:
    """A request as nobody's library would send it; the whole answer."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    request = [*lines, f"Host: {address.netloc}", "Connection: close", "", ""]
    writer.write("\r\n".join(request).encode("latin-1"))
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "query",
    [
        "q=\xff",
        "q=%FF",
        "q=%ED%A0%80",
        "q=%00",
        "participant=\xff",
        "call=\xff",
        "cursor=\xff",
        "\xff",
    ],
)
async def test_odd_bytes_in_a_query_are_no_fault_of_the_server(server, query):
    answer = await raw(server, f"GET /api/transcripts?{query} HTTP/1.1")
    assert answer.split()[1] in (b"200", b"400"), answer


# --- transcripts ----------------------------------------------------------------------------


async def test_a_transcript_is_had_in_every_format(http, server):
    call = new_call()
    captions = await held(server._folder, call, "Good morning, <everyone>.", "¿Qué tal?")
    wire = {"call": call, "captions": [caption.to_wire() for caption in captions]}
    for query in ("", "?format=json", "?language=spoken"):
        reply = await http.get(f"/api/calls/{call}/transcript{query}")
        assert reply.content_type == "application/json"
        assert await reply.json() == wire
    forms = {
        "vtt": ("text/vtt", "WEBVTT\n\n"),
        "srt": ("application/x-subrip", "1\n00:00:01,000 --> 00:00:01,900\nAnna: Good morning"),
        "txt": ("text/plain", "[00:00:01] Anna: Good morning, <everyone>.\n"),
    }
    for form, (kind, begin) in forms.items():
        reply = await http.get(f"/api/calls/{call}/transcript", params={"format": form})
        assert reply.content_type == kind
        assert reply.charset == "utf-8"
        assert reply.headers["Content-Disposition"] == f'inline; filename="{call}.{form}"'
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        text = await reply.text()
        assert text.startswith(begin)
        assert "¿Qué tal?" in text


async def test_a_transcript_is_of_one_feed(http, server):
    call = new_call()
    await held(server._folder, call, "Guten Morgen", feed="de")
    assert (await (await http.get(f"/api/calls/{call}/transcript")).json())["captions"] == []
    reply = await http.get(f"/api/calls/{call}/transcript?language=de")
    assert [c["text"] for c in (await reply.json())["captions"]] == ["Guten Morgen"]


@pytest.mark.parametrize("query", ["format=docx", "format=", "language=auto", "language=a/b"])
async def test_an_unknown_format_or_feed_is_invalid(http, server, query):
    call = new_call()
    await held(server._folder, call, "word")
    reply = await http.get(f"/api/calls/{call}/transcript?{query}")
    assert await refusal(reply) == (400, "invalid")


async def test_an_erased_transcript_is_gone_from_everywhere(http, server):
    call, word = new_call(), f"secret{secrets.token_hex(6)}"
    await held(server._folder, call, f"a {word}", "and more")
    assert len((await (await http.get(f"/api/transcripts?q={word}")).json())["captions"]) == 1
    for _ in range(2):
        reply = await http.delete(f"/api/calls/{call}/transcript")
        assert (reply.status, await reply.read()) == (204, b"")
    assert (await (await http.get(f"/api/calls/{call}/transcript")).json())["captions"] == []
    assert (await (await http.get(f"/api/transcripts?q={word}")).json())["captions"] == []
    assert (await http.get(f"/api/calls/{call}")).status == 200, "the call itself is remembered"
    files = [path.name for path in server._folder.iterdir() if word.encode() in path.read_bytes()]
    assert files == []


async def test_words_are_found_page_by_page(http, server):
    call, word = new_call(), f"w{secrets.token_hex(6)}"
    await held(server._folder, call, *(f"{word} {n}" for n in range(5)), started_at_ms=10**6)
    seen, cursor, pages = [], {}, 0
    while cursor is not None:
        reply = await http.get("/api/transcripts", params={"q": word, "limit": "2", **cursor})
        body = await reply.json()
        seen += [caption["text"] for caption in body["captions"]]
        cursor = {"cursor": body["cursor"]} if "cursor" in body else None
        pages += 1
    assert seen == [f"{word} {n}" for n in (4, 3, 2, 1, 0)]
    assert pages == 3
    for narrowed, count in (
        ({"call": call}, 5),
        ({"call": "nobody"}, 0),
        ({"participant": "p-anna"}, 5),
        ({"participant": "p-ben"}, 0),
        ({"from": "1003000"}, 3),
        ({"to": "1003000"}, 2),
    ):
        reply = await http.get("/api/transcripts", params={"q": word, **narrowed})
        assert len((await reply.json())["captions"]) == count, narrowed


@pytest.mark.parametrize(
    "query",
    [
        {"call": "a/b"},
        {"participant": "a b"},
        {"from": "yesterday"},
        {"to": "-1"},
        {"limit": "0"},
        {"limit": "501"},
        {"cursor": "x"},
        {"cursor": "9" * 19},
        {"q": "x" * 1001},
    ],
    ids=lambda query: repr(query)[:20],
)
async def test_a_search_with_odd_bounds_is_invalid(http, query):
    assert await refusal(await http.get("/api/transcripts", params=query)) == (400, "invalid")


# --- the process ----------------------------------------------------------------------------


async def test_health_names_all_that_the_contract_does(http):
    reply = await http.get("/health")
    assert reply.status == 200
    body = await reply.json()
    assert body["status"] == "healthy"
    assert body["recognizer"] == "ready"
    assert body["node"] == "node-1"
    assert body["checks"]["store"]["ok"] is True
    assert body["checks"]["store"]["latency_ms"] >= 0
    assert body["uptime_seconds"] >= 0
    assert 0 <= body["active_streams"] <= body["capacity_streams"]
    assert re.match(r"\d+\.\d+", body["version"])


async def test_a_server_that_takes_calls_is_ready(http):
    reply = await http.get("/ready")
    assert (reply.status, await reply.json()) == (200, {"ready": True})


async def test_without_turn_there_are_no_ice_servers(http):
    assert await (await http.get("/api/ice-servers")).json() == {"ice_servers": []}


async def test_the_page_is_served_with_all_it_needs_and_lets_nobody_frame_it(http):
    reply = await http.get("/")
    assert reply.content_type == "text/html"
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    needed = re.findall(r'(?:src|href)="(/[^"]+|\./[^"]+)"', await reply.text())
    assert needed
    for path in needed:
        assert (await http.get(path.removeprefix("."))).status == 200, path


# --- with a secret --------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    await held(folder, "mine", "one word of mine")
    await held(folder, "other", "one word of others")
    turn = ("--turn-url", "turn:turn.example.org", "--turn-secret", "north")
    async with Server(folder, "--secret", SECRET, "--capacity", "1000", *turn) as running:
        yield running
        log = running.log.read_text()
    assert FAULT not in log
    assert SECRET not in log


def forged() -> str:
    return SharedSecret(SECRET + "!").issue("p-anna", "*", GRANTS, None, 60)


def token(*grants: str, call: str = "mine", subject: str = "p-anna", seconds: int = 3600) -> str:
    return SharedSecret(SECRET).issue(subject, call, grants, None, seconds)


def bearer(*grants: str, **more) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(*grants, **more)}"}


ROUTES = [
    ("POST", "/api/calls", "manage", {"json": {"call": "mine"}}),
    ("GET", "/api/calls", "read", {}),
    ("GET", "/api/calls/mine", "read", {}),
    ("DELETE", "/api/calls/mine", "manage", {}),
    ("GET", "/api/calls/mine/transcript", "read", {}),
    ("DELETE", "/api/calls/mine/transcript", "manage", {}),
    ("GET", "/api/transcripts", "read", {}),
    ("GET", "/api/transcripts?call=mine", "read", {}),
]


@pytest.mark.parametrize(("method", "path", "grant", "body"), ROUTES)
async def test_a_route_refuses_without_its_grant(guarded, method, path, grant, body):
    async with aiohttp.ClientSession(guarded.url) as http:
        for headers in (
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer rubbish"},
            {"Authorization": f"Basic {token(grant)}"},
            {"Authorization": f"Bearer {forged()}"},
            bearer(*GRANTS, call="*", seconds=-60),
        ):
            reply = await http.request(method, path, headers=headers, **body)
            assert await refusal(reply) == (401, "unauthorized"), headers
            assert reply.headers["WWW-Authenticate"] == "Bearer"
        others = bearer(*(g for g in GRANTS if g != grant), call="*")
        reply = await http.request(method, path, headers=others, **body)
        assert await refusal(reply) == (403, "forbidden")
        if "mine" in f"{path}{body}":
            elsewhere = bearer(*GRANTS, call="other")
            reply = await http.request(method, path, headers=elsewhere, **body)
            assert await refusal(reply) == (403, "forbidden")


async def test_a_route_serves_with_its_grant_and_no_other(guarded):
    async with aiohttp.ClientSession(guarded.url) as http:
        for method, path, grant, body in ROUTES:
            for call in ("mine", "*"):
                headers = bearer(grant, call=call)
                reply = await http.request(method, path, headers=headers, **body)
                assert reply.status in (200, 201, 204), (method, path, call)


async def test_a_token_for_one_call_sees_and_makes_no_other(guarded):
    async with aiohttp.ClientSession(guarded.url, headers=bearer("read", "manage")) as http:
        calls = (await (await http.get("/api/calls?limit=1")).json())["calls"]
        assert [c["call"] for c in calls] == ["mine"]
        found = (await (await http.get("/api/transcripts?q=word")).json())["captions"]
        assert {c["call"] for c in found} <= {"mine"}
        for body in ({}, {"call": "another"}):
            assert await refusal(await http.post("/api/calls", json=body)) == (403, "forbidden")
    anywhere = bearer("read", "manage", call="*")
    async with aiohttp.ClientSession(guarded.url, headers=anywhere) as http:
        found = (await (await http.get("/api/transcripts?q=word")).json())["captions"]
        assert "other" in {c["call"] for c in found}
        assert (await http.post("/api/calls", json={})).status == 201


async def test_a_stranger_s_body_is_not_even_read(guarded):
    async with aiohttp.ClientSession(guarded.url) as http:
        reply = await http.post("/api/calls", data=b"{")
        assert await refusal(reply) == (401, "unauthorized")


async def test_turn_credentials_are_for_those_with_a_token(guarded):
    async with aiohttp.ClientSession(guarded.url) as http:
        assert await refusal(await http.get("/api/ice-servers")) == (401, "unauthorized")
        reply = await http.get("/api/ice-servers", headers=bearer())
        (server,) = (await reply.json())["ice_servers"]
        assert server["urls"] == ["turn:turn.example.org"]
        assert server["username"].endswith(":p-anna")


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/metrics"])
async def test_what_is_no_call_s_business_needs_no_token(guarded, path):
    async with aiohttp.ClientSession(guarded.url) as http:
        assert (await http.get(path)).status == 200


@pytest.mark.parametrize("odd", ["\xff", "a.b.\xff", "\ud800"])
async def test_an_odd_token_is_unauthorized_and_no_fault(guarded, odd):
    header = "Authorization: Bearer " + odd.replace("\ud800", "\xed\xa0\x80")
    answer = await raw(guarded, "GET /api/calls HTTP/1.1", header)
    assert answer.split()[1] == b"401"
    assert await handshake(guarded, {"token": odd}) == "unauthorized"


async def handshake(server, auth) -> str | None:
    """The code with which it is refused; None where it is not."""
    client = socketio.AsyncClient(reconnection=False)
    refused: list = []
    client.on("connect_error", refused.append)
    with contextlib.suppress(socketio.exceptions.ConnectionError):
        await client.connect(server.url, auth=auth, transports=["websocket"])
        await client.disconnect()
        return None
    assert refused[0]["data"]["code"] == refused[0]["message"]
    return refused[0]["message"]


@pytest.mark.parametrize(
    "auth",
    [
        None,
        {},
        "token",
        {"token": None},
        {"token": 7},
        {"token": ["a"]},
        {"token": ""},
        {"token": "rubbish"},
        {"token": forged()},
        {"token": token(*GRANTS, call="*", seconds=-60)},
    ],
    ids=lambda auth: repr(auth)[:20],
)
async def test_a_handshake_without_a_good_token_is_refused_as_unauthorized(guarded, auth):
    assert await handshake(guarded, auth) == "unauthorized"
    assert await handshake(guarded, {"token": token()}) is None


@pytest.mark.parametrize(
    ("event", "payload", "grant"),
    [("call:join", {"call": "mine"}, "join"), ("call:watch", {"call": "mine"}, "watch")],
)
async def test_an_event_is_refused_without_its_grant_or_for_another_call(
    guarded, event, payload, grant
):
    others = token(*(g for g in GRANTS if g != grant), call="*")
    for bad in (others, token(*GRANTS, call="other")):
        async with Peer(guarded.url, bad) as peer:
            answer = await peer.ask(event, payload)
            assert (answer["ok"], answer["error"]["code"]) == (False, "forbidden")
            for follow_up in ("captions:since", "media:close", "call:update"):
                assert (await peer.ask(follow_up, {"since": 0}))["error"]["code"] == "conflict"
    async with Peer(guarded.url, token(grant)) as peer:
        assert (await peer.ask(event, payload))["ok"]


async def test_audio_is_refused_without_publish_and_all_of_a_call_to_its_watchers(guarded):
    offer = {"sdp": "v=0", "type": "offer"}
    async with (
        Peer(guarded.url, token("join", "watch", "read", "manage")) as silent,
        Peer(guarded.url, token("watch", subject="p-ben")) as watcher,
    ):
        await silent.join("mine", "Anna")
        assert (await silent.ask("media:offer", offer))["error"]["code"] == "forbidden"
        assert (await watcher.ask("call:watch", {"call": "mine"}))["ok"]
        for event, payload in (
            ("media:offer", offer),
            ("media:candidate", {"candidate": ""}),
            ("media:close", {}),
            ("peer:signal", {"to": silent.id, "data": 1}),
        ):
            assert (await watcher.ask(event, payload))["error"]["code"] == "forbidden", event
        assert silent.events("peer:signal") == []


async def test_a_participant_is_who_the_token_says(guarded):
    good = SharedSecret(SECRET).issue("p-7", "mine", ("join",), "Anna from the token", 60)
    async with Peer(guarded.url, good) as named, Peer(guarded.url, token("join")) as other:
        answer = await named.ask("call:join", {"call": "mine"})
        assert answer["participant"] == "p-7"
        assert [p["name"] for p in answer["participants"]] == ["Anna from the token"]
        assert answer["ice_servers"][0]["username"].endswith(":p-7")
        assert (await other.join("mine", "Me"))["participant"] == "p-anna"
