"""Emblem as a gateway beside LiteLLM's proxy.

    make bench-gateway [ARGS="--rounds 5 --seconds 3"]

One fake upstream answers both (``upstream.py``); it is asked directly, too, which is the ceiling.
The systems are asked in turn, a few seconds each, round after round; the others are stopped
meanwhile with SIGSTOP. After the clock has stopped every answer must have been a success, and some
fifty of each round are decoded and compared with the upstream's own vectors. Emblem asks for a key
that has limits of a minute and a day, and records its use; LiteLLM asks for its master key, and
counts nothing, since it would need a database for that.
"""

import argparse
import base64
import json
import os
import re
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from benchmarks.compare.load import Stream, post, run
from benchmarks.compare.stats import percentile
from benchmarks.gateway.upstream import MODEL, place, table

ROOT = Path(__file__).parents[2]
LITELLM = ROOT / ".venv-bench-litellm" / "bin" / "litellm"
START_S = 120.0
VECTORS = table()
TEXT = "a museum of garden engines open from May to September and closed on Mondays"


@dataclass(frozen=True, slots=True)
class System:
    """Who is asked: the process whose session all of it is, its port, and the key that opens it."""

    name: str
    process: "subprocess.Popen[bytes]"
    port: int
    key: str = ""

    def resident_mb(self) -> float:
        """Give what all its processes reside in together, what they share counted once."""
        total = 0
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(status.read_text().rpartition(")")[2].split()[3]) != self.process.pid:
                    continue
                rolled = status.with_name("smaps_rollup").read_text()
                total += int(re.findall(r"^Pss: +(\d+) kB", rolled, re.MULTILINE)[0])
            except OSError:  # one that is gone meanwhile
                continue
        return total / 1000

    def signal(self, number: int) -> None:
        """Send a signal to all its processes."""
        os.killpg(self.process.pid, number)


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked: so many texts of so many words in each request, over so many connections."""

    name: str
    texts: int
    words: int
    form: str
    connections: int
    repeated: bool = False  # whether the same requests come again and again

    def bodies(self, seed: int) -> list[bytes]:
        """Make the bodies, each with texts of its own."""
        made = []
        for number in range(16 if self.repeated else max(64, 4000 // self.texts)):
            texts = [
                self._text(1_000_000 * seed * (not self.repeated) + number * self.texts + one)
                for one in range(self.texts)
            ]
            body: dict[str, object] = {
                "model": MODEL,
                "input": texts[0] if self.texts == 1 else texts,
            }
            made.append(json.dumps(body | {"encoding_format": self.form}).encode())
        return made

    def _text(self, number: int) -> str:
        words = TEXT.split()
        return " ".join([str(number), *(words[at % len(words)] for at in range(self.words - 1))])


@dataclass(slots=True)
class Figures:
    """What was measured of a system with a workload, by round."""

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


WORKLOADS = (
    Workload("1 short text", 1, 10, "base64", 1),
    Workload("1 short text", 1, 10, "base64", 8),
    Workload("1 short text", 1, 10, "base64", 32),
    Workload("1 short text", 1, 10, "float", 8),
    Workload("64 × 200 words", 64, 200, "base64", 8),
    Workload("64 × 200 words", 64, 200, "float", 8),
    Workload("2,048 short texts", 2048, 10, "base64", 1),
    Workload("2,048 short texts", 2048, 10, "float", 1),
    Workload("1 short text again", 1, 10, "base64", 8, repeated=True),
)


def free_port() -> int:
    """Give a port on loopback that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def started(
    command: Sequence[str], folder: Path, **variables: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program in a session of its own, and end all of it."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for number in (18, 15):  # SIGCONT, SIGTERM
            os.killpg(process.pid, number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def answers(system: System, log: Path) -> None:
    """Wait until a system gives a vector."""
    body = json.dumps({"model": MODEL, "input": "1 ready", "encoding_format": "base64"}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {system.key}"}
    url = f"http://127.0.0.1:{system.port}/v1/embeddings"
    until = time.monotonic() + START_S
    said = ""
    while time.monotonic() < until and system.process.poll() is None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30):
                return
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
        except OSError as error:
            said = str(error)
        time.sleep(0.2)
    raise SystemExit(f"{system.name} does not answer: {said}\n{log.read_text()[-2000:]}")


@contextmanager
def upstream(folder: Path) -> Iterator[System]:
    """Start what both ask."""
    port = free_port()
    folder.mkdir()
    with started(
        [sys.executable, "-m", "benchmarks.gateway.upstream", str(port)], folder
    ) as process:
        system = System("the upstream itself", process, port)
        answers(system, folder / "log")
        yield system


@contextmanager
def emblem(folder: Path, behind: int, *, cache: bool) -> Iterator[System]:
    """Start Emblem, with a key that has limits."""
    port = free_port()
    folder.mkdir()
    (folder / "emblem.toml").write_text(
        f"""
        cache_bytes = {256 << 20 if cache else 0}
        log_level = "warning"
        [upstreams.fake]
        preset = "openai-compatible"
        base_url = "http://127.0.0.1:{behind}/v1"
        max_inputs = 2048
        [models.{MODEL}]
        upstream = "fake"
        width = {VECTORS.shape[1]}
        max_length = 8192
        normalised = true
        """
    )
    own = {"EMBLEM_HOME": str(folder), "EMBLEM_CONFIG": str(folder / "emblem.toml")}
    key = subprocess.run(
        [sys.executable, "-m", "emblem", "keys", "create", "bench", "--rpm", "100000000",
         "--tpm", "10000000000", "--tpd", "1000000000000", "--json"],
        env={**os.environ, **own}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    command = [sys.executable, "-m", "emblem", "serve", "--port", str(port)]
    with started(command, folder, **own) as process:
        name = "Emblem, cache on" if cache else "Emblem"
        system = System(name, process, port, json.loads(key)["key"])
        answers(system, folder / "log")
        yield system


@contextmanager
def litellm(folder: Path, behind: int) -> Iterator[System]:
    """Start LiteLLM's proxy, one worker, as its documentation has it."""
    port, key = free_port(), f"sk-{secrets.token_hex(16)}"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        f"""
model_list:
  - model_name: {MODEL}
    litellm_params:
      model: openai/{MODEL}
      api_base: http://127.0.0.1:{behind}/v1
      api_key: sk-upstream
general_settings:
  master_key: {key}
"""
    )
    command = [str(LITELLM), "--config", str(folder / "config.yaml"), "--port", str(port),
               "--host", "127.0.0.1", "--telemetry", "False"]  # fmt: skip
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    with started(command, folder, **quiet) as process:
        system = System("LiteLLM", process, port, key)
        answers(system, folder / "log")
        yield system


def measure(
    system: System, work: Workload, seconds: float, seed: int
) -> tuple[float, float, float]:
    """Give requests a second, and p50 and p99 in milliseconds, of a round; every answer is checked."""
    head = {"Authorization": f"Bearer {system.key}"}
    bodies = work.bodies(seed)
    requests = [post("x", "/v1/embeddings", head, body) for body in bodies]
    often = 1 + int(40_000 * seconds / 2) // len(requests) if work.texts == 1 else 100
    stream = Stream(requests * often, work.connections, seconds)
    took = run(("127.0.0.1", system.port), [stream])
    for one in stream.answers:
        if one.status != 200:
            raise SystemExit(f"{system.name}, {work.name}: {one.status} {one.body[:300]!r}")
    for one in stream.answers[:: max(1, len(stream.answers) // 50)]:
        check(system, work, bodies[one.request % len(bodies)], one.body)
    waits = [1000 * one.seconds for one in stream.answers]
    return len(waits) / took, statistics.median(waits), percentile(waits, 0.99)


def check(system: System, work: Workload, asked: bytes, answered: bytes) -> None:
    """End where an answer has not the right vectors in the right order."""
    given = json.loads(asked)["input"]
    texts = [given] if isinstance(given, str) else given
    data = json.loads(answered)["data"]
    rows = [
        np.frombuffer(base64.b64decode(one["embedding"]), "<f4")
        if isinstance(one["embedding"], str)
        else np.array(one["embedding"], np.float32)
        for one in sorted(data, key=lambda one: one["index"])
    ]
    due = VECTORS[[place(text) for text in texts]]
    if len(rows) != len(due) or np.abs(np.stack(rows) - due).max() > 1e-6:
        raise SystemExit(f"{system.name}, {work.name}: a wrong vector")


def compare(systems: Sequence[System], rounds: int, seconds: float) -> list[dict[str, object]]:
    """Ask all in turn with each workload, and print a line for each."""
    rows = []
    for work in WORKLOADS:
        asked = [one for one in systems if ("cache" in one.name) <= work.repeated]
        found = {one.name: Figures() for one in asked}
        for number in range(-1, rounds):
            for one in asked if number % 2 else asked[::-1]:
                one.signal(18)
                rate, p50, p99 = measure(one, work, seconds if number >= 0 else 0.3, number + 2)
                if one is not systems[0]:  # the upstream answers the others
                    one.signal(19)
                if number >= 0:
                    figures = found[one.name]
                    figures.rates.append(rate)
                    figures.p50.append(p50)
                    figures.p99.append(p99)
        rows += lines(work, found)
    return rows


def lines(work: Workload, found: dict[str, Figures]) -> list[dict[str, object]]:
    """Print what was found of a workload, with the ratio to LiteLLM and what is added to the upstream."""
    rows = []
    direct = found["the upstream itself"]
    for name, one in found.items():
        middle = statistics.median
        row: dict[str, object] = {
            "workload": work.name, "form": work.form, "connections": work.connections,
            "system": name, "requests_per_second": round(middle(one.rates), 1),
            "p50_ms": round(middle(one.p50), 2), "p99_ms": round(middle(one.p99), 2),
            "added_p50_ms": round(middle(a - b for a, b in zip(one.p50, direct.p50, strict=True)), 2),
        }  # fmt: skip
        if rival := found.get("LiteLLM"):
            each = [a / b for a, b in zip(one.rates, rival.rates, strict=True)]
            row["times_litellm"] = round(middle(each), 1)
        rows.append(row)
        times = f"{row.get('times_litellm', ''):>7}"
        print(
            f"{work.name:19} {work.form:6} {work.connections:3}  {name:20} {row['requests_per_second']:9}/s "
            f"p50 {row['p50_ms']:8} ms (+{row['added_p50_ms']}) p99 {row['p99_ms']:8} ms {times} × LiteLLM",
            flush=True,
        )
    return rows


def flat(system: System, requests: int) -> None:
    """Send many requests and print what the system resides in meanwhile."""
    work = WORKLOADS[1]
    for part in range(10):
        head = {"Authorization": f"Bearer {system.key}"}
        bodies = work.bodies(part + 100)
        sent = [post("x", "/v1/embeddings", head, body) for body in bodies]
        sent = (sent * (1 + requests // 10 // len(sent)))[: requests // 10]
        stream = Stream(sent, 8)
        run(("127.0.0.1", system.port), [stream])
        wrong = {one.status for one in stream.answers} - {200}
        print(
            f"after {(part + 1) * requests // 10:7,} requests: {system.resident_mb():6.1f} MB {wrong or ''}",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument(
        "--flat",
        type=int,
        default=0,
        metavar="N",
        help="send N requests to Emblem, and show its memory",
    )
    parser.add_argument("--without-litellm", action="store_true")
    parser.add_argument("--json", type=Path, help="write the rows there")
    given = parser.parse_args(arguments)
    rival = not given.without_litellm and LITELLM.exists()
    if not rival and not given.without_litellm:
        print(f"LiteLLM is left out: there is no {LITELLM.relative_to(ROOT)}")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        direct = stack.enter_context(upstream(folder / "upstream"))
        systems = [direct, stack.enter_context(emblem(folder / "emblem", direct.port, cache=False))]
        if given.flat:
            flat(systems[1], given.flat)
            return
        systems.append(stack.enter_context(emblem(folder / "cached", direct.port, cache=True)))
        if rival:
            systems.append(stack.enter_context(litellm(folder / "litellm", direct.port)))
        for one in systems:
            print(f"{one.name:20} {one.resident_mb():6.1f} MB after its start")
        rows = compare(systems, given.rounds, given.seconds)
        for one in systems:
            print(f"{one.name:20} {one.resident_mb():6.1f} MB at the end")
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
