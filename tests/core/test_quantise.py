"""Rounding to eight bits, and what it costs."""

import numpy as np
import pytest

from emblem.core.quantise import Bound, group_of, loss_of, product, proven, rounded
from emblem.model import Loss

DICE = np.random.default_rng(5)


def some(*shape: int) -> np.ndarray:
    return DICE.normal(size=shape).astype(np.float32)


def units(*shape: int) -> np.ndarray:
    vectors = some(*shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_a_rounded_weight_is_at_most_half_a_step_from_what_it_was() -> None:
    weight = some(40, 96)
    whole, scales = rounded(weight)
    assert (whole.dtype, whole.shape, scales.dtype, scales.shape) == (
        np.int8, (40, 96), np.float32, (40, 1),
    )  # fmt: skip
    assert (np.abs(whole * scales - weight) <= scales * 0.5001).all()
    assert (np.abs(whole).max(axis=1) == 127).all()


def test_an_output_of_zeros_stays_zero() -> None:
    weight = some(3, 16)
    weight[1] = 0
    whole, scales = rounded(weight)
    assert not whole[1].any()
    assert scales[1] == 1


def test_a_product_of_rounded_numbers_is_near_the_product_of_the_numbers() -> None:
    x, weight = some(9, 64), some(12, 64)
    exact = x @ weight.T
    near = product(x, *rounded(weight), group=16)
    assert np.abs(near - exact).max() < 0.02 * np.abs(exact).max()
    assert np.abs(near - exact).max() > 0


def test_no_token_changes_what_is_computed_of_another() -> None:
    x, weight = some(9, 64), rounded(some(12, 64))
    loud = x.copy()
    loud[1:] *= 1000
    assert np.array_equal(product(x, *weight, group=32)[0], product(loud, *weight, group=32)[0])


@pytest.mark.parametrize(
    ("widths", "group"),
    [((384, 1536), 128), ((32, 80), 16), ((312, 1200), 0), ((100,), 0), ((96,), 96), ((256,), 128)],
)
def test_a_group_divides_the_numbers_of_every_layer(widths: tuple[int, ...], group: int) -> None:
    assert group_of(widths, 128) == group


def test_nothing_is_lost_between_a_model_and_itself() -> None:
    vectors = units(12, 32)
    loss = loss_of(vectors, vectors)
    assert loss.mean == pytest.approx(1)
    assert loss.worst == pytest.approx(1)
    assert loss.rank == pytest.approx(1)
    assert loss.texts == 12


def test_a_rank_correlation_is_spearmans_with_ties_in_the_middle() -> None:
    first = np.array([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6]], np.float32)
    other = np.array([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8]], np.float32)
    # Similarities: 0 .6 .8 .8 .6 .96 and 0 .8 .6 .6 .8 .96, so ranks 1 2.5 4.5 4.5 2.5 6 and 1 4.5 2.5…
    ranks = np.array([1, 2.5, 4.5, 4.5, 2.5, 6]), np.array([1, 4.5, 2.5, 2.5, 4.5, 6])
    assert loss_of(first, other).rank == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-6)


@pytest.mark.parametrize(
    ("mean", "rank", "holds"), [(0.995, 0.995, True), (0.994, 1, False), (1, 0.994, False)]
)
def test_both_the_cosine_and_the_ranks_have_a_bound(mean: float, rank: float, holds: bool) -> None:
    assert Bound().holds(Loss(mean, 0.9, rank, 20)) is holds


def turned(stored: np.ndarray, cosine: float) -> np.ndarray:
    """Turn unit vectors, each by the same angle, to anywhere."""
    aside = units(*stored.shape)
    aside -= (aside * stored).sum(1, keepdims=True) * stored
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    return (cosine * stored + np.sqrt(1 - cosine**2) * aside).astype(np.float32)


def test_a_kernel_is_proven_within_twice_the_loss_and_not_beyond() -> None:
    stored = units(10, 64)
    loss = Loss(0.999, 0.998, 0.999, 100)
    assert proven(loss, stored, stored)
    assert proven(loss, stored, turned(stored, 0.9985))
    assert not proven(loss, stored, turned(stored, 0.9975))
    assert not proven(loss, stored, np.full_like(stored, np.nan))


@pytest.mark.parametrize("length", [0.02, 1, 9])
def test_how_long_vectors_are_proves_nothing(length: float) -> None:
    stored = units(10, 64)
    loss = Loss(0.999, 0.998, 0.999, 100)
    scale = np.float32(length)
    for before in (stored, stored * scale):
        assert proven(loss, before, scale * turned(stored, 0.9985))
        assert not proven(loss, before, scale * turned(stored, 0.9975))


@pytest.mark.parametrize("mean", [1, 1.0000001, 0.99999])
def test_float_arithmetic_alone_refutes_no_model_that_lost_next_to_nothing(mean: float) -> None:
    stored = units(10, 64)
    loss = Loss(mean, mean, 1, 100)
    assert proven(loss, stored, turned(stored, 0.99995))
    assert not proven(loss, stored, turned(stored, 0.9995))
