"""An administration for each test."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from admin.office import FILE, Office
from emblem.ledger.address import sqlite
from emblem.ledger.database import Database


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that has the tables, to be copied: making them takes longer than most tests."""
    file = tmp_path_factory.mktemp("ledger") / FILE
    Database(sqlite(file)).close()
    return file


@pytest.fixture
def folder(empty_ledger: Path, tmp_path: Path) -> Path:
    shutil.copyfile(empty_ledger, tmp_path / FILE)
    return tmp_path


@pytest.fixture
def office(folder: Path) -> Iterator[Office]:
    with closing(Office(folder)) as made:
        yield made
