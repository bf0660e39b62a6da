"""`subscribe-call` as an older client says it, to a real gateway."""

from __future__ import annotations

from tests.lone_gateway import EPOCH, lone_gateway
from tests.peer import Peer
from tests.signaling.bus_contract import final, partial


async def test_an_older_client_is_told_transcripts_beside_captions_until_it_watches_anew(tmp_path):
    async with (
        lone_gateway(tmp_path, ["a", "b"]) as (running, bus),
        Peer(running.url) as older,
        Peer(running.url) as newer,
    ):
        await bus.publish_final(EPOCH, final("u0", "before", call="a"))
        answer = await older.ask("subscribe-call", "a")
        assert answer == await newer.ask("call:watch", {"call": "a"})
        assert [caption["text"] for caption in answer["captions"]] == ["before"]
        started_at_ms = running._calls.live["a"].shared.record.started_at_ms

        await bus.publish_partial(EPOCH, partial("u1", 1, "ask", call="a", end_ms=1500))
        await bus.publish_final(EPOCH, final("u1", "ask not", call="a", end_ms=1900))
        await older.until(lambda p: len(p.events("transcript")) == 2)
        whole = {"call_uuid": "a", "speaker": "Anna"}
        assert older.events("transcript") == [
            whole | {"transcript": text, "is_partial": partly, "timestamp": started_at_ms + end_ms}
            for text, partly, end_ms in (("ask", True, 1500), ("ask not", False, 1900))
        ]
        assert older.captions == newer.captions
        assert not newer.events("transcript")

        assert (await older.ask("subscribe-call", {"call": "b"}))["ok"]
        await bus.publish_final(EPOCH, final("u2", call="a"))
        await bus.publish_final(EPOCH, final("u3", "of another call", call="b"))
        await older.until(lambda p: len(p.events("transcript")) == 3)
        assert older.events("transcript")[-1]["transcript"] == "of another call"

        assert (await older.ask("call:watch", {"call": "b"}))["ok"]
        await bus.publish_final(EPOCH, final("u4", call="b"))
        await older.until(lambda p: len(p.captions) == 4)
        assert len(older.events("transcript")) == 3


async def test_what_names_no_call_is_refused(tmp_path):
    async with lone_gateway(tmp_path, []) as (running, _), Peer(running.url) as older:
        for wrong in ("", "no such/id", None, 7, ["a"], {}):
            answer = await older.ask("subscribe-call", wrong)
            assert answer["error"]["code"] == "invalid", wrong
