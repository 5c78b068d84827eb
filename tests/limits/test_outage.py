"""What becomes of requests while Redis is away, and when it is back."""

import logging
from collections.abc import Iterator

import pytest

from counting import Clock, Counting, account, tokens
from emblem.accounts import Account, Spent
from emblem.errors import LimitsUnavailable, RateLimited
from emblem.limits.memory import MEMORY, MemoryLimiter
from emblem.limits.opening import open_limiter
from emblem.limits.outage import RETRY_S, Availability, OutageLimiter
from emblem.limits.redis import REDIS, RedisLimiter
from redis_server import RedisServer, redis_server

KEY = account(requests_per_minute=5, tokens_per_day=100)


class Seconds:
    """A monotonic clock that tests move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def guarded(server: RedisServer, seconds: Seconds, *, allow: bool) -> Counting:
    clock = Clock()
    stand_in = MemoryLimiter(clock) if allow else None
    limiter = RedisLimiter(server.url, clock)
    return Counting(OutageLimiter(limiter, stand_in, limiter.where, seconds), clock)


def availability(counting: Counting) -> Availability:
    assert isinstance(counting.limiter, OutageLimiter)
    return counting.limiter.availability


def test_requests_with_limits_are_refused_until_redis_is_back(server: RedisServer) -> None:
    seconds = Seconds()
    with guarded(server, seconds, allow=False) as counting:
        counting.charge(KEY)
        server.stop()
        for _ in range(3):
            with pytest.raises(LimitsUnavailable):
                counting.charge(KEY)
        with pytest.raises(LimitsUnavailable):
            counting.peek(KEY)
        assert availability(counting) == Availability(away=True, outages=1, refused=3)
        server.start()
        with pytest.raises(LimitsUnavailable):  # it is not asked again so soon
            counting.charge(KEY)
        seconds.now += RETRY_S
        counting.charge(KEY)
        assert availability(counting) == Availability(away=False, outages=1, refused=4)


def test_keys_without_limits_do_not_notice(server: RedisServer) -> None:
    with guarded(server, Seconds(), allow=False) as counting:
        server.stop()
        grant = counting.charge(Account("key_1"))
        counting.refund(grant)
        assert counting.peek(Account("key_1")) == ()
        assert availability(counting) == Availability()


def test_where_it_is_allowed_this_process_counts_alone_meanwhile(server: RedisServer) -> None:
    seconds = Seconds()
    with guarded(server, seconds, allow=True) as counting:
        counting.seed(Spent("key_1", False, 90))
        assert counting.charge(KEY, tokens(1)).counted_by == REDIS
        server.stop()
        grants = [counting.charge(KEY, tokens(1)) for _ in range(5)]
        assert {one.counted_by for one in grants} == {MEMORY}
        with pytest.raises(RateLimited):
            counting.charge(KEY, tokens(1))
        assert counting.used(KEY) == [5, 95], "of the day what was seeded counts too"
        counting.refund(grants[0])
        assert counting.used(KEY) == [4, 94]
        server.start()
        seconds.now += RETRY_S
        assert counting.charge(KEY, tokens(1)).counted_by == REDIS
        assert availability(counting) == Availability(away=False, outages=1, stood_in=6)


def test_a_refund_goes_to_who_counted_the_charge(server: RedisServer) -> None:
    seconds = Seconds()
    with guarded(server, seconds, allow=True) as counting:
        from_redis = counting.charge(KEY, tokens(1))
        server.pause()
        try:
            from_memory = counting.charge(KEY, tokens(1))
            counting.refund(from_redis)
            assert counting.used(KEY) == [1, 1], "it was not this one that was charged here"
            assert availability(counting).lost_refunds == 1
        finally:
            server.go_on()
        seconds.now += RETRY_S
        before = counting.used(KEY)
        counting.refund(from_memory)
        assert counting.used(KEY) == before


def test_the_log_says_once_that_it_went_and_once_that_it_is_back(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = Seconds()
    with guarded(server, seconds, allow=False) as counting:
        server.stop()
        for _ in range(5):
            seconds.now += RETRY_S
            with pytest.raises(LimitsUnavailable):
                counting.charge(KEY)
        (gone,) = caplog.records
        assert gone.levelno == logging.ERROR
        assert server.path in gone.getMessage()
        assert "limits_when_redis_is_away = refuse" in gone.getMessage()
        assert "\n" not in gone.getMessage()
        server.start()
        seconds.now += RETRY_S
        counting.charge(KEY)
        counting.charge(KEY)
        (_, back) = caplog.records
        assert "again" in back.getMessage()


def test_while_it_hangs_only_one_request_a_second_waits_for_it(server: RedisServer) -> None:
    seconds = Seconds()
    asked = []

    class Counted(RedisLimiter):
        async def _answer(self, *given: object) -> list[int]:
            asked.append(given)
            raise LimitsUnavailable

    clock = Clock()
    with Counting(OutageLimiter(Counted(server.url, clock), None, "x", seconds), clock) as counting:
        for _ in range(10):
            with pytest.raises(LimitsUnavailable):
                counting.charge(KEY)
            seconds.now += RETRY_S / 4
    assert len(asked) == 3


def test_a_limit_that_is_reached_is_no_outage(server: RedisServer) -> None:
    with guarded(server, Seconds(), allow=False) as counting:
        for _ in range(5):
            counting.charge(KEY)
        with pytest.raises(RateLimited):
            counting.charge(KEY)
        assert availability(counting) == Availability()


def test_a_seed_that_cannot_be_told_does_not_end_the_start(server: RedisServer) -> None:
    with guarded(server, Seconds(), allow=False) as counting:
        server.stop()
        counting.seed(Spent("key_1", False, 90))
        assert availability(counting).away


def test_the_settings_choose_who_counts() -> None:
    assert isinstance(open_limiter(""), MemoryLimiter)
    for allow in (False, True):
        limiter = open_limiter("redis://localhost", allow_when_away=allow)
        assert isinstance(limiter, OutageLimiter)
        assert (limiter._stand_in is not None) == allow
