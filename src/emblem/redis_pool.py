"""Connections to Redis: pools and clients of an address, looked at before anything is connected."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from emblem.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import BlockingConnectionPool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What connections are for, and their bounds: how many, and seconds.

    ``purpose`` is said where the client is not installed, ``refusal`` of an address that is none.
    ``connect_s`` is also how long one is waited for that others use.
    """

    purpose: str
    refusal: str
    connections: int
    connect_s: float
    answer_s: float


def pool_of(url: str, wanted: Wanted) -> "BlockingConnectionPool":
    """Make a pool for an event loop. Raises ConfigError, without the address, or MissingExtra."""
    try:
        from redis.asyncio import BlockingConnectionPool
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ModuleNotFoundError as error:
        raise MissingExtra(wanted.purpose, "redis") from error
    # Nothing is sent twice: it may have been counted. A connection that Redis closed while it was
    # idle is noticed, and made again, before anything is sent.
    made = _pool(BlockingConnectionPool, url, wanted, Retry(NoBackoff(), 0))
    pool: BlockingConnectionPool = made
    return pool


def client_of(url: str, wanted: Wanted) -> "Redis":
    """Make a client for threads, which waits for its answers. Raises as ``pool_of``."""
    try:
        from redis import BlockingConnectionPool, Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ModuleNotFoundError as error:
        raise MissingExtra(wanted.purpose, "redis") from error
    pool = _pool(BlockingConnectionPool, url, wanted, Retry(NoBackoff(), 0))
    return Redis(connection_pool=pool)


def _pool(kind: Any, url: str, wanted: Wanted, retry: Any) -> Any:
    """Make a pool, and look whether any connection could be made of this address."""
    try:
        _check(url)
        pool = kind.from_url(
            url,
            max_connections=wanted.connections,
            timeout=wanted.connect_s,
            socket_timeout=wanted.answer_s,
            socket_connect_timeout=wanted.connect_s,
            retry=retry,
        )
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError):  # they may repeat a part of the password
        raise ConfigError(
            f"{wanted.refusal}; special characters of a password are percent-encoded"
        ) from None
    return pool


def _check(url: str) -> None:
    """Raise ValueError where a password that is not encoded was taken for other parts."""
    parts = urlsplit(url)
    database = "" if parts.scheme == "unix" else parts.path.strip("/")
    if "@" in parts.path + parts.query or parts.fragment or not re.fullmatch("[0-9]*", database):
        raise ValueError("not an address")
