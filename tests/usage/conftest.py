"""The usage in SQLite and in a real PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from emblem.accounts import Use
from emblem.ledger.address import sqlite, url_of
from emblem.ledger.database import Database
from emblem.ledger.usagebook import SqlUsageBook
from postgres import Postgres

NOW = 1_795_255_200.0 + 1800  # 2026-11-21T10:30:00Z


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """The address of a database of PostgreSQL's that these tests share."""
    return postgres.new()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with tables and nothing in them."""
    if request.param == "sqlite":
        url = sqlite(tmp_path / "emblem.db")
    else:
        url = url_of(request.getfixturevalue("postgres_url"), tmp_path)
    with closing(Database(url)) as opened:
        yield opened
        if not opened.is_sqlite:
            with opened.write() as connection:
                connection.execute(text("TRUNCATE uses, uses_hourly, uses_daily, hours, days"))


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
