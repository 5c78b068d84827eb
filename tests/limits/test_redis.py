"""Limits in Redis: the same answers as in memory, and what only Redis does."""

import asyncio
import logging
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from counting import Clock, Counting, account, tokens
from emblem.accounts import Account, Charge, Grant, Quota, Spent
from emblem.config import load, redis_address
from emblem.errors import ConfigError, LimitReached, LimitsUnavailable, MissingExtra, RateLimited
from emblem.limits.memory import MemoryLimiter
from emblem.limits.redis import TOLD, RedisLimiter
from emblem.limits.telling import Forgotten
from redis_server import RedisServer, redis_server

SECRET = "not-to-be-seen"

quotas = st.builds(Quota, *[st.none() | st.integers(1, 50) | st.just(2**60)] * 4)
steps = st.one_of(
    st.integers(-90_000, 90_000),  # the clock, by so much
    st.sampled_from([86_400_000, -86_400_000, 40 * 86_400_000, 3000 * 86_400_000]),
    st.builds(Charge, st.integers(0, 2), st.integers(0, 60) | st.just(2**60), st.integers(0, 60)),
    st.builds(Spent, st.just("key_1"), st.just(False), st.integers(0, 2**53), st.integers(0, 60)),
    st.sampled_from(["refund", "peek"]),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(quota=quotas, team_quota=quotas, steps=st.lists(steps, max_size=25))
def test_redis_answers_as_the_memory_does_to_the_last_digit(
    redis: RedisServer, quota: Quota, team_quota: Quota, steps: list[object]
) -> None:
    redis.run("FLUSHALL")
    clock = Clock()
    both = [RedisLimiter(redis.url, clock), MemoryLimiter(clock)]
    key = Account("key_1", quota, "team_1", team_quota)
    grants: list[list[Grant]] = [[], []]

    async def take(step: object, number: int) -> object:
        limiter, mine = both[number], grants[number]
        match step:
            case Charge():
                try:
                    grant = await limiter.charge(key, step)
                except LimitReached as error:
                    return type(error), str(error), error.standings
                mine.append(grant)
                return grant.standings, grant.states
            case Spent():
                return await limiter.seed([step], now=clock.ms / 1000)
            case "refund" if mine:
                return await limiter.refund(mine.pop())
            case _:
                return await limiter.peek(key)

    async def compare() -> None:
        for step in steps:
            if isinstance(step, int):
                clock.ms = max(0, clock.ms + step)
                continue
            assert await take(step, 0) == await take(step, 1)
        assert await both[0].peek(key) == await both[1].peek(key)

    async def run() -> None:
        try:
            await compare()
        finally:
            await both[0].aclose()

    asyncio.run(run())


def test_the_time_is_that_of_redis_whatever_the_processes_clocks_say(redis: RedisServer) -> None:
    with Counting(RedisLimiter(redis.url), Clock()) as counting:
        before = time.time_ns() // 1_000_000
        grant = counting.charge(account(requests_per_minute=60))
        assert before - 1 <= grant.at_ms <= time.time_ns() // 1_000_000 + 1


def test_what_is_idle_vanishes_from_redis_a_minute_after_it_would_be_untouched(
    redis: RedisServer,
) -> None:
    with Counting(RedisLimiter(redis.url, Clock()), Clock()) as counting:
        counting.charge(account("key_1", requests_per_minute=60), Charge(requests=30))
        assert 60_000 < redis.run("PTTL", "{emblem}:key:key_1") <= 90_000
        counting.charge(account("key_2", tokens_per_day=60), tokens(1))
        assert 12 * 3_600_000 < redis.run("PTTL", "{emblem}:key:key_2") <= 12 * 3_600_000 + 60_000
        counting.seed(Spent("key_1", False, 5))
        counting.charge(account("key_1", requests_per_minute=60))
        assert redis.run("PTTL", "{emblem}:key:key_1") > 12 * 3_600_000, "the seed must stay"


def test_a_script_that_redis_has_forgotten_is_told_again(redis: RedisServer) -> None:
    key = account(requests_per_minute=60)
    with Counting(RedisLimiter(redis.url, Clock()), Clock()) as counting:
        counting.charge(key)
        redis.run("SCRIPT", "FLUSH")
        counting.charge(key)
        assert counting.used(key) == [2]


def test_the_hashes_of_a_key_and_its_team_are_in_one_slot_of_a_cluster(redis: RedisServer) -> None:
    with Counting(RedisLimiter(redis.url, Clock()), Clock()) as counting:
        for number in range(9):
            counting.charge(account(f"key_{number}", requests_per_minute=9, team_tokens_per_day=9))
    hashes = redis.run("KEYS", "*")
    assert len(hashes) == 10
    assert len({key_slot(one.encode()) for one in hashes}) == 1


def test_a_charge_costs_redis_the_same_however_many_tokens_it_is_of(redis: RedisServer) -> None:
    key = account(tokens_per_minute=10**9)
    with Counting(RedisLimiter(redis.url, Clock()), Clock()) as counting:
        sizes = []
        for n in (1, 10**8):
            counting.charge(key, tokens(n))
            sizes.append(redis.run("HLEN", "{emblem}:key:key_1"))
    assert sizes == [2, 2]


def test_many_at_once_wait_for_a_connection_rather_than_fail(redis: RedisServer) -> None:
    async def storm() -> int:
        limiter = RedisLimiter(redis.url, Clock())
        key = account(requests_per_minute=200)
        answers = await asyncio.gather(
            *(limiter.charge(key, Charge()) for _ in range(300)), return_exceptions=True
        )
        await limiter.aclose()
        assert all(isinstance(one, Grant | RateLimited) for one in answers)
        return sum(isinstance(one, Grant) for one in answers)

    assert asyncio.run(storm()) == 200


def test_who_leaves_while_the_charge_is_on_its_way_is_not_charged(redis: RedisServer) -> None:
    key = account(requests_per_minute=60, tokens_per_day=100)

    async def leave() -> None:
        limiter = RedisLimiter(redis.url, Clock())
        tasks = [asyncio.ensure_future(limiter.charge(key, tokens(3))) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        left = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(one) for one in left} == {asyncio.CancelledError}
        await limiter.aclose()

    asyncio.run(leave())
    with Counting(RedisLimiter(redis.url, Clock()), Clock()) as counting:
        assert counting.used(key) == [0, 0]
        assert redis.run("HGET", "{emblem}:key:key_1", "tokens:day:at") is not None, "it was sent"


def test_a_redis_that_was_started_again_is_used_without_a_failure() -> None:
    key = account(requests_per_minute=60)
    with redis_server() as server, Counting(RedisLimiter(server.url), Clock()) as counting:
        counting.charge(key)
        server.stop()
        with pytest.raises(LimitsUnavailable):
            counting.charge(key)
        server.start()
        counting.charge(key)
        server.stop()
        server.start()
        counting.turn()
        counting.charge(key)


def test_a_redis_that_hangs_is_not_waited_for(redis: RedisServer) -> None:
    key = account(requests_per_minute=60)
    with Counting(RedisLimiter(redis.url), Clock()) as counting:
        counting.charge(key)
        redis.pause()
        try:
            started = time.monotonic()
            with pytest.raises(LimitsUnavailable):
                counting.charge(key)
            assert time.monotonic() - started < 5
        finally:
            redis.go_on()
        counting.charge(key)


def test_the_password_is_in_no_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with redis_server("--requirepass", "another") as server:
        limiter = RedisLimiter(f"unix://:{SECRET}@{server.path}")
        with Counting(limiter, Clock()) as counting, pytest.raises(LimitsUnavailable) as caught:
            counting.charge(account(requests_per_minute=60))
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {limiter.where}"
        with Counting(RedisLimiter(f"unix://:another@{server.path}"), Clock()) as counting:
            counting.charge(account(requests_per_minute=60))
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@localhost",
        f"redis://:{SECRET}#@localhost:port",
        f"redis://:p@x/{SECRET}@localhost:{SECRET}",
        f"redis://me:p@{SECRET}/ss@localhost",
        f"redis://me:1?{SECRET}@localhost",
        f"redis://me:1#{SECRET}@localhost",
        f"unix://:p@ss/{SECRET}@/run/redis.sock",
        f"redis://localhost/{SECRET}",
        f"redis://localhost?{SECRET}=1",
        f"redis://localhost?socket_timeout={SECRET}",
        SECRET,
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RedisLimiter(url)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_where_a_redis_is_can_be_said_without_its_password() -> None:
    assert RedisLimiter(f"redis://me:{SECRET}@cache:6380/2").where == "cache:6380"
    assert RedisLimiter("redis://").where == "localhost:6379"
    assert RedisLimiter(f"unix://:{SECRET}@/run/redis.sock").where == "/run/redis.sock"


def test_without_the_extra_the_line_that_installs_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtra, match=r"pip install 'emblem\[redis\]'"):
        RedisLimiter("redis://localhost")


