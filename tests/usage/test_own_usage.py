"""GET /v1/usage: a key's own use, and what is left of its limits."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from emblem.accounts import (
    Account,
    By,
    Limit,
    Period,
    Quota,
    Standing,
    Sum,
    Unit,
    Window,
)
from emblem.api.usage import OwnUsage
from emblem.errors import LedgerUnavailable
from emblem.ledger.usagebook import SqlUsageBook

from .conftest import NOW, use

ACCOUNT = Account("key-a", Quota(tokens_per_minute=100), "team-a", Quota(cost_per_month=5 * 10**9))


class Limits:
    """Says how two limits stand."""

    async def peek(self, account: Account) -> Sequence[Standing]:
        assert account == ACCOUNT
        return (
            Standing(Limit("key-a", False, Unit.TOKENS, Period.MINUTE, 100), 40, 24_000),
            Standing(Limit("team-a", True, Unit.COST, Period.MONTH, 5 * 10**9), 6 * 10**9, 999),
        )


def asked(book: object, times: int = 1) -> dict[str, object]:
    async def ask() -> list[bytes]:
        own = OwnUsage(book, Limits(), clock=lambda: NOW)  # type: ignore[arg-type]
        return await asyncio.gather(*(own.answer(ACCOUNT) for _ in range(times)))

    answers = asyncio.run(ask())
    assert len(set(answers)) == 1
    found: dict[str, object] = json.loads(answers[0])
    return found


def test_it_has_today_this_month_each_model_and_the_limits(book: SqlUsageBook) -> None:
    day = 86400
    book.add(
        [
            use("today", model="bge"),
            use("earlier", NOW - 2 * day, cost=1_000_000_000),
            use("last month", NOW - 25 * day),
            use("somebody else", key="key-b"),
        ]
    )
    one = {"requests": 1, "errors": 0, "inputs": 2, "tokens": 10, "cache_hits": 1}
    bge = {**one, "cost": "0.0000002", "model": "bge"}
    assert asked(book) == {
        "object": "usage",
        "key": "key-a",
        "team": "team-a",
        "today": {
            **one,
            "cost": "0.0000002",
            "since": "2026-11-21T00:00:00Z",
            "models": [bge],
        },
        "this_month": {
            "requests": 2,
            "errors": 0,
            "inputs": 4,
            "tokens": 20,
            "cache_hits": 2,
            "cost": "1.0000002",
            "since": "2026-11-01T00:00:00Z",
            "models": [bge, {**one, "cost": "1.00", "model": "minilm"}],
        },
        "limits": [
            {
                "of": "key",
                "unit": "tokens",
                "period": "minute",
                "limit": 100,
                "used": 40,
                "remaining": 60,
                "reset_ms": 24_000,
            },
            {
                "of": "team",
                "unit": "cost",
                "period": "month",
                "limit": "5.00",
                "used": "6.00",
                "remaining": "0.00",
                "reset_ms": 999,
            },
        ],
    }


class Counting:
    """A book that counts how often it is asked, and may be away."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self._error = error

    def sums(self, window: Window, by: Sequence[By] = (), *, percentiles: bool = True) -> list[Sum]:
        assert (window.key, percentiles) == ("key-a", False)
        self.asked += 1
        if self._error is not None:
            raise self._error
        return []


def test_whoever_asks_all_the_time_is_read_once_a_second() -> None:
    book = Counting()
    assert asked(book, times=50)["today"]["requests"] == 0  # type: ignore[index]
    assert book.asked == 2  # for the day, and for the month


def test_a_ledger_that_is_away_is_the_error_that_it_is() -> None:
    with pytest.raises(LedgerUnavailable):
        asked(Counting(LedgerUnavailable("it is away")))
