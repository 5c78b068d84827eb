"""Histograms of milliseconds: how wrong they are, how they add up, and how little room they take."""

from math import ceil, inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.core.percentiles import (
    LAST_BUCKET,
    LEAST_MS,
    RELATIVE_ERROR,
    add,
    added,
    bucket,
    milliseconds,
    packed,
    percentiles,
    unpacked,
)

times = st.floats(min_value=LEAST_MS, max_value=1e9)
histograms = st.dictionaries(st.integers(0, LAST_BUCKET), st.integers(1, 2**40))


def counted(values: list[float]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in values:
        add(counts, {bucket(value): 1})
    return counts


@given(times)
def test_what_is_read_back_is_wrong_by_five_percent_at_most(ms: float) -> None:
    assert RELATIVE_ERROR < 0.05
    assert milliseconds(bucket(ms)) == pytest.approx(ms, rel=RELATIVE_ERROR + 1e-6)


@given(st.lists(times, min_size=1, max_size=200))
def test_percentiles_are_those_of_the_sorted_times(values: list[float]) -> None:
    ordered = sorted(values)
    exact = [ordered[ceil(one * len(ordered) / 100) - 1] for one in (50, 95, 99)]
    found = percentiles(counted(values))
    assert found is not None
    assert found == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-6)


def test_nothing_has_no_percentiles() -> None:
    assert percentiles({}) is None


@pytest.mark.parametrize(
    ("ms", "expected"),
    [(0.0, 0), (-1.0, 0), (nan, 0), (LEAST_MS, 0), (inf, LAST_BUCKET), (1e300, LAST_BUCKET)],
)
def test_a_time_that_cannot_be_is_counted_all_the_same(ms: float, expected: int) -> None:
    assert bucket(ms) == expected


@given(st.lists(times, max_size=50), st.lists(times, max_size=50))
def test_histograms_add_up_to_that_of_all_times(one: list[float], other: list[float]) -> None:
    total = counted(one)
    add(total, counted(other))
    assert total == counted(one + other)


@given(histograms)
def test_a_histogram_is_read_as_it_was_written(counts: dict[int, int]) -> None:
    assert unpacked(packed(counts)) == counts


def test_an_hour_of_a_key_takes_less_than_a_hundred_bytes() -> None:
    spread = dict.fromkeys(range(90, 135), 100)  # 5 ms to 350 ms
    assert len(packed(spread)) < 100


def test_half_a_histogram_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        unpacked(packed({5: 1})[:-1])


@given(st.lists(histograms, max_size=10))
def test_many_histograms_add_up_at_once_as_one_by_one(every: list[dict[int, int]]) -> None:
    total: dict[int, int] = {}
    for one in every:
        add(total, one)
    assert added(map(packed, every)) == total


@pytest.mark.parametrize(
    "bad", [packed({5: 1})[:-1], packed({5: 1}) + b"\x80", packed({LAST_BUCKET + 1: 1})]
)
def test_a_damaged_histogram_is_an_error_beside_sound_ones(bad: bytes) -> None:
    with pytest.raises(ValueError, match=r"histogram|bucket"):
        added([packed({1: 2}), bad, packed({1: 2})])
