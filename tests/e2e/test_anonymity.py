"""Who hides their name has none in anything that leaves the call, whatever way it takes."""

from __future__ import annotations

import asyncio
import json

import socketio

from tests.e2e.test_erasure import bytes_in, embedded, stage
from tests.peer import Peer
from tests.receiver import Receiver

NAME = "Zoraya Unmistakable"


async def test_the_name_of_who_hides_it_leaves_the_call_by_no_way(tmp_path):
    outlets: dict[str, str] = {}
    async with (
        Receiver() as receiver,
        stage(embedded(tmp_path), receiver) as s,
        Peer(str(s.http._base_url)) as anna,
        socketio.AsyncSimpleClient() as watcher,
    ):
        await s.http.post("/api/calls", json={"call": "c", "captions_languages": ["de"]})
        await anna.join("c", NAME)
        await anna.ask("call:update", {"anonymous": True})
        await watcher.connect(str(s.http._base_url), transports=["websocket"])
        watched = await watcher.call("subscribe-call", "c")
        body = {
            "participant": anna.id,
            "speaker": NAME,
            "language": "en",
            "text": "what was said",
            "start_ms": 0,
            "end_ms": 900,
        }
        reply = await s.http.post(
            "/api/calls/c/captions", json=body, headers={"Idempotency-Key": "k"}
        )
        outlets["answer to who brings"] = await reply.text()
        await anna.ask("call:update", {"language": "de"})
        outlets["acknowledgement"] = json.dumps(watched)
        heard = []
        async with asyncio.timeout(10):
            while {"caption", "transcript", "call:participant"} - {event for event, *_ in heard}:
                heard.append(await watcher.receive())
        outlets["events of a watcher"] = json.dumps(heard)
        for told in await receiver.hears(2, "caption.final"):
            outlets[f"webhook {told.body['data']['feed']}"] = json.dumps(told.body)
        for path in (
            *(f"/api/calls/c/transcript?format={form}" for form in ("json", "vtt", "srt", "txt")),
            "/api/calls/c/transcript?language=de",
            "/api/transcripts?q=said",
            "/api/calls",
            "/api/calls/c",
            *(f"/api/usage?by={by}" for by in ("day", "call", "tenant")),
            "/api/webhooks/deliveries?state=sent",
            "/metrics",
        ):
            async with s.http.get(path) as answer:
                assert answer.status == 200, path
                outlets[path] = await answer.text()
        for feed in ("spoken", "de"):
            async with s.http.get(f"/api/calls/c/captions?language={feed}") as events:
                outlets[f"events of {feed}"] = (await events.content.readuntil(b"\n\n")).decode()
        assert "Anonymous" in outlets["/api/calls/c/transcript?format=vtt"]
        assert "Anonymous" in outlets["/api/calls/c"]
        assert json.loads(outlets["/api/transcripts?q=said"])["captions"]
        assert '"Anonymous"' in outlets["events of a watcher"]
        records = await s.store.participants("c")
        assert [who.name for who in records] == ["Anonymous"]
        found = await s.http.get("/api/transcripts", params={"q": NAME.split()[1]})
        assert (await found.json())["captions"] == [], "nobody finds them by it"
        assert [outlet for outlet, said in outlets.items() if NAME.split()[1] in said] == []
        assert anna.captions[0]["speaker"] == "Anonymous"
    assert NAME.encode() not in await bytes_in(tmp_path)
