"""When work is taken in, and when its sender is told to come back."""

import pytest

from emblem.core.admit import Load, retry_after

BOUNDS = {"max_seconds": 2.0, "max_bytes": 1000}


def test_an_empty_queue_takes_in_anything() -> None:
    assert retry_after(Load(), Load(10_000.0, 10**12), **BOUNDS) is None


def test_work_is_taken_in_up_to_the_bounds() -> None:
    assert retry_after(Load(1.5, 600), Load(0.5, 400), **BOUNDS) is None


@pytest.mark.parametrize("asked", [Load(0.51, 1), Load(0.0, 401)])
def test_beyond_either_bound_the_answer_is_when_the_queue_has_drained(asked: Load) -> None:
    assert retry_after(Load(1.5, 600), asked, **BOUNDS) == 1.5
