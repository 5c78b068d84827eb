"""What keys, limits and usage cost a request whose answer is remembered.

    .venv/bin/python benchmarks/overhead.py --home .cache/test-home

Two servers stand side by side and are asked in turn, for a second each: one by the key of the
environment, which has no limits, and without records of usage; the other with records, by the key of
the environment by one with limits of a minute, and by one that has every limit there is, as has its team. The figures are medians
over the rounds; differences and ratios are those of one round, so that what else the machine does
falls on both. Beside them is the processor time that a request takes of the server, on which it
hardly falls.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from benchmarks.compare.load import Stream, run

from emblem.accounts import Quota, Terms
from emblem.ledger.address import url_of
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database
from serve.processes import Started, cpu_s, environment, wait_for
from server import free_port, linked_home

MODEL = "wordllama-256"
TEXT = "a museum of garden engines, open from May to September, closed on Mondays"
ENVIRONMENT_KEY = "sk-overhead-0123456789abcdef"
PLENTY = 10**10
MINUTE = Quota(PLENTY, PLENTY)
EVERY = Quota(PLENTY, PLENTY, PLENTY, 10**15)
CONNECTIONS = (1, 8)

# The same program, with nobody there to keep records.
WITHOUT_RECORDS = """
import sys
from pathlib import Path
import emblem.wiring

class Nobody:
    def __init__(self, *_): ...
    def observed(self, _): ...

emblem.wiring.UsageObserver = Nobody
from emblem.cli.main import run
sys.argv[0] = str(Path(sys.executable).with_name("emblem"))
run()
"""


@dataclass(frozen=True, slots=True)
class System:
    """Who is asked, and with which key. ``worker`` is the id of the process that answers."""

    name: str
    port: int
    worker: int
    key: str

    def measure(self, connections: int, seconds: float) -> tuple[float, float, float]:
        """Give the median milliseconds, requests a second and processor µs each of a round."""
        stream = Stream([self._request()] * 200_000, connections, seconds)
        before = cpu_s(self.worker)
        took = run(("127.0.0.1", self.port), [stream])
        worked = cpu_s(self.worker) - before
        wrong = {one.status for one in stream.answers} - {200}
        if wrong:
            raise SystemExit(f"{self.name} answered {wrong}")
        waits = [1000 * one.seconds for one in stream.answers]
        return statistics.median(waits), len(waits) / took, 1e6 * worked / len(waits)

    def _request(self) -> bytes:
        body = json.dumps({"model": MODEL, "input": TEXT, "encoding_format": "base64"}).encode()
        return (
            f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


@contextmanager
def server(home: Path, *, records: bool) -> Iterator[tuple[int, int]]:
    """Start a server that says nothing of each request; give its port and its process."""
    port = free_port()
    program = ["-m", "emblem"] if records else ["-c", WITHOUT_RECORDS]
    arguments = ["serve", MODEL, "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(
        [sys.executable, *program, *arguments],
        env=environment(home, {"EMBLEM_API_KEY": ENVIRONMENT_KEY}),
        cwd=home,
        stdout=subprocess.PIPE,
    )
    try:
        said = process.stdout
        assert said is not None
        wait_for(lambda: b"Ready in" in said.readline())
        yield port, Started(process, port, str).worker()
    finally:
        process.terminate()
        process.wait(30)


def limited_keys(home: Path) -> tuple[str, str]:
    """Make a key with limits of a minute, and one with every limit, in a team with every limit."""
    ledger = SqlLedger(Database(url_of("", home)))
    team = ledger.teams.create("everybody", (), EVERY, now=time.time())
    terms = Terms("limited", team=team.id, quota=EVERY, models=("*",))
    _, usual = ledger.keys.issue(Terms("usual", quota=MINUTE), now=time.time())
    _, limited = ledger.keys.issue(terms, now=time.time())
    ledger.close()
    return usual, limited


def compare(systems: Sequence[System], connections: int, rounds: int, seconds: float) -> None:
    """Ask all in turn and print what each costs more than the first."""
    found: dict[str, list[tuple[float, float, float]]] = {one.name: [] for one in systems}
    for one in systems:
        one.measure(connections, 0.2)
    for number in range(rounds):
        for one in systems if number % 2 else systems[::-1]:
            found[one.name].append(one.measure(connections, seconds))
    first = found[systems[0].name]
    for name, rows in found.items():
        more = statistics.median(row[0] - base[0] for row, base in zip(rows, first, strict=True))
        ratio = statistics.median(row[1] / base[1] for row, base in zip(rows, first, strict=True))
        print(
            f"{connections} connections, {name:28} p50 {statistics.median(r[0] for r in rows):6.3f} ms "
            f"({more:+.3f}), {statistics.median(r[1] for r in rows):7.0f} requests/s ({ratio - 1:+.1%}), {statistics.fmean(r[2] for r in rows):4.0f} µs of processor"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, required=True, help=f"a home that has {MODEL}")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bare, kept = (
            linked_home(Path(folder) / name, given.home.resolve()) for name in ("bare", "kept")
        )
        usual, limited = limited_keys(kept)
        without = stack.enter_context(server(bare, records=False))
        within = stack.enter_context(server(kept, records=True))
        systems = (
            System("no limits, no records", *without, ENVIRONMENT_KEY),
            System("no limits, records", *within, ENVIRONMENT_KEY),
            System("requests, tokens, records", *within, usual),
            System("every limit, team, records", *within, limited),
        )
        for connections in CONNECTIONS:
            compare(systems, connections, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
