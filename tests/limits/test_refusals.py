"""What a refusal says, in its message and in its headers."""

import pytest

from counting import NOON_MS, account, tokens
from emblem.accounts import Account, Charge, Limit, Period, Standing, Unit
from emblem.api.limits import headers
from emblem.api.problems import Problem, problem_of
from emblem.core.limits import FRESH, decide, limits_of
from emblem.core.refusals import duration, money, refused
from emblem.errors import LimitReached, LimitsUnavailable


def refusal(
    account: Account, earlier: Charge, charge: Charge, now_ms: int = NOON_MS
) -> LimitReached:
    """Give the error of a charge that is refused after another one was not."""
    limits = limits_of(account)
    first = decide(limits, [FRESH] * len(limits), earlier, now_ms)
    second = decide(limits, first.states, charge, now_ms)
    assert second.refusal is not None
    return refused(second.refusal, second.standings, now_ms)


def told(error: LimitReached) -> tuple[Problem, dict[str, str]]:
    problem = problem_of(error, "req_1")
    assert problem.status == 429
    return problem, {name.decode(): value.decode() for name, value in problem.headers}


def test_a_minutes_limit_of_requests_is_said_as_openai_says_it() -> None:
    key = account(requests_per_minute=3)
    problem, said = told(refusal(key, Charge(requests=3), Charge()))
    assert problem.detail.message == (
        "Rate limit reached for this API key on requests per min (RPM): Limit 3, Used 3, "
        "Requested 1. Please try again in 20s."
    )
    assert (problem.detail.type, problem.detail.code) == ("requests", "rate_limit_exceeded")
    assert said == {
        "retry-after": "20",
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }


def test_a_minutes_limit_of_tokens_is_said_as_openai_says_it() -> None:
    key = account(team_tokens_per_minute=1_000_000)
    problem, said = told(refusal(key, tokens(976_163), tokens(70_716)))
    assert problem.detail.message == (
        "Rate limit reached for this API key's team on tokens per min (TPM): Limit 1000000, "
        "Used 976163, Requested 70716. Please try again in 2.813s."
    )
    assert (problem.detail.type, problem.detail.code) == ("tokens", "rate_limit_exceeded")
    assert said["retry-after"] == "3"


def test_what_can_never_pass_is_not_to_be_tried_again() -> None:
    problem, said = told(refusal(account(tokens_per_minute=30_000), tokens(1), tokens(36_055)))
    assert problem.detail.message.startswith(
        "Request too large for this API key on tokens per min (TPM): Limit 30000, Requested 36055."
    )
    assert (problem.detail.type, problem.detail.code) == ("tokens", "rate_limit_exceeded")
    assert said["x-should-retry"] == "false"
    assert "retry-after" not in said


def test_a_used_up_day_is_a_quota_that_no_client_waits_for() -> None:
    problem, said = told(refusal(account(tokens_per_day=100), tokens(99), tokens(2)))
    assert problem.detail.message == (
        "You exceeded your current quota for this API key on tokens per day (TPD): Limit 100, "
        "Used 99, Requested 2. The next day begins at 2026-11-22 00:00 UTC."
    )
    assert (problem.detail.type, problem.detail.code) == ("insufficient_quota",) * 2
    assert (said["retry-after"], said["x-should-retry"]) == ("60", "false")


def test_a_day_that_is_about_to_end_is_worth_the_wait() -> None:
    late = NOON_MS + 12 * 3_600_000 - 30_000
    _, said = told(refusal(account(tokens_per_day=100), tokens(99), tokens(2), late))
    assert said["retry-after"] == "30"
    assert "x-should-retry" not in said


def test_more_than_a_days_limit_at_once_is_a_matter_of_quota_too() -> None:
    problem, said = told(refusal(account(tokens_per_day=100), tokens(1), tokens(101)))
    assert (problem.detail.type, problem.detail.code) == ("insufficient_quota",) * 2
    assert said["x-should-retry"] == "false"


@pytest.mark.parametrize(("wait_ms", "seconds"), [(1, "1"), (1001, "2"), (59_999, "60")])
def test_retry_after_is_a_whole_number_of_seconds_that_is_enough(
    wait_ms: int, seconds: str
) -> None:
    key = account(tokens_per_minute=60_000)
    _, said = told(refusal(key, tokens(60_000), tokens(wait_ms)))
    assert said["retry-after"] == seconds


def test_limits_that_cannot_be_counted_are_no_fault_of_the_caller() -> None:
    problem = problem_of(LimitsUnavailable(), "req_1")
    assert (problem.status, problem.detail.code) == (503, "limits_unavailable")
    assert (b"retry-after", b"1") in problem.headers


def standing(unit: Unit, most: int, used: int, reset_ms: int, *, team: bool = False) -> Standing:
    return Standing(Limit("x", team, unit, Period.MINUTE, most), used, reset_ms)


def test_headers_tell_of_the_tighter_of_key_and_team() -> None:
    found = headers(
        [
            standing(Unit.REQUESTS, 60, 1, 1000),
            standing(Unit.TOKENS, 150_000, 16, 7),
            standing(Unit.REQUESTS, 600, 570, 57_000, team=True),
            standing(Unit.TOKENS, 900_000, 750_000, 50_000, team=True),
            standing(Unit.COST, 10, 3, 1),
        ]
    )
    assert {name.decode(): value.decode() for name, value in found} == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "30",
        "x-ratelimit-reset-requests": "57s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "7ms",
    }
    assert headers([]) == ()


@pytest.mark.parametrize(
    ("ms", "written"),
    [
        (0, "0s"),
        (1, "1ms"),
        (120, "120ms"),
        (1000, "1s"),
        (2812, "2.812s"),
        (8640, "8.64s"),
        (20_000, "20s"),
        (86_400, "1m26.4s"),
        (360_000, "6m0s"),
        (3_600_000, "1h0m0s"),
        (86_399_000, "23h59m59s"),
    ],
)
def test_times_are_written_as_in_openais_headers(ms: int, written: str) -> None:
    assert duration(ms) == written


@pytest.mark.parametrize(
    ("billionths", "written"),
    [(0, "0.00"), (1, "0.000000001"), (10**9, "1.00"), (12_345_000_000, "12.345")],
)
def test_money_is_written_in_full(billionths: int, written: str) -> None:
    assert money(billionths) == written
