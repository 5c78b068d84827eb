"""Encoders with weights of eight bits, against the same arithmetic written out in numpy."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from emblem.backends.execution import Requests
from emblem.backends.openvino import OpenVINOBackend
from emblem.core.quantise import product, rounded
from emblem.errors import ModelError
from emblem.model import Bert
from emblem.types import Row
from tiny_models import TinyModel, encoder_weights

TINY = TinyModel("eight-bits", "bert", hidden=64, heads=4, layers=2, intermediate=128, positions=40)
BERT = Bert("bert", 2, 4, 64, 128, 40, 0, 1e-12, "gelu")
PLAIN = encoder_weights(TINY, 50)
GROUP = 32
DICE = np.random.default_rng(11)
IDS = [DICE.integers(0, 50, n).astype(np.int32) for n in (5, 12, 3, 20)]


def quantised(weights: Mapping[str, np.ndarray], *kept: str) -> dict[str, np.ndarray]:
    """Round every linear layer of the encoder but some."""
    found = dict(weights)
    for name, array in weights.items():
        layer = name.removesuffix(".weight")
        if "encoder" in name and array.ndim == 2 and not layer.endswith(kept or ("-",)):
            found[name], found[f"{layer}.weight_scale"] = rounded(array)
    return found


EIGHT = quantised(PLAIN)
Linear = Callable[[np.ndarray, str], np.ndarray]


def in_floats(x: np.ndarray, name: str) -> np.ndarray:
    weight = EIGHT[f"{name}.weight"] * EIGHT[f"{name}.weight_scale"]
    return x @ weight.T + EIGHT[f"{name}.bias"]


def in_eight_bits(x: np.ndarray, name: str) -> np.ndarray:
    whole, scales = EIGHT[f"{name}.weight"], EIGHT[f"{name}.weight_scale"]
    return product(x.astype(np.float32), whole, scales, GROUP) + EIGHT[f"{name}.bias"]


def reference(ids: np.ndarray, linear: Linear) -> np.ndarray:
    """Run one sequence through the encoder: (T, 64)."""

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        flat = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return flat * PLAIN[f"{name}.weight"] + PLAIN[f"{name}.bias"]

    x = PLAIN["embeddings.word_embeddings.weight"][ids]
    x = x + PLAIN["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + PLAIN["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        q, k, v = (linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = []
        for place in range(4):
            part = slice(16 * place, 16 * place + 16)
            scores = np.exp(q[:, part] @ k[:, part].T / 4)
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
        out = linear(np.concatenate(heads, 1), f"{name}.attention.output.dense")
        x = norm(out + x, f"{name}.attention.output.LayerNorm")
        wide = linear(x, f"{name}.intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = norm(linear(wide, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
    return x


def row(*sequences: np.ndarray) -> Row:
    return Row(np.concatenate(sequences), np.array([len(one) for one in sequences], np.int32))


def states(weights: Mapping[str, np.ndarray], given: Row, group: int = GROUP) -> np.ndarray:
    backend = OpenVINOBackend(BERT, weights, threads=1, group=group)
    found = backend.stream().run(given).copy()
    backend.close()
    return found


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(1) / lengths


@pytest.mark.parametrize("ids", IDS, ids=len)
def test_eight_bits_give_what_the_same_arithmetic_gives_in_numpy(ids: np.ndarray) -> None:
    # Products of whole numbers are exact; what is around them is float32 in another order, which
    # can round a number the other way: a step of one in 127 of its group's largest, of 64 numbers.
    # A CPU without VNNI leaves the activations as they are.
    found = states(EIGHT, row(ids))
    off = {
        linear.__name__: float(np.abs(found - reference(ids, linear)).max())
        for linear in (in_eight_bits, in_floats)
    }
    assert min(off["in_eight_bits"], off["in_floats"]) < 0.01
    apart = np.abs(reference(ids, in_eight_bits) - reference(ids, in_floats)).max()
    assert apart > 0.02  # so that the above can tell


def test_activations_stay_floats_where_no_group_is_given() -> None:
    found = states(EIGHT, row(IDS[1]), group=0)
    assert np.abs(found - reference(IDS[1], in_floats)).max() < 1e-4


def test_weights_of_float32_are_computed_in_float32_whatever_the_group() -> None:
    assert np.array_equal(states(PLAIN, row(IDS[1])), states(PLAIN, row(IDS[1]), group=0))


def test_what_else_is_in_a_row_moves_no_token_by_more_than_rounding_does() -> None:
    together = states(EIGHT, row(*IDS))
    alone = np.concatenate([states(EIGHT, row(ids)) for ids in IDS])
    lost = 1 - cosines(states(PLAIN, row(*IDS)), alone).mean()
    assert 1 - cosines(together, alone).mean() <= lost / 4


class Watched:
    """Infer requests that note how many tokens they were given."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self.tokens: list[int] = []

    def infer(self, inputs: list[np.ndarray], *, bulk: bool = False) -> object:
        self.tokens.append(len(inputs[0]))
        return self._requests.infer(inputs, bulk=bulk)


@pytest.mark.parametrize(("weights", "group", "given"), [(EIGHT, GROUP, 8), (PLAIN, 0, 1)])
def test_rows_in_eight_bits_are_of_few_sizes_and_what_fills_them_up_is_not_given_back(
    weights: dict[str, np.ndarray], group: int, given: int
) -> None:
    stream = OpenVINOBackend(BERT, weights, threads=1, group=group).stream()
    stream._requests = watched = Watched(stream._requests)  # type: ignore[assignment]
    for tokens in range(1, 41):
        ids = np.resize(IDS[3], tokens)
        found = stream.run(row(ids))
        assert found.shape == (tokens, 64)
        assert np.isfinite(found).all()
    # A token alone goes twice.
    assert watched.tokens == [-(-max(2, tokens) // given) * given for tokens in range(1, 41)]


def test_layers_that_are_kept_are_computed_with_the_others() -> None:
    mixed = states(quantised(PLAIN, "value", "intermediate.dense"), row(*IDS))
    plain = states(PLAIN, row(*IDS))
    assert cosines(mixed, plain).mean() > cosines(states(EIGHT, row(*IDS)), plain).mean()


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("weight", np.zeros((64, 64), np.float32), "holds float32, not int8"),
        ("weight", np.zeros((64, 63), np.int8), r"is \(64, 63\), not \(64, 64\)"),
        ("weight_scale", np.zeros((64, 2), np.float32), r"is \(64, 2\), not \(64, 1\)"),
        ("weight_scale", np.zeros((64, 1), np.int8), "holds int8, not floats"),
    ],
)
def test_a_tensor_that_cannot_be_multiplied_is_named(
    name: str, array: np.ndarray, said: str
) -> None:
    layer = "encoder.layer.1.attention.self.key"
    with pytest.raises(ModelError, match=f"{layer}.{name} {said}"):
        states({**EIGHT, f"{layer}.{name}": array}, row(IDS[0]))


def test_int8_without_its_scales_is_refused() -> None:
    layer = "encoder.layer.0.output.dense"
    less = {name: array for name, array in EIGHT.items() if name != f"{layer}.weight_scale"}
    with pytest.raises(ModelError, match=f"{layer}.weight holds int8, not floats"):
        states(less, row(IDS[0]))
