"""The way to Redis: one server, a master behind Sentinel, or a Cluster; scripts; errors."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

import redis.asyncio as aioredis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    CrossSlotTransactionError,
    InvalidPipelineStack,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from signaling.errors import Unreachable

CONNECT_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 3.0

_MOST_CONNECTIONS: Final = 64
_SENTINEL_PORT: Final = 26379
_REDIS_PORT: Final = 6379

# A cluster's exceptions are not among Redis's own.
_FAULTS: Final = (RedisError, RedisClusterException, OSError)

_OURS: Final = (ResponseError, CrossSlotTransactionError, InvalidPipelineStack)

# Answers that say that Redis cannot do it now, though it could be reached.
_NOT_NOW: Final = (ClusterDownError, ReadOnlyError, OutOfMemoryError, TryAgainError)

Client = aioredis.Redis | RedisCluster


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script of `lua/`, with the functions of `lua/keep.lua` before it where it says so."""

    text: str
    sha: str

    @classmethod
    def named(cls, name: str, *, before: str = "") -> Script:
        """The script in `lua/<name>.lua`, behind the one of `before`."""
        folder = files(__package__) / "lua"
        parts = [folder / f"{part}.lua" for part in (before, name) if part]
        text = "\n".join(part.read_text() for part in parts)
        return cls(text, hashlib.sha1(text.encode()).hexdigest())  # noqa: S324 - Redis's own name


