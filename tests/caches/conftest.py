"""A Redis of the tests' own."""

from collections.abc import Iterator

import pytest

from redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as made:
        yield made


@pytest.fixture
def redis(server: RedisServer) -> RedisServer:
    server.run("FLUSHALL")
    return server
