"""What every command keeps: JSON for programs, plain text in pipes, exit codes, completion."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from emblem.cli.main import _app, run
from system import require

Emblem = Callable[..., "subprocess.CompletedProcess[str]"]

# Commands that print no facts, and so no JSON.
NO_FACTS = {
    "serve": "it answers over HTTP",
    "misbehave": "it answers over HTTP",
    "completion": "it prints a program for a shell",
    "run": "it says what to type instead",
}
ESCAPE = "\x1b"


def commands() -> Iterator[tuple[str, Any]]:
    """Give every command, by the words that call it."""

    def walk(words: tuple[str, ...], command: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield " ".join(words), command
        for name, one in (inner or {}).items():
            yield from walk((*words, name), one)

    yield from walk((), typer.main.get_command(_app([])))


COMMANDS = dict(commands())


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_that_prints_facts_speaks_json(words: str) -> None:
    flags = {flag for one in COMMANDS[words].params for flag in one.opts}
    assert ("--json" in flags) is (words not in NO_FACTS)


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_and_flag_is_explained(words: str) -> None:
    command = COMMANDS[words]
    assert command.help
    assert [one.name for one in command.params if not getattr(one, "help", None)] == []


@pytest.fixture
def inside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command line in this process, which is faster, and give all that it printed."""
    for name in os.environ:
        if name.startswith("EMBLEM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EMBLEM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def end(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            run(arguments)
        return "".join(capfd.readouterr())

    return end


def test_what_prints_json_prints_one_document_and_nothing_else(inside: Callable[..., str]) -> None:
    created = json.loads(inside("keys", "create", "a", "--json"))
    assert created["key"].startswith("sk-")
    environment = json.loads(inside("env", "--port", "9000", "--json"))
    assert environment["base_url"] == "http://127.0.0.1:9000/v1"
    assert environment["key"].startswith("sk-")
    listed = json.loads(inside("keys", "list", "--json"))
    assert [one["name"] for one in listed] == ["a", environment["name"]]
    assert json.loads(inside("keys", "revoke", "a", "--json")) == {"revoked": 1}
    assert json.loads(inside("list", "--json")) == []
    assert json.loads(inside("config", "show", "--json"))["port"]["value"] == 8080


def test_a_pipe_gets_no_colours(inside: Callable[..., str]) -> None:
    inside("keys", "create", "a")
    for arguments in (["--help"], ["serve", "--help"], ["keys", "list"], ["nonsense"]):
        said = inside(*arguments)
        assert said
        assert ESCAPE not in said


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_colours_unless_told_otherwise(tmp_path: Path, no_color: bool) -> None:
    inner, outer = pty.openpty()
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "emblem", "--help"],
        env=environ | ({"NO_COLOR": "1"} if no_color else {}),
        stdout=outer,
        stderr=outer,
    )
    os.close(outer)
    said = b""
    while chunk := _read(inner):
        said += chunk
    os.close(inner)
    assert process.wait(60) == 0
    assert b"similarity" in said
    assert bool(re.search(rb"\x1b\[[0-9;]*3\dm", said)) is not no_color


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side has closed
        return b""


# -- how a command line ends --------------------------------------------------------------------


def test_help_and_the_page_name_every_exit_code(emblem: Emblem) -> None:
    said = " ".join(emblem("--help", COLUMNS="100").stdout.split())
    for code in ("0 done", "1 a fault", "2 something given is wrong", "3 finished", "130 inter"):
        assert code in said


def test_done_is_0_and_wrong_is_2(emblem: Emblem) -> None:
    assert emblem("keys", "list").returncode == 0
    assert emblem("keys", "list", "--nonsense").returncode == 2
    assert emblem("similarity", "one").returncode == 2


def test_a_reader_that_leaves_is_1_and_no_word(model_home: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "emblem", "config", "show"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, b"")


def test_some_rows_that_failed_are_3(emblem: Emblem, model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": null}\n')
    settings = {"EMBLEM_HOME": str(model_home), "EMBLEM_OFFLINE": "1"}
    done = emblem("embed", "rows.jsonl", "-m", "wordllama-256", **settings)
    assert done.returncode == 3
    assert len(done.stdout.splitlines()) == 1


def test_interrupted_is_130_and_no_word(tmp_path: Path) -> None:
    """It waits for a pipe that nobody writes to, as ``cat | emblem similarity -f -`` does."""
    with subprocess.Popen(
        [sys.executable, "-m", "emblem", "similarity", "--file", "-"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        _wait_until_reading(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


def _wait_until_reading(pid: int) -> None:
    """Wait until the kernel says that a process is in ``read(0, ...)``."""
    deadline = time.monotonic() + 60
    while not re.match(r"\d+ 0x0 0x\w+ 0x\w+ ", Path(f"/proc/{pid}/syscall").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- completion ---------------------------------------------------------------------------------

COMPLETE = r"""
source <(emblem completion bash)
while IFS= read -r line; do
    COMP_LINE=$line COMP_POINT=${#line}
    _emblem emblem
    (IFS=' '; echo "${COMPREPLY[*]}")
done
"""


def completed(home: Path, *lines: str) -> list[list[str]]:
    """Give what bash offers for each line."""
    require("bash")
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE],
        input="".join(f"{line}\n" for line in lines),
        env={
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "EMBLEM_HOME": str(home),
            "HOME": str(home),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split() for line in done.stdout.splitlines()]


def test_bash_completes_commands_flags_and_models(model_home: Path) -> None:
    found = completed(
        model_home,
        "emblem simil",
        "emblem serve --po",
        "emblem rm all-Mini",
        "emblem serve wordllama-2",
        "emblem keys ",
        "emblem completion ",
        "emblem embed --model multilingual-e5-s",
        "emblem embed --dtype u",
        "emblem similarity --kind ",
        "emblem embed --format ",
        "emblem embed --overflow ",
        "emblem serve --overflow ",
    )
    assert found == [
        ["similarity"],
        ["--port"],
        ["all-MiniLM-L6-v2"],
        ["wordllama-256"],
        ["import", "create", "list", "show", "set", "rotate", "revoke"],
        ["bash", "zsh", "fish"],
        ["multilingual-e5-small"],
        ["uint8", "ubinary"],
        ["query", "document"],
        ["txt", "jsonl", "csv", "tsv", "parquet"],
        ["mean", "truncate", "error"],
        ["mean", "truncate", "error"],
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_takes_its_script(emblem: Emblem, shell: str, tmp_path: Path) -> None:
    done = emblem("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_EMBLEM_COMPLETE=complete_" + shell in done.stdout
    if shutil.which(shell) is None:
        return  # the protocol below it is tested for each
    script = tmp_path / "script"
    script.write_text(done.stdout)
    checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("shell", "asks", "offers"),
    [
        ("bash", {"COMP_WORDS": "emblem keys cr", "COMP_CWORD": "2"}, "create"),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "emblem keys cr"}, '"create":"Make a key'),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "emblem keys cr", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
            "create\tMake a key",
        ),
    ],
)
def test_what_the_scripts_ask_is_answered(
    emblem: Emblem, shell: str, asks: dict[str, str], offers: str
) -> None:
    done = emblem(**{"_EMBLEM_COMPLETE": f"complete_{shell}", **asks})
    assert (done.returncode, done.stderr) == (0, "")
    assert offers in done.stdout


def test_a_shell_without_a_script_is_told(emblem: Emblem) -> None:
    done = emblem("completion", "tcsh")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no completion for 'tcsh'; there is for bash, zsh, fish" in done.stderr
