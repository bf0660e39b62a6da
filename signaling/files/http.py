"""`/api/transcriptions`: files of audio or video come in, jobs are asked for and followed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import structlog
from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError
from pydantic import Field

from signaling.bearer import bearer
from signaling.errors import ContractError
from signaling.event_response import HEARTBEAT, begun, event_bytes, last_event_id
from signaling.files.jobs import FileJob
from signaling.files.transcriptions import PostedFile, Transcriptions
from signaling.messages import ClientMessage, Id, Language, Name, Vocabulary, checked
from signaling.query import number
from signaling.tenure import Tenures, Unwarned
from signaling.tokens import Identity

log = structlog.get_logger(__name__)

PATH: Final = "/api/transcriptions"

IDLE_SECONDS: Final = 30.0
"""Without a byte for so long an upload is given up: what it has takes memory from others."""

SLOWEST_BYTES_A_SECOND: Final = 8 * 2**10
"""On the whole, behind that time; a telephone call in its slowest codec is faster."""

_CHUNK: Final = 256 * 2**10
_MULTIPART: Final = "multipart/form-data"


class Post(ClientMessage):
    """`POST …?call=&name=&language=&vocabulary=`, beside its body."""

    call: Id | None = None
    name: Name | None = None
    language: Language | None = None
    vocabulary: Vocabulary = Field(default_factory=list)


class One(ClientMessage):
    """`…/{job}`."""

    job: Id


class FilesHttp:
    """The routes."""

    def __init__(
        self,
        *,
        transcriptions: Transcriptions,
        tenures: Tenures,
    ) -> None:
        self._transcriptions = transcriptions
        self._tenures = tenures

    def add_routes(self, app: web.Application) -> None:
        """Add them to an aiohttp application."""
        app.router.add_post(PATH, self.post)
        app.router.add_get(PATH, self.newest)
        app.router.add_get(f"{PATH}/{{job}}", self.get)
        app.router.add_delete(f"{PATH}/{{job}}", self.cancel)
        app.router.add_get(f"{PATH}/{{job}}/events", self.events, allow_head=False)

    async def post(self, request: web.Request) -> web.Response:
        """`POST`: the file, as the body or as a part of it; answered before it is captioned."""
        who = await self._identify(request)
        posted = _posted(request)
        form = request.content_type == _MULTIPART
        # Of a form the length is that of all parts, and only about the file's.
        announced = 0 if form else request.content_length or 0
        wish, upload = self._transcriptions.begin(who, posted, announced)
        try:
            async for chunk in _in_time(_file(request) if form else _body(request)):
                upload.write(chunk)
            if not upload.size:
                raise ContractError("invalid", "the file is empty")
        except BaseException:
            upload.close()
            raise
        job = await self._transcriptions.post(who, wish, upload)
        log.info("file taken", bytes=upload.size)
        return web.json_response(
            job.to_wire(), status=202, headers={"Location": f"{PATH}/{job.id}"}
        )

    async def newest(self, request: web.Request) -> web.Response:
        """`GET`: one's own jobs, the newest first."""
        who = await self._identify(request)
        limit = number(request, "limit", 100, 1, 1000) or 100
        jobs = await self._transcriptions.newest(who, limit)
        return web.json_response({"transcriptions": [job.to_wire() for job in jobs]})

    async def get(self, request: web.Request) -> web.Response:
        """`GET …/{job}`."""
        who = await self._identify(request)
        return web.json_response((await self._transcriptions.get(who, _job(request))).to_wire())

    async def cancel(self, request: web.Request) -> web.Response:
        """`DELETE …/{job}`: answered as it has ended."""
        who = await self._identify(request)
        return web.json_response((await self._transcriptions.cancel(who, _job(request))).to_wire())

    async def events(self, request: web.Request) -> web.StreamResponse:
        """`GET …/{job}/events`: the job whenever it changes, until it is over."""
        tenure = await self._tenures.begin(bearer(request))
        who, name = tenure.who, _job(request)
        try:
            read = last_event_id(request)
        except ValueError:
            raise ContractError("invalid", "Last-Event-ID: the id of an event") from None
        async with aclosing(self._transcriptions.events(who, name)) as versions:
            job = await anext(versions)
            if job and job.over and read is not None and read >= job.version:
                return web.Response(status=204)  # an EventSource comes no more
            response = await begun(request)
            over = asyncio.timeout(None)
            tenure.start(Unwarned(lambda: over.reschedule(asyncio.get_running_loop().time())))
            try:
                async with over:
                    await response.write(_frame(job))
                    async for version in versions:
                        await response.write(_frame(version))
            except ConnectionResetError:
                log.debug("reader of a job's events gone")
            except TimeoutError:
                if not over.expired():
                    raise
            finally:
                tenure.end()
        return response

    async def _identify(self, request: web.Request) -> Identity:
        return await self._tenures.authority.authenticate(bearer(request))


async def _in_time(chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The chunks; `invalid` where they do not come (fast enough)."""
    begun_at, came = time.monotonic(), 0
    try:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(chunks)
            yield chunk
            came += len(chunk)
            age = time.monotonic() - begun_at
            if age > IDLE_SECONDS and came < age * SLOWEST_BYTES_A_SECOND:
                raise TimeoutError
    except StopAsyncIteration:
        return
    except TimeoutError:
        raise ContractError("invalid", "the file does not come fast enough") from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise ContractError("invalid", "the file did not come whole") from None


def _frame(job: FileJob | None) -> bytes:
    return HEARTBEAT if job is None else event_bytes("transcription", job.version, job.to_wire())


def _job(request: web.Request) -> str:
    return checked(One, {"job": request.match_info["job"]}).job


def _posted(request: web.Request) -> PostedFile:
    query = request.query
    given = {name: query[name] for name in ("call", "name", "language") if name in query}
    words = ",".join(query.getall("vocabulary", [])).split(",")
    listed = [word.strip() for word in words if word.strip()]
    post = checked(Post, {**given, "vocabulary": listed})
    return PostedFile(post.call, post.name, post.language, tuple(post.vocabulary))


async def _body(request: web.Request) -> AsyncGenerator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk


async def _file(request: web.Request) -> AsyncGenerator[bytes]:
    """What is in the form's part `file`, as it comes."""
    try:
        form = await request.multipart()
        part = await form.next()
        if not isinstance(part, BodyPartReader) or part.name != "file":
            raise ContractError("invalid", "the form's one part is file; all else is in the query")
        while chunk := await part.read_chunk(_CHUNK):
            yield chunk
    except (ValueError, LookupError, RuntimeError):  # whatever is wrong with the form
        raise ContractError("invalid", "the body is no multipart/form-data") from None
