"""Processes that record and end: by SIGTERM nothing is missing, by kill -9 the last second at most."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

RATE = 2000  # records a second
KILL_AT = 3000  # records: one and a half seconds' worth, so several batches are written by then
PROGRAM = Path(__file__).with_name("recording.py")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def started(path: Path, most: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), f"sqlite:///{path}", str(most), str(RATE)],
        stdout=subprocess.PIPE,
        text=True,
    )


def taken(process: "subprocess.Popen[str]", least: int) -> int:
    """Wait until the process has taken so many records, and say how many they are."""
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= least:
            return int(line)
    pytest.fail("it ended too early")


def written(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [row[0] for row in connection.execute("SELECT id FROM uses ORDER BY id")]


def names(count: int) -> list[str]:
    return [f"req-{number:07}" for number in range(count)]


def test_after_kill_9_the_last_second_is_missing_at_most(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    with started(path, 1_000_000) as process:
        told = taken(process, KILL_AT)
        process.kill()
        rest = [int(line) for line in process.stdout or () if line.endswith("\n")]
    assert process.returncode == -signal.SIGKILL
    there = written(path)
    assert there == names(len(there))  # none is doubled, and none is missing among them
    assert max([told, *rest]) - len(there) <= RATE


def test_after_sigterm_everything_is_there(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    with started(path, 1777) as process:
        taken(process, 1777)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.read() == "lost 0\n"
    assert process.returncode == 0
    assert written(path) == names(1777)


def test_records_that_are_written_again_after_a_kill_are_not_doubled(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    with started(path, 1_000_000) as process:
        taken(process, RATE)
        process.kill()
    before = written(path)
    with started(path, 2 * RATE) as process:
        taken(process, 2 * RATE)
        process.terminate()
    assert 0 < len(before) < 2 * RATE
    assert written(path) == names(2 * RATE)
