"""The targets of the project, computed from what was kept, and the share of the ceiling."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import cast

from benchmarks.compare.judge import Turn
from benchmarks.compare.kept import Place, Results
from benchmarks.compare.products import FLOPS_PER_TOKEN
from benchmarks.compare.stats import ratios
from benchmarks.compare.workloads import SERVERS

Measure = Callable[[Turn], float]
Figure = Callable[[Results, str], float | None]  # of one of OURS
OURS = ("emblem", "emblem-int8")
EMBLEM = (*OURS, "emblem-static")
KINDS = {"emblem": "fp32", "emblem-int8": "int8"}


def speed(turn: Turn) -> float:
    """Give texts a second."""
    return turn.texts / turn.seconds


def tokens(turn: Turn) -> float:
    """Give tokens a second."""
    return turn.tokens / turn.seconds


def p50(turn: Turn) -> float:
    """Give milliseconds that half of the requests do not exceed."""
    return turn.p50_ms


def values(
    results: Results, workload: str, system: str, of: Measure, part: str | None = None
) -> dict[Place, float]:
    """Give the figure of each turn; of rivals those alone whose answers were right."""
    turns = results.of(workload, part).get(system, {})
    ours = system in EMBLEM
    return {place: of(one) for place, one in turns.items() if one.right or (ours and one.requests)}


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: at least ``bounds`` for fp32 and int8, or at ``most`` these.

    ``workload`` is whose answers must have been right for it to be reached.
    """

    what: str
    bounds: tuple[float, ...]
    figure: Figure
    form: str = ".2f"
    workload: str = ""
    most: bool = False
    systems: tuple[str, ...] = OURS

    def row(self, results: Results) -> list[str] | None:
        """Give what, the target, fp32, int8, and whether it is reached; None where unmeasured."""
        sign = "≤" if self.most else "≥"
        cells, told = [], []
        for system, bound in zip(self.systems, self.bounds, strict=True):
            value = self.figure(results, system)
            why = self._spoilt(results, system)
            cells.append("" if value is None else format(value, self.form))
            if why:
                told.append(f"no ({why})")
            elif value is not None:
                told.append("yes" if (value <= bound if self.most else value >= bound) else "no")
        if not told:
            return None
        wanted = dict.fromkeys(f"{sign} {format(bound, self.form)}" for bound in self.bounds)
        return [self.what, " / ".join(wanted), *[*cells, ""][:2], " / ".join(told)]

    def _spoilt(self, results: Results, system: str) -> str | None:
        """Say what else keeps Emblem from having reached it."""
        turns = results.every(self.workload, system)
        if not all(turn.right for turn in turns):
            return "wrong answers"
        if broken := results.broken(self.workload, system):
            return f"{len(broken)} rounds broke"
        return None


def _against(
    workload: str, rival: str, of: Measure, part: str | None = None, *, turned: bool = False
) -> Figure:
    """Give what gives the median over the rounds of ours ÷ theirs; ``turned`` is theirs ÷ ours."""

    def figure(results: Results, system: str) -> float | None:
        ours = values(results, workload, system, of, part)
        theirs = values(results, workload, rival, of, part)
        found = ratios(theirs, ours) if turned else ratios(ours, theirs)
        return median(found) if found else None

    return figure


def _best(
    workload: str, of: Measure, among: Callable[[str], bool], *, most: bool = False
) -> Figure:
    """Give what gives ours ÷ the best of some rivals'."""

    def figure(results: Results, system: str) -> float | None:
        rivals = [one for one in results.of(workload) if one not in EMBLEM and among(one)]
        each = [_against(workload, rival, of)(results, system) for rival in rivals]
        found = [one for one in each if one is not None]
        return (max(found) if most else min(found)) if found else None

    return figure


def _lost(results: Results, system: str) -> float | None:
    found = ratios(
        values(results, "mixed", system, tokens, "bulk"),
        values(results, "mixed", system, tokens, "alone"),
    )
    return 1 - median(found) if found else None


def _of_two_rows(results: Results, system: str) -> float | None:
    """Give p99 beside bulk ÷ (two rows' time + what a query takes alone), a median over rounds."""
    alone: dict[str, list[float]] = {}
    for (run, _), own in values(results, "queries-1", system, p50).items():
        alone.setdefault(run, []).append(own)
    found = [
        turn.p99_ms / (2 * turn.row_ms + median(alone[run]))
        for (run, _), turn in results.of("mixed", "query").get(system, {}).items()
        if turn.row_ms and run in alone
    ]
    return median(found) if found else None


def shares(results: Results, workload: str, system: str) -> dict[Place, tuple[float, float]]:
    """Give useful GFLOP/s and the best that the bare products reached, of each round with both."""
    kind = KINDS[system]
    bare = results.bare(workload)
    found = values(results, workload, system, tokens)
    return {
        place: (one * FLOPS_PER_TOKEN / 1e9, max(bare[place][kind].values()))
        for place, one in found.items()
        if bare.get(place, {}).get(kind)
    }


