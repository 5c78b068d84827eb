"""``emblem serve`` as a process that a test may kill, watch at a terminal, or see fail."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests

from server import free_port

PATIENCE_S = 60.0  # nothing takes so long unless it never comes
STATIC = "wordllama-256"  # opens in an instant


@dataclass(frozen=True, slots=True)
class Started:
    """A process, where it would answer, and what it has said so far (stdout and stderr)."""

    process: "subprocess.Popen[bytes]"
    port: int
    said: Callable[[], str]
    hang_up: Callable[[], object] = lambda: None  # closes the terminal, where there is one

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def until(self, words: str) -> str:
        """Wait until the process has said something, and give all that it has said."""
        wait_for(lambda: words in self.said() or self.process.poll() is not None)
        assert words in self.said()
        return self.said()

    def end(self) -> int:
        """Wait for the end and give the exit code."""
        return self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        self.process.terminate()
        return self.end()

    def worker(self) -> int:
        """Give the id of the process that opens the models."""
        wait_for(lambda: children(self.process.pid))
        (worker,) = children(self.process.pid)
        return worker

    def compute(self, seconds: float) -> None:
        """Wait until the worker has used so much more time of the processors."""
        worker = self.worker()
        enough = cpu_s(worker) + seconds
        wait_for(lambda: cpu_s(worker) >= enough)

    def ask(self, model: str, key: str, texts: object = "a text") -> requests.Response:
        """Ask for the vectors of texts."""
        return requests.post(
            f"{self.root}/v1/embeddings",
            json={"model": model, "input": texts},
            headers={"Authorization": f"Bearer {key}"},
            timeout=PATIENCE_S,
        )


def wait_for(happens: Callable[[], object]) -> None:
    """Poll until something happens, or fail."""
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def children(parent: int) -> list[int]:
    """Give the ids of the processes that another has started and that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def cpu_s(process: int) -> float:
    """Give the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_free(port: int) -> bool:
    """Tell whether nothing accepts connections on a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def environment(home: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give a user's environment, without the surrounding settings."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EMBLEM_", "OPENAI_"))
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"PATH": path, "EMBLEM_HOME": str(home), "EMBLEM_OFFLINE": "true", "NO_PROXY": "*"}
    return {**inherited, **own, **(env or {})}


def command(*arguments: str) -> list[str]:
    """Give the installed program's command line."""
    return [str(Path(sys.executable).with_name("emblem")), *arguments]


def changed(home: Path, **constants: float) -> list[str]:
    """Give a program that is the installed one but for some constants, such as board__HUNG_S."""
    lines = ["import sys", "from emblem.cli import board, processes, worker"]
    for name, value in constants.items():
        lines.append(f"{name.replace('__', '.')} = {value}")
    lines += ["from emblem.cli.main import run", "run(sys.argv[1:])"]
    script = home / "changed.py"
    script.write_text("\n".join(lines))
    return [sys.executable, str(script)]


def run(
    home: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command that ends by itself."""
    return subprocess.run(
        command(*arguments),
        env=environment(home, env),
        cwd=home,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
    )


def refused(home: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run ``emblem serve`` that must not start: one line on stderr, exit code 2. Give the line.

    Lines of the log, which say what was tried, may stand before it.
    """
    done = run(home, "serve", *arguments, env={"EMBLEM_PORT": str(free_port()), **(env or {})})
    lines = [line for line in done.stderr.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)]
    assert (done.returncode, len(lines)) == (2, 1), done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert lines[0].startswith("emblem: ")
    return lines[0].removeprefix("emblem: ")


@contextmanager
def started(
    home: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    port: int | None = None,
    program: Sequence[str] = (),
) -> Iterator[Started]:
    """Start ``emblem serve`` with its output in a file, and kill what is left of it.

    ``program`` is what takes the place of the installed one.
    """
    port = port or free_port()
    log = home / f"said-{port}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*(program or command()), "serve", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(home, {"EMBLEM_PORT": str(port), **(env or {})}),
            cwd=home,
            start_new_session=True,
        )
    with _killing(process):
        yield Started(process, port, lambda: log.read_text("utf-8", "replace"))


@contextmanager
def at_terminal(
    home: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdout_to: Path | None = None,
) -> Iterator[Started]:
    """Start ``emblem serve`` at a terminal; with ``stdout_to`` only stderr is the terminal."""
    port = free_port()
    ours, theirs = pty.openpty()
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.set_blocking(ours, False)
    seen = bytearray()

    def said() -> str:
        try:
            while chunk := os.read(ours, 65536):
                seen.extend(chunk)
        except OSError:  # nothing more now, or the other end has closed
            pass
        return seen.decode().replace("\r\n", "\n")

    output = stdout_to.open("wb") if stdout_to else None
    process = subprocess.Popen(
        command("serve", *arguments),
        stdin=theirs,
        stdout=output or theirs,
        stderr=theirs,
        env=environment(home, {"EMBLEM_PORT": str(port), **(env or {})}),
        cwd=home,
        start_new_session=True,
    )
    os.close(theirs)
    if output:
        output.close()
    try:
        with _killing(process):
            yield Started(process, port, said, partial(os.dup2, nowhere, ours))
    finally:
        os.close(ours)
        os.close(nowhere)


@contextmanager
def _killing(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
