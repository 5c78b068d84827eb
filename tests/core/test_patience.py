"""How long a request waits between two rounds."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from emblem.core.patience import Patience

PATIENCE = Patience(attempts=4, first_s=0.25, longest_s=30.0)


def test_pauses_are_anything_up_to_a_length_that_doubles() -> None:
    def drawn(dice: float) -> list[float | None]:
        return [PATIENCE.pause_s(rounds, 0.0, inf, dice) for rounds in (0, 1, 2, 20)]

    assert drawn(0.0) == [0.0, 0.0, 0.0, 0.0]
    assert drawn(0.5) == [0.125, 0.25, 0.5, 15.0]
    assert drawn(1.0) == [0.25, 0.5, 1.0, 30.0]


def test_what_a_deployment_asked_for_comes_first_and_not_all_come_back_at_once() -> None:
    assert PATIENCE.pause_s(0, 2.0, inf, 0.0) == 2.0
    assert PATIENCE.pause_s(0, 2.0, inf, 1.0) == 2.25


@given(
    st.integers(0, 5000),
    st.floats(0.0, 100.0),
    st.floats(-10.0, 100.0),
    st.floats(0.0, 1.0),
)
def test_no_pause_is_longer_than_it_may_be_or_ends_after_the_deadline(
    rounds: int, ready_in_s: float, left_s: float, dice: float
) -> None:
    pause = PATIENCE.pause_s(rounds, ready_in_s, left_s, dice)
    if pause is None:
        most = ready_in_s + min(max(0.0, 30.0 - ready_in_s), 0.25 * 2.0 ** min(rounds, 32))
        assert ready_in_s > 30.0 or most >= left_s
    else:
        assert ready_in_s <= pause <= 30.0
        assert pause < left_s
