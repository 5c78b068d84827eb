"""Folders with dense layers, graphs and modules that only their own library computes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_layouts as tiny
from emblem.config import Settings
from emblem.errors import ModelError
from emblem.model import Bert, Graph, Modules
from emblem.models import dense, extras, layout
from emblem.opening import open_model
from tiny_models import TinyModel, write, write_safetensors

TORCH = r"pip install 'emblem\[torch\]'"


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Say whether torch is installed; at first it is not."""

    def installed(yes: bool) -> None:
        monkeypatch.setattr(extras, "torch_installed", lambda: yes)

    installed(False)
    return installed


@pytest.fixture
def graph(tmp_path: Path, library: object) -> Path:
    return tiny.write_graph("distilbert", tmp_path / "distilbert")


@pytest.fixture
def layers(tmp_path: Path, library: object) -> Path:
    return tiny.write_chain(tiny.CHAINS[0], tmp_path / "chain")


def edit(file: Path, **changes: Any) -> None:
    """Change fields of a JSON file; None takes a field away."""
    value = json.loads(file.read_text()) | changes
    kept = {name: content for name, content in value.items() if content is not None}
    file.write_text(json.dumps(kept))


# -- dense layers -----------------------------------------------------------------------------


@pytest.mark.parametrize("chain", tiny.CHAINS, ids=lambda chain: chain.name)
def test_the_last_layer_says_how_wide_a_vector_is(chain: tiny.TinyChain, tmp_path: Path) -> None:
    model = layout.read(tiny.write_chain(chain, tmp_path / "m"), "m")
    assert model.width == chain.layers[-1].outputs
    assert [layer.outputs for layer in model.dense] == [one.outputs for one in chain.layers]
    assert [layer.bias for layer in model.dense] == [one.bias for one in chain.layers]
    assert model.normalise == model.space.normalised == chain.normalise


def test_a_config_without_a_bend_means_tanh_as_in_the_library(layers: Path) -> None:
    edit(layers / "3_Dense" / "config.json", activation_function=None)
    assert layout.read(layers, "m").dense[1].activation == "tanh"


def test_every_number_and_setting_of_a_layer_is_in_the_identity(layers: Path) -> None:
    before = layout.read(layers, "m").space
    edit(layers / "3_Dense" / "config.json", activation_function=tiny.TANH)
    bent = layout.read(layers, "m").space
    assert (bent.weights, bent.recipe != before.recipe) == (before.weights, True)
    weights = layers / "3_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    changed = layout.read(layers, "m").space
    assert (changed.weights != bent.weights, changed.recipe) == (True, bent.recipe)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"in_features": 33}, "in_features: is 33, and what comes before it gives 96"),
        ({"in_features": None}, "in_features: is missing"),
        ({"out_features": 0}, "out_features: is 0, not above zero"),
        ({"out_features": 25}, r"linear\.weight is \(24, 96\), not \(25, 96\)"),
        ({"bias": True}, r"has no tensor linear\.bias"),
        ({"module_input_name": "token_embeddings"}, "module_input_name: is"),
        ({"new": 1}, "new: is not a field"),
        ({"activation_function": "torch.nn.modules.activation.SiLU"}, f"SiLU; .*{TORCH}"),
        ({"activation_function": "os.system"}, r"is os\.system, which is none of torch\.nn$"),
        ({"activation_function": "torch.hub.list"}, r"is torch\.hub\.list, which is none of tor"),
        ({"use_residual": True}, f"use_residual: is true, .*{TORCH}"),
    ],
)
def test_a_layer_that_is_not_understood_is_named_and_never_skipped(
    changes: dict[str, Any], why: str, layers: Path
) -> None:
    edit(layers / "3_Dense" / "config.json", **changes)
    with pytest.raises(ModelError, match=f"3_Dense.*{why}") as caught:
        layout.read(layers, "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left", [0, 7, 40, -1])
def test_a_layers_weights_that_are_cut_short_are_named(left: int, layers: Path) -> None:
    weights = layers / "2_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:left])
    with pytest.raises(ModelError, match=r"2_Dense/model\.safetensors: "):
        layout.read(layers, "m")


def test_a_layer_without_weights_is_named_and_a_pickle_is_not_read(layers: Path) -> None:
    (layers / "2_Dense" / "model.safetensors").rename(layers / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"2_Dense: no model\.safetensors; only pytorch_model\.b"):
        layout.read(layers, "m")


def test_a_layer_with_numbers_that_are_not_finite_is_not_opened(layers: Path) -> None:
    broken = tiny.draw("x", 24, 96)
    broken[3, 5] = np.nan
    write_safetensors(layers / "3_Dense" / "model.safetensors", {"linear.weight": broken})
    model = layout.read(layers, "m")
    with pytest.raises(ModelError, match=r"3_Dense/model\.safetensors: linear\.weight holds num"):
        dense.load(model.dense[1])


