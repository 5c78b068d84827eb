"""Looking after the database: checks that find something, and copies that can be used."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from emblem.accounts import Terms
from emblem.errors import InvalidRequest, LedgerUnavailable
from emblem.ledger import upkeep
from emblem.ledger.address import sqlite, url_of
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database
from emblem.ledger.schema import VERSION
from emblem.ledger.upkeep import backup, look, upgraded


def test_an_upgrade_says_from_what_to_what(empty: URL) -> None:
    with closing(Database(empty, upgrade=False)) as database:
        assert upgraded(database) == (None, VERSION)
        assert upgraded(database) == (VERSION, VERSION)


def test_a_sound_database_has_no_problems(url: URL) -> None:
    with closing(SqlLedger(Database(url))) as ledger:
        ledger.keys.issue(Terms("laptop"), now=1.0)
        health = look(ledger.database)
    assert (health.version, health.problems) == (VERSION, ())


def test_tables_that_are_missing_or_newer_are_problems(empty: URL) -> None:
    with closing(Database(empty, upgrade=False)) as database:
        (said,) = look(database).problems
        assert "emblem db upgrade" in said or "no file" in said
        database.upgrade()
        with database.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        (said,) = look(database).problems
        assert "newer Emblem" in said


def test_what_does_not_belong_together_is_a_problem(url: URL) -> None:
    with closing(Database(url)) as database:
        with database.write() as connection:
            connection.execute(text("DELETE FROM counters"))
        assert look(database).problems == ("the counter of changes is missing",)


def test_a_check_makes_no_file(tmp_path: Path) -> None:
    with closing(Database(sqlite(tmp_path / "emblem.db"), upgrade=False)) as database:
        assert "no file" in look(database).problems[0]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    with closing(SqlLedger(Database(sqlite(path)))) as ledger:
        for number in range(50):
            ledger.keys.issue(Terms(f"key {number}"), now=1.0)
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    path.write_bytes(content)
    with closing(Database(sqlite(path), upgrade=False)) as database:
        assert look(database).problems


def test_a_secret_without_a_key_is_found(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    Database(sqlite(path)).close()
    with closing(sqlite3.connect(path)) as connection:  # which looks at no references
        connection.execute("INSERT INTO secrets VALUES (x'00', 'key_no', 'abcd', 1.0, NULL)")
        connection.commit()
    with closing(Database(sqlite(path))) as database:
        assert look(database).problems == ("a row of secrets belongs to none of keys",)


def test_a_copy_made_while_somebody_writes_is_whole_and_can_be_used(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(SqlLedger(Database(sqlite(tmp_path / "emblem.db")))) as ledger:
        key, _ = ledger.keys.issue(Terms("laptop"), now=1.0)
        with ledger.database.write() as connection:
            connection.execute(text("UPDATE keys SET name = 'half-way'"))
            backup(ledger.database, copy)
    assert sorted(one.name for one in tmp_path.iterdir() if "copy" in one.name) == ["copy.db"]
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(SqlLedger(Database(sqlite(copy)))) as copied:
        assert copied.keys.every() == [key]


def test_a_copy_never_takes_the_place_of_a_file(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    with closing(Database(sqlite(tmp_path / "emblem.db"))) as database:
        with pytest.raises(InvalidRequest, match="there already"):
            backup(database, copy)
        with pytest.raises(LedgerUnavailable, match="No such file"):
            backup(database, tmp_path / "no" / "copy.db")
    assert copy.read_text() == "precious"


def test_of_two_copies_to_one_file_the_first_is_there_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, real = tmp_path / "copy.db", upkeep._copy
    with closing(Database(sqlite(tmp_path / "emblem.db"))) as database:

        def and_another(source: Path, part: Path) -> None:
            real(source, part)
            monkeypatch.setattr(upkeep, "_copy", real)
            backup(database, copy)

        monkeypatch.setattr(upkeep, "_copy", and_another)
        with pytest.raises(InvalidRequest, match="made by somebody else"):
            backup(database, copy)
    with closing(Database(sqlite(copy), upgrade=False)) as copied:
        assert look(copied).problems == ()
    assert list(tmp_path.glob("*.part")) == []


def test_nothing_is_copied_where_there_is_nothing(tmp_path: Path) -> None:
    database = Database(sqlite(tmp_path / "emblem.db"), upgrade=False)
    with closing(database), pytest.raises(InvalidRequest, match="no file"):
        backup(database, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_for_postgresql_the_line_of_its_own_tool_is_given_without_the_password() -> None:
    url = url_of("postgresql://me:hunter2@db:5433/emblem", Path())
    database = Database(url, upgrade=False)
    with closing(database), pytest.raises(InvalidRequest) as caught:
        backup(database, Path("/backups/a b"))
    assert str(caught.value).endswith(
        "pg_dump --format=custom '--file=/backups/a b' --host=db --port=5433 --username=me emblem"
    )
