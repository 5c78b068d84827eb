"""Limits are exact: whatever comes, and whenever, no more passes than is allowed."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from counting import DAY_MS, NOON_MS, account, tokens
from emblem.accounts import Account, Charge, Grant, Limit, Period, Quota, State, Unit
from emblem.core.limits import (
    FRESH,
    MAX_PER_MINUTE,
    MAX_PER_WINDOW,
    MINUTE_MS,
    Decision,
    at_least,
    decide,
    limits_of,
    lowered,
    settle_all,
    standings,
    take_back,
    window,
    window_start_ms,
)

EXAMPLES = settings(max_examples=300, deadline=None)

times = st.lists(st.integers(0, 90_000), min_size=1, max_size=40)  # between charges
amounts = st.integers(0, 130)
most = st.integers(1, 100)


def per_minute(most: int) -> Limit:
    return Limit("key_1", False, Unit.TOKENS, Period.MINUTE, most)


class Bucket:
    """One limit, its state, and what has passed: (when, how much)."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.state = FRESH
        self.passed: list[tuple[int, int]] = []

    def charge(self, n: int, now_ms: int) -> Decision:
        decision = decide([self.limit], [self.state], tokens(n), now_ms)
        (self.state,) = decision.states
        if decision.refusal is None:
            self.passed.append((now_ms, n))
        return decision

    def refund(self, n: int, granted: State, now_ms: int) -> None:
        (self.state,) = take_back([self.limit], [self.state], [granted], tokens(n), now_ms)


def check_every_interval(passed: list[tuple[int, int]], most: int) -> None:
    """At most ``most`` and what drains meanwhile, from any charge to any later one."""
    for first, (start, _) in enumerate(passed):
        total = 0
        for then, n in passed[first:]:
            total += n
            assert total * MINUTE_MS <= most * (MINUTE_MS + then - start)


@EXAMPLES
@given(most=most, gaps=times, data=st.data())
def test_in_no_interval_more_passes_than_the_limit_and_what_drains(
    most: int, gaps: list[int], data: st.DataObject
) -> None:
    bucket, now_ms = Bucket(per_minute(most)), NOON_MS
    for gap in gaps:
        now_ms += gap
        bucket.charge(data.draw(amounts), now_ms)
    check_every_interval(bucket.passed, most)


@EXAMPLES
@given(most=most, gaps=times, data=st.data())
def test_refunds_let_no_more_through_than_had_the_charge_never_been_made(
    most: int, gaps: list[int], data: st.DataObject
) -> None:
    bucket, now_ms = Bucket(per_minute(most)), NOON_MS
    refundable: list[tuple[int, int, State]] = []
    for gap in gaps:
        now_ms += gap
        if refundable and data.draw(st.booleans()):
            then, n, granted = refundable.pop(data.draw(st.integers(0, len(refundable) - 1)))
            bucket.refund(n, granted, now_ms)
            bucket.passed.remove((then, n))
        elif not bucket.charge(n := data.draw(amounts), now_ms).refusal:
            refundable.append((now_ms, n, bucket.state))
    check_every_interval(bucket.passed, most)


@EXAMPLES
@given(most=most, before=amounts, n=amounts, later=st.integers(0, 90_000))
def test_a_refund_leaves_what_would_be_there_without_the_charge(
    most: int, before: int, n: int, later: int
) -> None:
    bucket, without = Bucket(per_minute(most)), Bucket(per_minute(most))
    for one in (bucket, without):
        one.charge(before, NOON_MS)
    if bucket.charge(n, NOON_MS).refusal is None:
        bucket.refund(n, bucket.state, NOON_MS + later)
    limit = [per_minute(most)]
    now_ms = NOON_MS + later
    assert settle_all(limit, [bucket.state], now_ms) == settle_all(limit, [without.state], now_ms)