def test_a_layer_with_a_tensor_too_many_is_not_understood(layers: Path) -> None:
    tensors = {"linear.weight": tiny.draw("x", 24, 96), "residual.weight": tiny.draw("y", 24, 96)}
    write_safetensors(layers / "3_Dense" / "model.safetensors", tensors)
    with pytest.raises(ModelError, match=r"residual\.weight is none that this layer has"):
        layout.read(layers, "m")


# -- graphs -----------------------------------------------------------------------------------


def test_a_family_that_is_not_built_here_is_run_by_its_graph(graph: Path) -> None:
    model = layout.read(graph, "m")
    assert model.encoder == Graph(graph / "onnx" / "model.onnx", tiny.HIDDEN, tiny.POSITIONS)
    assert model.tokenization.max_length == 40


def test_positions_that_begin_behind_the_padding_leave_less_room(tmp_path: Path) -> None:
    folder = tiny.write_graph("mpnet", tmp_path / "mpnet", max_seq_length=500)
    assert layout.read(folder, "m").tokenization.max_length == tiny.POSITIONS - 2


def test_where_nothing_says_how_much_is_read_nobody_guesses(graph: Path) -> None:
    edit(graph / "config.json", max_position_embeddings=None)
    assert layout.read(graph, "m").encoder == Graph(graph / "onnx" / "model.onnx", tiny.HIDDEN, 40)
    edit(graph / "sentence_bert_config.json", max_seq_length=None)
    edit(graph / "tokenizer_config.json", model_max_length=1e30)
    with pytest.raises(ModelError, match=r"config\.json: max_seq_length: is missing, and nothing"):
        layout.read(graph, "m")


def test_a_variant_is_another_space(graph: Path) -> None:
    plain = layout.read(graph, "m")
    same = layout.read(graph, "m", variant="onnx", backend="openvino")
    quantised = layout.read(graph, "m", variant="quantized")
    assert same == plain
    assert quantised.weights == (graph / "onnx" / "model_quantized.onnx",)
    assert quantised.space.identity != plain.space.identity
    assert quantised.space.recipe == plain.space.recipe


def test_a_graph_of_a_family_that_is_built_here_is_taken_where_it_is_asked_for(
    tmp_path: Path, library: object
) -> None:
    folder = write(TinyModel("tiny", "bert"), tmp_path / "tiny")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model_O4.onnx").write_bytes(b"")
    assert isinstance(layout.read(folder, "m").encoder, Bert)
    with pytest.raises(ModelError, match=r"model_O4\.onnx: is no ONNX file, or cut short"):
        layout.read(folder, "m", variant="O4")
    with pytest.raises(ModelError, match=r"no variant O3; there are: safetensors, O4$"):
        layout.read(folder, "m", variant="O3")


def test_a_graph_without_its_numbers_is_named(graph: Path) -> None:
    (graph / "openvino").mkdir()
    (graph / "openvino" / "openvino_model.xml").write_text("<net/>")
    with pytest.raises(ModelError, match=r"openvino_model\.bin: is missing, and the numbers of op"):
        layout.read(graph, "m")


def test_a_graph_that_is_cut_short_is_one_line(graph: Path) -> None:
    file = graph / "onnx" / "model.onnx"
    file.write_bytes(file.read_bytes()[:50_000])
    with pytest.raises(ModelError, match=r"model\.onnx: is no ONNX file, or cut short: ") as caught:
        layout.read(graph, "m")
    assert "\n" not in str(caught.value)


def test_a_graph_of_another_width_than_the_config_says_does_not_open(graph: Path) -> None:
    edit(graph / "config.json", dim=48)
    edit(graph / "1_Pooling" / "config.json", word_embedding_dimension=48)
    with pytest.raises(ModelError, match=r"model\.onnx: gives 32 numbers for a token, and config"):
        open_model(graph, "m", Settings())


def test_layers_stand_behind_a_graph_too(graph: Path) -> None:
    tiny.write_modules(graph, ["Transformer", "Pooling", "Dense", "Normalize"])
    tiny.write_dense(tiny.TinyDense(8), graph / "2_Dense", tiny.HIDDEN)
    model = layout.read(graph, "m")
    assert (model.width, len(model.dense)) == (8, 1)


# -- what the library runs --------------------------------------------------------------------


@pytest.fixture
def foreign(tmp_path: Path, library: object) -> Path:
    """A model whose encoder is not built here, in safetensors alone."""
    tiny.write_settings("mpnet", tmp_path / "mpnet")
    write_safetensors(tmp_path / "mpnet" / "model.safetensors", {"x": tiny.draw("x", 3)})
    return tmp_path / "mpnet"


def test_without_the_library_every_way_out_is_named(foreign: Path) -> None:
    with pytest.raises(ModelError, match=rf'config\.json: model_type: is "mpnet".*ONNX.*{TORCH}'):
        layout.read(foreign, "m")
    with pytest.raises(ModelError, match=rf"the backend torch needs an optional part: {TORCH}"):
        layout.read(foreign, "m", backend="torch")


