"""One Redis for all tests of limits, emptied before each that uses it."""

from collections.abc import Iterator

import pytest

from redis_server import RedisServer, redis_server


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    shared_redis.run("FLUSHALL")
    shared_redis.run("SCRIPT", "FLUSH")
    return shared_redis
