"""Emblem as a gateway beside LiteLLM's proxy.

    make bench-gateway [ARGS="--rounds 5 --seconds 3"]

One fake upstream answers both (``upstream.py``); it is asked directly, too, which is the ceiling.
Both have keys with limits of a minute that were seen to be counted (``systems.py`` says how). The
systems are asked in turn, a few seconds each, round after round; the others are stopped meanwhile with
SIGSTOP. After the clock has stopped every answer must have been a success, and some fifty of each round
are decoded and compared with the upstream's own vectors. Beside what whoever asks sees is the processor
time that a request takes of the system itself, of the upstream behind it and of the load generator,
which share the machine.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare.load import Stream, post, run
from benchmarks.compare.stats import percentile
from benchmarks.gateway.systems import LITELLM, ROOT, System, emblem, litellm, upstream
from benchmarks.gateway.workloads import WORKLOADS, Workload, right

MOST_A_SECOND = 100_000  # more requests than one thread can send
WARM_UP_S = (
    3.0  # before the first round; LiteLLM once stands still for half a second at its 70th request
)
CHECKED = 50  # answers of a round, at least, whose vectors are looked at


@dataclass(frozen=True, slots=True)
class Round:
    """What was measured of a system with a workload in one round; times are of one request."""

    rate: float  # requests/s
    p50: float  # ms
    p99: float  # ms
    system_us: float  # of processor, as are the next two
    upstream_us: float
    load_us: float


def measure(system: System, behind: System, work: Workload, seconds: float, seed: int) -> Round:
    """Measure a round; every answer is checked."""
    head = {"Authorization": f"Bearer {system.key}"}
    bodies = work.bodies(seed)
    requests = [post("x", "/v1/embeddings", head, body) for body in bodies]
    often = 1 + int(MOST_A_SECOND * seconds) // len(requests)
    stream = Stream(requests * often, work.connections, seconds, kept=CHECKED)
    others = () if system is behind else (behind,)
    began = [one.cpu_s() for one in (system, *others)]
    own = time.process_time()
    took = run(("127.0.0.1", system.port), [stream])
    own = time.process_time() - own
    worked = [one.cpu_s() - at for one, at in zip((system, *others), began, strict=True)]
    for one in stream.answers:
        if one.status != 200:
            raise SystemExit(f"{system.name}, {work.name}: {one.status} {bytes(one.body[:300])!r}")
        if one.kept and not right(bodies[one.request % len(bodies)], one.body):
            raise SystemExit(f"{system.name}, {work.name}: a wrong vector")
    waits = [1000 * one.seconds for one in stream.answers]
    each = [1e6 * taken / len(waits) for taken in (worked[0], sum(worked[1:]), own)]
    return Round(len(waits) / took, statistics.median(waits), percentile(waits, 0.99), *each)


def compare(systems: Sequence[System], rounds: int, seconds: float) -> list[dict[str, object]]:
    """Ask all in turn with each workload, and print a line for each. The first is the upstream."""
    rows = []
    for one in systems:
        measure(one, systems[0], WORKLOADS[1], WARM_UP_S, rounds + 2)
        if one is not systems[0]:
            one.pause()
    for work in WORKLOADS:
        asked = [one for one in systems if one.takes(work)]
        found: dict[str, list[Round]] = {one.name: [] for one in asked}
        for number in range(-1, rounds):
            for one in asked if number % 2 else asked[::-1]:
                one.resume()
                part = seconds if number >= 0 else 0.3
                measured = measure(one, systems[0], work, part, number + 2)
                if one is not systems[0]:  # the upstream answers the others
                    one.pause()
                if number >= 0:
                    found[one.name].append(measured)
        rows += lines(work, found)
    return rows


def lines(work: Workload, found: dict[str, list[Round]]) -> list[dict[str, object]]:
    """Print what was found of a workload, with the ratio to LiteLLM and what is added to the upstream."""
    rows = []
    direct, *_ = found.values()
    rival = found.get("LiteLLM")
    for name, rounds in found.items():

        def middle(part: str, rounds: list[Round] = rounds) -> float:
            return statistics.median(getattr(one, part) for one in rounds)

        added = statistics.median(a.p50 - b.p50 for a, b in zip(rounds, direct, strict=True))
        row: dict[str, object] = {
            "workload": work.name, "form": work.form, "connections": work.connections,
            "system": name, "requests_per_second": round(middle("rate"), 1),
            "p50_ms": round(middle("p50"), 2), "p99_ms": round(middle("p99"), 2),
            "added_p50_ms": round(added, 2), "system_us": round(middle("system_us")),
            "upstream_us": round(middle("upstream_us")), "load_us": round(middle("load_us")),
        }  # fmt: skip
        if rival:
            each = [a.rate / b.rate for a, b in zip(rounds, rival, strict=True)]
            row["times_litellm"] = round(statistics.median(each), 1)
        rows.append(row)
        print(line(row), flush=True)
    return rows


def line(row: Mapping[str, object]) -> str:
    """Write what was found of a system with a workload."""
    return (
        "{workload:19} {form:6} {connections:3}  {system:20} {requests_per_second:9}/s "
        "p50 {p50_ms:8} ms (+{added_p50_ms}) p99 {p99_ms:8} ms "
        "{system_us:7} µs of processor a request (upstream {upstream_us}, load {load_us})"
    ).format(**row) + (f" {row['times_litellm']:>6} × LiteLLM" if "times_litellm" in row else "")


def flat(system: System, requests: int) -> None:
    """Send many requests and print what the system resides in meanwhile."""
    work = WORKLOADS[1]
    for part in range(10):
        head = {"Authorization": f"Bearer {system.key}"}
        bodies = work.bodies(part + 100)
        sent = [post("x", "/v1/embeddings", head, body) for body in bodies]
        sent = (sent * (1 + requests // 10 // len(sent)))[: requests // 10]
        stream = Stream(sent, 8, kept=CHECKED)
        run(("127.0.0.1", system.port), [stream])
        wrong = {one.status for one in stream.answers} - {200}
        print(
            f"after {(part + 1) * requests // 10:7,} requests: {system.resident_mb():6.1f} MB {wrong or ''}",
            flush=True,
        )


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
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
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print."""
    asked = arguments(given)
    rival = not asked.without_litellm and LITELLM.exists()
    if not rival and not asked.without_litellm:
        print(f"LiteLLM is left out: there is no {LITELLM.relative_to(ROOT)}")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        direct = stack.enter_context(upstream(folder / "upstream"))
        port = direct.port
        systems = [direct, stack.enter_context(emblem(folder / "emblem", port, cache=False))]
        if asked.flat:
            flat(systems[1], asked.flat)
            return
        systems.append(stack.enter_context(emblem(folder / "cached", port, cache=True)))
        for limits in (True, False) if rival else ():
            home = folder / f"litellm-{limits}"
            systems.append(stack.enter_context(litellm(home, port, limits=limits)))
        for one in systems:
            print(f"{one.name:20} {one.resident_mb():6.1f} MB after its start")
        rows = compare(systems, asked.rounds, asked.seconds)
        for one in systems:
            print(f"{one.name:20} {one.resident_mb():6.1f} MB at the end")
        if asked.json:
            asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