def test_the_library_runs_a_folder_whole(foreign: Path, library: Callable[[bool], None]) -> None:
    library(True)
    model = layout.read(foreign, "m")
    assert model.encoder == Modules(foreign, tiny.HIDDEN, tiny.POSITIONS - 2)
    assert model.width == tiny.HIDDEN
    assert model.normalise
    assert model.dense == ()
    with pytest.raises(ModelError, match='backend = "openvino" rules out'):
        layout.read(foreign, "m", backend="openvino")


def test_what_the_library_reads_is_in_the_identity(
    foreign: Path, library: Callable[[bool], None]
) -> None:
    library(True)
    before = layout.read(foreign, "m").space
    seen = {before.identity}
    changes: list[tuple[str, dict[str, Any]]] = [
        ("config.json", {"layer_norm_eps": 1e-12}),
        ("1_Pooling/config.json", {"include_prompt": False}),
        ("sentence_bert_config.json", {"max_seq_length": 39}),
    ]
    for name, change in changes:
        edit(foreign / name, **change)
        seen.add(layout.read(foreign, "m").space.identity)
    assert len(seen) == len(changes) + 1


def test_a_model_that_is_built_here_is_run_by_the_library_where_that_is_asked_for(
    layers: Path, library: Callable[[bool], None]
) -> None:
    library(True)
    whole = layout.read(layers, "m", backend="torch")
    ours = layout.read(layers, "m")
    assert isinstance(whole.encoder, Modules)
    assert whole.width == ours.width == 24
    assert whole.space.weights == ours.space.weights
    assert whole.space.identity != ours.space.identity


@pytest.mark.parametrize(
    ("kinds", "config", "width"),
    [
        (["Pooling", "LayerNorm", "Normalize"], {"dimension": 32}, 32),
        (["Pooling", "Dense"], {"in_features": 32, "out_features": 5, "activation_function":
                                "torch.nn.modules.activation.SiLU"}, 5),
        (["CNN", "Pooling"], {"in_word_embedding_dimension": 32, "out_channels": 6,
                              "kernel_sizes": [1, 3]}, 12),
        (["LSTM", "Pooling"], {"word_embedding_dimension": 32, "hidden_dim": 7}, 14),
    ],
)  # fmt: skip
def test_modules_that_are_not_computed_here_go_to_the_library(
    kinds: list[str], config: dict[str, Any], width: int, tmp_path: Path,
    library: Callable[[bool], None],
) -> None:  # fmt: skip
    folder = write(TinyModel("tiny", "bert"), tmp_path / "tiny")
    tiny.write_modules(folder, ["Transformer", *kinds])
    for place, kind in enumerate(kinds, 1):
        if kind == "Pooling":
            wide = width if place > 1 else 32
            tiny.write_json(
                folder / f"{place}_{kind}" / "config.json", {"word_embedding_dimension": wide}
            )
        elif kind != "Normalize":
            tiny.write_json(folder / f"{place}_{kind}" / "config.json", config)
            write_safetensors(folder / f"{place}_{kind}" / "model.safetensors", {})
    with pytest.raises(ModelError, match=TORCH):
        layout.read(folder, "m")
    library(True)
    model = layout.read(folder, "m")
    assert isinstance(model.encoder, Modules)
    assert model.width == width
    assert model.normalise == (kinds[-1] == "Normalize")


@pytest.mark.parametrize(
    ("kinds", "why"),
    [
        (["Transformer", "Router", "Pooling"], "the modules are Transformer, Router, Pooling; "),
        (["Transformer", "Pooling", "WordWeights"], "the modules are Transformer, Pooling, WordWe"),
        (["Transformer"], "the modules are Transformer; one Pooling is understood"),
        (["Transformer", "Pooling", "CNN"], "no module for tokens behind the Pooling"),
        (["Transformer", "Dense", "Pooling"], "no module for tokens behind the Pooling"),
        (["CLIPModel"], "the modules are CLIPModel; Transformer or StaticEmbedding is to be"),
        (["BoW", "Dense"], "the modules are BoW, Dense; Transformer or StaticEmbedding is to be"),
    ],
)
def test_what_nobody_can_foresee_is_refused_by_its_name(
    kinds: list[str], why: str, tmp_path: Path, library: Callable[[bool], None]
) -> None:
    folder = write(TinyModel("tiny", "bert"), tmp_path / "tiny")
    tiny.write_modules(folder, kinds)
    for place, kind in enumerate(kinds):
        if kind == "Dense":
            tiny.write_dense(tiny.TinyDense(8), folder / f"{place}_{kind}", 32)
    library(True)
    with pytest.raises(ModelError, match=rf"modules\.json: type: .*{why}"):
        layout.read(folder, "m")
