"""The run: start what can be measured, take turns, judge, keep."""

import contextlib
import datetime
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.compare import kept, measure
from benchmarks.compare.judge import Taken, judge
from benchmarks.compare.measure import Measured
from benchmarks.compare.systems import Running, System, chosen
from benchmarks.compare.workloads import WORKLOADS, Workload


@dataclass(frozen=True, slots=True)
class Asked:
    """What of it all is to be measured."""

    only: Sequence[str] = ()
    systems: Sequence[str] = ()
    rounds: int | None = None
    quick: bool = False

    def workloads(self) -> list[Workload]:
        """Give the workloads of these names, or whose name begins so; all where there are none."""
        found = [one for one in WORKLOADS if not self.only or _named(one.name, self.only)]
        if not found:
            raise SystemExit(f"there are {[one.name for one in WORKLOADS]}")
        return found

    def rounds_of(self, workload: Workload) -> int:
        """Give how many turns each system has."""
        most = self.rounds or (2 if self.quick else workload.rounds)
        return min(most, workload.rounds) if self.rounds is None else most


def _named(name: str, only: Sequence[str]) -> bool:
    return any(name == one or name.startswith(f"{one}-") for one in only)


def run(asked: Asked, results: kept.Results) -> None:
    """Measure, and put it into the results."""
    workloads = asked.workloads()
    wanted, left_out = chosen(asked.systems)
    used = {name for workload in workloads for name in workload.systems}
    results.left_out.update({name: why for name, why in left_out.items() if name in used})
    with started([one for one in wanted if one.name in used], results) as running:
        for workload in workloads:
            taking = [one for one in running if one.system.name in workload.systems]
            taken = list(_rounds(asked, workload, taking, results))
            for one, turns in zip(taken, judge(taken), strict=True):
                results.add(workload.name, one.number, one.system.name, turns)


def _round(
    asked: Asked, workload: Workload, number: int, running: Sequence[Running]
) -> Iterator[tuple[Running, list[Measured] | str]]:
    """Let each system have its turn, and give what was measured or why nothing was."""
    for one in running:
        try:
            yield one, measure.turn(one, workload, number, quick=asked.quick)
        except (OSError, RuntimeError) as error:
            yield one, str(error)


def _rounds(
    asked: Asked, workload: Workload, running: Sequence[Running], results: kept.Results
) -> Iterator[Taken]:
    for number in range(asked.rounds_of(workload)):
        for one, found in _round(asked, workload, number, running):
            name = one.system.name
            print(f"{workload.name}, round {number + 1}: {name}", file=sys.stderr)
            if isinstance(found, str):
                results.left_out[name] = f"{workload.name}: {found}"
            else:
                yield Taken(one.system, workload, number, found)


@contextlib.contextmanager
def started(systems: Sequence[System], results: kept.Results) -> Iterator[list[Running]]:
    """Start systems, all at once, and stop those again that are not ready."""
    with contextlib.ExitStack() as stack:
        running = []
        for system in systems:
            one = Running(system)
            stack.callback(one.close)
            running.append(one)
        with ThreadPoolExecutor(max(1, len(running))) as pool:
            waited = [pool.submit(one.wait) for one in running]
        ready = []
        for one, waiting in zip(running, waited, strict=True):
            try:
                waiting.result()
            except RuntimeError as error:
                results.left_out[one.system.name] = str(error)
                print(f"{one.system.name}: {error}", file=sys.stderr)
                continue
            one.pause()
            ready.append(one)
        yield ready


def new_id() -> str:
    """Give a name for a run: when it began."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
