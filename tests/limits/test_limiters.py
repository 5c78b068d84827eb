"""What every limiter keeps: in memory, in Redis, and the one that may be away."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from counting import DAY_MS, NOON_MS, Clock, Counting, account, of, tokens
from emblem.accounts import Account, Charge, Limit, Period, Quota, Spent, Unit
from emblem.core.limits import lowered
from emblem.errors import ChargeTooLarge, InsufficientQuota, RateLimited
from emblem.limits.memory import MemoryLimiter
from emblem.limits.outage import OutageLimiter
from emblem.limits.redis import RedisLimiter

MIDNIGHT_MS = NOON_MS + DAY_MS // 2
DECEMBER_MS = MIDNIGHT_MS + 9 * DAY_MS


@pytest.fixture(params=["memory", "redis", "outage"])
def counting(request: pytest.FixtureRequest) -> Iterator[Counting]:
    clock = Clock()
    if request.param == "memory":
        limiter = MemoryLimiter(clock)
    else:
        limiter = RedisLimiter(request.getfixturevalue("redis").url, clock)
        if request.param == "outage":
            limiter = OutageLimiter(limiter, MemoryLimiter(clock), "here")
    with Counting(limiter, clock) as counting:
        yield counting


def test_a_minutes_worth_may_come_at_once_and_no_more(counting: Counting) -> None:
    key = account(requests_per_minute=3)
    grants = [counting.charge(key) for _ in range(3)]
    assert [of(one.standings, Unit.REQUESTS).remaining for one in grants] == [2, 1, 0]
    with pytest.raises(RateLimited) as caught:
        counting.charge(key)
    assert caught.value.wait_ms == 20_000
    assert caught.value.retry_after_s == 20.0


def test_what_has_drained_may_be_asked_for_again(counting: Counting) -> None:
    key = account(tokens_per_minute=600)
    counting.charge(key, tokens(600))
    counting.clock.ms += 1000  # ten tokens
    with pytest.raises(RateLimited):
        counting.charge(key, tokens(11))
    assert of(counting.charge(key, tokens(10)).standings, Unit.TOKENS).remaining == 0


def test_the_wait_that_is_told_is_exact(counting: Counting) -> None:
    key = account(requests_per_minute=60, tokens_per_minute=700)
    counting.charge(key, tokens(699))
    with pytest.raises(RateLimited) as caught:
        counting.charge(key, tokens(8))
    counting.clock.ms += caught.value.wait_ms - 1
    with pytest.raises(RateLimited):
        counting.charge(key, tokens(8))
    counting.clock.ms += 1
    counting.charge(key, tokens(8))


def test_a_refused_charge_charges_nothing(counting: Counting) -> None:
    key = account(requests_per_minute=10, tokens_per_minute=100, team_tokens_per_minute=50)
    counting.charge(key, tokens(40))
    with pytest.raises(RateLimited) as caught:
        counting.charge(key, tokens(20))
    assert caught.value.limit == Limit("team_1", True, Unit.TOKENS, Period.MINUTE, 50)
    assert [one.used for one in caught.value.standings] == [1, 40, 40]
    assert counting.used(key) == [1, 40, 40]


def test_a_teams_keys_share_its_limits_and_have_their_own(counting: Counting) -> None:
    ours = [account(f"key_{i}", requests_per_minute=2, team_requests_per_minute=3) for i in (1, 2)]
    for key in (ours[0], ours[0], ours[1]):
        counting.charge(key)
    with pytest.raises(RateLimited) as caught:
        counting.charge(ours[1])
    assert caught.value.limit.team
    assert "team" in str(caught.value)
    other = account("key_3", "team_2", requests_per_minute=2, team_requests_per_minute=3)
    counting.charge(other)


def test_a_key_and_a_team_of_the_same_id_are_not_confused(counting: Counting) -> None:
    quota = Quota(requests_per_minute=1)
    counting.charge(Account("x", quota))
    counting.charge(Account("y", Quota(), "x", quota))
    with pytest.raises(RateLimited):
        counting.charge(Account("x", quota))


def test_keys_without_limits_are_never_refused(counting: Counting) -> None:
    for _ in range(100):
        grant = counting.charge(Account("key_1"), tokens(10**9, 10**12))
    assert grant.standings == ()
    assert counting.peek(Account("key_1")) == ()
    counting.refund(grant)


def test_a_day_ends_at_midnight_in_utc(counting: Counting) -> None:
    key = account(tokens_per_day=100)
    counting.charge(key, tokens(90))
    with pytest.raises(InsufficientQuota) as caught:
        counting.charge(key, tokens(11))
    assert caught.value.wait_ms == MIDNIGHT_MS - NOON_MS
    assert caught.value.ends_in_s == 43_200
    counting.clock.ms = MIDNIGHT_MS - 1
    with pytest.raises(InsufficientQuota):
        counting.charge(key, tokens(11))
    counting.clock.ms = MIDNIGHT_MS
    assert counting.charge(key, tokens(100)).standings[0].remaining == 0


def test_a_month_ends_with_its_last_day(counting: Counting) -> None:
    key = account(cost_per_month=5 * 10**9)
    counting.charge(key, tokens(1, 5 * 10**9))
    with pytest.raises(InsufficientQuota) as caught:
        counting.charge(key, tokens(1, 1))
    assert counting.clock.ms + caught.value.wait_ms == DECEMBER_MS
    assert "Limit 5.00, Used 5.00, Requested 0.000000001" in str(caught.value)
    assert "2026-12-01 00:00 UTC" in str(caught.value)
    counting.clock.ms = DECEMBER_MS
    counting.charge(key, tokens(1, 1))


def test_what_costs_nothing_passes_where_the_money_is_spent(counting: Counting) -> None:
    key = account(cost_per_month=10)
    counting.charge(key, tokens(1, 10))
    counting.charge(key, tokens(1, 0))


def test_more_than_a_limit_is_in_all_is_said_to_be_too_large(counting: Counting) -> None:
    key = account(tokens_per_minute=1000)
    with pytest.raises(ChargeTooLarge) as caught:
        counting.charge(key, tokens(1001))
    assert str(caught.value).startswith(
        "Request too large for this API key on tokens per min (TPM): Limit 1000, Requested 1001."
    )
    assert counting.used(key) == [0]


def test_what_can_never_pass_is_said_before_what_has_to_wait(counting: Counting) -> None:
    key = account(requests_per_minute=1, tokens_per_minute=10)
    counting.charge(key)
    with pytest.raises(ChargeTooLarge):
        counting.charge(key, tokens(11))


def test_of_several_refusals_the_longest_is_told(counting: Counting) -> None:
    key = account(requests_per_minute=1, tokens_per_minute=1000, tokens_per_day=1000)
    counting.charge(key, tokens(1000))
    with pytest.raises(InsufficientQuota):
        counting.charge(key, tokens(1))


def test_a_refund_restores_what_was_charged(counting: Counting) -> None:
    key = account(
        requests_per_minute=10,
        tokens_per_minute=100,
        tokens_per_day=1000,
        cost_per_month=50,
        team_requests_per_minute=20,
    )
    counting.charge(key, tokens(30, 7))
    before = counting.peek(key)
    grant = counting.charge(key, tokens(50, 9))
    assert counting.peek(key) != before
    counting.refund(grant)
    assert counting.peek(key) == before


def test_what_has_drained_since_is_not_given_back_again(counting: Counting) -> None:
    key = account(requests_per_minute=10)
    early = counting.charge(key, Charge(requests=5))
    counting.clock.ms += 60_000
    counting.charge(key, Charge(requests=10))
    counting.refund(early)  # or fifteen would have passed at once
    assert counting.used(key) == [10]


def test_a_part_of_a_charge_may_be_taken_back_first_and_the_rest_some_time_later(
    counting: Counting,
) -> None:
    key = account(tokens_per_minute=600, tokens_per_day=1000)
    counting.charge(key, tokens(100))
    grant = counting.charge(key, tokens(400))
    counting.clock.ms += 1000  # ten tokens
    over = Charge(0, 300)
    rest = lowered(grant, over)
    counting.refund(replace(grant, charge=over))
    assert [one.used for one in counting.peek(key)] == [190, 200]
    assert [one.used for one in rest.standings] == [200, 200]
    counting.clock.ms += 1000
    counting.refund(rest)
    assert [one.used for one in counting.peek(key)] == [80, 100]


def test_a_refund_after_midnight_takes_nothing_from_the_new_day(counting: Counting) -> None:
    key = account(tokens_per_day=100)
    late = counting.charge(key, tokens(60))
    counting.clock.ms = MIDNIGHT_MS
    counting.charge(key, tokens(70))
    counting.refund(late)
    assert counting.used(key) == [70]


def test_what_was_used_before_a_restart_counts(counting: Counting) -> None:
    key = account(
        tokens_per_day=100, cost_per_month=50, team_tokens_per_day=200, team_cost_per_month=60
    )
    counting.seed(Spent("key_1", False, 90, 40), Spent("team_1", True, 150, 59))
    assert counting.used(key) == [90, 40, 150, 59]
    with pytest.raises(InsufficientQuota):
        counting.charge(key, tokens(11))
    counting.charge(key, tokens(10, 1))


def test_seeding_again_never_lowers_what_is_counted(counting: Counting) -> None:
    key = account(tokens_per_day=100)
    counting.seed(Spent("key_1", False, 20))
    counting.charge(key, tokens(50))
    counting.seed(Spent("key_1", False, 60), Spent("key_1", False, 0, 5))
    assert counting.used(key) == [70]
    counting.seed(Spent("key_1", False, 95))
    assert counting.used(key) == [95]


def test_what_was_used_is_known_when_a_limit_is_set_later(counting: Counting) -> None:
    counting.seed(Spent("key_1", False, 90, 40))
    counting.charge(account(requests_per_minute=5), tokens(1))
    assert counting.used(account(tokens_per_day=100)) == [90]


def test_yesterdays_use_is_not_seeded_into_today(counting: Counting) -> None:
    key = account(tokens_per_day=100)
    counting.charge(key, tokens(10))
    counting.clock.ms -= DAY_MS
    counting.seed(Spent("key_1", False, 99))
    counting.clock.ms += DAY_MS
    assert counting.used(key) == [10]


def test_a_limit_that_is_lowered_or_raised_holds_at_once(counting: Counting) -> None:
    counting.charge(account(requests_per_minute=100), Charge(requests=90))
    (standing,) = counting.peek(account(requests_per_minute=200))
    assert (standing.used, standing.remaining) == (90, 110)
    lowered = account(requests_per_minute=10)
    (standing,) = counting.peek(lowered)
    assert (standing.used, standing.remaining) == (10, 0)
    with pytest.raises(RateLimited):
        counting.charge(lowered)
    counting.charge(account(requests_per_minute=200), Charge(requests=110))


def test_a_minutes_limit_that_is_lowered_is_as_if_used_up_and_no_worse(counting: Counting) -> None:
    counting.charge(account(tokens_per_minute=1_000_000), tokens(900_000))
    lowered = account(tokens_per_minute=10_000)
    with pytest.raises(RateLimited) as caught:
        counting.charge(lowered, tokens(10))
    assert caught.value.wait_ms == 60
    counting.clock.ms += 60
    grant = counting.charge(lowered, tokens(10))
    counting.refund(grant)
    assert of(counting.peek(lowered), Unit.TOKENS).used == 9_990


def test_what_was_charged_before_a_limit_was_lowered_is_given_back_no_more_than_once(
    counting: Counting,
) -> None:
    before = counting.charge(account(tokens_per_minute=1_000_000), tokens(900_000))
    lowered = account(tokens_per_minute=10_000)
    with pytest.raises(RateLimited):
        counting.charge(lowered, tokens(10))
    counting.refund(before)
    counting.charge(lowered, tokens(10_000))
    with pytest.raises(RateLimited):
        counting.charge(lowered, tokens(1))


def test_standings_say_when_a_limit_is_as_if_untouched(counting: Counting) -> None:
    key = account(requests_per_minute=60, tokens_per_day=100)
    assert [one.reset_ms for one in counting.peek(key)] == [0, 0]
    counting.charge(key, tokens(5))
    assert [one.reset_ms for one in counting.peek(key)] == [1000, MIDNIGHT_MS - NOON_MS]
    counting.clock.ms += 400
    assert [one.reset_ms for one in counting.peek(key)] == [600, MIDNIGHT_MS - NOON_MS - 400]


def test_the_largest_limits_are_exact(counting: Counting) -> None:
    most = 2**52 // 60_000
    key = account(tokens_per_minute=10**15, tokens_per_day=10**17)
    counting.charge(key, tokens(most - 1))
    counting.charge(key, tokens(1))
    with pytest.raises(RateLimited) as caught:
        counting.charge(key, tokens(1))
    assert caught.value.wait_ms == 1
    counting.clock.ms += 60_000
    counting.seed(Spent("key_1", False, 2**52 - 5))
    counting.charge(key, tokens(5))
    with pytest.raises(InsufficientQuota):
        counting.charge(key, tokens(1))


def test_a_clock_that_goes_back_stops_nobody_for_longer(counting: Counting) -> None:
    key = account(requests_per_minute=60)
    counting.charge(key, Charge(requests=60))
    counting.clock.ms -= 10 * DAY_MS
    with pytest.raises(RateLimited) as caught:
        counting.charge(key)
    assert caught.value.wait_ms == 1000
    counting.clock.ms += 1000
    counting.charge(key)