class Link:
    """`async with` connects. Every method raises `Unreachable` where Redis is not there.

    URLs: `redis://`, `rediss://` (TLS), `unix://`; `redis+sentinel://HOST:PORT,…/SERVICE[/DB]`;
    `redis+cluster://HOST:PORT,…`; both with `rediss+` for TLS. ValueError for others.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._parts = _split(url)
        scheme, _, kind = self._parts.scheme.partition("+")
        known = scheme in ("redis", "rediss") and kind in ("", "sentinel", "cluster")
        if not known and url.split(":", maxsplit=1)[0] != "unix":
            raise ValueError("a URL of Redis begins with redis://, rediss://, redis+sentinel://, …")
        self._tls = scheme == "rediss"
        self.is_cluster = kind == "cluster"
        self._kind = kind
        self._sentinel: Sentinel | None = None
        self._client: Client | None = None
        if kind == "sentinel" and not self._service[0]:
            raise ValueError("redis+sentinel://HOST:PORT,…/SERVICE: the service is missing")
        self._hosts(_REDIS_PORT)

    async def __aenter__(self) -> Self:
        self._client = self._cluster() if self.is_cluster else self._single(_MOST_CONNECTIONS)
        try:
            await self.do("PING")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        client, self._client = self._client, None
        if client:
            await client.aclose()
        if self._sentinel:
            await asyncio.gather(*(s.aclose() for s in self._sentinel.sentinels))

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run a script; its keys are of one shard."""
        client = self._open
        with _asked():
            try:
                return await client.evalsha(script.sha, len(keys), *keys, *args)
            except NoScriptError:
                return await client.eval(script.text, len(keys), *keys, *args)

    async def do(self, *command: str | int) -> Any:
        """Send one command."""
        with _asked():
            return await self._open.execute_command(*command)

    async def do_all(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """Send many commands, of any shards, together; not atomic."""
        pipeline = self._open.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        with _asked():
            return list(await pipeline.execute())

    async def listener(self) -> aioredis.Redis:
        """A client of its own that never reconnects by itself, for Pub/Sub."""
        if not self.is_cluster:
            return self._single(1, retries=0)
        try:
            # Any node of a cluster passes on what is published at any other.
            primaries = self._cluster_client.get_primaries()
            if not primaries:
                await self._cluster_client.initialize()
                primaries = self._cluster_client.get_primaries()
            # By chance: what all gateways hear would else be one node's to send.
            for node in random.sample(primaries, len(primaries)):
                client = self._at(str(node.host), int(node.port))
                try:
                    await client.ping()
                except _FAULTS:
                    await client.aclose()
                else:
                    return client
            # Their addresses may be of before: the next attempt asks anew.
            await self._cluster_client.aclose()
            raise Unreachable
        except _FAULTS as error:
            raise _told(error) from error

    @property
    def _open(self) -> Client:
        if self._client is None:
            raise Unreachable("the connection to Redis is closed")
        return self._client

    @property
    def _cluster_client(self) -> RedisCluster:
        assert isinstance(self._client, RedisCluster)
        return self._client

    def _options(self, retries: int) -> dict[str, Any]:
        return {
            "decode_responses": True,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
            # Once, for a connection that died unseen; an answer that is late is not asked twice.
            "retry": Retry(NoBackoff(), retries, supported_errors=(RedisConnectionError,)),
            "client_name": "surtitle",
        }

    def _single(self, connections: int, retries: int = 1) -> aioredis.Redis:
        options = self._options(retries)
        if self._kind == "sentinel":
            return self._behind_sentinel(options)
        pool = aioredis.BlockingConnectionPool.from_url(
            self._url, max_connections=connections, timeout=ANSWER_SECONDS, **options
        )
        return aioredis.Redis(connection_pool=pool)

    @property
    def _service(self) -> tuple[str, str]:
        service, _, db = self._parts.path.strip("/").partition("/")
        return service, db

    def _behind_sentinel(self, options: dict[str, Any]) -> aioredis.Redis:
        service, db = self._service
        if self._sentinel is None:
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
                self._hosts(_SENTINEL_PORT),
                sentinel_kwargs={
                    "socket_connect_timeout": CONNECT_SECONDS,
                    "socket_timeout": ANSWER_SECONDS,
                    "retry": Retry(NoBackoff(), 0),
                },
            )
        options |= self._login() | {"ssl": True} if self._tls else self._login()
        client = self._sentinel.master_for(service, db=int(db or 0), **options)
        assert isinstance(client, aioredis.Redis)
        return client

    def _cluster(self) -> RedisCluster:
        nodes = [ClusterNode(host, port) for host, port in self._hosts(_REDIS_PORT)]
        options = self._options(1) | self._login() | ({"ssl": True} if self._tls else {})
        # A node's addresses that it announces count, also where it was reached by another.
        return RedisCluster(startup_nodes=nodes, **options)

    def _at(self, host: str, port: int) -> aioredis.Redis:
        options = self._options(0) | self._login() | ({"ssl": True} if self._tls else {})
        return aioredis.Redis(host=host, port=port, **options)

    def _login(self) -> dict[str, Any]:
        login = self._parts.netloc.rpartition("@")[0]
        user, _, password = login.partition(":")
        return {
            "username": unquote(user) or None,
            "password": unquote(password) or None,
        }

    def _hosts(self, default_port: int) -> list[tuple[str, int]]:
        hosts = []
        for part in self._parts.netloc.rpartition("@")[2].split(","):
            at = _split(f"//{part}")
            hosts.append((at.hostname or "localhost", at.port or default_port))
        return hosts


def _split(url: str) -> SplitResult:
    """ValueError in words of our own: those of the library may repeat a password."""
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:
            parts.port  # noqa: B018 - it raises
    except ValueError:
        raise ValueError("the host or the port in the URL of Redis cannot be read") from None
    return parts


@contextmanager
def cancellable() -> Iterator[None]:
    """Whoever is cancelled within, however late, is cancelled behind it.

    redis-py sends by `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes
    just when it is done. Then the task would live on, and so would the process that waits for it.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


@contextmanager
def _asked() -> Iterator[None]:
    """What Redis is asked within: its faults are told as ours."""
    with cancellable():
        try:
            yield
        except _FAULTS as error:
            raise _told(error) from error


def _told(error: Exception) -> Exception:
    """`Unreachable` for what another try may mend; the error itself for a fault of ours."""
    if isinstance(error, _OURS) and not isinstance(error, _NOT_NOW):
        return error
    return Unreachable()
