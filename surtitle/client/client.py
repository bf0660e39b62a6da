"""The client: one server, one HTTP session, and the tasks of everything that is read."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from ssl import SSLContext
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from surtitle.client.call import CallState, Profanity
from surtitle.client.calls import Calls
from surtitle.client.caption import SPOKEN, Caption
from surtitle.client.chunks import CHUNK_MS, Chunks
from surtitle.client.feed import Feed
from surtitle.client.link import Link
from surtitle.client.operation import UNWELL, Health, Languages
from surtitle.client.speaking import Speaking
from surtitle.client.speech import Speech
from surtitle.client.token import Token, Tokens
from surtitle.client.transcripts import Transcripts
from surtitle.client.watch import Watch
from surtitle.client.watching import Wanted, Watching


class Client:
    """A Surtitle server, by the public contract: `async with` opens it.

    Whatever a method waits for may be cancelled. Leaving closes all that the client has open.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        retry_seconds: float = 30.0,
        reconnect_seconds: float | None = None,
        ssl: SSLContext | bool = True,
    ) -> None:
        """`url` is the gateway's, such as `https://captions.example.com`.

        `token` is a JWT, or a function (async or not) that gives one: it is asked before each
        Socket.IO connection, and when the server finds the last one no longer good. What it
        raises comes out where a token was needed.
        `retry_seconds` is for how long a request that finds the server overloaded is made again;
        `reconnect_seconds` how long what is read may be without a connection, None for ever.
        `ssl` is as aiohttp has it: a context, or False for any certificate.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("the URL of a server begins with http:// or https://")
        self._url = url.rstrip("/")
        self._tokens = Tokens(token)
        self._retry_seconds = retry_seconds
        self._reconnect_seconds = reconnect_seconds
        self._ssl = ssl
        self._session: aiohttp.ClientSession | None = None
        self._link: Link | None = None
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        if self._session:
            raise RuntimeError("a client is opened once")
        connector = aiohttp.TCPConnector(ssl=self._ssl)
        self._session = aiohttp.ClientSession(connector=connector)
        self._link = Link(self._session, self._url, self._tokens, self._retry_seconds)
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        group = self._group
        try:
            await self.close()
        finally:
            if group:
                # Its tasks tell their readers what goes wrong; what went wrong here is not theirs.
                await group.__aexit__(None, None, None)

    async def close(self) -> None:
        """End all that is read and spoken by this client, as leaving it does. Idempotent.

        Who waits for a caption meanwhile gets `SurtitleError` `unavailable`.
        """
        self._link = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._session:
            await self._session.close()

    @property
    def calls(self) -> Calls:
        """Create, read, change and end calls."""
        return Calls(self._open.http)

    @property
    def transcripts(self) -> Transcripts:
        """Read, search and erase what was said."""
        return Transcripts(self._open.http)

    async def languages(self) -> Languages:
        """What is understood, and what captions are translated into."""
        return Languages.from_wire(await self._open.http.json("GET", "/api/languages"))

    async def health(self) -> Health:
        """How the server and what it depends on are, also where that is not well."""
        return Health.from_wire(await self._open.http.json("GET", "/health", accept=UNWELL))

    def captions(
        self,
        call: str,
        *,
        language: str = SPOKEN,
        since: int = 0,
        partials: bool = True,
        profanity: Profanity = "keep",
    ) -> Watch[Caption]:
        """Captions of a call to its end, each final exactly once and in the order of `seq`.

        First come the finals that there are, then captions as people speak; a call that has not
        begun is waited for. `language` is the feed: `spoken`, or a BCP 47 tag to read all in.
        `since` leaves out finals up to that `seq`. Without `partials` there are finals alone.
        `mask` stars swear words.

        Whenever the connection is lost it is made again, and goes on behind the last final. A
        call that ends while there is none is noticed where the token has `read`, too, and nobody
        watches the call again before. Needs `watch`.
        """
        wanted = Wanted(call, language, profanity)
        return self._watch(wanted, since, (Caption,), partials=partials)

    def events(
        self,
        call: str,
        *,
        language: str = SPOKEN,
        since: int = 0,
        partials: bool = True,
        profanity: Profanity = "keep",
    ) -> Watch[Caption | CallState]:
        """As `captions`, and each change of the call's state, of which "ended" is the last."""
        wanted = Wanted(call, language, profanity)
        return self._watch(wanted, since, (Caption, CallState), partials=partials)

    def speak(
        self,
        call: str | None = None,
        *,
        name: str | None = None,
        language: str = "auto",
        vocabulary: Sequence[str] = (),
        real_time: bool = True,
        buffer_seconds: float = 10.0,
    ) -> Speech:
        """Send audio, as a participant of a call; without `call`, for this client alone.

        `async with` it. `language` is what is spoken, as a BCP 47 tag; `vocabulary` are names that
        may be said where there is no call: a call has its own. Audio goes in `real_time`, or else
        as fast as the server takes it.

        Where the connection is lost, up to `buffer_seconds` of audio wait for the next one. A
        server that was only away keeps the speaker's place for 30 s, and what may not have arrived
        is sent again; of one that died what it was just hearing is lost. Needs `publish`.
        """
        wish: dict[str, Any] = {"language_code": language}
        wish |= {"call": call} if call else {}
        wish |= {"name": name} if name else {}
        wish |= {"custom_vocabulary": list(vocabulary)} if vocabulary else {}
        chunks = Chunks(max(1, round(buffer_seconds * 1000 / CHUNK_MS)), real_time=real_time)
        speaking = Speaking(self._open, wish, chunks, self._reconnect_seconds)
        return Speech(speaking, self._start)

    def _watch(
        self, wanted: Wanted, since: int, kinds: tuple[type[Any], ...], *, partials: bool
    ) -> Watch[Any]:
        feed = Feed(wanted.feed, since, partials=partials)
        watching = Watching(self._open, wanted, feed, self._reconnect_seconds)
        return Watch(watching, self._start, kinds)

    @property
    def _open(self) -> Link:
        if self._link is None:
            raise RuntimeError("the client is not open: use it within `async with`")
        return self._link

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._link is None or self._group is None:
            work.close()
            raise RuntimeError("the client is closed")
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
