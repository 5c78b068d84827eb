"""What is foreseen of limits: never a refusal of what would pass, and soon one of what would not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.accounts import Account, Charge, Period, Quota, State, Unit
from emblem.core.foresight import SLACK_MS, foreseen, later, readable
from emblem.core.limits import FRESH, decide, limits_of, standings

NOW_MS = 1_795_262_400_000
MOST = st.none() | st.integers(0, 5000)
AMOUNT = st.integers(0, 6000)


@given(
    quota=st.builds(Quota, MOST, MOST, MOST, MOST),
    charges=st.lists(st.builds(Charge, st.integers(0, 3), AMOUNT, AMOUNT), max_size=8),
    asked=st.builds(Charge, st.integers(0, 3), AMOUNT, AMOUNT),
    passed_ms=st.integers(0, 200_000) | st.integers(0, 3_000_000_000),
)
def test_nothing_is_foreseen_to_be_refused_that_would_pass(
    quota: Quota, charges: list[Charge], asked: Charge, passed_ms: int
) -> None:
    limits = limits_of(Account("k", quota))
    states: tuple[State, ...] = (FRESH,) * len(limits)
    for one in charges:
        states = decide(limits, states, one, NOW_MS).states
    said = [later(one, passed_ms) for one in standings(limits, states, NOW_MS)]
    told = foreseen(said, asked)
    decision = decide(limits, states, asked, NOW_MS + passed_ms)
    if told is not None:
        assert decision.refusal is not None
        exact = decision.refusal.wait_ms
        assert (told.wait_ms is None) == (exact is None)
        if told.wait_ms is not None and exact is not None:
            assert told.wait_ms <= exact + SLACK_MS
            assert exact <= told.wait_ms or decision.refusal.limit != told.limit
        for at_best, one in zip(said, decision.standings, strict=True):
            assert at_best.used <= one.used


@given(
    quota=st.builds(Quota, MOST, MOST, MOST, MOST),
    charges=st.lists(st.builds(Charge, st.integers(0, 3), AMOUNT, AMOUNT), max_size=8),
    tokens=AMOUNT,
    price=st.integers(0, 3),
    passed_ms=st.integers(0, 200_000),
)
def test_whatever_has_more_tokens_than_are_readable_is_refused_and_told_long_enough(
    quota: Quota, charges: list[Charge], tokens: int, price: int, passed_ms: int
) -> None:
    limits = limits_of(Account("k", quota))
    states: tuple[State, ...] = (FRESH,) * len(limits)
    for one in charges:
        states = decide(limits, states, one, NOW_MS).states
    now_ms = NOW_MS + passed_ms
    said = [later(one, passed_ms) for one in standings(limits, states, NOW_MS)]
    most = readable(said, price)
    if most is None:
        assert not any(one.limit.unit is Unit.TOKENS for one in said)
        return
    told = foreseen(said, Charge(1, most + 1, price * (most + 1)), unread=True)
    assert told is not None
    if tokens <= most:
        return
    asked = Charge(1, tokens, price * tokens)
    refusal = decide(limits, states, asked, now_ms).refusal
    assert refusal is not None
    if told.wait_ms is not None and refusal.wait_ms is not None:
        assert told.wait_ms >= refusal.wait_ms or refusal.limit != told.limit


@pytest.mark.parametrize(
    ("quota", "charge", "least", "unit", "wait_ms"),
    [
        (Quota(requests_per_minute=2), Charge(2), Charge(1), Unit.REQUESTS, 30_000 + SLACK_MS),
        (Quota(tokens_per_minute=600), Charge(1, 0), Charge(1, 601), Unit.TOKENS, None),
        (Quota(requests_per_minute=0), Charge(0), Charge(1), Unit.REQUESTS, None),
        (Quota(tokens_per_day=9), Charge(1, 9), Charge(1, 1), Unit.TOKENS, 86_400_000),
    ],
)
def test_what_would_be_refused_is_foreseen_with_how_long_to_wait(
    quota: Quota, charge: Charge, least: Charge, unit: Unit, wait_ms: int | None
) -> None:
    limits = limits_of(Account("k", quota))
    midnight = NOW_MS - NOW_MS % 86_400_000
    decision = decide(limits, (FRESH,) * len(limits), charge, midnight)
    told = foreseen(decision.standings, least)
    assert told is not None
    assert (told.limit.unit, told.wait_ms) == (unit, wait_ms)


def test_tokens_of_a_minute_are_left_to_who_knows_their_number() -> None:
    limits = limits_of(Account("k", Quota(tokens_per_minute=600)))
    decision = decide(limits, (FRESH,), Charge(1, 600), NOW_MS)
    assert foreseen(decision.standings, Charge(1, 20)) is None
    assert foreseen(decision.standings, Charge(1, 601)) is not None


def test_a_day_that_is_over_refuses_nothing_any_more() -> None:
    limits = limits_of(Account("k", Quota(tokens_per_day=9)))
    decision = decide(limits, (FRESH,), Charge(1, 9), NOW_MS)
    [said] = decision.standings
    assert said.limit.period is Period.DAY
    assert foreseen([later(said, said.reset_ms - 1)], Charge(1, 1)) is not None
    assert foreseen([later(said, said.reset_ms)], Charge(1, 1)) is None