@EXAMPLES
@given(before=amounts, n=amounts, data=st.data())
def test_a_charge_that_is_lowered_is_as_if_no_more_had_been_charged_and_so_is_its_refund(
    before: int, n: int, data: st.DataObject
) -> None:
    """What an upper bound charged too much is taken back some time later, the rest later still."""
    one = Account("key_1", Quota(tokens_per_minute=130, tokens_per_day=500), None, Quota())
    limits, kept = limits_of(one), data.draw(st.integers(0, n))
    first, then, last = sorted(NOON_MS + data.draw(st.integers(0, 90_000)) for _ in range(3))
    held = decide(limits, [FRESH] * 2, tokens(before), first).states
    much, little = (decide(limits, held, tokens(each), first) for each in (n, kept))
    assume(much.refusal is None)
    grant = Grant(one, tokens(n), first, much.standings, much.states)
    lower = lowered(grant, Charge(0, n - kept))
    assert (lower.charge, lower.states) == (tokens(kept), little.states)
    assert lower.standings == little.standings
    now = take_back(limits, much.states, grant.states, Charge(0, n - kept), then)
    assert now == settle_all(limits, little.states, then)
    after = take_back(limits, now, lower.states, lower.charge, last)
    assert after == settle_all(limits, held, last)


def quotas() -> st.SearchStrategy[Quota]:
    limit = st.none() | st.integers(1, 60)
    return st.builds(Quota, limit, limit, limit, limit)


charges = st.builds(Charge, st.integers(0, 3), st.integers(0, 70), st.integers(0, 70))
accounts = st.builds(Account, st.just("key_1"), quotas(), st.none() | st.just("team"), quotas())


def after_some(account: Account, earlier: Iterable[Charge], now_ms: int) -> tuple[State, ...]:
    limits = limits_of(account)
    states: tuple[State, ...] = (FRESH,) * len(limits)
    for charge in earlier:
        states = decide(limits, states, charge, now_ms).states
    return states


@EXAMPLES
@given(account=accounts, earlier=st.lists(charges, max_size=10), charge=charges)
def test_all_limits_are_charged_or_none(
    account: Account, earlier: list[Charge], charge: Charge
) -> None:
    limits = limits_of(account)
    states = after_some(account, earlier, NOON_MS)
    decision = decide(limits, states, charge, NOON_MS)
    if decision.refusal is not None:
        assert decision.states == settle_all(limits, states, NOON_MS)
        return
    before = [one.used for one in standings(limits, states, NOON_MS)] if earlier else [0] * 8
    asked = {Unit.REQUESTS: charge.requests, Unit.TOKENS: charge.tokens, Unit.COST: charge.cost}
    for one, used in zip(decision.standings, before, strict=False):
        assert one.used == used + asked[one.limit.unit]
        assert one.used <= one.limit.most or asked[one.limit.unit] == 0


@EXAMPLES
@given(account=accounts, earlier=st.lists(charges, max_size=10), charge=charges)
def test_what_is_refused_passes_when_it_is_told_to_come_back_and_not_before(
    account: Account, earlier: list[Charge], charge: Charge
) -> None:
    limits = limits_of(account)
    states = after_some(account, earlier, NOON_MS)
    refusal = decide(limits, states, charge, NOON_MS).refusal
    if refusal is None:
        return
    if refusal.wait_ms is None:
        assert refusal.requested > refusal.limit.most
        return
    assert refusal.wait_ms > 0
    then = NOON_MS + refusal.wait_ms
    assert decide(limits, states, charge, then).refusal is None
    assert decide(limits, states, charge, then - 1).refusal is not None


@EXAMPLES
@given(most=most, steps=st.lists(st.integers(-90_000, 90_000), max_size=40), data=st.data())
def test_a_clock_that_goes_back_gives_no_more_than_it_goes_forward(
    most: int, steps: list[int], data: st.DataObject
) -> None:
    bucket, now_ms, forward, total = Bucket(per_minute(most)), NOON_MS, 0, 0
    for step in steps:
        now_ms += step
        forward += max(0, step)
        if not bucket.charge(n := data.draw(amounts), now_ms).refusal:
            total += n
        assert total * MINUTE_MS <= most * (MINUTE_MS + forward)


