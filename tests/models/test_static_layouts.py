"""Folders of static models: three layouts, and each way they can be wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_layouts as tiny
from emblem.errors import ModelError
from emblem.model import Pooling
from emblem.models import layout, static_table
from emblem.offer import Prompts
from tiny_models import write_safetensors

PLAIN, MAPPED, TABLE = tiny.STATICS[0], tiny.STATICS[3], tiny.STATICS[5]
WIDE = tiny.STATIC_WIDTH


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return tiny.write_static(PLAIN, tmp_path / "m2v")


@pytest.fixture
def mapped(tmp_path: Path) -> Path:
    return tiny.write_static(MAPPED, tmp_path / "mapped")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tiny.write_static(TABLE, tmp_path / "table")


def edit(file: Path, **changes: Any) -> None:
    value = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: one for name, one in value.items() if one is not None}))


def vocabulary(static: tiny.TinyStatic) -> int:
    return int(tiny._TOKENIZERS[static.tokenizer]().get_vocab_size(with_added_tokens=True))


@pytest.mark.parametrize("static", tiny.STATICS, ids=lambda static: static.name)
def test_a_static_model_reads_any_length_and_takes_the_mean(
    static: tiny.TinyStatic, tmp_path: Path
) -> None:
    model = layout.read(tiny.write_static(static, tmp_path / "m"), "m")
    assert model.encoder is None
    assert model.pooling == Pooling()
    assert model.width == WIDE
    assert model.normalise == static.normalise
    assert model.tokenization.max_length is None
    assert not model.tokenization.special_tokens
    assert model.tokenization.keep_unknown == (static.layout != "model2vec")


def test_what_model2vec_does_with_unknown_tokens_is_in_the_identity(plain: Path) -> None:
    ours = layout.read(plain, "m").space
    (plain / "config.json").unlink()  # what is left is a folder of sentence-transformers
    theirs = layout.read(plain, "m").space
    assert ours.weights == theirs.weights
    assert ours.recipe != theirs.recipe


def test_model2vec_is_known_by_its_config_alone(plain: Path) -> None:
    before = layout.read(plain, "m").space
    (plain / "modules.json").unlink()
    edit(plain / "config.json", max_length=512, sif_coefficient=1e-4, pooling="last")
    assert layout.read(plain, "m").space == before
    edit(plain / "config.json", normalize=None)
    assert not layout.read(plain, "m").normalise


def test_prompts_of_ones_own_are_taken(plain: Path, table: Path) -> None:
    tiny.write_json(table / "config_sentence_transformers.json", {"prompts": {"query": "find "}})
    assert layout.read(table, "m").prompts == Prompts("find ", None)
    own = layout.read(plain, "m", query_prompt="ask ", document_prompt="")
    assert own.prompts == Prompts("ask ", None)


def test_layers_may_stand_behind_a_table(table: Path) -> None:
    tiny.write_modules(table, ["StaticEmbedding", "Dense", "Normalize"], "0_StaticEmbedding")
    tiny.write_dense(tiny.TinyDense(5), table / "1_Dense", WIDE)
    model = layout.read(table, "m")
    assert (model.width, model.dense[0].inputs, model.normalise) == (5, WIDE, True)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"normalize": "yes"}, r'config\.json: normalize: is "yes", not true or false'),
    ],
)
def test_a_config_that_is_not_understood_names_the_field(
    changes: dict[str, Any], why: str, plain: Path
) -> None:
    edit(plain / "config.json", **changes)
    with pytest.raises(ModelError, match=why):
        layout.read(plain, "m")


def test_modules_behind_a_table_are_not_passed_over(plain: Path, table: Path) -> None:
    tiny.write_modules(plain, ["StaticEmbedding", "Dense"], ".")
    with pytest.raises(
        ModelError, match=r"modules\.json: type: the modules are StaticEmbedding, D"
    ):
        layout.read(plain, "m")
    tiny.write_modules(table, ["StaticEmbedding", "LayerNorm"], "0_StaticEmbedding")
    with pytest.raises(ModelError, match=r"StaticEmbedding, LayerNorm; .* are computed here$"):
        layout.read(table, "m")


def test_a_table_has_no_variants_and_no_backend(plain: Path, table: Path) -> None:
    for folder in (plain, table):
        assert layout.read(folder, "m", variant="safetensors") == layout.read(folder, "m")
        with pytest.raises(ModelError, match="no variant onnx of a static model; there is: safet"):
            layout.read(folder, "m", variant="onnx")
        with pytest.raises(ModelError, match='has no backend "torch"; leave that out'):
            layout.read(folder, "m", backend="torch")


def test_the_tokenizer_may_not_give_ids_that_nothing_stands_for(plain: Path, mapped: Path) -> None:
    size = vocabulary(PLAIN)
    write_safetensors(plain / "model.safetensors", {"embeddings": tiny.draw("few", size - 1, WIDE)})
    with pytest.raises(ModelError, match=rf"goes up to id {size - 1}, and the model's table has"):
        layout.read(plain, "m")
    tensors = dict(tiny.static_tensors(MAPPED, size - 1))
    write_safetensors(mapped / "model.safetensors", tensors)
    with pytest.raises(ModelError, match=rf"table has {size - 1} rows"):
        layout.read(mapped, "m")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"embeddings": None}, "has no table of two dimensions named embeddings or embedding.we"),
        ({"embeddings": np.zeros(40, np.float32)}, "has no table of two dimensions"),
        ({"embeddings": np.zeros((0, WIDE), np.float32)}, "has no table of two dimensions"),
        ({"embedding.weight": np.zeros((9, 9), np.float32)}, "has no table of two dimensions"),
        ({"mapping": np.zeros((9, 9), np.int64)}, r"mapping is \(9, 9\), not of one dimension"),
        ({"weights": np.zeros(7, np.float32)}, r"weights has not the \d+ numbers that it needs"),
        ({"head": np.zeros(7, np.float32)}, "the tensor head is none that a static model has"),
    ],
)
def test_tensors_that_are_not_a_static_models_are_named(
    changes: dict[str, np.ndarray | None], why: str, mapped: Path
) -> None:
    tensors = dict(tiny.static_tensors(MAPPED, vocabulary(MAPPED))) | changes
    kept = {name: one for name, one in tensors.items() if one is not None}
    write_safetensors(mapped / "model.safetensors", kept)
    with pytest.raises(ModelError, match=rf"model\.safetensors: {why}"):
        layout.read(mapped, "m")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("embeddings", np.inf, "embeddings holds numbers that are not finite"),
        ("weights", np.nan, "weights holds numbers that are not finite"),
        ("mapping", 40, "mapping leads out of the 40 rows of embeddings"),
        ("mapping", -1, "mapping leads out of the 40 rows of embeddings"),
    ],
)
def test_numbers_that_cannot_be_right_are_not_opened(
    name: str, value: float, why: str, mapped: Path
) -> None:
    tensors = {key: np.array(one) for key, one in
               tiny.static_tensors(MAPPED, vocabulary(MAPPED)).items()}  # fmt: skip
    tensors[name].flat[5] = value
    write_safetensors(mapped / "model.safetensors", tensors)
    files = layout.read(mapped, "m").weights
    with pytest.raises(ModelError, match=rf"model\.safetensors: {why}"):
        static_table.load(files)


def test_a_mapping_of_floats_is_refused(mapped: Path) -> None:
    tensors = dict(tiny.static_tensors(MAPPED, vocabulary(MAPPED)))
    tensors["mapping"] = tensors["mapping"].astype(np.float32)
    write_safetensors(mapped / "model.safetensors", tensors)
    with pytest.raises(ModelError, match="tensor mapping is F32, not whole numbers"):
        static_table.load(layout.read(mapped, "m").weights)
