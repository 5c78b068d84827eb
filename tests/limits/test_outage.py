"""What becomes of requests while Redis is away, and when it is back."""

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest

from counting import Clock, Counting, account, tokens
from emblem.accounts import Account, Spent
from emblem.errors import InsufficientQuota, LedgerUnavailable, LimitsUnavailable, RateLimited
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


class Books:
    """What a ledger has of KEY and the second, or that it is away."""

    def __init__(self) -> None:
        self.tokens = 0
        self.away = False
        self.reads = 0

    async def __call__(self, _: float) -> list[Spent]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.away:
            raise LedgerUnavailable("the database is away")
        return [Spent("key_1", False, self.tokens)] if self.tokens else []


def guarded(
    server: RedisServer, seconds: Seconds, *, allow: bool, books: Books | None = None
) -> Counting:
    stand_in = MemoryLimiter() if allow else None
    limiter = RedisLimiter(server.url)
    guard = OutageLimiter(limiter, stand_in, limiter.where, seconds, books or Books())
    return Counting(guard, Clock(time.time_ns() // 1_000_000))


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


DAY = account(tokens_per_day=100)


def test_a_redis_that_was_started_again_knows_what_was_used_before(server: RedisServer) -> None:
    books = Books()
    with guarded(server, Seconds(), allow=False, books=books) as counting:
        counting.seed()
        counting.charge(DAY, tokens(100))
        books.tokens = 100
        server.stop()
        server.start()
        counting.turn()  # nobody asked it meanwhile: it was never away
        with pytest.raises(InsufficientQuota):
            counting.charge(DAY, tokens(1))
        assert (books.reads, availability(counting).outages) == (1, 0)


@pytest.mark.parametrize("allow", [False, True])
def test_no_day_is_there_twice_because_redis_went_away_and_forgot(
    server: RedisServer, allow: bool
) -> None:
    seconds, books = Seconds(), Books()
    with guarded(server, seconds, allow=allow, books=books) as counting:
        counting.seed()
        counting.charge(DAY, tokens(100))
        books.tokens = 100
        server.stop()
        with pytest.raises(InsufficientQuota if allow else LimitsUnavailable):
            counting.charge(DAY, tokens(1))
        assert availability(counting).away
        server.start()
        seconds.now += RETRY_S
        with pytest.raises(InsufficientQuota):
            counting.charge(DAY, tokens(1))
        assert not availability(counting).away


def test_what_passed_while_redis_was_away_is_told_when_it_is_back(server: RedisServer) -> None:
    seconds, books = Seconds(), Books()
    with guarded(server, seconds, allow=True, books=books) as counting:
        counting.charge(DAY, tokens(1))
        server.pause()
        try:
            counting.charge(DAY, tokens(60))
        finally:
            server.go_on()
        books.tokens = 61
        seconds.now += RETRY_S
        assert counting.used(DAY) == [61]
        assert not availability(counting).away


def test_many_who_find_that_redis_forgot_read_the_ledger_and_say_so_once(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    books = Books()
    with guarded(server, Seconds(), allow=False, books=books) as counting:
        counting.seed()
        books.tokens = 90
        server.run("FLUSHALL")

        async def storm() -> int:
            charges = [counting.limiter.charge(DAY, tokens(1)) for _ in range(30)]
            answers = await asyncio.gather(*charges, return_exceptions=True)
            return sum(isinstance(one, InsufficientQuota) for one in answers)

        assert counting._runner.run(storm()) == 20
        assert books.reads == 1
        assert "has lost what was used" in caplog.records[0].getMessage()
        assert len(caplog.records) == 1


def test_while_neither_redis_nor_the_ledger_knows_requests_are_refused(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    seconds, books = Seconds(), Books()
    with guarded(server, seconds, allow=False, books=books) as counting:
        counting.seed()
        books.away, books.tokens = True, 100
        server.run("FLUSHALL")
        with pytest.raises(LimitsUnavailable):
            counting.charge(DAY, tokens(1))
        assert "cannot be told what was used" in caplog.text
        books.away = False
        seconds.now += RETRY_S
        with pytest.raises(InsufficientQuota):
            counting.charge(DAY, tokens(1))
