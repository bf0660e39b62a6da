"""Whose m-line it is while messages cross: orders that no Janus can be asked to keep to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from media.janus.audio import JanusAudio
from media.janus.errors import JanusLost
from media.janus.messages import FeedStream, Message
from tests.media.test_janus_offers import offer

ANNA, BERT, CARA = (FeedStream(feed, "0") for feed in ("anna", "bert", "cara"))
HANDLE = 12


class Session:
    """Keeps what is posted; the answers are the test's."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []

    async def attach(self) -> int:
        return HANDLE

    async def post(self, handle: int, body: dict[str, Any], answer: str | None = None) -> str:
        assert handle == HANDLE
        self.posted.append(body)
        return str(len(self.posted))

    def fail(self, reason: str) -> None:
        """The connections of these tests lead nowhere."""

    @property
    def requests(self) -> list[str]:
        return [body["request"] for body in self.posted]


class Stage:
    def __init__(self) -> None:
        self.session = Session()
        self.told: list[tuple[str, str]] = []
        self.tracks: dict[str, Any] = {}
        self.audio = JanusAudio(self.session, {"room": "r"}, self._started, self._ended)

    def _started(self, feed, track) -> None:
        self.told.append(("started", feed))
        self.tracks[feed] = track

    def _ended(self, feed, track) -> None:
        assert track is self.tracks.pop(feed)
        assert track.closed
        self.told.append(("ended", feed))

    async def want(self, *streams: FeedStream) -> None:
        self.audio.want(set(streams))
        await self.audio.advance()

    async def say(
        self,
        topic: str,
        *streams: FeedStream | None,
        sdp: str | None = None,
        error: tuple[int, str] | None = None,
        transaction: str | None = None,
    ) -> None:
        lines = [
            {
                "mid": str(mid),
                "active": stream is not None,
                **({"feed_id": stream.feed, "feed_mid": stream.mid} if stream else {}),
            }
            for mid, stream in enumerate(streams)
        ]
        data = {"videoroom": topic, "streams": lines}
        await self.audio.take(Message("event", transaction, HANDLE, data, sdp, error))
        await self.audio.advance()

    async def answered(self) -> None:
        """Of all that was posted, the newest."""
        await self.say_started(str(len(self.session.posted)))

    async def say_started(self, transaction: str) -> None:
        message = Message("event", transaction, HANDLE, {"videoroom": "event", "started": "ok"})
        await self.audio.take(message)
        await self.audio.advance()