def _share(workload: str) -> Figure:
    def figure(results: Results, system: str) -> float | None:
        found = [ours / bare for ours, bare in shares(results, workload, system).values()]
        return median(found) if found else None

    return figure


def _once(name: str, key: str) -> Figure:
    """Give what gives a figure that is measured once: the median, where there are several."""

    def figure(results: Results, system: str) -> float | None:
        table = cast("Mapping[str, Mapping[str, object]]", results.once.get(name, {}))
        value = table.get(system, {}).get(key)
        if isinstance(value, list):
            return median(value) / (1e6 if key.endswith("_bytes") else 1)
        return cast("float | None", value)

    return figure


def _wrote(ours: str, bare: str) -> Figure:
    def figure(results: Results, _: str) -> float | None:
        found = cast("Mapping[str, float]", results.once.get("encoding", {}))
        return found[ours] / found[bare] if found else None

    return figure


_served = SERVERS.__contains__
_ONE, _STATIC = ("emblem",), ("emblem-static",)
TARGETS = (
    Target("ceiling: passages", (0.8, 0.8), _share("passages"), workload="passages"),
    Target(
        "ceiling: short queries, 32 connections",
        (0.65, 0.65),
        _share("queries-32"),
        workload="queries-32",
    ),
    Target(
        "passages, against infinity (torch)",
        (1.4, 2.8),
        _against("passages", "infinity", tokens),
        workload="passages",
    ),
    Target(
        "passages, against the best other rival",
        (1.0, 1.0),
        _best("passages", tokens, lambda one: one != "infinity"),
        workload="passages",
    ),
    Target(
        "short queries, 32 connections, against infinity",
        (4, 7),
        _against("queries-32", "infinity", speed),
        workload="queries-32",
    ),
    Target(
        "one short query, p50, of infinity's",
        (0.25, 0.15),
        _against("queries-1", "infinity", p50),
        ".3f",
        "queries-1",
        most=True,
    ),
    Target(
        "one short query, p50, of the best rival's over HTTP",
        (1.0, 1.0),
        _best("queries-1", p50, _served, most=True),
        ".3f",
        "queries-1",
        most=True,
    ),
    Target(
        "a query beside bulk, p50, times sooner than infinity",
        (50, 50),
        _against("mixed", "infinity", p50, "query", turned=True),
        ".0f",
        "mixed",
    ),
    Target(
        "a query beside bulk, p99, of two rows' time and its own",
        (1.0, 1.0),
        _of_two_rows,
        workload="mixed",
        most=True,
    ),
    Target("bulk lost to that mixing", (0.15, 0.15), _lost, workload="mixed", most=True),
    Target(
        "the same 256 queries again, against infinity",
        (20, 20),
        _against("again", "infinity", speed, "again"),
        ".1f",
        "again",
    ),
    *(
        Target(
            f"static model, of an echo, {form}",
            (0.5,),
            _against(f"static-{form}", "echo", speed),
            workload=f"static-{form}",
            systems=_STATIC,
        )
        for form in ("base64", "float")
    ),
    Target(
        "own share of a short query, ms",
        (0.8, 0.8),
        _once("share", "share"),
        workload="share",
        most=True,
    ),
    *(
        Target(
            f"encoding as {ours}, of a bare {bare}",
            (1.5,),
            _wrote(ours, bare),
            most=True,
            systems=_ONE,
        )
        for ours, bare in (("json", "orjson"), ("base64", "pybase64"))
    ),
    Target("start to ready, s", (2.5, 2.5), _once("start", "seconds"), workload="start", most=True),
    Target(
        "resident after work, MB",
        (600, 600),
        _once("start", "worked_bytes"),
        ".0f",
        "start",
        most=True,
    ),
)


def targets(results: Results) -> list[list[str]]:
    """Give a row for each target that was measured."""
    return [row for one in TARGETS if (row := one.row(results)) is not None]


def faults(results: Results) -> Iterator[str]:
    """Say where Emblem's own answers of this run were wrong, failed or did not come."""
    for one in results.turns:
        failed, wrong = int(str(one["failed"])), int(str(one["wrong"]))
        if one["system"] in EMBLEM and one["run"] == results.run and (failed or wrong):
            where = f"{one['workload']}, round {int(str(one['round'])) + 1}, {one['part']}"
            yield f"{one['system']}, {where}: {failed} failed, {wrong} wrong: {one['problem']}"
    for one in results.problems:
        if one["system"] in EMBLEM and one["run"] == results.run:
            yield f"{one['system']}, {one['workload']}: {one['problem']}"
