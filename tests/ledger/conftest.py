"""Every database that a ledger may be in. Another one joins by a line in ``DATABASES``."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from emblem.ledger.address import sqlite, url_of
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database
from postgres import Postgres

DATABASES = ("sqlite", "postgresql")
TEMPLATE = "emblem_with_tables"


@pytest.fixture(scope="session")
def template(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that has the tables, to be copied."""
    postgres.run(f"CREATE DATABASE {TEMPLATE}")
    Database(url_of(postgres.address(TEMPLATE), Path())).close()
    return TEMPLATE


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """Where there is a database with tables, or none yet."""
    if request.param == "sqlite":
        return sqlite(tmp_path / "emblem.db")
    postgres: Postgres = request.getfixturevalue("postgres")
    return url_of(postgres.new(request.getfixturevalue("template")), tmp_path)


@pytest.fixture(params=DATABASES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """Where there is no table yet."""
    if request.param == "sqlite":
        return sqlite(tmp_path / "emblem.db")
    return url_of(request.getfixturevalue("postgres").new(), tmp_path)


@pytest.fixture
def opened(url: URL) -> Iterator[Callable[[], SqlLedger]]:
    """Open the same ledger, as often as asked."""
    ledgers: list[SqlLedger] = []

    def open_one() -> SqlLedger:
        ledgers.append(SqlLedger(Database(url)))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(opened: Callable[[], SqlLedger]) -> SqlLedger:
    return opened()


@pytest.fixture
def file_ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """One in a file, for what has nothing to do with the database."""
    with closing(SqlLedger(Database(sqlite(tmp_path / "emblem.db")))) as opened:
        yield opened
