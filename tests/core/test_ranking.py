"""A ranking is refused unless every document that is due has its one place."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.core.ranking import best_first, ranking_problem


@given(st.permutations(range(6)), st.integers(1, 9) | st.none())
def test_the_best_of_any_order_pass(order: list[int], top_n: int | None) -> None:
    ranked = [(index, -float(place)) for place, index in enumerate(order)]
    assert ranking_problem(ranked[:top_n], 6, top_n) is None


@given(
    st.lists(st.tuples(st.integers(-1, 4), st.floats(-1, 1)), max_size=5),
    st.integers(1, 4),
    st.integers(1, 5) | st.none(),
)
def test_what_passes_is_a_ranking(
    ranked: list[tuple[int, float]], documents: int, top_n: int | None
) -> None:
    if ranking_problem(ranked, documents, top_n) is None:
        indexes = [index for index, _ in ranked]
        assert len(ranked) == min(top_n or documents, documents)
        assert len(set(indexes)) == len(indexes)
        assert all(0 <= index < documents for index in indexes)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([-0.5, 0.0, 0.5])), max_size=9))
def test_the_best_comes_first_with_its_own_score(ranked: list[tuple[int, float]]) -> None:
    first = best_first(ranked)
    assert [score for _, score in first] == sorted((one for _, one in ranked), reverse=True)
    for score in (-0.5, 0.0, 0.5):  # and those with the same one are as they came
        assert [one for one in first if one[1] == score] == [
            one for one in ranked if one[1] == score
        ]


@pytest.mark.parametrize("score", [nan, inf, -inf])
def test_a_score_is_a_finite_number(score: float) -> None:
    assert "no finite number" in str(ranking_problem([(0, score)], 1, None))
