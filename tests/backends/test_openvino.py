"""The OpenVINO backend against an encoder written out in numpy."""

import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import emblem
from emblem.backends.openvino import OpenVINOBackend
from emblem.errors import ModelError
from emblem.model import Bert
from emblem.types import Row
from tiny_models import TinyModel, encoder_weights

TINY = TinyModel("reference", "bert", hidden=24, heads=3, layers=2, intermediate=40, positions=20)
BERT = Bert(
    family="bert",
    layers=2,
    heads=3,
    hidden=24,
    intermediate=40,
    positions=20,
    position_offset=0,
    layer_norm_eps=1e-12,
    activation="gelu",
)
ROBERTA = replace(BERT, family="roberta", position_offset=2, layer_norm_eps=1e-5)
VOCABULARY = 50
WEIGHTS = encoder_weights(TINY, VOCABULARY)

ACTIVATIONS = {
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
}


def reference(encoder: Bert, ids: list[int], positions: list[int]) -> np.ndarray:
    """Run one sequence through the encoder in float64, head by head: (T, hidden)."""
    weights = {name: array.astype(np.float64) for name, array in WEIGHTS.items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + encoder.layer_norm_eps)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def attention(x: np.ndarray, name: str) -> np.ndarray:
        q, k, v = (linear(x, f"{name}.self.{part}") for part in ("query", "key", "value"))
        wide = encoder.hidden // encoder.heads
        heads = []
        for start in range(0, encoder.hidden, wide):
            part = slice(start, start + wide)
            scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(wide))
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
        return norm(linear(np.concatenate(heads, -1), f"{name}.output.dense") + x,
                    f"{name}.output.LayerNorm")  # fmt: skip

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][positions]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(encoder.layers):
        name = f"encoder.layer.{layer}"
        x = attention(x, f"{name}.attention")
        bent = ACTIVATIONS[encoder.activation](linear(x, f"{name}.intermediate.dense"))
        x = norm(linear(bent, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
    return x


def open_backend(
    encoder: Bert = BERT, weights: Mapping[str, np.ndarray] = WEIGHTS, streams: int = 1
) -> OpenVINOBackend:
    return OpenVINOBackend(encoder, weights, threads=streams, streams=streams)


def row(*sequences: list[int]) -> Row:
    ids = [token for sequence in sequences for token in sequence]
    return Row(np.array(ids, np.int32), np.array([len(s) for s in sequences], np.int32))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_states_are_those_of_the_encoder_written_out(activation: str) -> None:
    encoder = replace(BERT, activation=activation)
    ids = [2, 7, 49, 7, 0, 31, 3]
    states = open_backend(encoder).stream().run(row(ids))
    assert states.dtype == np.float32
    np.testing.assert_allclose(states, reference(encoder, ids, list(range(7))), atol=1e-5)


def test_positions_of_roberta_begin_behind_its_padding_index() -> None:
    ids = [0, 9, 8, 2]
    states = open_backend(ROBERTA).stream().run(row(ids))
    np.testing.assert_allclose(states, reference(ROBERTA, ids, [2, 3, 4, 5]), atol=1e-5)


def test_a_padding_token_spelled_in_a_text_is_passed_over_in_counting() -> None:
    first, second = [0, 1, 9, 1, 1, 2], [1, 0, 8, 2]
    states = open_backend(ROBERTA).stream().run(row(first, second))
    np.testing.assert_allclose(states[:6], reference(ROBERTA, first, [2, 1, 3, 1, 1, 4]), atol=1e-5)
    np.testing.assert_allclose(states[6:], reference(ROBERTA, second, [1, 2, 3, 4]), atol=1e-5)


@pytest.mark.parametrize("encoder", [BERT, ROBERTA], ids=lambda encoder: encoder.family)
def test_the_sequences_of_a_row_do_not_see_one_another(encoder: Bert) -> None:
    sequences = [[2, 5, 6, 3], [2, 3], list(range(20, 38)), [40]]
    states = open_backend(encoder).stream().run(row(*sequences))
    start = 0
    for ids in sequences:
        places = [encoder.position_offset + place for place in range(len(ids))]
        alone = reference(encoder, ids, places)
        np.testing.assert_allclose(states[start : start + len(ids)], alone, atol=1e-5)
        start += len(ids)


def test_rows_of_other_lengths_do_not_disturb_one_another() -> None:
    stream = open_backend().stream()
    rows = [[2, 4, 3], [5], list(range(10, 30)), [2, 4, 3]]
    for ids in rows:
        expected = reference(BERT, ids, list(range(len(ids))))
        np.testing.assert_allclose(stream.run(row(ids)), expected, atol=1e-5)


def test_two_streams_run_at_the_same_time_and_keep_apart() -> None:
    backend = open_backend(streams=2)
    off: list[float] = []
    together = threading.Barrier(2)

    def work(seed: int) -> None:
        stream = backend.stream()
        ids = [(seed * 7 + place) % VOCABULARY for place in range(9 + seed)]
        expected = reference(BERT, ids, list(range(len(ids))))
        together.wait(timeout=10)
        for _ in range(20):
            worst = float(np.abs(stream.run(row(ids)) - expected).max())
            off.append(worst)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert len(off) == 40
    assert max(off) < 1e-5


@pytest.mark.parametrize("prefix", ["bert.", "roberta.", "0.auto_model.", "model.encoder."])
def test_tensors_are_found_whatever_stands_before_their_names(prefix: str) -> None:
    named = {prefix + name: array for name, array in WEIGHTS.items()}
    named["classifier.weight"] = np.zeros((2, 24), np.float32)
    states = open_backend(weights=named).stream().run(row([1, 2]))
    np.testing.assert_allclose(states, reference(BERT, [1, 2], [0, 1]), atol=1e-5)


def test_layer_norms_may_have_their_old_names() -> None:
    named = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): array
        for name, array in WEIGHTS.items()
    }
    states = open_backend(weights=named).stream().run(row([1, 2]))
    np.testing.assert_allclose(states, reference(BERT, [1, 2], [0, 1]), atol=1e-5)


