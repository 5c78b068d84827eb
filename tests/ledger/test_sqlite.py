"""The SQLite file itself: who may read it, who made it, and what it never contains."""

import os
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from emblem.accounts import Terms
from emblem.errors import LedgerUnavailable
from emblem.ledger.address import sqlite
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database


def ledger_in(path: Path) -> SqlLedger:
    return SqlLedger(Database(sqlite(path)))


def refusal(path: Path) -> str:
    with pytest.raises(LedgerUnavailable) as caught:
        ledger_in(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_half_made_file_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    path.touch()
    with closing(ledger_in(path)) as ledger:
        assert ledger.keys.every() == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "home" / "emblem.db"
    before = os.umask(0)
    try:
        with closing(ledger_in(path)) as ledger:
            ledger.keys.issue(Terms("laptop"), now=1.0)
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes.keys() >= {"emblem.db", "emblem.db-wal"}
    assert set(modes.values()) == {0o600}


def test_a_key_is_nowhere_in_the_files(tmp_path: Path) -> None:
    with closing(ledger_in(tmp_path / "emblem.db")) as ledger:
        _, secret = ledger.keys.issue(Terms("laptop"), now=1.0)
        content = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"laptop" in content
    assert secret.encode() not in content
    assert secret.removeprefix("sk-")[:20].encode() not in content


def test_a_revocation_is_on_the_disk_when_it_is_done(tmp_path: Path) -> None:
    with closing(ledger_in(tmp_path / "emblem.db")) as ledger, ledger.database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    full = 2
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": 10_000,
    }


def test_a_file_that_is_no_database_is_one_line_naming_it(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)
    said = refusal(path)
    assert str(path) in said
    assert "not a database" in said


def test_a_folder_that_cannot_be_made_is_one_line_naming_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file" / "emblem.db") in refusal(tmp_path / "file" / "emblem.db")


def test_a_second_ledger_of_a_process_takes_no_lock_from_the_first(tmp_path: Path) -> None:
    """Where it did, the process that ended below deleted the journal under the first ledger."""
    path = tmp_path / "emblem.db"
    first = ledger_in(path)
    assert first.keys.every() == []
    ledger_in(path).close()
    program = (
        "import sys; from pathlib import Path; from emblem.accounts import Terms; "
        "from emblem.ledger.address import sqlite; from emblem.ledger.books import SqlLedger; "
        "from emblem.ledger.database import Database; "
        "ledger = SqlLedger(Database(sqlite(Path(sys.argv[1])))); "
        "ledger.keys.issue(Terms('a'), now=1.0); ledger.close()"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, str(path)], check=True)
        assert path.with_name("emblem.db-wal").exists()
    assert [key.terms.name for key in first.keys.every()] == ["a", "a"]
    first.close()
