"""From the states of tokens to vectors: pooling, dense layers, unit length."""

import math

import numpy as np
import pytest

from emblem.core.head import ACTIVATIONS, Head, Layer
from emblem.model import Pooling, PoolingMode
from emblem.types import Row

INPUTS = np.array([[-30.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 30.0]], np.float32)


def row(*lengths: int, skip: tuple[int, ...] = ()) -> Row:
    sizes = np.array(lengths, np.int32)
    left_out = np.array(skip, np.int32) if skip else None
    return Row(np.zeros(int(sizes.sum()), np.int32), sizes, left_out)


def layer(outputs: int, inputs: int, *, bias: bool = True, activation: str = "identity") -> Layer:
    chance = np.random.default_rng(outputs * 100 + inputs)
    weight = chance.standard_normal((outputs, inputs)).astype(np.float32)
    added = chance.standard_normal(outputs).astype(np.float32) if bias else None
    return Layer(weight, added, activation)


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("identity", lambda x: x),
        ("tanh", math.tanh),
        ("gelu", lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2))),
        (
            "gelu_tanh",
            lambda x: x / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
        ("relu", lambda x: max(x, 0.0)),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
    ],
)
def test_every_activation_is_exact(name: str, exact: object) -> None:
    assert callable(exact)
    places = np.concatenate([INPUTS[0][1:-1], np.linspace(-6, 6, 601)]).astype(np.float32)
    expected = np.array([exact(float(x)) for x in places])
    given = ACTIVATIONS[name](places[None])
    assert given.dtype == np.float32
    np.testing.assert_allclose(given[0], expected, atol=2e-7, rtol=2e-7)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_no_activation_fails_on_large_numbers(name: str) -> None:
    with np.errstate(all="raise"):
        assert np.isfinite(ACTIVATIONS[name](INPUTS * 1000)).all()


def test_dense_layers_come_after_every_pooling_and_before_unit_length() -> None:
    states = np.random.default_rng(1).standard_normal((7, 4)).astype(np.float32)
    chain = (layer(6, 8, activation="tanh"), layer(3, 6, bias=False))
    head = Head(Pooling((PoolingMode.MEAN, PoolingMode.CLS)), chain, normalise=True)
    assert head.width(4) == 3
    for start, stop, given in zip((0, 2), (2, 7), head.vectors(states, row(2, 5)), strict=True):
        own = states[start:stop].astype(np.float64)
        wide = np.concatenate([own.mean(axis=0), own[0]])
        assert chain[0].bias is not None
        wide = np.tanh(chain[0].weight @ wide + chain[0].bias)
        wide = chain[1].weight @ wide
        np.testing.assert_allclose(given, wide / np.linalg.norm(wide), atol=1e-6)


def test_without_layers_the_pooled_states_are_the_vectors() -> None:
    states = np.arange(12, dtype=np.float32).reshape(4, 3)
    given = Head(Pooling()).vectors(states, row(1, 3))
    np.testing.assert_array_equal(given, [states[0], states[1:].mean(axis=0)])


def test_a_sequence_of_which_nothing_is_left_does_not_become_a_bias() -> None:
    states = np.ones((4, 4), np.float32)
    head = Head(Pooling(include_prompt=False), (layer(4, 4),), normalise=True)
    given = head.vectors(states, row(2, 2, skip=(2, 1)))
    assert not given[0].any()
    assert np.linalg.norm(given[1]) == pytest.approx(1)


def test_what_is_not_finite_stays_so_behind_an_activation_that_would_hide_it() -> None:
    states = np.ones((2, 4), np.float32)
    states[0] = np.inf
    given = Head(Pooling(), (layer(4, 4, activation="tanh"),)).vectors(states, row(1, 1))
    assert np.isnan(given[0]).all()
    assert np.isfinite(given[1]).all()


def test_layers_that_do_not_follow_one_another_are_named() -> None:
    head = Head(Pooling(), (layer(6, 4), layer(3, 5)))
    with pytest.raises(ValueError, match="dense layer 2 takes 5 numbers and gets 6"):
        head.width(4)
