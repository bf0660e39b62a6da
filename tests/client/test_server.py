"""The client and a server as an operator starts it, with people who speak."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import jiwer
import jwt
import psutil
import pytest
from engineio import base_client

from surtitle.client import Client, Rtp, SurtitleError
from tests.e2e.test_call import clips, new_call, said, speak
from tests.peer import Microphone, Peer
from tests.recordings import normalized
from tests.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of thirty-two characters and more"


@asynccontextmanager
async def spoken(server: Server, call: str, name: str = "Joe", count: int = 1) -> AsyncIterator:
    """Somebody who said some sentences, and is still there."""
    async with Peer(server.url) as peer:
        await peer.join(call, name, language="en")
        await speak(peer, *clips(name)[:count])
        yield peer


def token(*grants: str, call: str = "*", seconds: float = 60) -> str:
    claims = {
        "aud": "surtitle",
        "sub": "bot",
        "exp": datetime.now(UTC) + timedelta(seconds=seconds),
        "call": call,
        "grants": list(grants),
    }
    return jwt.encode(claims, SECRET, "HS256")


def texts(captions) -> str:
    return normalized(" ".join(caption.text for caption in captions))


async def test_what_people_say_is_read_while_they_speak_and_afterwards(server):
    call, joe = new_call(), clips("Joe")
    async with Client(server.url) as client:
        async with client.captions(call) as captions:
            speaking = asyncio.create_task(_speak_and_end(client, server, call, *joe))
            heard = [caption async for caption in captions]
            await speaking
        finals = [caption for caption in heard if caption.final]
        assert [final.seq for final in finals] == list(range(1, len(finals) + 1))
        assert len(heard) > 3 * len(finals)
        assert jiwer.wer(said(*joe), texts(finals)) <= 0.06
        assert all(final.words and 0 < final.confidence <= 1 for final in finals)

        assert await client.transcripts.get(call) == tuple(finals)
        assert (await client.transcripts.text(call, "vtt")).startswith("WEBVTT")
        assert finals[0].text in await client.transcripts.text(call, "txt")
        assert "-->" in await client.transcripts.text(call, "srt")


async def _speak_and_end(client: Client, server: Server, call: str, *recordings) -> None:
    async with Peer(server.url) as peer:
        await peer.join(call, "Joe", language="en")
        await speak(peer, *recordings)
        await client.calls.end(call)


async def test_who_reads_another_language_gets_it(server):
    call = new_call()
    async with Client(server.url) as client, spoken(server, call):
        async with asyncio.timeout(60):
            async for caption in client.captions(call, language="pt", partials=False):
                assert (caption.language, caption.source_language) == ("pt", "en")
                assert caption.source_text
                break
        assert "pt" in (await client.languages()).captions


async def test_a_call_is_created_read_changed_ended_and_erased(server):
    call = new_call()
    async with Client(server.url) as client:
        begun = await client.calls.create(call, language="en", vocabulary=["Okonkwo"])
        assert (begun.call, begun.state, begun.language, begun.seq) == (call, "live", "en", 0)
        assert begun.source == {"kind": "direct"}
        assert datetime.now(UTC) - begun.started_at < timedelta(minutes=1)
        with pytest.raises(SurtitleError) as refused:
            await client.calls.create(call, language="pt")
        assert refused.value.code == "conflict"
        assert await client.calls.create(call, language="en", vocabulary=["Okonkwo"]) == begun
        assert (await client.calls.change(call, profanity="mask")).call == call
        async with spoken(server, call) as peer:
            there = await client.calls.get(call)
            assert [(p.id, p.name) for p in there.participants] == [(peer.id, "Joe")]
            assert there.seq > 0
        assert call in {one.call for one in await client.calls.list(1000)}
        await client.calls.end(call)
        ended = await client.calls.get(call)
        assert ended.state == "ended"
        assert ended.ended_at > begun.started_at
        assert await client.transcripts.get(call)
        await client.transcripts.erase(call)
        assert await client.transcripts.get(call) == ()
        with pytest.raises(SurtitleError) as refused:
            await client.calls.end("nobody-was-there")
        assert refused.value.code == "not_found"


async def test_a_call_takes_its_audio_from_where_it_is_told(server):
    async with Client(server.url) as client:
        there = await client.calls.create(source=Rtp())
        assert there.source["kind"] == "rtp"
        assert there.source["port"] > 0
        await client.calls.end(there.call)


async def test_what_was_said_is_found_page_by_page(server):
    call = new_call()
    start = datetime.now(UTC)
    async with Client(server.url) as client, spoken(server, call, "Ada", 2):
        finals = await client.transcripts.get(call)
        await client.calls.end(call)
        found = [c async for c in client.transcripts.search(call=call, page=1)]
        assert len(finals) >= 2
        assert sorted(c.seq for c in found) == [final.seq for final in finals]
        word = finals[0].text.split()[-1].strip(".,?!")
        assert finals[0] in [c async for c in client.transcripts.search(word, call=call)]
        assert [c async for c in client.transcripts.search(call=call, until=start)] == []


async def test_health_is_told(server):
    async with Client(server.url) as client:
        health = await client.health()
        assert health.status in ("healthy", "degraded")
        assert health.checks["store"].ok
        assert health.version


async def test_leaving_the_client_leaves_no_task_and_no_connection_behind(server):
    call = new_call()
    before, files = asyncio.all_tasks(), psutil.Process().num_fds()
    async with spoken(server, call):
        tasks = asyncio.all_tasks()
        async with Client(server.url) as client:
            kept = [client.captions(call) for _ in range(3)]
            for captions in kept:
                assert (await anext(captions)).final
            assert len(base_client.connected_clients) == 4  # three, and who speaks
            assert len(asyncio.all_tasks()) > len(tasks)
        assert asyncio.all_tasks() <= tasks
        assert len(base_client.connected_clients) == 1
    assert asyncio.all_tasks() <= before
    assert psutil.Process().num_fds() <= files


async def test_a_token_is_asked_for_again_when_the_last_one_has_run_out(tmp_path):
    call, asked = new_call(), []

    async def fresh() -> str:
        asked.append(len(asked))
        return token("read", "manage", "watch", seconds=-60 if len(asked) == 1 else 60)

    async with Server(tmp_path, "--secret", SECRET) as server:
        async with Client(server.url, token=fresh) as client:
            assert (await client.calls.create(call)).call == call
            assert len(asked) == 2
            events = client.events(call)
            assert (await anext(events)).state == "live"
            assert len(asked) == 3
            await client.calls.end(call)
            assert [event.state async for event in events] == ["ended"]
        refusals = {
            None: "unauthorized",
            "nonsense": "unauthorized",
            token("read"): "forbidden",
            token("watch", call="another"): "forbidden",
        }
        for kept, code in refusals.items():
            async with Client(server.url, token=kept) as client:
                with pytest.raises(SurtitleError) as refused:
                    await anext(client.captions(call))
                assert refused.value.code == code
        async with Client(server.url, token=lambda: "nonsense") as client:
            with pytest.raises(SurtitleError, match="unauthorized"):
                await anext(client.captions(call))


async def test_a_server_that_is_killed_and_comes_back_costs_no_final_and_doubles_none(tmp_path):
    call, (first, second, third) = new_call(), clips("Ada")
    async with Server(tmp_path) as server, Client(server.url) as client:
        captions, heard = client.captions(call), []
        async with Peer(server.url) as peer:
            await peer.join(call, "Ada", language="en")
            await speak(peer, first)
            await peer.send(Microphone(second.pcm()))
            said_before = normalized(first.text).split()[-1]
            async for caption in captions:
                heard.append(caption)
                if not caption.final and said_before in texts(c for c in heard if c.final):
                    break
            await server.stop(signal.SIGKILL)
        async with Server(tmp_path, "--port", server.url.rsplit(":", 1)[1]) as again:
            async with Peer(again.url) as peer:
                await peer.join(call, "Ada", language="en")
                await speak(peer, third)
                transcript = await client.transcripts.get(call)
                await client.calls.end(call)
            async with asyncio.timeout(60):
                heard += [caption async for caption in captions]
        finals = [caption for caption in heard if caption.final]
        assert [final.seq for final in finals] == list(range(1, len(finals) + 1))
        assert finals == sorted(transcript, key=lambda final: final.seq)
        assert normalized(third.text).split()[-1] in texts(finals)


async def test_a_server_that_goes_down_ends_its_calls_and_reading_them(tmp_path):
    call = new_call()
    async with Server(tmp_path) as server, Client(server.url) as client:
        captions = client.captions(call)
        async with spoken(server, call):
            heard = [await anext(captions)]
            await server.stop()
        async with asyncio.timeout(30):
            heard += [caption async for caption in captions]
        assert [caption.seq for caption in heard] == list(range(1, len(heard) + 1))
        assert captions.state.state == "ended"
