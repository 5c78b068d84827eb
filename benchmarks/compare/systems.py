"""What is compared: how each server and library is started, spoken to, paused and stopped.

While one is measured the others are stopped with SIGSTOP, so that an idle one burns nothing. Needs
a POSIX system; what it resides in is read on Linux only.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".cache" / "bench"  # what `make bench` exports for rivals
HOME = BUILT / "home"
MODEL = HOME / "models" / "all-MiniLM-L6-v2"
START_S = 120.0
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "TQDM_DISABLE": "1",
}


@dataclass(frozen=True, slots=True)
class System:
    """One thing to measure.

    ``command`` has {port} where a server is given its port, and is without one for a library, which
    answers on its standard output (``peer.py``). ``needs`` are files without which it cannot run.
    ``vectors`` says what its answers are compared with: ``fp32``, ``int8``, ``static``, ``constant``.
    ``options`` go into the body of each request.
    """

    name: str
    title: str
    python: Path
    command: tuple[str, ...]
    needs: tuple[Path, ...] = ()
    path: str = ""
    model: str = "all-MiniLM-L6-v2"
    keyed: bool = False
    own_home: bool = False
    folder: Path = ROOT  # where it is started
    vectors: str = "fp32"
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def served(self) -> bool:
        """Tell whether it is spoken to over HTTP."""
        return bool(self.path)

    def missing(self) -> str | None:
        """Say why it cannot be measured here; None where it can."""
        for file in (self.python, *self.needs):
            if not file.exists():
                known = file.is_relative_to(ROOT)
                return f"there is no {file.relative_to(ROOT) if known else file}"
        return None


def _environment(name: str) -> Path:
    return ROOT / name / "bin" / "python"


_OURS = Path(sys.executable)
TORCH = _environment(".venv-torch")
_ONNX = _environment(".venv-bench-onnx")
_INFINITY = _environment(".venv-bench-infinity")
PEER = str(Path(__file__).with_name("peer.py"))
_TRUNCATE = {"overflow": "truncate"}  # in the mix of lengths everybody cuts at 256 tokens


def _emblem(name: str, title: str, model: str, vectors: str, *needs: Path) -> System:
    return System(
        name,
        title,
        _OURS,
        ("-m", "emblem", "serve", model, "--port", "{port}"),
        needs,
        path="/v1/embeddings",
        model=model,
        keyed=True,
        own_home=True,
        vectors=vectors,
        options={} if vectors == "static" else _TRUNCATE,
    )


def _infinity(name: str, title: str, engine: str, folder: Path) -> System:
    arguments = ("--engine", engine, "--device", "cpu", "--dtype", "float32", "--port", "{port}")
    # "." because it takes an absolute path of a local ONNX file for one within the folder.
    # And its ONNX engine takes the first token's state unless it is told to average.
    named = (
        "--model-id",
        ".",
        "--served-model-name",
        "all-MiniLM-L6-v2",
        "--pooling-method",
        "mean",
    )
    return System(
        name,
        title,
        _INFINITY,
        ("-c", "from infinity_emb.cli import cli; cli()", "v2", *named, *arguments),
        (folder,),
        path="/embeddings",
        folder=folder,
    )


def _library(name: str, title: str, python: Path, kind: str, folder: Path = MODEL) -> System:
    return System(name, title, python, (PEER, kind, str(folder)), (folder,))


INT8 = HOME / "models" / "all-MiniLM-L6-v2%3Aint8"

SYSTEMS: tuple[System, ...] = (
    _emblem("emblem", "Emblem", "all-MiniLM-L6-v2", "fp32"),
    _emblem("emblem-int8", "Emblem, int8", "all-MiniLM-L6-v2:int8", "int8", INT8),
    _infinity("infinity", "infinity (torch)", "torch", MODEL),
    _infinity("infinity-onnx", "infinity (optimum, ONNX)", "optimum", BUILT / "flat"),
    _library("st", "sentence-transformers (torch)", TORCH, "st"),
    _library("st-onnx", "sentence-transformers (ONNX)", _ONNX, "st-onnx", BUILT / "onnx"),
    _library("st-openvino", "sentence-transformers (OpenVINO)", _ONNX, "st-ov", BUILT / "openvino"),
    _library("fastembed", "fastembed", _ONNX, "fastembed", BUILT / "fastembed"),
    _emblem("emblem-static", "Emblem, wordllama-256", "wordllama-256", "static"),
    System(
        "echo",
        "an echo of the same size",
        _OURS,
        ("-m", "benchmarks.compare.echo", "{port}"),
        path="/v1/embeddings",
        model="wordllama-256",
        keyed=True,
        vectors="constant",
    ),
)


def _free_port() -> int:
    """Give a port that nobody has.

    Below those that a connection is given for its own end: a server may take seconds to bind it.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Running:
    """A system in processes of its own. Close it."""

    def __init__(self, system: System) -> None:
        """Start it; ``wait`` says when it is ready."""
        self.system = system
        self.key = f"sk-{secrets.token_urlsafe(32)}"
        self._scratch = tempfile.TemporaryDirectory(prefix="emblem-bench-")
        folder = Path(self._scratch.name)
        self.port = _free_port()
        self.log = folder / "log.txt"
        pipe = None if system.served else subprocess.PIPE
        self.started = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(system.python), *(part.format(port=self.port) for part in system.command)],
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or log,
                stderr=log,
                cwd=system.folder,
                env=self._environment(folder),
                start_new_session=True,
            )

    def _environment(self, folder: Path) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith("EMBLEM_")} | QUIET
        plain |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{plain.get('PYTHONPATH', '')}".rstrip(":")}
        if self.system.own_home:
            for shelf in ("models", "files"):
                (folder / shelf).symlink_to(HOME / shelf, target_is_directory=True)
            plain |= {"EMBLEM_HOME": str(folder), "EMBLEM_SOURCES": "cache"}
        return plain | ({"EMBLEM_API_KEY": self.key} if self.system.keyed else {})

    def wait(self) -> float:
        """Wait until it has embedded a text and give the seconds since its start."""
        if not self.system.served:
            self.ask({"batches": [["Are you ready?"]]})
            return time.perf_counter() - self.started
        body = json.dumps({"model": self.system.model, "input": "Are you ready?"}).encode()
        url = f"http://127.0.0.1:{self.port}{self.system.path}"
        while time.perf_counter() - self.started < START_S:
            if self.process.poll() is not None:
                break
            request = urllib.request.Request(url, body, self.headers)
            try:
                with urllib.request.urlopen(request, timeout=START_S) as answer:
                    answer.read()
                return time.perf_counter() - self.started
            except (OSError, urllib.error.HTTPError):
                time.sleep(0.02)
        raise RuntimeError(f"{self.system.name} did not start: {self.tail()}")

    @property
    def headers(self) -> dict[str, str]:
        """What every request of a server carries."""
        plain = {"Content-Type": "application/json"}
        return plain | ({"Authorization": f"Bearer {self.key}"} if self.system.keyed else {})

    def ask(self, message: Mapping[str, object]) -> dict[str, object]:
        """Have a library do something and give what it says."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.system.name} ended: {self.tail()}")
        answer: dict[str, object] = json.loads(line)
        return answer

    def ended(self) -> str | None:
        """Say how it ended; None while it runs."""
        code = self.process.poll()
        return None if code is None else f"ended with {code}: {self.tail()}"

    def pause(self) -> None:
        """Stop its processes where they are."""
        with contextlib.suppress(ProcessLookupError):  # it has ended, and keeps what it has said
            os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)

    def row_seconds(self, tokens: int) -> float | None:
        """Give how long a row of so many tokens takes by what Emblem says of itself."""
        each = self._running()["seconds_per_token"]
        return None if each is None else float(each) * tokens

    def rows_so_far(self) -> tuple[int, float]:
        """Give how many rows have run, and how many seconds they took, by what Emblem says."""
        running = self._running()
        return int(running["rows"]), float(running["row_seconds"])

    def _running(self) -> dict[str, Any]:
        """Give what Emblem's ``/ps`` says of the model."""
        url = f"http://127.0.0.1:{self.port}/ps"
        request = urllib.request.Request(url, headers=self.headers)
        with urllib.request.urlopen(request, timeout=START_S) as answer:
            models: list[dict[str, Any]] = json.load(answer)["models"]
        (found,) = (one for one in models if one["name"] == self.system.model)
        return found

    def resident_bytes(self) -> int | None:
        """Give what all its processes reside in together; None where the system does not say."""
        total = 0
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                after = status.read_text().rpartition(")")[2].split()
                if int(after[3]) == self.process.pid:  # the session
                    total += int(after[21]) * os.sysconf("SC_PAGE_SIZE")
            except OSError:  # one that is gone meanwhile
                continue
        return total or None

    def tail(self, characters: int = 400) -> str:
        """Give the end of what it has written."""
        lines = self.log.read_text(errors="replace").split("\n")
        return " | ".join(line.strip() for line in lines if line.strip())[-characters:]

    def close(self) -> None:
        """Stop it and wait for it."""
        try:
            self.resume()
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        except ProcessLookupError:
            self.process.wait()
        self._scratch.cleanup()


def chosen(names: Sequence[str]) -> tuple[list[System], dict[str, str]]:
    """Give the systems of these names (all where there are none), and why others are left out."""
    known = {system.name for system in SYSTEMS}
    if unknown := set(names) - known:
        raise SystemExit(f"no system is called {sorted(unknown)}; there are {sorted(known)}")
    wanted = [system for system in SYSTEMS if not names or system.name in names]
    left_out = {one.name: why for one in wanted if (why := one.missing())}
    return [one for one in wanted if one.name not in left_out], left_out
