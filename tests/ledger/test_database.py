"""Databases that are new, old, newer, away, locked or wrong; and what is said of them."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from emblem.accounts import Terms
from emblem.errors import EmblemError, InvalidRequest, LedgerUnavailable, MissingExtra
from emblem.ledger import schema
from emblem.ledger.address import sqlite, url_of
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database
from postgres import Postgres

PASSWORD = "hunter2-and-more"
STARTER = """
import sys
from sqlalchemy.engine import make_url
from emblem.accounts import Terms
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database
print("ready", flush=True)
sys.stdin.readline()
ledger = SqlLedger(Database(make_url(sys.argv[1])))
for number in range(5):
    ledger.keys.issue(Terms(f"{sys.argv[2]}-{number}"), now=1.0)
ledger.spaces.bind("model", sys.argv[2], sys.argv[2], now=1.0)
print(ledger.spaces.every()["model"][0])
ledger.close()
"""


def written(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def refusal(url: URL, kind: type[EmblemError] = LedgerUnavailable) -> str:
    with pytest.raises(kind) as caught:
        Database(url)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert PASSWORD not in repr(caught.value)
    assert caught.value.__cause__ is None
    return said


def test_the_tables_are_those_of_the_schema(empty: URL) -> None:
    with closing(Database(empty)) as database, database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.VERSION


def test_the_version_is_that_of_the_newest_step() -> None:
    config = Config()
    config.set_main_option("script_location", "emblem.ledger:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [schema.VERSION]


def test_processes_that_start_at_once_on_an_empty_database_share_one_ledger(empty: URL) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, written(empty), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in ends] == ["", "", "", ""]
    with closing(SqlLedger(Database(empty))) as ledger:
        assert len(ledger.keys.every()) == 20
        winner = ledger.spaces.every()["model"][0]
    assert [out.strip() for out, _ in ends] == [winner] * 4


@pytest.mark.parametrize(
    ("newer", "version"),
    [
        (["UPDATE alembic_version SET version_num = '9999'"], "9999"),
        # As if a release counted on in the table of the first one.
        (["DROP TABLE alembic_version", "UPDATE schema_version SET version = 7"], "0007"),
    ],
)
def test_the_database_of_a_newer_emblem_is_refused_and_left_alone(
    empty: URL, newer: list[str], version: str
) -> None:
    with closing(Database(empty)) as database:
        with database.write() as connection:
            for statement in newer:
                connection.execute(text(statement))
        said = refusal(empty)
        assert f"newer Emblem (tables {version}, this one knows {schema.VERSION})" in said
        assert database.name in said
        with database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM keys")).scalar_one() == 0


def test_what_fails_within_an_upgrade_leaves_nothing_behind(
    empty: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(empty, upgrade=False)) as database:
        with database.write() as connection:
            connection.execute(text("CREATE TABLE audit (id INTEGER)"))  # in the way of step 2
        assert "audit" in refusal(empty)
        with database.write() as connection:
            assert database.version() is None
            connection.execute(text("DROP TABLE audit"))
        database.upgrade()
        assert database.version() == schema.VERSION


def test_a_change_that_fails_is_not_there_in_part(empty: URL) -> None:
    with closing(Database(empty)) as database:
        twice = "INSERT INTO counters (name, value) VALUES ('x', 1), ('keys', 1)"
        with pytest.raises(LedgerUnavailable), database.write() as connection:
            connection.execute(text(twice))
        with database.read() as connection:
            names = connection.execute(text("SELECT name FROM counters")).scalars().all()
        assert names == ["keys"]


def test_a_server_that_is_away_is_one_line_without_the_password() -> None:
    url = url_of(f"postgresql://emblem:{PASSWORD}@127.0.0.1:1/ledger", Path())
    said = refusal(url)
    assert said.startswith("the ledger postgresql://127.0.0.1:1/ledger cannot be used: ")
    assert "refused" in said
    assert "emblem:" not in said


def test_a_wrong_database_and_a_wrong_user_are_one_line(postgres: Postgres) -> None:
    url = make_url(postgres.address("no_such_database")).set(drivername="postgresql+psycopg")
    assert 'database "no_such_database" does not exist' in refusal(url)
    wrong = url.set(username="nobody", password=PASSWORD, database="postgres")
    assert 'role "nobody" does not exist' in refusal(wrong)


def test_a_password_that_the_server_repeats_is_not_shown(postgres: Postgres) -> None:
    url = make_url(postgres.address("postgres")).set(drivername="postgresql+psycopg")
    assert 'role "***" does not exist' in refusal(url.set(username=PASSWORD, password=PASSWORD))


def test_a_server_that_comes_back_is_used_again(postgres: Postgres) -> None:
    url = url_of(postgres.new(), Path())
    with closing(SqlLedger(Database(url))) as ledger:
        key, _ = ledger.keys.issue(Terms("laptop"), now=1.0)
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{url.database}'"
        )
        assert ledger.keys.every() == [key]


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'emblem\[postgres\]'"):
        Database(url_of("postgresql://localhost/x", Path()))


def test_an_upgrade_waits_for_another_process_and_says_so(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emblem.ledger import database as module

    monkeypatch.setattr(module, "UPGRADE_TIMEOUT_S", 0.05)
    url = url_of(postgres.new(), Path())
    with closing(Database(url, upgrade=False)) as other, other.write() as connection:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({module._UPGRADE_LOCK})"))
        assert "lock timeout" in refusal(url)
    Database(url).close()


def test_an_upgrade_of_a_file_waits_for_another_process_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    from emblem.ledger import database as module

    monkeypatch.setattr(module, "UPGRADE_TIMEOUT_S", 0.05)
    path = tmp_path / "emblem.db"
    with FileLock(f"{path}.lock"):
        assert "another process holds" in refusal(sqlite(path))


def test_a_file_that_is_locked_for_too_long_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emblem.ledger import database as module

    path = tmp_path / "emblem.db"
    Database(sqlite(path)).close()
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.05)
    with (
        closing(SqlLedger(Database(sqlite(path)))) as one,
        closing(SqlLedger(Database(sqlite(path)))) as other,
        one.database.write(),
        pytest.raises(LedgerUnavailable, match="database is locked"),
    ):
        other.keys.issue(Terms("laptop"), now=1.0)


def test_nobody_waits_for_ever_for_who_has_locked_a_row_and_stopped(
    opened: Callable[[], SqlLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emblem.ledger.database.BUSY_TIMEOUT_S", 0.2)
    one, other = opened(), opened()
    key, _ = one.keys.issue(Terms("laptop"), now=1.0)
    with one.database.write() as connection:
        connection.execute(text("UPDATE counters SET value = value"))
        with pytest.raises(LedgerUnavailable) as caught:
            other.keys.revoke(key.id, now=2.0)
    assert len(str(caught.value).splitlines()) == 1
    assert other.keys.revoke(key.id, now=3.0) == 1


def test_who_keeps_others_waiting_in_postgresql_is_cut_off(
    postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emblem.ledger.database.IDLE_TIMEOUT_S", 0.1)
    with closing(SqlLedger(Database(url_of(postgres.new(template), Path())))) as ledger:

        def stop_within_a_change(terms: Terms) -> Terms:
            with ledger.database.read() as connection:  # answers once the other one is gone
                gone = (
                    "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()"
                )
                until = time.monotonic() + 20
                while not connection.execute(text(gone)).scalar_one():
                    connection.execute(text("SELECT pg_sleep(0.02), pg_stat_clear_snapshot()"))
                    assert time.monotonic() < until
            return terms

        key, _ = ledger.keys.issue(Terms("laptop"), now=1.0)
        with pytest.raises(LedgerUnavailable):
            ledger.keys.change(
                key.id, lambda terms: replace(stop_within_a_change(terms), owner="a"), now=2.0
            )
        assert ledger.keys.revoke(key.id, now=3.0) == 1


def test_a_database_that_cannot_hold_every_text_is_refused(postgres: Postgres) -> None:
    postgres.run(
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    said = refusal(url_of(postgres.address("latin"), Path()))
    assert "encoding LATIN1" in said


def test_a_value_that_postgresql_cannot_hold_is_refused_without_saying_it(
    postgres: Postgres, template: str
) -> None:
    """It is no fault of the database, which is not to be asked again for it."""
    with closing(Database(url_of(postgres.new(template), Path()))) as database:
        row = text("INSERT INTO counters VALUES ('k', CAST('planted' AS bigint))")
        with pytest.raises(InvalidRequest) as caught, database.write() as connection:
            connection.execute(row)
    assert "planted" not in str(caught.value)
