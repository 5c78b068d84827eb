"""Answers that are given as they come."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from emblem.upstreams import streaming
from emblem.upstreams.http.coming import HELD_BYTES
from emblem.upstreams.http.failures import GivenUp, Lost, Unreached
from emblem.upstreams.streaming import Coming, Connections
from server import free_port
from upstreams.http.spoken import FINE, PATIENCE_S, Spoken, Talk, always, fine, run, speaking

T = TypeVar("T")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def passing(
    talk: Callable[[Talk], Awaitable[object]],
    work: Callable[[Connections, Spoken], Awaitable[T]],
) -> T:
    async def whole() -> T:
        async with speaking(talk) as spoken:
            connections = Connections(spoken.url, 5.0)
            try:
                return await work(connections, spoken)
            finally:
                await connections.aclose()

    return run(whole())


async def ask(connections: Connections) -> Coming:
    return await connections.send(b"{}", {"content-type": "application/json"})


async def read(coming: Coming) -> bytes:
    return b"".join([part async for part in coming.parts()])


def test_each_part_is_given_when_it_comes_and_the_connection_is_used_again() -> None:
    taken = asyncio.Event()

    async def talk(one: Talk) -> None:
        for _ in range(2):
            await one.asked()
            await one.say(CHUNKED)
            for event in (b"one", b"two", b"three"):
                await one.say(b"%x\r\n%b\r\n" % (len(event), event))
                await taken.wait()
                taken.clear()
            await one.say(b"0\r\n\r\n")
        await one.gone()

    async def work(connections: Connections, spoken: Spoken) -> None:
        for _ in range(2):
            coming = await ask(connections)
            assert (coming.status, coming.headers["Content-Type"]) == (200, "text/event-stream")
            parts = []
            async for part in coming.parts():
                parts.append(part)
                taken.set()
            assert parts == [b"one", b"two", b"three"]
            coming.close()
        assert len(spoken.talks) == 1

    passing(talk, work)


def test_no_more_comes_than_somebody_takes() -> None:
    written = 0

    async def talk(one: Talk) -> None:
        nonlocal written
        await one.asked()
        await one.say(CHUNKED)
        one.writer.transport.set_write_buffer_limits(high=0)
        while written < 64 << 20:
            await one.say(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
            written += 1 << 16
        await one.say(b"0\r\n\r\n")
        await one.gone()

    async def work(connections: Connections, spoken: Spoken) -> None:
        coming = await ask(connections)
        seen = -1
        while seen != written:
            seen = written
            await asyncio.sleep(0.05)
        assert HELD_BYTES <= written < 32 << 20
        assert sum([len(part) async for part in coming.parts()]) == 64 << 20
        coming.close()

    passing(talk, work)


def test_a_connection_of_which_too_much_came_at_once_is_read_on_when_it_is_used_again() -> None:
    """The last packet may hold enough for a pause and the end: who comes next must be heard."""
    body = bytes(HELD_BYTES + (1 << 16))

    async def work(connections: Connections, spoken: Spoken) -> None:
        for _ in range(3):
            coming = await ask(connections)
            await asyncio.sleep(0.05)
            assert await read(coming) == body
            coming.close()
        assert len(spoken.talks) == 1

    passing(always(fine(body)), work)


def test_whoever_lets_go_of_half_an_answer_ends_its_connection() -> None:
    gone = []

    async def talk(one: Talk) -> None:
        await one.asked()
        if one.number > 1:
            await one.say(FINE)
        else:
            await one.say(CHUNKED + b"1\r\nx\r\n")
        gone.append(await one.gone())

    async def work(connections: Connections, spoken: Spoken) -> None:
        coming = await ask(connections)
        async for part in coming.parts():
            assert part == b"x"
            break
        coming.close()
        coming.close()
        with pytest.raises(Lost, match="it was closed here"):
            await read(coming)
        second = await ask(connections)
        assert await read(second) == b"{}"
        second.close()
        assert len(spoken.talks) == 2

    passing(talk, work)
    assert gone == [True, True]


def test_whoever_leaves_before_the_head_ends_the_connection() -> None:
    asked = asyncio.Event()

    async def talk(one: Talk) -> None:
        await one.asked()
        asked.set()
        await one.gone()

    async def work(connections: Connections, spoken: Spoken) -> None:
        task = asyncio.create_task(ask(connections))
        await asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(spoken.all_closed.wait(), PATIENCE_S)

    passing(talk, work)


def test_what_breaks_off_is_given_as_far_as_it_came() -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(CHUNKED + b"1\r\nx\r\n")

    async def work(connections: Connections, spoken: Spoken) -> None:
        coming = await ask(connections)
        parts = coming.parts()
        assert await anext(parts) == b"x"
        with pytest.raises(Lost, match="closed before the answer ended"):
            await anext(parts)
        coming.close()

    passing(talk, work)


def test_a_long_answer_is_not_asked_for_twice() -> None:
    async def talk(one: Talk) -> None:
        await one.asked()

    async def work(connections: Connections, spoken: Spoken) -> None:
        with pytest.raises(GivenUp):
            await ask(connections)
        assert len(spoken.talks) == 1

    passing(talk, work)


def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(HEAD + b"\r\n", b"data: 1\n\n")

    async def work(connections: Connections, spoken: Spoken) -> None:
        coming = await ask(connections)
        assert await read(coming) == b"data: 1\n\n"
        coming.close()

    passing(talk, work)


def test_what_came_packed_is_unpacked_as_it_comes() -> None:
    body = b"data: 1\n\n" * 100_000
    packed = gzip.compress(body)

    async def work(connections: Connections, spoken: Spoken) -> None:
        coming = await ask(connections)
        assert await read(coming) == body
        coming.close()
        assert len(spoken.talks) == 1

    passing(always(fine(packed, "content-encoding: gzip")), work)
    passing(always(*(bytes([one]) for one in fine(packed[:0], "content-encoding: gzip"))), empty)


async def empty(connections: Connections, spoken: Spoken) -> None:
    coming = await ask(connections)
    assert await read(coming) == b""
    coming.close()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", b"{}"), ("br", b"{}"), ("gzip", gzip.compress(b"{}", mtime=0)[:-3])],
)
def test_what_cannot_be_unpacked_is_lost(coding: str, packed: bytes) -> None:
    async def work(connections: Connections, spoken: Spoken) -> None:
        coming = await ask(connections)
        with pytest.raises(Lost, match="cannot be unpacked"):
            await read(coming)
        coming.close()

    passing(always(fine(packed, f"content-encoding: {coding}")), work)


def test_whoever_closes_them_ends_what_comes() -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(CHUNKED + b"1\r\nx\r\n")
        await one.gone()

    async def work(connections: Connections, spoken: Spoken) -> None:
        coming = await ask(connections)
        reading = asyncio.create_task(read(coming))
        await asyncio.sleep(0.01)
        await connections.aclose()
        with pytest.raises(Lost, match="it was closed here"):
            await reading
        coming.close()
        with pytest.raises(Lost, match="it was closed here"):
            await ask(connections)

    passing(talk, work)


def test_nobody_there_is_said_without_the_address() -> None:
    async def work() -> None:
        connections = Connections(f"http://127.0.0.1:{free_port()}/v1", 5.0)
        with pytest.raises(Unreached, match=r"^Connection refused$"):
            await ask(connections)
        await connections.aclose()

    run(work())


def test_a_connection_that_nobody_uses_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "IDLE_S", 0.05)

    async def work(connections: Connections, spoken: Spoken) -> None:
        coming = await ask(connections)
        assert await read(coming) == b"{}"
        coming.close()
        await asyncio.wait_for(spoken.all_closed.wait(), PATIENCE_S)

    passing(always(FINE), work)


def test_there_is_no_bound_on_a_wait_within_an_answer() -> None:
    """That is for whoever reads it."""

    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(CHUNKED)
        await asyncio.sleep(0.3)
        await one.say(b"1\r\nx\r\n0\r\n\r\n")
        await one.gone()

    async def work(connections: Connections, spoken: Spoken) -> None:
        coming = await ask(connections)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await read(coming)
        assert await read(coming) == b"x"
        coming.close()

    passing(talk, work)
