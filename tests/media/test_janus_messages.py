"""Reading what Janus says: whatever comes, what is read has the shape that was promised."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.janus.messages import (
    BadMessage,
    FeedStream,
    Person,
    RoomNews,
    lines,
    read_message,
    room_news,
)

PROPERTY = settings(deadline=None, derandomize=True, max_examples=300)

WORDS = st.sampled_from(
    [
        *("janus", "event", "success", "error", "ack", "trickle", "server_info", "hangup"),
        *("transaction", "sender", "plugindata", "data", "jsep", "sdp", "type", "reason"),
        *("videoroom", "joined", "attached", "updated", "destroyed", "publishers", "attendees"),
        *("joining", "leaving", "unpublished", "kicked", "streams", "mid", "feed_id", "feed_mid"),
        *("id", "display", "active", "codec", "opus", "audio", "disabled", "error_code", "code"),
        *("candidate", "session-timeout", "ok", "0"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=6)
    ),
    max_leaves=30,
)


@PROPERTY
@given(st.text() | VALUES.map(json.dumps))
def test_any_text_is_a_message_or_a_bad_one(text):
    try:
        message = read_message(text)
    except BadMessage:
        return
    assert isinstance(message.kind, str)
    assert isinstance(message.topic, str)
    assert message.handle is None or type(message.handle) is int
    assert message.sdp is None or isinstance(message.sdp, str)
    assert message.data is None or isinstance(message.data, dict)
    if message.error:
        code, words = message.error
        assert type(code) is int
        assert len(words) <= 200


@PROPERTY
@given(st.dictionaries(WORDS, VALUES))
def test_any_object_has_news_of_people_with_ids_and_streams(data):
    news = room_news(data)
    for person in (*news.people, *news.renamed):
        assert type(person.feed) in (int, str)
        assert all(isinstance(mid, str) and mid for mid in person.audio or ())
    for feed in (*news.gone, *news.unpublished):
        assert type(feed) in (int, str)
    for mid, stream in lines(data).items():
        assert isinstance(mid, str)
        assert stream is None or (type(stream.feed) in (int, str) and isinstance(stream.mid, str))


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '{"janus": 1}', '"janus"', "[" * 100_000, '{"janus": "event"'],
)
def test_what_is_no_message_is_a_bad_one(text):
    with pytest.raises(BadMessage):
        read_message(text)


def test_people_are_known_by_the_opus_streams_that_they_send():
    streams = [
        {"type": "audio", "mid": "0", "codec": "opus"},
        {"type": "video", "mid": "1", "codec": "vp8"},
        {"type": "audio", "mid": "2", "codec": "g722"},
        {"type": "audio", "mid": "3", "codec": "opus", "disabled": True},
        {"type": "data", "mid": "4"},
        {"type": "audio", "mid": "5", "codec": "opus"},
        {"type": "audio", "mid": "5", "codec": "opus"},
    ]
    data = {"videoroom": "joined", "id": 1, "publishers": [{"id": 7, "streams": streams}]}
    assert room_news(data).people == (Person(7, None, ("0", "5")),)


def test_those_who_only_listen_are_people_too():
    data = {"attendees": [{"id": "a", "display": "Anna"}], "joining": {"id": "b"}}
    assert room_news(data).people == (Person("a", "Anna"), Person("b", None))


def test_ok_means_ourselves_and_nobody_else():
    assert room_news({"leaving": "ok", "reason": "kicked"}) == RoomNews(kicked=True)
    assert room_news({"unpublished": "ok"}) == RoomNews()
    assert room_news({"leaving": "ok"}) == RoomNews()
    assert room_news({"kicked": "anna"}) == RoomNews(gone=("anna",))


def test_a_line_is_somebodys_or_nobodys():
    streams = [
        {"mid": "0", "active": True, "feed_id": 7, "feed_mid": "0"},
        {"mid": "1", "active": False, "feed_id": 7, "feed_mid": "1"},
        {"mid": "2", "active": True},
        {"mid": 3, "feed_id": 7, "feed_mid": "0"},
    ]
    assert lines({"streams": streams}) == {"0": FeedStream(7, "0"), "1": None, "2": None}


@pytest.mark.parametrize("feed", [True, 1.5, -1, 2**64, "", "x" * 2000, None, ["a"], {"id": 1}])
def test_what_is_no_id_is_nobody(feed):
    assert room_news({"publishers": [{"id": feed}], "leaving": feed}) == RoomNews()
