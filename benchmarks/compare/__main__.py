"""The commands: ``run`` measures, ``report`` writes the page and the plots, ``list`` says what there is."""

import argparse
import shlex
import signal
import sys
from pathlib import Path

from benchmarks.compare import kept, machine, once, report
from benchmarks.compare.ceilings import Ceilings
from benchmarks.compare.run import Asked, new_id, run
from benchmarks.compare.systems import BUILT, SYSTEMS, System, chosen
from benchmarks.compare.targets import OURS, faults
from benchmarks.compare.workloads import WORKLOADS

# What is measured once, and about how many seconds that takes on two cores.
ONCE = {"ceilings": 25.0, "start": 70.0, "encoding": 5.0, "share": 15.0}


def _asked() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="measure; parts of a run go into one file")
    running.add_argument("--only", default="", help="names of workloads; `list` prints them")
    running.add_argument("--systems", default="", help="names of systems")
    running.add_argument(
        "--rounds", type=int, help="turns of each system at a workload, at most; 3"
    )
    running.add_argument("--quick", action="store_true", help="two short rounds")
    running.add_argument("--into", type=Path, help="a file of results to add to or to write")
    reporting = commands.add_parser("report", help="write RESULTS.md and the plots from a file")
    reporting.add_argument("file", type=Path)
    reporting.add_argument("--plots", type=Path, help="the folder of the plots; needs matplotlib")
    reporting.add_argument("--page", type=Path, help="the page to write the tables into")
    commands.add_parser("list", help="print workloads and systems")
    return parser


def _run(given: argparse.Namespace) -> None:
    only = [name for name in given.only.split(",") if name]
    systems = [name for name in given.systems.split(",") if name]
    known = [*ONCE, *(one.name for one in WORKLOADS)]
    if unknown := set(only) - set(known):
        raise SystemExit(f"no workload is called {sorted(unknown)}; there are {known}")
    file = given.into or BUILT / "results" / f"{new_id()}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    results = kept.load(file) if file.exists() else kept.Results("")
    results.goes_on(new_id(), machine.machine())
    results.versions |= machine.versions()
    results.commands.append(shlex.join(["python", "-m", "benchmarks.compare", *sys.argv[1:]]))
    rounds = given.rounds or (2 if given.quick else 3)
    left = [name for name in only if name not in ONCE]
    asked = Asked(left, systems, rounds, given.quick)
    apart = [name for name in ONCE if not only or name in only]
    seconds = sum(ONCE[name] for name in apart)
    seconds += asked.seconds() if left or not only else 0.0
    print(f"about {seconds / 60:.0f} minutes on two cores; kept in {file}", file=sys.stderr)
    for name in apart:
        _once(name, systems, rounds, results)
        results.save(file)
    if left or not only:
        run(asked, results, lambda: results.save(file))
    results.save(file)
    print(report.terminal(results))
    print(f"kept in {file}")
    if found := list(faults(results)):
        sys.exit("\n".join(["Emblem's own answers were not all right:", *found]))


def _once(name: str, systems: list[str], rounds: int, results: kept.Results) -> None:
    print(name, file=sys.stderr)
    here = {system.name: system for system in chosen(systems)[0]}
    try:
        if name == "ceilings":
            results.once[name] = _ceilings()
        elif name == "start":
            results.once[name] = once.starts(
                list(here.values()),
                min(2, rounds),
                lambda system, why: results.add_problem(name, 0, system, why),
            )
        elif name == "encoding":
            results.once[name] = once.encoding()
    except (OSError, RuntimeError) as error:
        results.add_problem(name, 0, "emblem", str(error))
    for system in OURS if name == "share" else ():
        if system in here:
            _share(here[system], rounds, results)


def _ceilings() -> dict[str, object]:
    bare = Ceilings()
    try:
        return bare.of_all_rows(1)
    finally:
        bare.close()


def _share(system: System, rounds: int, results: kept.Results) -> None:
    try:
        found = once.own_share(system, min(3, rounds))
    except (OSError, RuntimeError) as error:
        results.add_problem("share", 0, system.name, str(error))
        return
    kept_before = results.once.setdefault("share", {})
    assert isinstance(kept_before, dict)
    kept_before[system.name] = found


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
