"""Every shelf keeps the same promises."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from caches.shelves import DictShelf, named
from emblem.caches.disk import DiskShelf
from emblem.caches.ports import Shelf
from emblem.caches.redis import RedisShelf
from redis_server import RedisServer, redis_server
from wrappers.honest import run

Opening = Callable[[], AbstractAsyncContextManager[Shelf]]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=["dictionary", "disk", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """Open the same place again whenever it is called."""
    kept = DictShelf()
    url = ""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        server.run("FLUSHALL")
        url = server.url

    @asynccontextmanager
    async def opening() -> AsyncIterator[Shelf]:
        shelf: Shelf = kept
        if request.param == "disk":
            shelf = DiskShelf(tmp_path / "cache.sqlite", 64 << 20)
        if request.param == "redis":
            shelf = RedisShelf(url, ttl_s=1000, max_bytes=1 << 30)
        try:
            yield shelf
        finally:
            await shelf.aclose()

    return opening


def test_what_is_put_is_given_and_nothing_else(opened: Opening) -> None:
    async def go() -> None:
        one, two, three = named("one", "two", "three")
        async with opened() as shelf:
            assert await shelf.get([one, two]) == {}
            await shelf.put({one: b"\0\xff1", two: b""})
            assert await shelf.get([three, two, one]) == {one: b"\0\xff1", two: b""}

    run(go)


def test_what_is_put_again_takes_the_place_of_what_was_there(opened: Opening) -> None:
    async def go() -> None:
        one, two = named("one", "two")
        async with opened() as shelf:
            await shelf.put({one: b"1", two: b"2"})
            await shelf.put({one: b"changed"})
            assert await shelf.get([one, two]) == {one: b"changed", two: b"2"}

    run(go)


def test_a_batch_is_one_question(opened: Opening) -> None:
    async def go() -> None:
        names = named(*map(str, range(3000)))
        contents = {name: name * 50 for name in names}
        async with opened() as shelf:
            for start in range(0, len(names), 500):
                await shelf.put({name: contents[name] for name in names[start : start + 500]})
            assert await shelf.get([*names, *named("none")]) == contents

    run(go)


def test_what_is_put_outlives_whoever_put_it(opened: Opening) -> None:
    async def go() -> None:
        (one,) = named("one")
        async with opened() as shelf:
            await shelf.put({one: b"1"})
        async with opened() as shelf:
            assert await shelf.get([one]) == {one: b"1"}

    run(go)


def test_two_at_the_same_place_see_what_the_other_has_put(opened: Opening) -> None:
    async def go() -> None:
        async with opened() as shelf, opened() as other:
            names = named(*map(str, range(40)))
            half = len(names) // 2
            await asyncio.gather(
                *(shelf.put({name: b"1"}) for name in names[:half]),
                *(other.put({name: b"2"}) for name in names[half:]),
            )
            for one in (shelf, other):
                found = await one.get(names)
                assert [*map(found.get, names)] == [b"1"] * half + [b"2"] * half

    run(go)
