"""How a command line ends, and what it hands to the server."""

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from emblem.cli.main import run
from emblem.config import Loaded
from emblem.errors import ModelError

Serve = Callable[[Loaded], int]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder to be in, and no variable of ours but the home folder."""
    for name in os.environ:
        if name.startswith("EMBLEM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EMBLEM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, alone: Path) -> Callable[..., int]:
    """Run ``emblem serve`` with a server of the test's own and give the exit code."""

    def end(server: Serve, *arguments: str) -> int:
        module = types.ModuleType("emblem.cli.serve")
        module.serve = server  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "emblem.cli.serve", module)
        with pytest.raises(SystemExit) as caught:
            run(["serve", *arguments])
        assert isinstance(caught.value.code, int)
        return caught.value.code

    return end


def test_flags_reach_the_server_with_their_origins(ends: Callable[..., int]) -> None:
    seen: list[Loaded] = []

    def server(loaded: Loaded) -> int:
        seen.append(loaded)
        return 0

    arguments = "one org/two --port 9000 --no-auth --sources cache --sources hub --threads 2"
    assert ends(server, *arguments.split()) == 0
    (loaded,) = seen
    settings = loaded.settings
    assert (settings.serve, settings.port, settings.auth) == (("one", "org/two"), 9000, False)
    assert (settings.sources, settings.threads) == (("cache", "hub"), 2)
    assert {name: loaded.origins[name] for name in ("serve", "port", "auth", "host")} == {
        "serve": "MODELS",
        "port": "--port",
        "auth": "--no-auth",
        "host": "default",
    }


def test_the_exit_code_is_the_servers(ends: Callable[..., int]) -> None:
    assert ends(lambda loaded: 7) == 7


def raising(error: BaseException) -> Serve:
    def server(loaded: Loaded) -> int:
        raise error

    return server


def test_an_interrupted_server_ends_with_130_and_no_word(
    ends: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")


def test_an_error_of_ours_is_one_line_and_2(
    ends: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(raising(ModelError("config.json: this is\nwrong"))) == 2
    assert capsys.readouterr().err == "emblem: config.json: this is wrong\n"


def test_a_fault_is_one_line_that_says_how_to_see_more(
    ends: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(raising(ZeroDivisionError("by zero"))) == 1
    assert capsys.readouterr().err == (
        "emblem: unexpected ZeroDivisionError: by zero (to see where, add --traceback)\n"
    )


def test_a_fault_shows_its_traceback_where_asked(ends: Callable[..., int]) -> None:
    with pytest.raises(ZeroDivisionError):
        ends(raising(ZeroDivisionError()), "--traceback")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serv"], "No such command 'serv'. Did you mean 'serve'? (see emblem --help)"),
        (["keys"], "Missing command (see emblem keys --help)"),
        (["keys", "create"], "Missing argument 'NAME' (see emblem keys create --help)"),
        (["serve", "--prot", "1"], "No such option: --prot (Possible options: --host, --port)"),
        (["serve", "--api-key", "x"], "No such option: --api-key"),
        (["serve", "--port", "x"], "--port is 'x'; it must be a whole number from 1 to 65535"),
        (["serve", "--no-auth", "--host", "0.0.0.0"], "auth = false (--no-auth) would let anyone"),
        (["serve", "--config", "nowhere"], "nowhere does not exist"),
        (["keys", "create", " "], "a key's name must have 1 to 64 printable characters, not ' '"),
        (["keys", "list", "--home", "file"], "is a file, and must be a folder"),
    ],
)
def test_what_is_wrong_is_one_line_and_2(
    alone: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (alone / "file").touch()
    with pytest.raises(SystemExit) as caught:
        run(arguments)
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.startswith("emblem: ")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", ["--help", "completion bash", "keys list --json", "config show --json"]
)
def test_an_output_that_cannot_be_written_is_one_line(
    alone: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    done = in_shell(alone, f"{arguments} > /dev/full")
    assert done.returncode == 2
    assert done.stderr == ("emblem: standard output cannot be written: No space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_reason_to_fail(alone: Path, closed: str) -> None:
    done = in_shell(alone, f"completion bash {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def in_shell(folder: Path, command: str) -> "subprocess.CompletedProcess[str]":
    script = f"exec {sys.executable} -m emblem {command}"
    return subprocess.run(
        ["sh", "-c", script], cwd=folder, capture_output=True, encoding="utf-8", timeout=60
    )
