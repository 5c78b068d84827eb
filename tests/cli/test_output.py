"""Tables, facts and sizes, on a terminal and in a pipe."""

import os
import sys
from pathlib import Path

import pytest

from emblem.cli.output import print_facts, print_table, size


def test_a_table_in_a_pipe_is_plain_columns_whatever_the_width(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("bge", "384", "x" * 300), ("図書館", "1024", "")]
    print_table(("name", "numbers", "note"), rows, right="numbers")
    assert capsys.readouterr().out.splitlines() == [
        "name    numbers  note",
        "bge         384  " + "x" * 300,
        "図書館     1024",
    ]


def test_facts_leave_out_what_is_not_known_and_lay_lines_below_one_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_facts([("name", "a"), ("unknown", ""), ("files", "one\ntwo")])
    assert capsys.readouterr().out == "name   a\nfiles  one\n       two\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_a_narrow_terminal_breaks_no_name_in_two(tmp_path: Path, model_home: Path) -> None:
    import pty

    (tmp_path / "models").symlink_to(model_home / "models", target_is_directory=True)
    said = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 4096)
        said.extend(data)
        return data

    command = ["env", "TERM=xterm", "COLUMNS=40", sys.executable, "-m", "emblem", "list"]
    assert pty.spawn([*command, "--home", str(tmp_path)], read, lambda _: b"") == 0
    lines = said.decode().splitlines()
    assert lines[0].startswith("\x1b[1mname")
    assert "all-MiniLM-L6-v2  all-MiniLM-L6-v2@53aa5117/384" in lines[1]
    assert "\x1b" not in lines[1]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (466_247, "466 kB"),
        (91_336_293, "91.3 MB"),
        (2_300_000_000, "2.3 GB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_bytes_are_written_as_people_read_them(count: float, said: str) -> None:
    assert size(count) == said
