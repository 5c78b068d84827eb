"""One script for many who ask at once: few round trips, and to each its own answer."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import ResponseError

from emblem.limits.script import MAX_TOGETHER, MAX_UNDER_WAY, Script
from redis_server import RedisServer, redis_server

ECHO = """
if ARGV[1] == 'wrong' then return redis.error_reply('ERR wrong') end
return { redis.call('INCR', KEYS[1]), tonumber(ARGV[1]) }
"""
MANY = 2 * MAX_TOGETHER


def with_script(
    server: RedisServer, work: Callable[[Script, "Redis"], Awaitable[None]], text: str = ECHO
) -> None:
    async def run() -> None:
        client = Redis(unix_socket_path=server.path, retry=Retry(NoBackoff(), 0))
        script = Script(client, text)
        try:
            await work(script, client)
        finally:
            await script.aclose()
            await client.aclose()

    asyncio.run(run())


def test_everybody_gets_their_own_answer(redis: RedisServer) -> None:
    async def work(script: Script, _: Redis) -> None:
        answers = await asyncio.gather(*(script(["k"], [n]) for n in range(MANY)))
        assert [one[1] for one in answers] == list(range(MANY))
        assert sorted(one[0] for one in answers) == list(range(1, MANY + 1))

    with_script(redis, work)


def test_those_who_come_at_once_go_together(redis: RedisServer) -> None:
    async def work(script: Script, client: Redis) -> None:
        await script(["k"], [0])
        connections = int((await client.info("stats"))["total_connections_received"])
        await asyncio.gather(*(script(["k"], [n]) for n in range(MANY)))
        made = int((await client.info("stats"))["total_connections_received"]) - connections
        assert made <= MAX_UNDER_WAY

    with_script(redis, work)


def test_one_that_is_wrong_is_no_others_business(redis: RedisServer) -> None:
    async def work(script: Script, _: Redis) -> None:
        asked = [script(["k"], ["wrong" if n % 7 == 0 else n]) for n in range(30)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for n, one in enumerate(answers):
            assert isinstance(one, ResponseError) if n % 7 == 0 else one[1] == n

    with_script(redis, work)


def test_a_script_that_is_forgotten_meanwhile_is_run_once_for_each(redis: RedisServer) -> None:
    async def work(script: Script, client: Redis) -> None:
        await script(["k"], [0])
        for _ in range(5):
            await client.set("k", 0)
            await client.script_flush()
            answers = await asyncio.gather(*(script(["k"], [n]) for n in range(50)))
            assert sorted(one[0] for one in answers) == list(range(1, 51))

    with_script(redis, work)


def test_who_leaves_takes_nobody_else_with_them(redis: RedisServer) -> None:
    async def work(script: Script, _: Redis) -> None:
        tasks = [asyncio.create_task(script(["k"], [n])) for n in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for n, one in enumerate(answers):
            assert isinstance(one, asyncio.CancelledError) if n % 2 == 0 else one[1] == n
        assert (await script(["k"], [7]))[1] == 7

    with_script(redis, work)


def test_what_nobody_waits_for_any_more_is_not_run(redis: RedisServer) -> None:
    async def work(script: Script, client: Redis) -> None:
        tasks = [asyncio.create_task(script(["k"], [n])) for n in range(60)]
        await asyncio.sleep(0)
        for task in tasks[MAX_UNDER_WAY:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await script(["k"], [0]) == [MAX_UNDER_WAY + 1, 0]

    with_script(redis, work)


def test_an_answer_that_comes_after_who_asked_left_is_given_to_unwanted(
    redis: RedisServer,
) -> None:
    async def work(script: Script, _: Redis) -> None:
        given: list[list[int]] = []
        tasks = [asyncio.create_task(script(["k"], [n], given.append)) for n in (7, 8)]
        await asyncio.sleep(0)  # both are under way
        tasks[1].cancel()
        order, asked = await tasks[0]
        await script.aclose()
        # They come over two connections, so either may be the first.
        assert (asked, given) == (7, [[3 - order, 8]])

    with_script(redis, work)


@pytest.mark.parametrize("failed", [False, True])
def test_an_answer_of_the_very_turn_in_which_who_asked_leaves_is_given_to_unwanted(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, *, failed: bool
) -> None:
    async def work(script: Script, _: Redis) -> None:
        given: list[list[int]] = []

        async def run(_: object) -> list[object]:
            # After the answer is set, and before whoever waits for it is woken.
            asyncio.get_running_loop().call_soon(task.cancel)
            return [ResponseError("wrong") if failed else [1, 7]]

        monkeypatch.setattr(script, "_run", run)
        task = asyncio.create_task(script(["k"], [7], given.append))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert given == ([] if failed else [[1, 7]])

    with_script(redis, work)


def test_all_who_wait_hear_that_redis_is_gone() -> None:
    async def work(script: Script, _: Redis) -> None:
        server.stop()
        asked = [script(["k"], [n]) for n in range(60)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, RedisGone) for one in answers)

    with redis_server() as server:
        with_script(server, work)


def test_closing_gives_up_what_is_under_way(redis: RedisServer) -> None:
    async def work(script: Script, _: Redis) -> None:
        tasks = [asyncio.create_task(script(["k"], [n])) for n in range(60)]
        await asyncio.sleep(0)  # two are under way now, and all others wait
        await script.aclose()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [one[1] for one in answers[:MAX_UNDER_WAY]] == list(range(MAX_UNDER_WAY))
        assert all(isinstance(one, asyncio.CancelledError) for one in answers[MAX_UNDER_WAY:])

    with_script(redis, work)


@pytest.mark.parametrize("together", [1, 3])
def test_one_alone_waits_for_nobody(redis: RedisServer, together: int) -> None:
    async def work(script: Script, _: Redis) -> None:
        for _ in range(3):
            answers = await asyncio.gather(*(script(["k"], [n]) for n in range(together)))
            assert [one[1] for one in answers] == list(range(together))
        assert not script._waiting
        assert script._under_way == 0

    with_script(redis, work)