def test_weights_that_may_not_be_written_are_copied() -> None:
    frozen = {name: array.copy() for name, array in WEIGHTS.items()}
    for array in frozen.values():
        array.flags.writeable = False
    states = open_backend(weights=frozen).stream().run(row([1, 2]))
    np.testing.assert_allclose(states, reference(BERT, [1, 2], [0, 1]), atol=1e-5)


def test_a_missing_tensor_is_named_with_the_shape_it_should_have() -> None:
    name = "encoder.layer.1.attention.self.key.bias"
    without = {"bert." + key: array for key, array in WEIGHTS.items() if key != name}
    with pytest.raises(ModelError, match=rf"no tensor named bert\.{name}, \(24,\)"):
        open_backend(weights=without)


def test_a_tensor_of_another_shape_is_named_with_both_shapes() -> None:
    name = "encoder.layer.0.intermediate.dense.weight"
    wrong = WEIGHTS | {name: np.zeros((24, 40), np.float32)}
    with pytest.raises(ModelError, match=rf"{name} is \(24, 40\), not \(40, 24\)"):
        open_backend(weights=wrong)


@pytest.mark.parametrize(
    "left",
    ["encoder.layer.1.output.dense.bias", "encoder.layer.0.LayerNorm.gamma", "encoder.layer.9.x"],
)
def test_a_tensor_that_no_layer_has_a_place_for_is_refused(left: str) -> None:
    fewer = {name: array for name, array in WEIGHTS.items() if "layer.1." not in name}
    weights = {"bert." + name: array for name, array in fewer.items()}
    weights["bert." + left] = np.zeros(1, np.float32)
    with pytest.raises(ModelError, match=rf"bert\.{left} has no place in an encoder of 1 layers"):
        open_backend(replace(BERT, layers=1), weights)


def test_tensors_of_other_parts_are_passed_over() -> None:
    names = (
        "embeddings.position_ids",
        "pooler.dense.weight",
        "cls.predictions.bias",
        "lm_head.bias",
    )
    others = {name: np.zeros(3, np.float32) for name in names}
    ids = [2, 9, 3]
    states = open_backend(weights=WEIGHTS | others).stream().run(row(ids))
    np.testing.assert_array_equal(states, open_backend().stream().run(row(ids)))


def test_a_tensor_of_whole_numbers_is_refused() -> None:
    name = "embeddings.LayerNorm.bias"
    with pytest.raises(ModelError, match=f"{name} holds int64"):
        open_backend(weights=WEIGHTS | {name: np.zeros(24, np.int64)})


def test_weights_without_an_encoder_are_refused() -> None:
    with pytest.raises(ModelError, match=r"no tensor named embeddings\.word_embeddings\.weight"):
        open_backend(weights={"embedding.weight": np.zeros((5, 24), np.float32)})


def test_weights_with_two_encoders_are_refused() -> None:
    both = {f"{prefix}{name}": a for prefix in ("a.", "b.") for name, a in WEIGHTS.items()}
    with pytest.raises(ModelError, match=r"more than one encoder: a\..*, b\."):
        open_backend(weights=both)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "t5"}, "no graph for the family 't5'; there is one for: bert, "),
        ({"activation": "swish"}, "no activation 'swish'"),
        ({"heads": 5}, "24 numbers cannot be split over 5 heads"),
    ],
)
def test_an_encoder_that_is_not_known_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_backend(replace(BERT, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(list(range(21))), "21 tokens are more than 20"),
        (row([1, 50]), "not within 0…49"),
        (row([-1]), "not within 0…49"),
        (row(), "a row has sequences"),
        (row([1], []), "a sequence has tokens"),
        (Row(np.array([1, 2], np.int32), np.array([3], np.int32)), "2 ids for 3 tokens"),
    ],
)
def test_a_row_that_cannot_be_run_is_refused(bad: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_backend().stream().run(bad)


def test_a_sequence_may_fill_the_position_table_and_no_more() -> None:
    stream = open_backend(ROBERTA).stream()
    assert stream.run(row(list(range(2, 20)))).shape == (18, 24)
    with pytest.raises(ValueError, match="19 tokens are more than 18"):
        stream.run(row(list(range(2, 21))))


def test_more_streams_than_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="3 streams on 2 threads"):
        OpenVINOBackend(BERT, WEIGHTS, threads=2, streams=3)


def test_a_closed_backend_opens_no_stream() -> None:
    backend = open_backend()
    backend.close()
    with pytest.raises(RuntimeError, match="closed"):
        backend.stream()


def test_the_backend_brings_in_none_of_the_tools_that_report_home(tmp_path: Path) -> None:
    code = (
        "import sys, emblem.backends.openvino;"
        "print([m for m in sys.modules if 'telemetry' in m or m.startswith('openvino.tools')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert ran.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_only_one_file_imports_openvino() -> None:
    source = Path(emblem.__file__).parent
    files = [
        file.relative_to(source).as_posix()
        for file in source.rglob("*.py")
        if re.search(r"^\s*(import|from) openvino", file.read_text("utf-8"), re.MULTILINE)
    ]
    assert files == ["backends/runtime.py"]
