"""Entries in Redis: all servers that use it share them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emblem.caches.ports import Away
from emblem.redis_pool import Wanted, pool_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX = b"emblem:cache:1:"
WRITTEN = "emblem:cache:1:written:"
CONNECT_S = 1.0
ANSWER_S = 5.0  # whoever asks has less patience, and ends it sooner
CONNECTIONS = 4
ENTRY_BYTES = 200  # that Redis takes for an entry beyond its content, about
WANTED = Wanted(
    "sharing vectors in Redis",
    "cache_redis must be an address such as redis://:PASSWORD@HOST:6379/1, rediss://… or "
    'unix:///PATH, or "limits" for the Redis that counts limits',
    CONNECTIONS,
    CONNECT_S,
    ANSWER_S,
)


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
    pool = pool_of(url, WANTED)
    from redis.asyncio import Redis

    return Redis(connection_pool=pool)
