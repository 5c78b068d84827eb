"""Pooling against loops that say what each mode means, one sequence and one number at a time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.pool import pool, pooled_width, unit, weighted_mean
from emblem.model import Pooling, PoolingMode


def reference(states: np.ndarray, mode: PoolingMode, skip: int) -> list[float]:
    """Pool one sequence as sentence-transformers defines it, in plain Python."""
    n, width = states.shape
    kept = range(min(skip, n), n)
    if mode is PoolingMode.CLS:
        return [float(x) for x in states[kept[0] if kept else 0]]
    if mode is PoolingMode.LAST_TOKEN:
        return [float(x) for x in states[n - 1]] if kept else [0.0] * width
    columns = [[float(states[t, j]) for t in kept] for j in range(width)]
    if mode is PoolingMode.MAX:
        return [max(column, default=-math.inf) for column in columns]
    if mode is PoolingMode.WEIGHTED_MEAN:
        total = max(1e-9, sum(t + 1 for t in kept))
        return [
            sum((t + 1) * x for t, x in zip(kept, column, strict=True)) / total
            for column in columns
        ]
    count = max(1e-9, len(kept))
    divisor = math.sqrt(count) if mode is PoolingMode.MEAN_SQRT_LEN else count
    return [sum(column) / divisor for column in columns]


def row(lengths: list[int], width: int, seed: int) -> np.ndarray:
    """Make random states for sequences of those lengths."""
    return np.random.default_rng(seed).standard_normal((sum(lengths), width)).astype(np.float32)


@settings(deadline=None, max_examples=150)
@given(
    sequences=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 14)), min_size=1, max_size=6),
    modes=st.lists(st.sampled_from(list(PoolingMode)), min_size=1, max_size=3),
    include_prompt=st.booleans(),
    width=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_every_mode_gives_what_its_definition_gives(
    sequences: list[tuple[int, int]],
    modes: list[PoolingMode],
    include_prompt: bool,
    width: int,
    seed: int,
) -> None:
    lengths = [length for length, _ in sequences]
    states = row(lengths, width, seed)
    pooling = Pooling(tuple(modes), include_prompt)
    skip = np.array([s for _, s in sequences], np.int32)
    pooled = pool(states, np.array(lengths, np.int32), pooling, skip)
    assert pooled.dtype == np.float32
    assert pooled.shape == (len(sequences), pooled_width(pooling, width))
    start = 0
    for vector, (length, skipped) in zip(pooled, sequences, strict=True):
        one = states[start : start + length]
        start += length
        left_out = 0 if include_prompt else skipped
        expected = [x for mode in modes for x in reference(one, mode, left_out)]
        np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", list(PoolingMode))
def test_a_sequence_is_pooled_to_the_same_bytes_whatever_shares_its_row(mode: PoolingMode) -> None:
    mine = row([9], 7, seed=1)
    others = row([5], 7, seed=2)
    pooling = Pooling((mode,))
    alone = pool(mine, np.array([9], np.int32), pooling, np.zeros(1, np.int32))
    both = pool(
        np.concatenate([others, mine]), np.array([5, 9], np.int32), pooling, np.zeros(2, np.int32)
    )
    assert both[1].tobytes() == alone[0].tobytes()


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("mode", list(PoolingMode))
def test_where_nothing_is_left_out_is_as_where_no_token_of_any_sequence_is(
    mode: PoolingMode, include_prompt: bool
) -> None:
    states = row([4, 1, 6], 5, seed=4)
    lengths, pooling = np.array([4, 1, 6], np.int32), Pooling((mode,), include_prompt)
    none = pool(states, lengths, pooling, np.zeros(3, np.int32))
    assert pool(states, lengths, pooling).tobytes() == none.tobytes()


def test_states_are_not_changed_by_leaving_a_prompt_out() -> None:
    states = row([4, 3], 3, seed=3)
    before = states.copy()
    modes = tuple(PoolingMode)
    pool(states, np.array([4, 3], np.int32), Pooling(modes, False), np.array([2, 1], np.int32))
    np.testing.assert_array_equal(states, before)


@pytest.mark.parametrize(
    ("lengths", "skip", "message"),
    [
        ([2, 0, 2], [0, 0, 0], "no tokens"),
        ([2, 3], [0, 0], "4 states for sequences of 5"),
        ([4], [0, 0], "2 skips for 1"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(
    lengths: list[int], skip: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pool(row([4], 2, seed=0), np.array(lengths, np.int32), Pooling(), np.array(skip, np.int32))


def test_an_empty_row_pools_to_no_vectors_of_the_right_width() -> None:
    none = np.zeros(0, np.int32)
    modes = (PoolingMode.MEAN, PoolingMode.MAX)
    assert pool(np.zeros((0, 4), np.float32), none, Pooling(modes), none).shape == (0, 8)


def test_unit_makes_every_row_of_length_one_and_leaves_zeros() -> None:
    vectors = np.array([[3, 4], [0, 0], [1e-30, 0], [3e30, 4e30]], np.float32)
    expected = np.array([[0.6, 0.8], [0, 0], [1, 0], [0.6, 0.8]], np.float32)
    np.testing.assert_allclose(unit(vectors), expected, rtol=1e-6)
    assert unit(vectors).dtype == np.float32


def test_unit_of_no_vectors_is_none() -> None:
    assert unit(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_unit_leaves_what_is_not_finite_for_the_check_to_find() -> None:
    scaled = unit(np.array([[np.nan, 1], [np.inf, 1]], np.float32))
    assert not np.isfinite(scaled).all(axis=1).any()


@settings(deadline=None, max_examples=80)
@given(
    windows=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300)), min_size=1, max_size=12),
    seed=st.integers(0, 9),
)
def test_the_mean_of_windows_follows_its_formula(windows: list[tuple[int, int]], seed: int) -> None:
    vectors = row([len(windows)], 6, seed) * 5
    owners = np.array([owner for owner, _ in windows], np.int32)
    weights = np.array([weight for _, weight in windows], np.int32)
    means = weighted_mean(vectors, weights, owners, 4)
    assert means.dtype == np.float32
    for owner in range(4):
        expected, total = [0.0] * 6, 0
        for vector, (mine, weight) in zip(vectors.tolist(), windows, strict=True):
            if mine == owner:
                length = math.sqrt(sum(x * x for x in vector))
                expected = [e + weight * x / length for e, x in zip(expected, vector, strict=True)]
                total += weight
        expected = [e / max(1, total) for e in expected]
        np.testing.assert_allclose(means[owner], expected, rtol=1e-5, atol=1e-6)
