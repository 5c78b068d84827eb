"""Which requests are recorded, and with which tokens."""

import pytest

from emblem.accounts import Observed, Use
from emblem.ledger.observing import UsageObserver

ROUTE = "/v1/embeddings"


class Log:
    """Keeps records."""

    def __init__(self) -> None:
        self.uses: list[Use] = []

    def record(self, use: Use) -> None:
        self.uses.append(use)


def request(**given: object) -> Observed:
    plain = {
        "id": "req-1",
        "method": "POST",
        "at": 1.5,
        "route": ROUTE,
        "key": "key-a",
        "team": "team-a",
        "model": "minilm",
        "space": "minilm@0/384",
        "served_by": "local",
        "inputs": 3,
        "tokens": 30,
        "hits": 1,
        "cost": 600,
        "user": "alice",
        "tags": ("nightly",),
        "status": 200,
        "seconds": 0.0125,
    }
    return Observed(**(plain | given))  # type: ignore[arg-type]


def recorded(**given: object) -> list[Use]:
    log = Log()
    UsageObserver(log, [ROUTE]).observed(request(**given))
    return log.uses


def test_a_record_has_all_that_was_observed() -> None:
    assert recorded() == [
        Use(
            id="req-1",
            at=1.5,
            key="key-a",
            team="team-a",
            model="minilm",
            space="minilm@0/384",
            served_by="local",
            inputs=3,
            tokens=30,
            hits=1,
            status=200,
            ms=12.5,
            cost=600,
            user="alice",
            tags=("nightly",),
        )
    ]


@pytest.mark.parametrize(
    ("status", "charged"), [(200, 30), (499, 30), (400, 0), (429, 0), (500, 0), (503, 0)]
)
def test_only_what_was_charged_and_not_given_back_counts(status: int, charged: int) -> None:
    (use,) = recorded(status=status)
    assert (use.status, use.tokens, use.cost) == (status, charged, 20 * charged)


@pytest.mark.parametrize("given", [{"key": ""}, {"route": "/v1/models"}])
def test_strangers_and_other_routes_leave_no_record(given: dict[str, str]) -> None:
    assert recorded(**given) == []
