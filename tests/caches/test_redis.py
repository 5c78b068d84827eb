"""What is shared in Redis ends by itself, and stays within its bound."""

import pytest

from caches.shelves import named
from emblem.caches.ports import Away
from emblem.caches.redis import ENTRY_BYTES, RedisShelf
from emblem.errors import ConfigError
from redis_server import RedisServer
from wrappers.honest import run


def test_everything_that_is_written_has_an_end(redis: RedisServer) -> None:
    async def go() -> None:
        shelf = RedisShelf(redis.url, ttl_s=500, max_bytes=1 << 20)
        await shelf.put(dict.fromkeys(named("a", "b"), b"1"))
        await shelf.aclose()

    run(go)
    from redis import Redis

    with Redis(unix_socket_path=redis.path) as client:
        ends = [client.ttl(key) for key in client.scan_iter()]
    assert len(ends) == 3
    assert all(0 < end <= 1000 for end in ends)


def test_no_more_is_written_in_two_spans_than_may_be_there(redis: RedisServer) -> None:
    async def go() -> None:
        now = 10_000.0
        shelf = RedisShelf(
            redis.url, ttl_s=500, max_bytes=20 * (100 + ENTRY_BYTES), clock=lambda: now
        )
        other = RedisShelf(
            redis.url, ttl_s=500, max_bytes=20 * (100 + ENTRY_BYTES), clock=lambda: now
        )
        names = named(*map(str, range(40)))
        for place, name in enumerate(names):
            await (shelf, other)[place % 2].put({name: b"x" * 100})
        assert len(await shelf.get(names)) == 10
        now += 500
        for name in names:
            await shelf.put({name: b"y" * 100})
        found = await shelf.get(names)
        assert [content[:1] for content in found.values()] == [b"y"] * 10
        await shelf.aclose()
        await other.aclose()

    run(go)


def test_a_redis_that_is_away_is_said_to_be_without_its_password() -> None:
    async def go() -> None:
        shelf = RedisShelf("redis://:s3cret-word@127.0.0.1:1/0", ttl_s=5, max_bytes=1000)
        with pytest.raises(Away) as caught:
            await shelf.get(named("a"))
        assert "s3cret" not in str(caught.value)
        with pytest.raises(Away) as caught:
            await shelf.put({named("a")[0]: b"1"})
        assert "s3cret" not in str(caught.value)
        await shelf.aclose()

    run(go)


@pytest.mark.parametrize(
    "url", ["localhost", "http://localhost", "redis://:a/b@c:1/0", "redis://c/x"]
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="cache_redis must be an address") as caught:
        RedisShelf(url, ttl_s=5, max_bytes=1000)
    assert url not in str(caught.value)
