"""Entries in Redis: all servers that use it share them."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from emblem.caches.ports import Away
from emblem.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX = b"emblem:cache:1:"
WRITTEN = "emblem:cache:1:written:"
CONNECT_S = 1.0
ANSWER_S = 5.0  # whoever asks has less patience, and ends it sooner
CONNECTIONS = 4
ENTRY_BYTES = 200  # that Redis takes for an entry beyond its content, about


class RedisShelf:
    """Keeps contents for ``ttl_s`` seconds, at most about ``max_bytes`` of them.

    That bound holds for all servers together: they count what they write in each span of
    ``ttl_s``, half of ``max_bytes`` at most, and of two such spans something may be left. Nothing is
    connected before it is needed. ``url`` is ``redis://``, ``rediss://`` or ``unix://``, and is
    never part of a message; ``clock`` gives seconds since the epoch. Raises ConfigError for an
    address that is none, and MissingExtra.
    """

    name = "redis"

    def __init__(
        self, url: str, *, ttl_s: int, max_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = _client(url)
        self._ttl_s = max(1, ttl_s)
        self._max_bytes = max_bytes
        self._clock = clock
        self._full: str | None = None  # the span that nothing more may be written in

    async def get(self, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """Give what is there, with one MGET."""
        with _translated():
            found: list[Any] = await self._client.mget([PREFIX + name for name in names])
        pairs = zip(names, found, strict=True)
        return {name: content for name, content in pairs if content is not None}

    async def put(self, contents: Mapping[bytes, bytes]) -> None:
        """Write all in one round trip, unless as much was written as may be."""
        span = f"{WRITTEN}{int(self._clock()) // self._ttl_s}"
        if span == self._full:
            return
        size = sum(map(len, contents.values())) + ENTRY_BYTES * len(contents)
        with _translated():
            async with self._client.pipeline(transaction=False) as counting:
                counting.incrby(span, size)
                counting.expire(span, 2 * self._ttl_s)
                written, _ = await counting.execute()
            if written > self._max_bytes // 2:
                self._full = span
                return
            async with self._client.pipeline(transaction=False) as writing:
                for name, content in contents.items():
                    writing.set(PREFIX + name, content, ex=self._ttl_s)
                await writing.execute()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()


@contextmanager
def _translated() -> Iterator[None]:
    """Raise Away for whatever the client raises."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Away.because(error) from None


def _client(url: str) -> "Redis":
    """Make a client, and look whether any connection could be made of this address."""
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ModuleNotFoundError as error:
        raise MissingExtra("sharing vectors in Redis", "redis") from error
    try:
        _check(url)
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=CONNECT_S,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=CONNECT_S,
            retry=Retry(NoBackoff(), 0),
        )
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError):  # they may repeat a part of the password
        raise ConfigError(
            "cache_redis must be an address such as redis://:PASSWORD@HOST:6379/1, rediss://… or "
            'unix:///PATH, or "limits" for the Redis that counts limits; special characters of a '
            "password are percent-encoded"
        ) from None
    return Redis(connection_pool=pool)


def _check(url: str) -> None:
    """Raise ValueError where a password that is not encoded was taken for other parts."""
    parts = urlsplit(url)
    database = "" if parts.scheme == "unix" else parts.path.strip("/")
    if "@" in parts.path + parts.query or parts.fragment or not re.fullmatch("[0-9]*", database):
        raise ValueError("not an address")
