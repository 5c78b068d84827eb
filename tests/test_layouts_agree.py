"""Shipped graphs, dense layers and static tables against sentence-transformers and model2vec.

``scripts/make_layout_golden.py`` made the vectors; ``golden/layouts_made_with.json`` has the versions.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import tiny_layouts as tiny
from agreement import disagreements, embed
from emblem.errors import InvalidInput
from emblem.models import layout

GOLDEN = Path(__file__).parent / "golden"
HALF = 2e-3  # the library rounds every vector of a table of float16 to float16


@cache
def golden(name: str) -> tuple[list[str], np.ndarray]:
    texts: list[str] = json.loads((GOLDEN / "layouts.json").read_text("ascii"))
    with np.load(GOLDEN / "layouts.npz") as vectors:
        return texts, vectors[name]


@pytest.mark.parametrize("family", tiny.GRAPH_FAMILIES)
def test_a_shipped_onnx_graph_agrees(family: str, tmp_path: Path) -> None:
    texts, theirs = golden(family)
    (ours,) = embed(tiny.write_graph(family, tmp_path / family), texts)
    assert disagreements(ours, theirs, texts) == []


@pytest.mark.parametrize("family", tiny.GRAPH_FAMILIES)
def test_the_same_graph_in_openvinos_own_format_agrees(family: str, tmp_path: Path) -> None:
    from emblem.backends.runtime import openvino

    folder = tiny.write_graph(family, tmp_path / family)
    read = openvino.Core().read_model(folder / "onnx" / "model.onnx")
    file = folder / "openvino" / "openvino_model.xml"
    openvino.save_model(read, file, compress_to_fp16=False)
    model = layout.read(folder, family)
    assert model.weights == (file, file.with_suffix(".bin"))
    texts, theirs = golden(family)
    (ours,) = embed(folder, texts)
    assert disagreements(ours, theirs, texts) == []


@pytest.mark.parametrize("chain", tiny.CHAINS, ids=lambda chain: chain.name)
def test_dense_layers_agree_behind_every_pooling(chain: tiny.TinyChain, tmp_path: Path) -> None:
    texts, theirs = golden(chain.name)
    (ours,) = embed(tiny.write_chain(chain, tmp_path / chain.name), texts)
    assert disagreements(ours, theirs, texts) == []


@pytest.mark.parametrize("static", tiny.STATICS, ids=lambda static: static.name)
def test_a_static_table_agrees_and_a_text_without_known_tokens_is_refused(
    static: tiny.TinyStatic, tmp_path: Path
) -> None:
    folder = tiny.write_static(static, tmp_path / static.name)
    texts, theirs = golden(static.name)
    empty = np.flatnonzero(~theirs.any(axis=1)).tolist()
    if empty:
        with pytest.raises(InvalidInput, match="has no token that the model knows") as caught:
            embed(folder, texts)
        assert [index for index, _ in caught.value.problems] == empty
    kept = [index for index in range(len(texts)) if index not in empty]
    texts, theirs = [texts[index] for index in kept], theirs[kept]
    assert len(texts) > 30
    (ours,) = embed(folder, texts)
    if static.kind == "float16":
        np.testing.assert_allclose(ours, theirs, atol=HALF)
    else:
        assert disagreements(ours, theirs, texts) == []


def test_a_dynamically_quantised_graph_gives_the_same_bytes_alone_and_together(
    tmp_path: Path,
) -> None:
    folder = tiny.write_graph("distilbert", tmp_path / "distilbert")
    (folder / "onnx" / "model.onnx").unlink()
    texts = ["the river", "her garden", "a small engine of light", "most people", "the river"]
    together, *alone = embed(folder, texts, *([text] for text in texts))
    assert together.tobytes() == np.concatenate(alone).tobytes()
    plain = embed(tiny.write_graph("distilbert", tmp_path / "plain"), texts)[0]
    cosines = (together * plain).sum(axis=1)
    assert (cosines > 0.99).all()
    assert (cosines < 0.999999).any()  # or it was not the quantised graph that ran
