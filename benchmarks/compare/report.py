"""Tables from what was kept: for the terminal, and for benchmarks/RESULTS.md."""

from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.compare.apart import tables
from benchmarks.compare.judge import Turn
from benchmarks.compare.kept import Place, Results
from benchmarks.compare.stats import Spread, ratios, spread
from benchmarks.compare.systems import SYSTEMS
from benchmarks.compare.targets import speed, targets, tokens
from benchmarks.compare.workloads import WORKLOADS

BEGIN, END = "<!-- speed -->", "<!-- /speed -->"
TITLES = {system.name: system.title for system in SYSTEMS}
Rows = list[list[str]]


def table(header: list[str], rows: Rows) -> str:
    """Give a table in Markdown whose columns line up."""
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [header, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(lines)


def shown(one: Spread, form: str = ",.0f") -> str:
    """Give a median and its ends."""
    if one.least == one.most:
        return f"{one.median:{form}}"
    return f"{one.median:{form}} ({one.least:{form}} to {one.most:{form}})"


def terminal(results: Results) -> str:
    """Give everything."""
    return "\n\n".join(_sections(results, "\n"))


def into_page(results: Results, page: Path) -> None:
    """Write the tables between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    made = "\n\n".join(_sections(results, "### "))
    page.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")


def _sections(results: Results, heading: str) -> Iterable[str]:
    yield _about(results)
    rows = targets(results)
    if rows:
        yield f"{heading}Targets\n\n{table(['what', 'target', 'fp32', 'int8', 'reached'], rows)}"
    for workload in WORKLOADS:
        for part in _parts(results, workload.name):
            named = f", {part}" if len(_parts(results, workload.name)) > 1 else ""
            rows = _workload(results, workload.name, part)
            yield f"{heading}{workload.title}{named}\n\n{table(HEADER, rows)}"
    for title, header, rows in tables(results, shown):
        yield f"{heading}{title}\n\n{table(header, rows)}"
    lines = [f"- {_title(name)}: {why}" for name, why in results.left_out.items()]
    if lines:
        yield f"{heading}Not measured\n\n" + "\n".join(lines)
    lines = [
        f"- {_title(str(one['system']))}, {one['workload']}, round {int(str(one['round'])) + 1}: "
        f"{' '.join(str(one['problem']).split())}"
        for one in results.problems
    ]
    if lines:
        yield f"{heading}Went wrong\n\n" + "\n".join(lines)


def _title(system: str) -> str:
    return TITLES.get(system, system)


def _about(results: Results) -> str:
    m = results.machine
    lines = [
        f"- Machine: {m.get('cpus')} CPUs of {m.get('cpu')}, {m.get('memory')}, {m.get('system')}.",
        f"- {m.get('date')}, commit {m.get('commit')}, Python {m.get('python')}.",
        *(f"- {name}: {versions}." for name, versions in results.versions.items()),
        *(f"- `{command}`" for command in dict.fromkeys(results.commands)),
    ]
    return "\n".join(lines)


HEADER = [
    "system",
    "rounds",
    "texts/s",
    "tokens/s",
    "p50, ms",
    "p99, ms",
    "Emblem is",
    "failed",
    "wrong",
    "worst cosine",
]


def _parts(results: Results, workload: str) -> list[str]:
    return list(
        dict.fromkeys(str(one["part"]) for one in results.turns if one["workload"] == workload)
    )


def _workload(results: Results, workload: str, part: str) -> Rows:
    found = results.of(workload, part)
    ours = found.get("emblem") or found.get("emblem-static") or {}
    latency = part == "query" and workload in ("mixed", "queries-1")
    rows = []
    for system in TITLES:
        turns = found.get(system, {})
        broken = results.broken(workload, system)
        if not turns and not broken:
            continue
        rounds = f"{len(turns.keys() - broken)}/{len(turns.keys() | broken)}"
        measured = {place: one for place, one in turns.items() if one.requests}
        figures = _figures(measured, ours, latency=latency) if measured else [""] * 5
        rows.append(
            [
                TITLES[system],
                rounds,
                *figures,
                str(sum(one.failed for one in turns.values())),
                str(sum(one.wrong for one in turns.values())),
                _least(turns.values()),
            ]
        )
    return rows


def _figures(turns: dict[Place, Turn], ours: dict[Place, Turn], *, latency: bool) -> list[str]:
    """Give speeds, percentiles, and how much faster Emblem was in the same rounds."""
    if latency:
        times = ratios(_each(turns, _p50), _each(ours, _p50))
    else:
        times = ratios(_each(ours, speed), _each(turns, speed))
    each = turns.values()
    mine = all(ours.get(place) is one for place, one in turns.items())
    return [
        shown(spread([speed(one) for one in each]), ",.1f"),
        shown(spread([tokens(one) for one in each])),
        shown(spread([one.p50_ms for one in each]), ",.1f"),
        shown(spread([one.p99_ms for one in each]), ",.1f"),
        "" if mine or not times else f"{shown(spread(times), '.2f')} × as fast",
    ]


def _p50(turn: Turn) -> float:
    return turn.p50_ms


def _each(turns: dict[Place, Turn], measure: Callable[[Turn], float]) -> dict[Place, float]:
    return {place: measure(one) for place, one in turns.items() if one.requests}


def _least(turns: Iterable[Turn]) -> str:
    found = [one.worst for one in turns if one.worst is not None]
    return f"{min(found):.7f}" if found else ""