@EXAMPLES
@given(steps=st.lists(st.integers(-DAY_MS // 3, DAY_MS // 3), max_size=40), data=st.data())
def test_a_day_is_there_once_though_the_clock_goes_back_over_midnight(
    steps: list[int], data: st.DataObject
) -> None:
    limit = Limit("key_1", False, Unit.TOKENS, Period.DAY, 50)
    state, now_ms, latest = FRESH, NOON_MS, NOON_MS
    used: dict[int, int] = {}
    for step in steps:
        now_ms = max(now_ms + step, latest - DAY_MS)  # a little back, not by days
        latest = max(latest, now_ms)
        decision = decide([limit], [state], tokens(n := data.draw(amounts)), now_ms)
        (state,) = decision.states
        if decision.refusal is None:
            used[state.at] = used.get(state.at, 0) + n
    assert all(total <= 50 for total in used.values())
    assert len(used) <= 2 + (latest - NOON_MS) // DAY_MS


def test_a_clock_that_was_years_ahead_does_not_stop_anybody_for_years() -> None:
    limit = Limit("key_1", False, Unit.TOKENS, Period.MONTH, 50)
    wrong = decide([limit], [FRESH], tokens(50), NOON_MS + 3000 * DAY_MS)
    assert decide([limit], wrong.states, tokens(50), NOON_MS).refusal is None


@EXAMPLES
@given(st.integers(0, 4_102_444_800_000))
def test_days_and_months_are_those_of_the_calendar(ms: int) -> None:
    then = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert window(Period.DAY, ms) == (then - datetime(1970, 1, 1, tzinfo=UTC)).days
    month = window(Period.MONTH, ms)
    assert month == then.year * 12 + then.month - 1
    first = datetime(then.year, then.month, 1, tzinfo=UTC)
    assert window_start_ms(Period.MONTH, month) == round(first.timestamp() * 1000)
    assert window_start_ms(Period.MONTH, month) <= ms < window_start_ms(Period.MONTH, month + 1)


@EXAMPLES
@given(
    held=st.integers(0, MAX_PER_MINUTE * MINUTE_MS),
    n=st.integers(0, MAX_PER_MINUTE),
    gap=st.integers(0, 10**12),
)
def test_no_number_leaves_what_a_double_holds_exactly(held: int, n: int, gap: int) -> None:
    (limit,) = limits_of(account(tokens_per_minute=10**18))
    assert limit.most == MAX_PER_MINUTE
    decision = decide([limit], [State(held, NOON_MS)], tokens(n), NOON_MS + gap)
    assert held + n * MINUTE_MS <= 2**53
    assert decision.states[0].held <= MAX_PER_MINUTE * MINUTE_MS


@pytest.mark.parametrize("used", [5, 2**60])
def test_what_was_used_is_at_least_what_is_seeded_in_the_same_day(used: int) -> None:
    limit = Limit("key_1", False, Unit.TOKENS, Period.DAY, 50)
    today = window(Period.DAY, NOON_MS)
    for state in (FRESH, State(3, today), State(40, today - 1)):
        assert at_least(limit, state, used, NOON_MS) == State(min(used, MAX_PER_WINDOW), today)
    assert at_least(limit, State(9, today), 5, NOON_MS) == State(9, today)
    assert at_least(limit, State(9, today + 1), 5, NOON_MS) == State(9, today + 1)


def test_an_account_has_a_limit_for_all_that_its_quotas_name() -> None:
    assert limits_of(Account("key_1")) == ()
    both = account(requests_per_minute=1, tokens_per_day=2, team_cost_per_month=3)
    assert limits_of(both) == (
        Limit("key_1", False, Unit.REQUESTS, Period.MINUTE, 1),
        Limit("key_1", False, Unit.TOKENS, Period.DAY, 2),
        Limit("team_1", True, Unit.COST, Period.MONTH, 3),
    )