@pytest_asyncio.fixture
async def stage(monkeypatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    stage = Stage()
    yield stage
    await stage.audio.close()
    assert not stage.tracks


async def with_anna(stage: Stage) -> None:
    await stage.want(ANNA)
    await stage.say("attached", ANNA, sdp=offer("sendonly"), transaction="1")
    await stage.answered()
    assert stage.session.requests == ["join", "start"]


def offer_with(ssrc: int) -> str:
    return offer("sendonly").replace("a=ssrc:1000", f"a=ssrc:{ssrc}")


async def test_a_line_that_passes_to_somebody_else_is_another_track(stage):
    await with_anna(stage)
    await stage.want(ANNA, BERT)
    await stage.say("updated", BERT, sdp=offer_with(2000))
    assert stage.told == [("started", "anna"), ("ended", "anna"), ("started", "bert")]


async def test_a_line_is_nobodys_until_an_offer_says_what_the_messages_say(stage):
    await with_anna(stage)
    await stage.want(ANNA, BERT)
    await stage.say("updated", BERT)
    assert stage.told[1:] == [("ended", "anna")]
    await stage.say("updated", BERT, sdp=offer_with(2000))
    assert stage.told[2:] == [("started", "bert")]


async def test_the_same_stream_with_another_ssrc_is_another_track(stage):
    await with_anna(stage)
    await stage.say("updated", ANNA, sdp=offer_with(2000))
    assert stage.told[1:] == [("ended", "anna"), ("started", "anna")]


async def test_an_offer_that_changes_nothing_for_somebody_leaves_their_track_alone(stage):
    await with_anna(stage)
    await stage.want(ANNA, BERT)
    await stage.say("updated", ANNA, BERT, sdp=offer("sendonly", "sendonly"))
    assert stage.told[1:] == [("started", "bert")]


async def test_whoever_is_not_wanted_any_more_is_not_begun_by_a_late_answer(stage):
    await stage.want(ANNA)
    await stage.want()
    await stage.say("attached", ANNA, sdp=offer("sendonly"), transaction="1")
    assert stage.told == []


async def test_one_request_waits_for_the_one_before_it(stage):
    await stage.want(ANNA)
    await stage.want(ANNA, BERT)
    assert stage.session.requests == ["join"]
    await stage.say("attached", ANNA, sdp=offer("sendonly"), transaction="1")
    assert stage.session.requests == ["join", "start"]
    await stage.say_started("2")
    assert stage.session.requests == ["join", "start", "update"]
    assert stage.session.posted[-1]["subscribe"] == [{"feed": "bert", "mid": "0"}]


async def test_an_offer_that_crosses_a_request_is_answered_and_the_request_still_counts(stage):
    await with_anna(stage)
    await stage.want(ANNA, BERT)  # 3, the update
    await stage.say("updated", None, sdp=offer("inactive"))  # Anna's line, by itself
    await stage.say_started("4")
    assert stage.session.requests[2:] == ["update", "start"]
    await stage.say("updated", BERT, sdp=offer_with(2000), transaction="3")
    assert stage.told[1:] == [("ended", "anna"), ("started", "bert")]


async def test_an_offer_that_is_announced_is_waited_for(stage):
    await with_anna(stage)
    await stage.want(ANNA, BERT)
    await stage.say("updating", transaction="3")
    await stage.want(ANNA, BERT, CARA)
    assert stage.session.requests[2:] == ["update"]
    await stage.say("updated", ANNA, BERT, sdp=offer("sendonly", "sendonly"))
    await stage.answered()
    assert stage.session.requests[2:] == ["update", "start", "update"]


async def test_an_offer_that_never_comes_is_asked_for_again(stage, monkeypatch):
    await with_anna(stage)
    monkeypatch.setattr("media.janus.audio.ANSWER_SECONDS", 0)
    await stage.want(ANNA, BERT)
    await stage.say("updating", transaction="3")
    stage.audio.overdue()
    await stage.audio.advance()
    assert stage.session.requests[2:] == ["update", "update"]


async def test_a_request_that_is_never_answered_is_a_loss(stage, monkeypatch):
    monkeypatch.setattr("media.janus.audio.ANSWER_SECONDS", 0)
    await stage.want(ANNA)
    assert stage.audio.deadline <= asyncio.get_running_loop().time()
    with pytest.raises(JanusLost):
        stage.audio.overdue()


async def test_a_connection_that_never_comes_about_is_a_loss(stage, monkeypatch):
    monkeypatch.setattr("media.janus.audio.CONNECT_SECONDS", 0)
    await with_anna(stage)
    with pytest.raises(JanusLost):
        stage.audio.overdue()


async def test_what_was_unknown_is_asked_for_again_once_it_is_reported(stage):
    await stage.want(ANNA)
    await stage.say("event", error=(428, "No such feed"), transaction="1")
    await stage.audio.advance()
    assert stage.session.requests == ["join"]
    stage.audio.reported("anna")
    await stage.audio.advance()
    assert stage.session.requests == ["join", "join"]


async def test_any_other_refusal_is_a_loss(stage):
    await stage.want(ANNA)
    with pytest.raises(JanusLost):
        await stage.say("event", error=(433, "Unauthorized"), transaction="1")


@pytest.mark.parametrize("kind", ["hangup", "detached"])
async def test_a_hang_up_is_a_loss(stage, kind):
    with pytest.raises(JanusLost):
        await stage.audio.take(Message(kind, handle=HANDLE, reason="ICE failed"))
