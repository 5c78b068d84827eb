"""How alike vectors are: each with each, or with the one in the same place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.core.cosine import cosines, paired
from emblem.errors import InvalidRequest

ROWS = np.array([[3, 4], [0, 2], [-1, 0]], np.float32)


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_cosines_of_pairs_are_the_diagonal_of_those_of_all(
    n: int, width: int, seed: int
) -> None:
    dice = np.random.default_rng(seed)
    one, other = (dice.standard_normal((n, width)).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(paired(one, other), np.diag(cosines(one, other)), atol=1e-6)


def test_one_vector_is_like_itself_and_unlike_its_opposite_whatever_their_length() -> None:
    np.testing.assert_allclose(paired(ROWS, 7 * ROWS), 1.0)
    np.testing.assert_allclose(paired(ROWS, -ROWS), -1.0)
    assert paired(ROWS[:1], ROWS[1:2]).tolist() == pytest.approx([0.8])


@pytest.mark.parametrize("wrong", [0.0, np.nan, np.inf, -np.inf])
def test_what_has_no_direction_is_like_nothing(wrong: float) -> None:
    other = ROWS.copy()
    other[1] = [wrong, 0.0]
    assert paired(ROWS, other).tolist() == pytest.approx([1.0, 0.0, 1.0])
    with pytest.raises(InvalidRequest, match="vector 1 has no direction"):
        cosines(ROWS, other)
