"""The rows of the catalogue, and the real models that they name."""

import re
from pathlib import Path

import pytest

from emblem.config import name_problem
from emblem.model import PoolingMode
from emblem.models import catalog, layout
from emblem.models.library import Library
from emblem.models.reference import Reference, parse
from emblem.models.safetensors import Weights, file_digest
from emblem.names import OPENAI_WIDTHS


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


PINNED = [row for row in catalog.ROWS if row.asset.files]
OPEN = [row for row in catalog.ROWS if not row.asset.files]


@pytest.mark.parametrize("row", PINNED, ids=lambda row: row.name)
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
        ("BGE-M3", "bge-m3"),
        ("Nomic-Embed-Text", "nomic-embed-text-v1.5"),
        ("nomic-embed-txt", "nomic-embed-text-v1.5"),
        ("qwen3-embedding", "Qwen3-Embedding-0.6B"),
        ("text-embedding-3-small", None),
        ("no-such-model", None),
        ("", None),
    ],
)
def test_a_misspelt_name_finds_the_nearest(written: str, meant: str | None) -> None:
    assert catalog.nearest(written) == meant


def test_no_two_rows_share_a_name() -> None:
    names = [name for row in catalog.ROWS for name in row.names]
    assert len(names) == len(set(names))
    assert not set(names) & {*OPENAI_WIDTHS, catalog.CL100K.name}


@pytest.mark.parametrize("row", catalog.ROWS, ids=lambda row: row.name)
def test_every_name_of_a_row_means_it_and_may_be_served(row: catalog.Row) -> None:
    for name in row.names:
        assert catalog.find(name) is row
        assert catalog.named(parse(name, lambda _: False)) == (row, "")
        assert name_problem(name) is None
    assert catalog.named(parse(f"{row.name}:latest", lambda _: False)) == (row, "")
    assert catalog.named(parse(f"{row.name}:quantized", lambda _: False)) == (row, "quantized")


def test_a_short_name_with_a_colon_is_no_variant_and_a_folder_is_no_row() -> None:
    arctic = catalog.find("snowflake-arctic-embed-s")
    assert catalog.named(Reference("snowflake-arctic-embed", "33m")) == (arctic, "")
    assert catalog.named(Reference("snowflake-arctic-embed", "335m")) is None
    assert catalog.named(Reference("bge-m3", folder=Path("bge-m3"))) is None


@pytest.mark.parametrize("row", OPEN, ids=lambda row: row.name)
def test_a_row_without_pinned_files_is_a_repository_at_one_commit(row: catalog.Row) -> None:
    assert row.asset.hub is not None
    assert re.fullmatch(r"[0-9a-f]{40}", row.asset.hub.revision or "")
    assert row.weights is None
    assert not row.known_recipe
    assert row.page == f"https://huggingface.co/{row.asset.hub.id}"


@pytest.mark.parametrize("row", catalog.ROWS, ids=lambda row: row.name)
def test_a_row_makes_sense(row: catalog.Row) -> None:
    assert list(row.widths) == sorted(row.widths, reverse=True)
    assert all(width < row.width for width in row.widths)
    assert row.score is None or (0 < row.score.value < 100 and "https://" in row.score.source)
    assert row.size is None or 0 <= row.size.active < row.size.all
    assert row.languages
    assert not row.prompts_needed or (row.prompts.query and row.prompts.document)
    assert row.needs_torch is (row.family in ("qwen3", "gemma3_text"))


def test_only_pinned_weights_are_found_by_their_digest() -> None:
    assert [catalog.of_weights(row.weights or "") for row in PINNED] == PINNED
    assert catalog.of_weights("0" * 64) is None
