"""Fixtures for all tests: real models, fetched once and kept between runs."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from emblem.models.library import Library
from postgres import Postgres

HOME = Path(__file__).parents[1] / ".cache" / "test-home"


@pytest.fixture(scope="session")
def model_home() -> Path:
    """A home folder with all-MiniLM-L6-v2, wordllama-256 and the ranks of cl100k_base."""
    library = Library(HOME)
    library.fetch("all-MiniLM-L6-v2")
    library.fetch("wordllama-256")
    library.cl100k(fetch=True)
    return HOME


@pytest.fixture(scope="session")
def minilm_folder(model_home: Path) -> Path:
    return model_home / "models" / "all-MiniLM-L6-v2"


@pytest.fixture(scope="session")
def wordllama_folder(model_home: Path) -> Path:
    return model_home / "models" / "wordllama-256"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL, which ends with the tests."""
    with closing(Postgres()) as server:
        yield server
