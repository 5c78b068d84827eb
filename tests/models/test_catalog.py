"""The rows of the catalogue, and the real models that they name."""

from pathlib import Path

import pytest

from emblem.model import PoolingMode
from emblem.models import catalog, layout
from emblem.models.library import Library
from emblem.models.safetensors import Weights, file_digest


def test_the_default_model_is_the_one_that_the_catalogue_pins(minilm_folder: Path) -> None:
    model = layout.read(minilm_folder, "all-MiniLM-L6-v2")
    assert str(model.space) == "all-MiniLM-L6-v2@53aa5117/384"
    assert model.space.known_recipe
    assert (model.width, model.tokenization.max_length, model.normalise) == (384, 256, True)
    assert model.pooling.modes == (PoolingMode.MEAN,)
    assert (model.languages, model.licence) == (("en",), "Apache-2.0")
    assert not model.prompts
    assert model.encoder is not None
    assert (model.encoder.layers, model.encoder.hidden, model.encoder.positions) == (6, 384, 512)
    assert Weights(model.weights)["embeddings.word_embeddings.weight"].shape == (30522, 384)


def test_the_instant_model_is_the_one_that_the_catalogue_pins(wordllama_folder: Path) -> None:
    model = layout.read(wordllama_folder, "wordllama-256")
    assert str(model.space) == "wordllama-256@64b47a2d/256"
    assert model.encoder is None
    assert model.tokenization.max_length is None
    assert not model.tokenization.special_tokens
    assert model.normalise
    assert Weights(model.weights)["embedding.weight"].shape == (32000, 256)


@pytest.mark.parametrize("row", catalog.ROWS, ids=lambda row: row.name)
def test_a_row_says_what_its_model_says(row: catalog.Row, model_home: Path) -> None:
    folder = Library(model_home, offline=True).find(row.name)
    assert folder is not None
    model = layout.read(folder, row.name)
    assert (row.width, row.max_length) == (model.width, model.tokenization.max_length)
    assert (row.weights, row.known_recipe) == (model.space.weights, model.space.recipe)


def test_a_prompt_of_ones_own_is_another_recipe(minilm_folder: Path) -> None:
    model = layout.read(minilm_folder, "mine", query_prompt="query: ")
    assert model.prompts.query == "query: "
    assert not model.space.known_recipe
    assert str(model.space).startswith("mine@53aa5117-")


def test_the_ranks_are_the_ones_that_tiktoken_expects(model_home: Path) -> None:
    path = Library(model_home, offline=True).cl100k(fetch=False)
    assert path is not None
    assert file_digest(path) == catalog.CL100K.files[0].sha256


def test_the_ranks_are_not_there_before_they_are_fetched(tmp_path: Path) -> None:
    assert Library(tmp_path).cl100k(fetch=False) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("all-minilm-l6-v2", "all-MiniLM-L6-v2"),
        ("minilm", "all-MiniLM-L6-v2"),
        ("wordllama", "wordllama-256"),
        ("text-embedding-3-small", None),
    ],
)
def test_a_misspelt_name_finds_the_nearest(written: str, meant: str | None) -> None:
    assert catalog.nearest(written) == meant
