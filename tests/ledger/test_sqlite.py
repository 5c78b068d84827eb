"""The SQLite file itself: who may read it, who made it, and what it never contains."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from emblem.errors import EmblemError
from emblem.ledger import schema
from emblem.ledger.sqlite import SqliteLedger

STARTER = """
import sys
from pathlib import Path
from emblem.ledger.sqlite import SqliteLedger
print("ready", flush=True)
sys.stdin.readline()
ledger = SqliteLedger(Path(sys.argv[1]))
for number in range(5):
    ledger.issue(f"{sys.argv[2]}-{number}", now=1.0)
ledger.bind("model", sys.argv[2], sys.argv[2], now=1.0)
print(ledger.spaces()["model"][0])
ledger.close()
"""


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


def refusal(path: Path) -> str:
    with pytest.raises(EmblemError) as caught:
        SqliteLedger(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_processes_that_start_at_once_on_an_empty_home_share_one_ledger(tmp_path: Path) -> None:
    path = tmp_path / "home" / "emblem.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(path), str(number)],
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
    with closing(SqliteLedger(path)) as ledger:
        assert len(ledger.keys()) == 20
        winner = ledger.spaces()["model"][0]
    assert [out.strip() for out, _ in ends] == [winner] * 4


def test_a_half_made_file_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    path.touch()
    with closing(SqliteLedger(path)) as ledger:
        assert ledger.keys() == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "home" / "emblem.db"
    before = os.umask(0)
    try:
        with closing(SqliteLedger(path)) as ledger:
            ledger.issue("laptop", now=1.0)
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes.keys() >= {"emblem.db", "emblem.db-wal"}
    assert set(modes.values()) == {0o600}


def test_a_key_is_nowhere_in_the_files(tmp_path: Path) -> None:
    with closing(SqliteLedger(tmp_path / "emblem.db")) as ledger:
        _, secret = ledger.issue("laptop", now=1.0)
        content = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"laptop" in content
    assert secret.encode() not in content
    assert secret.removeprefix("sk-")[:20].encode() not in content


def test_a_revocation_is_on_the_disk_when_it_is_done(tmp_path: Path) -> None:
    with closing(SqliteLedger(tmp_path / "emblem.db")) as ledger, ledger._read() as connection:
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


def test_the_file_of_a_newer_emblem_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    SqliteLedger(path).close()
    with database(path) as connection:
        connection.execute("UPDATE schema_version SET version = ?", [schema.VERSION + 1])
    said = refusal(path)
    assert "newer Emblem" in said
    assert str(path) in said
    with database(path) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [
            (schema.VERSION + 1,)
        ]


def test_a_file_that_is_no_database_is_one_line_naming_it(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)
    said = refusal(path)
    assert str(path) in said
    assert "not a database" in said


def test_a_folder_that_cannot_be_made_is_one_line_naming_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file" / "emblem.db") in refusal(tmp_path / "file" / "emblem.db")


def test_a_name_that_is_no_text_is_refused_without_a_traceback(tmp_path: Path) -> None:
    with (
        closing(SqliteLedger(tmp_path / "emblem.db")) as ledger,
        pytest.raises(EmblemError, match="valid text"),
    ):
        ledger.revoke("\udcff", now=1.0)


def test_a_second_ledger_of_a_process_takes_no_lock_from_the_first(tmp_path: Path) -> None:
    """Where it did, the process that ended below deleted the journal under the first ledger."""
    path = tmp_path / "emblem.db"
    first = SqliteLedger(path)
    assert first.keys() == []
    SqliteLedger(path).close()
    program = (
        "import sys; from pathlib import Path; from emblem.ledger.sqlite import SqliteLedger; "
        "ledger = SqliteLedger(Path(sys.argv[1])); ledger.issue('a', now=1.0); ledger.close()"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, str(path)], check=True)
        assert path.with_name("emblem.db-wal").exists()
    assert [key.name for key in first.keys()] == ["a", "a"]  # noqa: SIM118
    first.close()
