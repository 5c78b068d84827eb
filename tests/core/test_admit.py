"""When work is taken in, and when its sender is told to come back."""

import pytest

from emblem.core.admit import Load, Pace, hopeless, learned, retry_after

BOUNDS = {"max_seconds": 2.0, "max_bytes": 1000}


def test_an_empty_queue_takes_in_anything() -> None:
    assert retry_after(Load(), Load(10_000.0, 10**12), **BOUNDS) is None


def test_work_is_taken_in_up_to_the_bounds() -> None:
    assert retry_after(Load(1.5, 600), Load(0.5, 400), **BOUNDS) is None


@pytest.mark.parametrize("asked", [Load(0.51, 1), Load(0.0, 401)])
def test_beyond_either_bound_the_answer_is_when_the_queue_has_drained(asked: Load) -> None:
    assert retry_after(Load(1.5, 600), asked, **BOUNDS) == 1.5


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
