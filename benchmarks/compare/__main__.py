"""The commands: ``run`` measures, ``report`` writes the page and the plots, ``list`` says what there is."""

import argparse
import shlex
import signal
import sys
from pathlib import Path

from benchmarks.compare import kept, machine, once, report
from benchmarks.compare.run import Asked, new_id, run
from benchmarks.compare.systems import BUILT, SYSTEMS, chosen
from benchmarks.compare.workloads import WORKLOADS

ONCE = ("ceilings", "start", "encoding", "share")


def _asked() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="measure; parts of a run go into one file")
    running.add_argument("--only", default="", help="workloads, or what their names begin with")
    running.add_argument("--systems", default="", help="names of systems")
    running.add_argument("--rounds", type=int, help="turns of each system at each workload")
    running.add_argument("--quick", action="store_true", help="two short rounds")
    running.add_argument("--into", type=Path, help="a file of results to add to or to write")
    reporting = commands.add_parser("report", help="write RESULTS.md and the plots from a file")
    reporting.add_argument("file", type=Path)
    reporting.add_argument("--plots", type=Path, help="the folder of the plots; needs matplotlib")
    reporting.add_argument("--page", type=Path, help="the page to write the tables into")
    commands.add_parser("list", help="print workloads and systems")
    return parser


def _run(given: argparse.Namespace) -> None:
    file = given.into or BUILT / "results" / f"{new_id()}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    results = kept.load(file) if file.exists() else kept.Results(new_id())
    machine.describe(results)
    results.commands.append(shlex.join(["python", "-m", "benchmarks.compare", *sys.argv[1:]]))
    only = [name for name in given.only.split(",") if name]
    systems = [name for name in given.systems.split(",") if name]
    rounds = given.rounds or (2 if given.quick else 5)
    for name in ONCE:
        if not only or name in only:
            _once(name, systems, rounds, results)
            results.save(file)
    left = [name for name in only if name not in ONCE]
    for workload in WORKLOADS if left or not only else ():
        if not only or workload.name in left or workload.name.partition("-")[0] in left:
            run(Asked([workload.name], systems, given.rounds, given.quick), results)
            results.save(file)
    print(report.terminal(results))
    print(f"kept in {file}")


def _once(name: str, systems: list[str], rounds: int, results: kept.Results) -> None:
    print(name, file=sys.stderr)
    here = {system.name: system for system in chosen(systems)[0]}
    if name == "ceilings":
        results.once[name] = once.ceilings(min(3, rounds))
    elif name == "start":
        results.once[name] = once.starts(list(here.values()), min(3, rounds))
    elif name == "encoding":
        results.once[name] = once.encoding()
    else:
        own = [one for one in ("emblem", "emblem-int8") if one in here]
        results.once[name] = {one: once.own_share(here[one], min(3, rounds)) for one in own}


def main() -> None:
    """Do what is asked."""
    given = _asked().parse_args()
    # Ended by SIGTERM it would leave behind servers that are stopped, and hold their memory.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    if given.command == "run":
        _run(given)
    elif given.command == "report":
        results = kept.load(given.file)
        if given.plots:
            from benchmarks.compare import plots

            plots.write(results, given.plots)
        if given.page:
            report.into_page(results, given.page)
        print(report.terminal(results))
    else:
        print("workloads:", *(f"  {one.name:18} {one.title}" for one in WORKLOADS), sep="\n")
        print("systems:", *(f"  {one.name:18} {one.title}" for one in SYSTEMS), sep="\n")


if __name__ == "__main__":
    main()
