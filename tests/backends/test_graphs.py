"""ModernBERT and NomicBERT in the OpenVINO backend: rows, masks, tensors. Their numbers are proven
against sentence-transformers in ``test_agreement.py``."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.backends.graphs import inputs
from emblem.backends.graphs.layers import angles
from emblem.backends.openvino import OpenVINOBackend, OpenVINOStream
from emblem.errors import ModelError
from emblem.model import Encoder, ModernBert, NomicBert
from emblem.types import Row
from tiny_models import TinyModel, encoder_weights

VOCABULARY = 50
MODERN = ModernBert(
    heads=2,
    hidden=16,
    intermediate=24,
    positions=600,
    local=(False, True, True),
    reach=3,
    local_theta=10000.0,
    global_theta=160000.0,
    layer_norm_eps=1e-5,
    activation="gelu",
)
NOMIC = NomicBert(
    layers=2,
    heads=2,
    hidden=16,
    intermediate=24,
    positions=600,
    theta=1000.0,
    layer_norm_eps=1e-12,
)
FAMILIES: dict[str, Encoder] = {"modernbert": MODERN, "nomic_bert": NOMIC}


def weights_of(encoder: Encoder, *, new_names: bool = False) -> dict[str, np.ndarray]:
    tiny = TinyModel(
        "graphs",
        encoder.family,
        hidden=16,
        heads=2,
        layers=encoder.layers,
        intermediate=24,
        new_names=new_names,
    )
    return encoder_weights(tiny, VOCABULARY)


def stream(encoder: Encoder, weights: Mapping[str, np.ndarray] | None = None) -> OpenVINOStream:
    named = weights_of(encoder) if weights is None else weights
    return OpenVINOBackend(encoder, named, threads=1).stream()


def row(*sequences: list[int]) -> Row:
    ids = [token for sequence in sequences for token in sequence]
    return Row(np.array(ids, np.int32), np.array([len(s) for s in sequences], np.int32))


def some(length: int, seed: int = 0) -> list[int]:
    return [(seed + place * 7) % VOCABULARY for place in range(length)]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_sequence_has_the_same_states_alone_and_in_a_row(family: str) -> None:
    sequences = [some(length, length) for length in (1, 3, 4, 5, 7, 8, 9, 100, 512, 2)]
    run = stream(FAMILIES[family]).run
    together = run(row(*sequences)).copy()
    ends = np.cumsum([0, *map(len, sequences)])
    for ids, (start, end) in zip(sequences, pairwise(ends), strict=True):
        np.testing.assert_allclose(together[start:end], run(row(ids)), atol=1e-5)


def seen_by(bins: inputs.Bins, mask: np.ndarray) -> np.ndarray:
    """Which token of the row each token of the row sees: (T, T) bool."""
    count, length = bins.slots.shape
    whole = np.broadcast_to(mask == 0, (count, 1, length, length))[:, 0]
    seen = np.zeros((count, length, count, length), bool)
    for place in range(count):
        seen[place, :, place] = whole[place]
    return seen.reshape(count * length, -1)[bins.back][:, bins.back]


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=12))
def test_every_token_has_a_slot_in_a_bin_and_sees_its_own_sequence_there(
    lengths: list[int],
) -> None:
    tokens = sum(lengths)
    bins = inputs.bins(np.array(lengths, np.int32))
    count, length = bins.slots.shape
    assert length % 16 == 0
    assert count * length**2 <= (-(-tokens // 16) * 16) ** 2
    np.testing.assert_array_equal(bins.slots.reshape(-1)[bins.back], np.arange(tokens))
    owners = np.repeat(np.arange(len(lengths)), lengths)
    np.testing.assert_array_equal(seen_by(bins, inputs.mask(bins)), owners[:, None] == owners)
    # An empty slot repeats a token of its own bin, so that nothing of another bin reaches it.
    where = np.zeros(tokens, np.int64)
    where[bins.slots.reshape(-1)[bins.back]] = bins.back // length
    assert (where[bins.slots] == np.arange(count)[:, None]).all()
    np.testing.assert_array_equal(
        bins.thirds().reshape(3, -1)[:, bins.back], 3 * np.arange(tokens) + [[0], [1], [2]]
    )


def test_short_sequences_share_no_bin_with_a_long_one_unless_that_is_less_work() -> None:
    assert inputs.bins(np.array([16] * 8, np.int32)).slots.shape == (8, 16)
    assert inputs.bins(np.array([128, 40, 60, 20], np.int32)).slots.shape == (2, 128)
    assert inputs.bins(np.array([100, 7, 7, 7, 7], np.int32)).slots.shape == (1, 128)


@pytest.mark.parametrize("lengths", [[1], [3], [4], [5], [9], [1, 2], [4, 4], [5, 1, 30, 2]])
@pytest.mark.parametrize("reach", [0, 1, 3, 8])
def test_a_token_of_a_local_layer_sees_its_own_sequence_as_far_as_it_reaches(
    lengths: list[int], reach: int
) -> None:
    together = row(*(some(length) for length in lengths))
    owners = np.repeat(np.arange(len(lengths)), lengths)
    places = np.concatenate([np.arange(length) for length in lengths])
    near = np.abs(places[:, None] - places) <= reach
    bins = inputs.bins(together.lengths)
    mask = inputs.near_mask(bins, reach)
    assert set(np.unique(mask)) <= {np.float32(0), np.finfo(np.float32).min}
    expected = near & (owners[:, None] == owners)
    np.testing.assert_array_equal(seen_by(bins, mask), expected)
    np.testing.assert_array_equal(inputs.places(together), places)


def test_a_token_beyond_the_reach_changes_nothing_where_every_layer_is_local() -> None:
    encoder = replace(MODERN, local=(True, True), reach=2)
    run = stream(encoder).run
    one, other = some(12), some(12)
    other[11] = 1
    same = (run(row(one)).copy() == run(row(other))).all(axis=1)
    assert same.tolist() == [True] * 7 + [False] * 5  # two layers, two places each


def test_positions_count_anew_in_each_sequence_and_turn_what_a_token_sees() -> None:
    run = stream(NOMIC).run
    there, back = run(row([5, 9, 9])).copy(), run(row([9, 9, 5]))
    assert np.abs(there[0] - back[2]).max() > 1e-4  # the same neighbours, on the other side


def test_angles_are_those_of_the_series_of_the_base() -> None:
    cosines, sines = angles(1000.0, 8, 5)
    speeds = 1000.0 ** (-np.arange(0, 8, 2) / 8)
    expected = np.arange(5)[:, None] * speeds
    np.testing.assert_allclose(cosines, np.cos(expected), atol=1e-6)
    np.testing.assert_allclose(sines, np.sin(expected), atol=1e-6)


def test_both_names_of_the_tensors_give_the_same_states() -> None:
    old = weights_of(NOMIC)
    new = weights_of(NOMIC, new_names=True)
    renamed = {
        "embeddings.LayerNorm": "emb_ln",
        "mlp.up_proj": "mlp.fc11",
        "mlp.gate_proj": "mlp.fc12",
        "mlp.down_proj": "mlp.fc2",
        "self_attn.o_proj": "attn.out_proj",
        "post_attention_layernorm": "norm1",
        "post_mlp_layernorm": "norm2",
    }
    for name in new:
        if "_proj" in name and name.rpartition("_proj")[0][-1] in "qkv":
            part = "qkv".index(name.rpartition("_proj")[0][-1])
            joint = f"encoder.{name.partition('.self_attn')[0]}.attn.Wqkv.weight"
            new[name] = old[joint][16 * part : 16 * part + 16]
            continue
        former = name
        for now, once in renamed.items():
            former = former.replace(now, once)
        new[name] = old[f"encoder.{former}" if former.startswith("layers.") else former]
    ids = row(some(20), some(3))
    np.testing.assert_allclose(stream(NOMIC, new).run(ids), stream(NOMIC, old).run(ids), atol=1e-5)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_tensors_are_found_behind_a_prefix_beside_those_of_a_head(family: str) -> None:
    encoder = FAMILIES[family]
    plain = weights_of(encoder)
    named = {f"model.{name}": array for name, array in plain.items()}
    named |= {"head.dense.weight": np.zeros(3, np.float32), "decoder.bias": np.zeros(3, np.float32)}
    ids = row(some(9))
    np.testing.assert_array_equal(stream(encoder, named).run(ids), stream(encoder).run(ids))


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("modernbert", "layers.1.attn.Wqkv.weight"),
        ("modernbert", "layers.1.attn_norm.weight"),
        ("modernbert", "final_norm.weight"),
        ("nomic_bert", "encoder.layers.1.mlp.fc12.weight"),
        ("nomic_bert", "embeddings.token_type_embeddings.weight"),
    ],
)
def test_a_missing_tensor_is_named(family: str, name: str) -> None:
    encoder = FAMILIES[family]
    without = {key: array for key, array in weights_of(encoder).items() if key != name}
    with pytest.raises(ModelError, match=f"no tensor named {name}"):
        stream(encoder, without)


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("modernbert", "layers.0.attn_norm.weight"),
        ("modernbert", "layers.0.attn.Wqkv.bias"),
        ("modernbert", "layers.3.mlp.Wo.weight"),
        ("modernbert", "embeddings.norm.bias"),
        ("modernbert", "final_norm.bias"),
        ("nomic_bert", "encoder.layers.0.attn.Wqkv.bias"),
        ("nomic_bert", "encoder.layers.1.mlp.fc11.bias"),
        ("nomic_bert", "encoder.layers.2.mlp.fc11.weight"),
        ("nomic_bert", "embeddings.position_embeddings.weight"),
    ],
)
def test_a_tensor_without_a_place_is_refused(family: str, name: str) -> None:
    encoder = FAMILIES[family]
    more = weights_of(encoder) | {name: np.zeros(16, np.float32)}
    with pytest.raises(ModelError, match=f"the tensor {name} has no place in a"):
        stream(encoder, more)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_sequence_may_be_as_long_as_the_model_reads_and_no_longer(family: str) -> None:
    run = stream(FAMILIES[family]).run
    assert run(row(some(600))).shape == (600, 16)
    with pytest.raises(ValueError, match="601 tokens are more than 600"):
        run(row(some(601)))


def test_an_activation_that_is_not_known_is_refused() -> None:
    with pytest.raises(ModelError, match="no activation 'tanh'"):
        stream(replace(MODERN, activation="tanh"))
