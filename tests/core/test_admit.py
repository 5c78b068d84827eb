"""When work is taken in, and when its sender is told to come back."""

import pytest

from emblem.core.admit import Load, hopeless, learned, retry_after

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
