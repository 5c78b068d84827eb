"""Which deployment is sent the next request."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from emblem.core.balance import Load, least

DICE = [step / 1000 for step in range(1000)]
LOADS = st.lists(
    st.builds(Load, st.integers(0, 8), st.integers(1, 8), st.floats(0.01, 100.0)), max_size=6
)


@given(LOADS, st.floats(0.0, 1.0, exclude_max=True))
def test_it_is_one_with_the_fewest_requests_for_its_weight_that_is_not_full(
    loads: list[Load], dice: float
) -> None:
    free = [one for one in loads if one.requests < one.max_requests]
    chosen = least(loads, dice)
    if chosen is None:
        assert not free
    else:
        assert loads[chosen] in free
        fewest = min(one.requests / one.weight for one in free)
        assert loads[chosen].requests / loads[chosen].weight == fewest


def test_idle_ones_are_chosen_as_often_as_their_weights_say() -> None:
    loads = [Load(0, 9, 1.0), Load(0, 9, 3.0), Load(1, 9, 6.0)]
    assert Counter(least(loads, dice) for dice in DICE) == {0: 250, 1: 750}


@given(st.lists(st.floats(0.5, 4.0), min_size=1, max_size=4))
def test_requests_that_stay_are_spread_by_weight(weights: list[float]) -> None:
    work = [0] * len(weights)
    for _ in range(60):
        chosen = least([Load(n, 99, w) for n, w in zip(work, weights, strict=True)], 0.5)
        assert chosen is not None
        work[chosen] += 1
    ratios = [n / w for n, w in zip(work, weights, strict=True)]
    assert max(ratios) - min(ratios) <= 1 / min(weights) + 1e-9