def test_the_address_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "address").write_text(f"redis://:{SECRET}@cache\n")
    environ = {"HOME": str(tmp_path)}
    given = load(
        flags={}, environ=environ | {"EMBLEM_REDIS_FILE": "address"}, directory=tmp_path
    ).settings
    assert redis_address(given) == f"redis://:{SECRET}@cache"
    given = load(flags={}, environ=environ | {"EMBLEM_REDIS": "redis://a"}, directory=tmp_path)
    assert redis_address(given.settings) == "redis://a"


def test_a_redis_that_forgot_what_it_was_told_says_so_until_it_is_told_again(
    redis: RedisServer,
) -> None:
    day, minute = account(tokens_per_day=100), account(requests_per_minute=60)
    with Counting(RedisLimiter(redis.url, Clock()), Clock()) as counting:
        counting.seed(Spent("key_1", False, 90))
        counting.charge(day, tokens(5))
        redis.run("FLUSHALL")
        for _ in range(2):
            with pytest.raises(Forgotten):
                counting.charge(day, tokens(5))
        with pytest.raises(Forgotten):
            counting.peek(day)
        counting.charge(minute)
        counting.seed(Spent("key_1", False, 95))
        assert counting.used(day) == [95]
        assert redis.run("PTTL", TOLD) == -1, "it stays"
        assert set(redis.run("KEYS", "*")) == {TOLD, "{emblem}:key:key_1"}


def test_what_another_process_told_redis_is_enough(redis: RedisServer) -> None:
    day = account(tokens_per_day=100)
    clock = Clock()
    with Counting(RedisLimiter(redis.url, clock), clock) as one:
        one.seed(Spent("key_1", False, 90))
        redis.run("FLUSHALL")
        with Counting(RedisLimiter(redis.url, clock), clock) as other:
            other.seed(Spent("key_1", False, 91))
        assert one.used(day) == [91]


def test_a_redis_that_is_emptied_while_it_is_told_is_not_taken_as_told(redis: RedisServer) -> None:
    class Emptied(RedisLimiter):
        async def _answer(self, *given: Any) -> list[int]:
            answer = await super()._answer(*given)
            await asyncio.to_thread(redis.run, "FLUSHALL")
            return answer

    with Counting(Emptied(redis.url, Clock()), Clock()) as counting:
        with pytest.raises(LimitsUnavailable):
            counting.seed(Spent("key_1", False, 90))
        assert redis.run("EXISTS", TOLD) == 0
