"""A telephony switch brings what it recognized into a call, as stock clients would; all read it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from signaling.captions_http import LARGEST_BODY
from signaling.tokens import GRANTS, SharedSecret
from tests.contract import breaks_of_event
from tests.e2e.test_call import new_call
from tests.peer import Peer
from tests.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of the tests that is long enough"


def said(text: str, at_ms: int = 0, **more: Any) -> dict[str, Any]:
    times = {"start_ms": at_ms, "end_ms": at_ms + 900}
    return {"speaker": "Caller", "language": "en", "text": text, **times, **more}


def with_key(key: str) -> dict[str, str]:
    return {"Idempotency-Key": f'"{key}"'}


async def test_what_a_switch_brings_is_read_in_every_feed_and_kept_once(server):
    call, key = new_call(), "8e03978e-40d5-43e8-bc93-6894a57f9324"
    path = f"/api/calls/{call}"
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=30) as http,
        Peer(server.url) as watcher,
        Peer(server.url) as older,
    ):
        one = said("Good morning.")
        reply = await http.post(f"{path}/captions", json=one, headers=with_key(key))
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
        settings = {"call": call, "profanity": "mask", "captions_languages": ["pt"]}
        assert (await http.post("/api/calls", json=settings)).status_code == 201
        first = await http.post(f"{path}/captions", json=one, headers=with_key(key))
        assert first.status_code == 201

        await watcher.ask("call:watch", {"call": call, "captions_language": "pt"})
        assert (await older.ask("subscribe-call", call))["ok"]
        async with aconnect_sse(http, "GET", f"{path}/captions", params={"language": "pt"}) as pt:
            several = {"captions": [said("Oh shit.", 1000), said("The weather is good.", 2000)]}
            reply = await http.post(f"{path}/captions", json=several, headers=with_key("2"))
            numbered = first.json()["captions"] + reply.json()["captions"]
            assert [c["seq"] for c in numbered] == [1, 2, 3]
            assert [c["text"] for c in numbered] == [
                "Good morning.",
                "Oh s***.",
                "The weather is good.",
            ]
            assert not [fault for c in numbered for fault in breaks_of_event("caption", c)]
            again = await http.post(f"{path}/captions", json=one, headers=with_key(key))
            assert (again.status_code, again.json()) == (first.status_code, first.json())
            other = await http.post(f"{path}/captions", json=several, headers=with_key(key))
            assert (other.status_code, other.json()["code"]) == (422, "invalid")
            async with asyncio.timeout(60):
                finals = []
                async for event in pt.aiter_sse():
                    caption = json.loads(event.data)
                    assert event.event == "caption"
                    if caption["final"]:
                        assert event.id == str(caption["seq"])
                        finals.append(caption)
                    if len(finals) == 3:
                        break
        assert [c["utterance"] for c in finals] == [c["utterance"] for c in numbered]
        assert finals[2]["source_text"] == "The weather is good."
        assert finals[2]["language"] == "pt"
        await older.until(lambda p: len(p.events("transcript")) == 2)
        assert older.events("transcript")[0]["transcript"] == "Oh s***."
        await watcher.until(lambda p: p.finals() and p.finals()[-1]["seq"] == 3)

        transcript = (await http.get(f"{path}/transcript")).json()["captions"]
        assert transcript == numbered
        assert (await http.delete(path)).status_code == 204
        reply = await http.post(f"{path}/captions", json=one, headers=with_key("3"))
        assert (reply.status_code, reply.json()["code"]) == (409, "conflict")
        assert (await http.get(f"{path}/transcript")).json()["captions"] == numbered
        async with aconnect_sse(
            http, "GET", f"{path}/captions", headers={"Last-Event-ID": "2"}
        ) as over:
            kinds = [(event.event, event.id) async for event in over.aiter_sse()]
        assert kinds == [("caption", "3"), ("end", "3")]


async def test_what_cannot_be_brought_is_refused_before_it_is_read_any_further(server):
    call = new_call()
    path = f"/api/calls/{call}/captions"
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        assert (await http.post("/api/calls", json={"call": call})).status_code == 201
        assert (await http.post(path, json=said("no key"))).status_code == 400
        for body in (
            b"",
            b"{",
            b"[]",
            b"7",
            b'{"captions": []}',
            b'{"captions": {}}',
            b"[" * 99999,
        ):
            reply = await http.post(path, content=body, headers=with_key("k"))
            assert (reply.status_code, reply.json()["code"]) == (400, "invalid"), body[:20]
        reply = await http.post(path, content=b" " * (LARGEST_BODY + 1), headers=with_key("k"))
        assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
        longest = {"captions": [said("ü" * 600, n) for n in range(100)]}
        body = json.dumps(longest, ensure_ascii=False).encode()
        assert len(body) > LARGEST_BODY * 0.9
        reply = await http.post(path, content=body, headers=with_key("k"))
        assert reply.status_code == 201
        assert [caption["seq"] for caption in reply.json()["captions"]] == list(range(1, 101))


async def test_who_brings_captions_needs_the_grant_for_that_call(tmp_path):
    async with (
        Server(tmp_path, "--secret", SECRET) as guarded,
        httpx.AsyncClient(base_url=guarded.url, timeout=30) as http,
    ):
        authority = SharedSecret(SECRET)

        def may(*grants: Any, call: str = "a", subject: str = "switch") -> dict[str, str]:
            token = authority.issue(subject, call, grants, None, 60)
            return {"Authorization": f"Bearer {token}", **with_key("k")}

        assert (
            await http.post("/api/calls", json={"call": "a"}, headers=may("manage"))
        ).status_code == 201
        others = tuple(grant for grant in GRANTS if grant != "publish")
        path = "/api/calls/a/captions"
        for headers, status in (
            (with_key("k"), 401),
            (may(*others), 403),
            (may("publish", call="b"), 403),
            (may("publish"), 201),
            (may("publish"), 201),
            (may("publish", subject="another"), 201),
        ):
            assert (await http.post(path, json=said("one"), headers=headers)).status_code == status
        reply = await http.get("/api/calls/a/transcript", headers=may("read"))
        assert len(reply.json()["captions"]) == 2, "each has keys of its own"
    assert "one" not in [word.strip('"') for word in guarded.log.read_text().split()]
