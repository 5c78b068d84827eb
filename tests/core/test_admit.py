"""When work is taken in, and when its sender is told to come back."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.admit import Demand, Load, Pace, admitted, hopeless, learned

BOUNDS = {"max_seconds": 2.0, "max_bytes": 1000}


NOTHING = Demand(0, 0, 0, 1)


def test_an_empty_queue_takes_in_anything() -> None:
    much = Demand(10_000, 0, 10_000, 3)
    assert admitted(much, much, **BOUNDS, empty=True)
    assert not admitted(much, NOTHING, **BOUNDS, empty=False)
    assert not admitted(NOTHING, much, **BOUNDS, empty=False)


def test_one_share_fills_a_bound_and_no_more() -> None:
    assert Demand(asked=0.5, own=1.5, total=1.5, shares=1).fits(2.0)
    assert not Demand(asked=0.51, own=1.5, total=1.5, shares=1).fits(2.0)


def test_half_of_the_bytes_are_for_all_and_all_of_them_for_shares_with_less_than_their_part() -> (
    None
):
    def taken(asked: float, own: float, total: float, shares: int) -> bool:
        return admitted(NOTHING, Demand(asked, own, total, shares), **BOUNDS, empty=False)

    assert taken(100, 400, 400, 1)
    assert not taken(101, 400, 400, 1)
    assert taken(250, 0, 500, 2)
    assert not taken(251, 0, 500, 2)
    assert not taken(101, 0, 900, 2)


def test_what_others_have_waiting_refuses_nobody_who_asks_for_his_part() -> None:
    assert Demand(asked=0.5, own=0.5, total=1e9, shares=2).fits(2.0)
    assert not Demand(asked=0.6, own=0.5, total=1e9, shares=2).fits(2.0)


@settings(deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.integers(0, 6), st.integers(1, 60), st.booleans()), min_size=1, max_size=80
    )
)
def test_whoever_asks_in_whatever_order_gets_his_part_and_the_bound_holds(
    asked: list[tuple[int, int, bool]],
) -> None:
    bound, ceiling = 100, 200
    had: Counter[int] = Counter()
    capped: Counter[int] = Counter()
    for share, size, ends in asked:
        if ends:  # all that the share has is done
            del had[share], capped[share]
            continue
        shares = len({*had, share})
        fits = Demand(size, had[share], had.total(), shares).fits(bound)
        assert fits or had[share] + size > bound / shares
        had[share] += size if fits else 0
        if Demand(size, capped[share], capped.total(), len({*+capped, share})).fits(bound, ceiling):
            capped[share] += size
        had, capped = +had, +capped
        assert had.total() <= bound * sum(1 / n for n in range(1, len(had) + 1))
        assert capped.total() <= ceiling


def test_only_what_could_not_be_done_in_time_alone_is_hopeless() -> None:
    assert hopeless(Load(601.0), 600.0)
    assert not hopeless(Load(600.0), 600.0)
    assert not hopeless(Load(1e9), float("inf"))


def test_what_is_late_already_is_not_refused_as_too_much() -> None:
    assert not hopeless(Load(1.0), -1.0)


def test_a_speed_is_learned_by_tenths_and_no_pause_makes_it_ten_times_worse() -> None:
    assert learned(1.0, 2.0) == pytest.approx(1.1)
    assert learned(1.0, 0.0) == pytest.approx(0.9)
    assert learned(1.0, 1e9) == pytest.approx(1.9)


def test_the_pace_of_much_work_is_that_of_full_rows_once_there_are_any() -> None:
    pace = Pace(128, guess=1.0)
    assert (pace.seconds_per_token, pace.row_seconds(10)) == (1.0, 10.0)
    pace.learn(10, 20.0)
    assert pace.seconds_per_token == pytest.approx(1.1)
    for _ in range(200):
        pace.learn(10, 20.0)
        pace.learn(64, 64.0)
        pace.learn(512, 4 * 512.0)
    assert 1.0 < pace.seconds_per_token < 4.0
    assert pace.row_seconds(10) == pytest.approx(20.0)
    assert pace.row_seconds(64) == pytest.approx(64.0)
    assert pace.row_seconds(300) == pytest.approx(1200.0)


def test_a_pace_in_doubt_moves_towards_the_guess_and_never_beyond() -> None:
    pace = Pace(100, guess=1.0)
    for _ in range(100):
        pace.learn(100, 500.0)
    before = pace.seconds_per_token
    pace.doubt()
    assert pace.seconds_per_token == pytest.approx(before - 0.1 * (before - 1.0))
    fast = Pace(100, guess=1.0)
    fast.learn(100, 1.0)
    known = fast.seconds_per_token
    fast.doubt()
    assert fast.seconds_per_token == known
