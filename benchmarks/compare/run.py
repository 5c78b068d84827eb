"""The run: start what can be measured, take turns, judge, keep."""

import contextlib
import datetime
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.compare import kept, measure
from benchmarks.compare.ceilings import Ceilings
from benchmarks.compare.judge import Taken, judge
from benchmarks.compare.measure import Measured
from benchmarks.compare.systems import Running, System, chosen
from benchmarks.compare.workloads import WORKLOADS, Workload

# Seconds beside the turns on two cores: a start of everything, and the bare products of a round.
START_S, CEILING_S = 45.0, 4.0
# The vectors that answers are compared with take about this share of the turns when they are new.
TRUTH = 0.25


@dataclass(frozen=True, slots=True)
class Asked:
    """What of it all is to be measured: names of workloads, all usual ones where there are none."""

    only: Sequence[str] = ()
    systems: Sequence[str] = ()
    rounds: int = 3
    quick: bool = False

    def workloads(self) -> list[Workload]:
        """Give the workloads of these names."""
        return [one for one in WORKLOADS if one.name in self.only or not (self.only or one.asked)]

    def rounds_of(self, workload: Workload) -> int:
        """Give how many turns each system has."""
        return min(self.rounds, workload.rounds)

    def seconds(self) -> float:
        """Give about how long it will take on two cores, from the length of each turn."""
        wanted = {one.name for one in chosen(self.systems)[0]}
        total = sum(
            self.rounds_of(one) * one.turn_s * len(wanted.intersection(one.systems))
            for one in self.workloads()
        )
        bare = sum(self.rounds_of(one) * CEILING_S for one in self.workloads() if one.ceilings)
        return START_S + total * (1 + TRUTH) * (0.6 if self.quick else 1.0) + bare


def run(asked: Asked, results: kept.Results, save: Callable[[], None]) -> None:
    """Measure, put it into the results, and save them after every workload."""
    workloads = asked.workloads()
    wanted, left_out = chosen(asked.systems)
    used = {name for workload in workloads for name in workload.systems}
    results.left_out.update({name: why for name, why in left_out.items() if name in used})
    with contextlib.ExitStack() as stack:
        systems = [one for one in wanted if one.name in used]
        running = stack.enter_context(started(systems, results))
        bare = None
        if any(one.ceilings for one in workloads):
            bare = Ceilings()
            stack.callback(bare.close)
        for workload in workloads:
            _revive(running, workload, results, stack)
            taking = [one for one in running if one.system.name in workload.systems]
            taken = list(_rounds(asked, workload, taking, results, bare))
            for (at, one), turns in zip(taken, judge([one for _, one in taken]), strict=True):
                results.add(workload.name, one.number, one.system.name, turns, at)
            save()


def in_order(running: Sequence[Running], number: int) -> list[Running]:
    """Give who has its turn when: each round another one is the first."""
    at = number % max(1, len(running))
    return [*running[at:], *running[:at]]


def _rounds(
    asked: Asked,
    workload: Workload,
    running: Sequence[Running],
    results: kept.Results,
    bare: Ceilings | None,
) -> Iterator[tuple[str, Taken]]:
    for number in range(asked.rounds_of(workload)):
        if workload.ceilings and bare:
            results.add_ceiling(workload.name, number, bare.of_a_round())
        for one in in_order(running, number):
            name = one.system.name
            print(f"{workload.name}, round {number + 1}: {name}", file=sys.stderr)
            at = new_id()
            found, problem = take_turn(one, workload, number, quick=asked.quick)
            if problem:
                results.add_problem(workload.name, number, name, problem)
                print(f"{name}: {problem}", file=sys.stderr)
            if found:
                yield at, Taken(one.system, workload, number, found)


def take_turn(
    one: Running, workload: Workload, number: int, *, quick: bool
) -> tuple[list[Measured], str | None]:
    """Let a system have its turn, and give what was measured and what went wrong."""
    found: list[Measured] = []
    try:
        measure.turn(one, workload, number, found, quick=quick)
    except (OSError, RuntimeError) as error:
        return found, one.ended() or str(error)
    return found, one.ended()


def _revive(
    running: list[Running], workload: Workload, results: kept.Results, stack: contextlib.ExitStack
) -> None:
    """Start those again that have ended: what broke them counts where it did, and not for ever."""
    for at, one in enumerate(running):
        if one.system.name in workload.systems and one.ended():
            again = Running(one.system)
            stack.callback(again.close)
            try:
                again.wait()
            except RuntimeError as error:
                results.add_problem(workload.name, 0, one.system.name, str(error))
            again.pause()
            running[at] = again


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
            except (OSError, RuntimeError) as error:
                results.add_problem("start", 0, one.system.name, str(error))
                print(f"{one.system.name}: {error}", file=sys.stderr)
                continue
            one.pause()
            ready.append(one)
        yield ready


def new_id() -> str:
    """Give a name for a run: when it began."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
