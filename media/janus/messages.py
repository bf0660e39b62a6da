"""What Janus and its VideoRoom plugin say, read without trust: anything odd is left out.

Pure. What comes back has the shapes below whatever came in; names are as they came, for
`media.source.display_name`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

Feed = int | str
"""Janus's id for somebody in a room: a number, or a string where `string_ids` is set."""

LARGEST_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes. A roster of thousands fits; see `media.sdp.LARGEST_SFU_OFFER` for offers."""

_LONGEST_ID: Final = 1024
_LONGEST_MID: Final = 64
_LONGEST_REASON: Final = 200
_LARGEST_NUMBER: Final = 2**64


class BadMessage(ValueError):
    """What came is no message of Janus's."""


class FeedStream(NamedTuple):
    """One m-line of one publisher: what can be subscribed to."""

    feed: Feed
    mid: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a room. `display` is whatever Janus gives as a name.

    `audio` has the MIDs of their Opus streams, None where the message is not about them.
    """

    feed: Feed
    display: object
    audio: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RoomNews:
    """What one event says has changed in a room. `kicked` is about ourselves."""

    people: tuple[Person, ...] = ()
    renamed: tuple[Person, ...] = ()
    unpublished: tuple[Feed, ...] = ()
    gone: tuple[Feed, ...] = ()
    kicked: bool = False
    destroyed: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `kind` is Janus's own word for it (`event`, `ack`, `hangup`, …).

    `data` is the plugin's, or what Janus itself has to say by that kind; `sdp` is that of an
    offer or answer with it. `error` is of Janus or the plugin: its code (0 where it has
    none) and its words.
    """

    kind: str
    transaction: str | None = None
    handle: int | None = None
    data: Mapping[str, Any] | None = None
    sdp: str | None = None
    error: tuple[int, str] | None = None
    reason: str = ""

    @property
    def topic(self) -> str:
        """The plugin's word for what it is, such as `joined`; empty where there is none."""
        topic = (self.data or {}).get("videoroom")
        return topic if isinstance(topic, str) else ""


def read_message(text: str) -> Message:
    """`BadMessage` where it is not a JSON object with a `janus`."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("not JSON") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("janus"), str):
        raise BadMessage("not a message of Janus's")
    transaction = raw.get("transaction")
    plugin = _object(raw.get("plugindata"))
    data = _object(plugin.get("data")) if plugin else _own_data(raw)
    return Message(
        kind=raw["janus"],
        transaction=transaction if isinstance(transaction, str) else None,
        handle=number(raw.get("sender")),
        data=data or None,
        sdp=_sdp(raw.get("jsep")),
        error=_error(raw, data if plugin else {}),
        reason=_words(raw.get("reason")),
    )


def number(value: object) -> int | None:
    """A number as Janus gives to sessions, handles and people, None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_NUMBER:
        return value
    return None


def feed_of(value: object) -> Feed | None:
    """An id of somebody, None for anything else."""
    if isinstance(value, str):
        return value if 0 < len(value) <= _LONGEST_ID else None
    return number(value)


def room_news(data: Mapping[str, Any]) -> RoomNews:
    """What an event about the room, or the answer to joining it, says."""
    reported = [_person(each) for each in _list(data.get("publishers"))]
    present = [*_list(data.get("attendees")), data.get("joining")]
    reported += [_person(each, publishing=False) for each in present]
    people = tuple(person for person in reported if person)
    renamed = _person(data, publishing=False) if _is_rename(data) else None
    return RoomNews(
        people=people,
        renamed=(renamed,) if renamed else (),
        unpublished=_others(data.get("unpublished")),
        gone=_others(data.get("leaving")) + _others(data.get("kicked")),
        kicked=data.get("leaving") == "ok" and data.get("reason") == "kicked",
        destroyed=data.get("videoroom") == "destroyed",
    )


def lines(data: Mapping[str, Any]) -> dict[str, FeedStream | None]:
    """Whose the subscriber's m-lines are by MID; None of those that are nobody's now."""
    found: dict[str, FeedStream | None] = {}
    for each in _list(data.get("streams")):
        line = _object(each)
        mid = _mid(line.get("mid"))
        if mid is not None:
            found[mid] = _stream(line)
    return found


def _stream(line: Mapping[str, Any]) -> FeedStream | None:
    feed, mid = feed_of(line.get("feed_id")), _mid(line.get("feed_mid"))
    if feed is None or mid is None or line.get("active", True) is not True:
        return None
    return FeedStream(feed, mid)


def _person(value: object, *, publishing: bool = True) -> Person | None:
    person = _object(value)
    feed = feed_of(person.get("id"))
    if feed is None:
        return None
    audio = tuple(_opus_mids(person)) if publishing else None
    return Person(feed, person.get("display"), audio)


def _opus_mids(publisher: Mapping[str, Any]) -> list[str]:
    streams = [_object(each) for each in _list(publisher.get("streams"))]
    mids = [
        mid
        for stream in streams
        if stream.get("type") == "audio"
        and stream.get("codec", "opus") == "opus"
        and stream.get("disabled", False) is False
        and (mid := _mid(stream.get("mid"))) is not None
    ]
    return list(dict.fromkeys(mids))


def _is_rename(data: Mapping[str, Any]) -> bool:
    return data.get("videoroom") == "event" and "display" in data and "id" in data


def _others(value: object) -> tuple[Feed, ...]:
    """Who has left or stopped; `"ok"` means ourselves."""
    feed = feed_of(value)
    return () if feed is None or feed == "ok" else (feed,)


def _mid(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_MID else None


def _error(raw: Mapping[str, Any], plugin_data: Mapping[str, Any]) -> tuple[int, str] | None:
    if raw["janus"] == "error":
        error = _object(raw.get("error"))
        return number(error.get("code")) or 0, _words(error.get("reason"))
    if "error" in plugin_data or "error_code" in plugin_data:
        return number(plugin_data.get("error_code")) or 0, _words(plugin_data.get("error"))
    return None


def _own_data(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    match raw["janus"]:
        case "server_info":
            return raw
        case "trickle":
            return _object(raw.get("candidate"))
        case _:
            return _object(raw.get("data"))


def _sdp(jsep: object) -> str | None:
    sdp = _object(jsep).get("sdp")
    return sdp if isinstance(sdp, str) else None


def _words(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(char for char in text[:_LONGEST_REASON] if char.isprintable())


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
