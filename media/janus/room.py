"""One stay in a VideoRoom, from joining to leaving or losing it.

A control handle joins as `publisher` and never publishes: it gets to know who is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import structlog

from media.janus.audio import JanusAudio
from media.janus.captions import JanusCaptions
from media.janus.errors import WRONG_TYPE, JanusLost, JanusRefused
from media.janus.messages import Feed, FeedStream, Message, Person, RoomNews, number, room_news
from media.janus.session import JanusSession
from media.source import (
    Joined,
    Left,
    Tell,
    TrackEnded,
    TrackStarted,
    display_name,
    participant_id,
)
from media.track import Track
from signaling.errors import ContractError
from signaling.sources import Janus

log = structlog.get_logger(__name__)

DISPLAY: Final = "Surtitle captions"
"""Our own name in a room. Whoever has it and sends no audio is not shown."""

_MOST_PEOPLE: Final = 10_000


class People:
    """Who has been told to be in the call: it outlives a lost connection."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._names: dict[str, str] = {}

    def update(self, present: dict[str, str]) -> None:
        """Names by participant: tell what is other than before."""
        for participant in [each for each in self._names if each not in present]:
            del self._names[participant]
            self._tell(Left(participant))
        for participant, name in present.items():
            if self._names.get(participant) != name:
                self._names[participant] = name
                self._tell(Joined(participant, name))


class JanusRoom:
    """`join`, then `attend`, and in the end `close`. Used by one task, but for `captions`."""

    def __init__(self, session: JanusSession, settings: Janus, people: People, tell: Tell) -> None:
        self._session = session
        self._settings = settings
        self._told = people
        self._tell = tell
        self._access: dict[str, Any] = {"room": settings.room}
        if settings.pin:
            self._access["pin"] = settings.pin
        if settings.token:
            self._access["token"] = settings.token
        self._people: dict[Feed, Person] = {}
        self._control = 0
        self._audio: JanusAudio | None = None
        self.captions: JanusCaptions | None = None

    async def join(self) -> None:
        """`JanusRefused` where Janus does not let us in."""
        self._control = await self._session.attach()
        try:
            joined = await self._join(self._settings.room)
        except JanusRefused as error:
            other = _other_type(self._settings.room)
            if error.code != WRONG_TYPE or other is None:
                raise
            joined = await self._join(other)
        if joined.topic != "joined":
            raise JanusLost("Janus answered oddly")
        data = joined.data or {}
        private = number(data.get("private_id"))
        private_id = {} if private is None else {"private_id": private}
        self._audio = JanusAudio(
            self._session, {**self._access, **private_id}, self._started, self._ended
        )
        self.captions = JanusCaptions(self._session, {**self._access, "display": DISPLAY})
        self._learn(room_news(data))

    async def attend(self) -> None:
        """Be there until the room is destroyed. `ContractError` where we are thrown out.

        `JanusLost` where it, or the way to it, is lost.
        """
        assert self._audio is not None
        self._update()
        while True:
            await self._audio.advance()
            try:
                async with asyncio.timeout_at(self._audio.deadline):
                    message = await self._session.next()
            except TimeoutError:
                self._audio.overdue()
                continue
            if message.topic == "destroyed":
                return
            await self._take(message)

    async def close(self) -> None:
        """End all tracks; who is there remains to be told."""
        if self._audio:
            await self._audio.close()
        if self.captions:
            await self.captions.close()

    async def _join(self, room: int | str) -> Message:
        self._access["room"] = room
        body = {"request": "join", "ptype": "publisher", "display": DISPLAY, **self._access}
        return await self._session.request(self._control, body)

    async def _take(self, message: Message) -> None:
        assert self._audio is not None
        if message.handle == self._control:
            if message.kind == "detached":
                raise JanusLost("Janus detached us")
            self._learn(room_news(message.data or {}))
            self._update()
        elif message.handle == self._audio.handle:
            await self._audio.take(message)
        elif self.captions and message.handle == self.captions.handle:
            self.captions.take(message)

    def _learn(self, news: RoomNews) -> None:
        assert self._audio is not None
        if news.kicked:
            raise ContractError("forbidden", "Janus's operator threw the captioner out")
        for feed in news.gone:
            self._people.pop(feed, None)
        for feed in news.unpublished:
            if feed in self._people:
                self._people[feed] = Person(feed, self._people[feed].display, ())
        for person in news.people:
            self._audio.reported(person.feed)
            self._add(person)
        for person in news.renamed:
            if person.feed in self._people:
                self._add(person)

    def _add(self, person: Person) -> None:
        known = self._people.get(person.feed)
        if known is None and len(self._people) >= _MOST_PEOPLE:
            log.warning("too many people in the room")
            return
        if person.audio is None:
            person = Person(person.feed, person.display, known.audio if known else ())
        self._people[person.feed] = person

    def _update(self) -> None:
        """Tell what has changed, the ends first."""
        assert self._audio is not None
        shown = [each for each in self._people.values() if each.audio or each.display != DISPLAY]
        self._audio.want(set(_streams(shown)))
        self._told.update({_participant(p.feed): _name(p) for p in shown})

    def _started(self, feed: Feed, track: Track) -> None:
        self._tell(TrackStarted(_participant(feed), track))

    def _ended(self, feed: Feed, track: Track) -> None:
        self._tell(TrackEnded(_participant(feed), track))


def _streams(people: Iterable[Person]) -> Iterable[FeedStream]:
    return (FeedStream(each.feed, mid) for each in people for mid in each.audio or ())


def _participant(feed: Feed) -> str:
    return participant_id(str(feed))


def _name(person: Person) -> str:
    return display_name(person.display, display_name(f"Participant {person.feed}"[:18], "?"))


def _other_type(room: int | str) -> int | str | None:
    """A room's number as a string, or the number in a string."""
    if isinstance(room, int):
        return str(room)
    return int(room) if room.isascii() and room.isdecimal() and len(room) < 20 else None
