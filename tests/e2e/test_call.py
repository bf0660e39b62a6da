"""A direct call from end to end: real ICE, DTLS, SRTP, recognizer, Socket.IO."""

from __future__ import annotations

import asyncio
import secrets

import jiwer
import numpy as np
import pytest

from tests.peer import Microphone, Peer
from tests.recordings import human_voices, normalized, our_voices

pytestmark = pytest.mark.asyncio(loop_scope="session")


def new_call() -> str:
    return f"test-{secrets.token_hex(4)}"


def clips(speaker: str):
    return [r for r in our_voices() if r.speaker == speaker]


def said(*recordings) -> str:
    return normalized(" ".join(r.text for r in recordings))


def check_rules(captions):
    """What the contract promises of every stream of captions."""
    newest = {}
    for caption in captions:
        key = (caption["utterance"], caption["language"])
        before = newest.get(key)
        if before:
            assert not before["final"], "a final never changes"
            assert caption["revision"] > before["revision"]
            assert caption["text"].startswith(before["text"][: before["stable"]])
            assert caption["stable"] >= before["stable"]
        newest[key] = caption
    assert all(caption["final"] for caption in newest.values()), "each utterance has its final"
    numbers = [caption["seq"] for caption in captions if caption["final"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert all(caption["seq"] is None for caption in captions if not caption["final"])


def without_pauses(pcm: np.ndarray) -> np.ndarray:
    """The clip less its stretches of 60 ms and more that are nearly silent."""
    frame = 48_000 * 60 // 1000
    frames = pcm[: len(pcm) // frame * frame].reshape(-1, frame)
    loud = np.abs(frames).max(axis=1) > 600
    return frames[loud].reshape(-1)


async def speak(peer: Peer, *recordings) -> None:
    """Send recordings to the end, then close the media: all is final when this returns."""
    microphone = Microphone(*(r.pcm() for r in recordings))
    await peer.send(microphone)
    await microphone.ended.wait()
    assert (await peer.ask("media:close"))["ok"]


async def test_what_is_said_is_read_by_everybody_while_it_is_said(server):
    call, joe = new_call(), clips("Joe")
    async with Peer(server.url) as anna, Peer(server.url) as watcher:
        await anna.join(call, "Anna", language="en")
        assert (await watcher.ask("call:watch", {"call": call}))["ok"]
        await speak(anna, *joe)
        count = await anna.until(lambda p: len(p.finals()))
        await watcher.until(lambda p: len(p.finals()) == count)
        assert jiwer.wer(said(*joe), normalized(anna.text())) <= 0.06
        assert watcher.captions == anna.captions
        check_rules(anna.captions)
        partials = [c for c in anna.captions if not c["final"]]
        assert len(partials) > 3 * count, "words come while they are spoken"
        for final in anna.finals():
            assert final["speaker"] == "Anna"
            assert final["participant"] == anna.id
            assert final["language"] == final["source_language"] == "en"
            assert 0 < final["confidence"] <= 1
            assert normalized(" ".join(w["text"] for w in final["words"])) == normalized(
                final["text"]
            )
            ends = [w["end_ms"] for w in final["words"]]
            assert ends == sorted(ends)
            assert final["start_ms"] <= final["words"][0]["start_ms"]


async def test_three_people_who_speak_at_once_are_each_under_their_own_name(server):
    call = new_call()
    voices = {name: clips(name) for name in ("Joe", "Ada", "Sam")}
    async with Peer(server.url) as joe, Peer(server.url) as ada, Peer(server.url) as sam:
        peers = {"Joe": joe, "Ada": ada, "Sam": sam}
        for name, peer in peers.items():
            await peer.join(call, name, language="en")
        await asyncio.gather(*(speak(peer, *voices[name]) for name, peer in peers.items()))
        total = {name: len(peer.finals()) for name, peer in peers.items()}
        await joe.until(lambda p: len(p.finals()) == max(total.values()))
        check_rules(joe.captions)
        for name, peer in peers.items():
            mine = joe.finals(peer.id)
            assert {final["speaker"] for final in mine} == {name}
            assert jiwer.wer(said(*voices[name]), normalized(joe.text(peer.id))) <= 0.1


async def test_long_speech_without_a_pause_is_split_and_no_word_is_lost_or_doubled(server):
    call = new_call()
    recordings = clips("Joe")
    # All pauses are taken out, so that nothing but the length can end an utterance.
    whole = np.concatenate([without_pauses(r.pcm()) for r in recordings * 2])
    text = said(*recordings, *recordings)
    async with Peer(server.url) as anna:
        await anna.join(call, "Anna", language="en")
        microphone = Microphone(whole)
        await anna.send(microphone)
        await microphone.ended.wait()
        await anna.ask("media:close")
        await anna.until(lambda p: len(p.finals()) > 1)
        check_rules(anna.captions)
        for final in anna.finals():
            assert final["end_ms"] - final["start_ms"] <= 20_000
        heard = normalized(anna.text())
        result = jiwer.process_words(text, heard)
        assert result.insertions <= 2, heard
        assert result.wer <= 0.1, heard


async def test_a_participant_who_vanishes_in_the_middle_gets_a_final_of_what_was_said(server):
    call, clip = new_call(), clips("Ada")[1]
    async with Peer(server.url) as anna, Peer(server.url) as ben:
        await ben.join(call, "Ben")
        await anna.join(call, "Anna", language="en")
        await anna.send(Microphone(clip.pcm()))
        await ben.until(lambda p: len(p.captions) >= 5 and len(p.captions[-1]["text"]) > 12)
        shown = ben.captions[-1]
        await anna.socket.disconnect()
        final = (await ben.until(lambda p: p.finals(shown["participant"])))[0]
        assert final["text"].startswith(shown["text"][: shown["stable"]])
        check_rules(ben.captions)
        left = await ben.until(
            lambda p: [e for e in p.events("call:participant") if e["event"] == "left"]
        )
        assert left[0]["participant"]["name"] == "Anna"


async def test_a_network_that_dies_without_a_word_gives_a_final_too(server):
    call, clip = new_call(), clips("Sam")[0]
    async with Peer(server.url) as anna, Peer(server.url) as ben:
        await ben.join(call, "Ben")
        await anna.join(call, "Anna", language="en")
        microphone = Microphone(clip.pcm())
        await anna.send(microphone)
        await ben.until(lambda p: len(p.captions) >= 4)
        sender = anna.connection.getSenders()[0]

        async def into_the_void(data):
            return None

        sender.transport._send_rtp = into_the_void
        await ben.until(lambda p: p.finals())
        check_rules(ben.captions)


async def test_a_second_offer_takes_the_place_of_the_first(server):
    call, clip = new_call(), clips("Joe")[0]
    async with Peer(server.url) as anna:
        await anna.join(call, "Anna", language="en")
        await anna.send(Microphone(clip.pcm()))
        first = anna.connection
        await speak(anna, clip)
        await first.close()
        await anna.until(lambda p: p.finals())
        assert jiwer.wer(said(clip), normalized(anna.text())) <= 0.1


async def test_people_are_told_who_comes_changes_and_goes(server):
    call = new_call()
    async with Peer(server.url) as anna, Peer(server.url) as ben:
        await anna.join(call, "Anna")
        answer = await ben.join(call, "Ben", language="de")
        assert {p["name"] for p in answer["participants"]} == {"Anna", "Ben"}
        assert answer["captions"] == []
        assert answer["seq"] == 0
        assert answer["state"] == "live"
        joined = (await anna.until(lambda p: p.events("call:participant")))[0]
        assert joined["event"] == "joined"
        assert joined["participant"] == {
            "id": ben.id,
            "name": "Ben",
            "language": "de",
            "captioned": True,
            "publishing": False,
        }
        update = await ben.ask("call:update", {"name": "Benjamin", "captioned": False})
        assert update["participant"]["name"] == "Benjamin"
        changed = await anna.until(lambda p: p.events("call:participant")[1:])
        assert changed[0]["event"] == "updated"
        assert changed[0]["participant"]["captioned"] is False
        assert (await ben.ask("call:leave"))["ok"]
        left = await anna.until(lambda p: p.events("call:participant")[2:])
        assert left[0]["event"] == "left"


async def test_a_signal_reaches_the_one_it_is_for_and_nobody_else(server):
    call = new_call()
    async with Peer(server.url) as anna, Peer(server.url) as ben, Peer(server.url) as eve:
        await anna.join(call, "Anna")
        await ben.join(call, "Ben")
        await eve.join(new_call(), "Eve")
        data = {"description": {"type": "offer", "sdp": "…"}}
        assert (await anna.ask("peer:signal", {"to": ben.id, "data": data}))["ok"]
        signal = (await ben.until(lambda p: p.events("peer:signal")))[0]
        assert signal == {"from": anna.id, "data": data}
        refused = await anna.ask("peer:signal", {"to": eve.id, "data": data})
        assert refused["error"]["code"] == "not_found"
        large = await anna.ask("peer:signal", {"to": ben.id, "data": "x" * 70_000})
        assert large["error"]["code"] == "too_large"
        assert eve.events("peer:signal") == []


async def test_who_does_not_want_to_be_captioned_is_not(server):
    call, clip = new_call(), clips("Ada")[0]
    async with Peer(server.url) as anna:
        await anna.join(call, "Anna", language="en")
        await anna.ask("call:update", {"captioned": False})
        await speak(anna, clip)
        assert anna.captions == []
        await anna.ask("call:update", {"captioned": True, "anonymous": True})
        await speak(anna, clip)
        await anna.until(lambda p: p.finals())
        assert {c["speaker"] for c in anna.captions} == {"Anonymous"}
        assert jiwer.wer(said(clip), normalized(anna.text())) <= 0.1


async def test_finals_are_told_again_to_who_comes_late_or_missed_some(server):
    call, (one, two, *_) = new_call(), clips("Joe")
    async with Peer(server.url) as anna, Peer(server.url) as late:
        await anna.join(call, "Anna", language="en")
        await speak(anna, one, two)
        finals = await anna.until(lambda p: len(p.finals()) >= 2 and p.finals())
        answer = await late.join(call, "Late")
        assert answer["captions"] == finals
        assert answer["seq"] == finals[-1]["seq"]
        missed = await late.ask("captions:since", {"since": finals[0]["seq"]})
        assert missed["captions"] == finals[1:]
        other = await late.ask("call:update", {"captions_language": "de"})
        assert other["ok"]
        await late.until(lambda p: len(p.finals()) == len(finals))
        again = (await late.ask("captions:since", {"since": 0}))["captions"]
        assert again == late.finals()
        assert {caption["feed"] for caption in again} == {"de"}
        assert [c["utterance"] for c in again] == [c["utterance"] for c in finals]


async def test_human_speech_is_captioned_as_well(server):
    # In a clone that stands alone our own voices take their place.
    recordings = [r for r in human_voices() if r.language == "en"][1:4] or clips("Sam")
    call = new_call()
    async with Peer(server.url) as anna:
        await anna.join(call, "Anna", language="en")
        await speak(anna, *recordings)
        await anna.until(lambda p: p.finals())
        check_rules(anna.captions)
        assert jiwer.wer(said(*recordings), normalized(anna.text())) <= 0.12
