"""The targets of the project, computed from what was kept, and the share of the ceiling."""

from collections.abc import Callable
from statistics import median
from typing import cast

from benchmarks.compare.judge import Turn
from benchmarks.compare.kept import Results
from benchmarks.compare.products import FLOPS_PER_TOKEN
from benchmarks.compare.stats import ratios
from benchmarks.compare.workloads import LENGTHS

Products = dict[str, dict[str, dict[str, float]]]
Measure = Callable[[Turn], float]
OURS = ("emblem", "emblem-int8")
ROW = "128"  # tokens: what passages and queries are packed into


def _speed(turn: Turn) -> float:
    return turn.texts / turn.seconds


def _tokens(turn: Turn) -> float:
    return turn.tokens / turn.seconds


def _p50(turn: Turn) -> float:
    return turn.p50_ms


def _values(
    results: Results, workload: str, system: str, part: str | None, of: Measure
) -> dict[int, float]:
    turns = results.of(workload, part).get(system, {})
    return {number: of(one) for number, one in turns.items()}


def _ratio(
    results: Results, workload: str, ours: str, theirs: str, of: Measure, part: str | None = None
) -> float | None:
    """Give the median over the rounds of ours ÷ theirs."""
    found = ratios(
        _values(results, workload, ours, part, of), _values(results, workload, theirs, part, of)
    )
    return median(found) if found else None


def targets(results: Results) -> list[list[str]]:
    """Give a row for each target: what, the target, fp32, int8, and whether it is reached."""
    rows: list[list[str]] = []

    def add(
        what: str,
        bounds: tuple[float, float | None],
        values: tuple[float | None, ...],
        form: str,
        *,
        most: bool = False,
    ) -> None:
        if all(value is None for value in values):
            return
        sign = "≤" if most else "≥"
        wanted = [f"{sign} {format(bound, form)}" for bound in bounds if bound is not None]
        told = []
        for value, bound in zip(values, bounds, strict=False):
            if value is not None and bound is not None:
                told.append("yes" if (value <= bound if most else value >= bound) else "no")
        cells = ["" if value is None else format(value, form) for value in values]
        rows.append([what, " / ".join(dict.fromkeys(wanted)), *[*cells, ""][:2], " / ".join(told)])

    def both(
        workload: str, theirs: str, of: Measure, part: str | None = None
    ) -> tuple[float | None, ...]:
        return tuple(_ratio(results, workload, ours, theirs, of, part) for ours in OURS)

    add("ceiling: passages", (0.8, 0.8), _shares(results, "passages"), ".2f")
    add(
        "ceiling: short queries, 32 connections",
        (0.65, 0.65),
        _shares(results, "queries-32"),
        ".2f",
    )
    add(
        "passages, against infinity (torch)",
        (1.4, 2.8),
        both("passages", "infinity", _tokens),
        ".2f",
    )
    add(
        "passages, against the best other rival",
        (1.0, 1.0),
        _best(results, "passages", _tokens),
        ".2f",
    )
    add(
        "short queries, 32 connections, against infinity",
        (4, 7),
        both("queries-32", "infinity", _speed),
        ".2f",
    )
    add(
        "one short query, p50, of infinity's",
        (0.25, 0.15),
        both("queries-1", "infinity", _p50),
        ".3f",
        most=True,
    )
    sooner = tuple(1 / one if one else None for one in both("mixed", "infinity", _p50, "query"))
    add("a query beside bulk, p50, times sooner than infinity", (50, 50), sooner, ".0f")
    add(
        "bulk lost to that mixing",
        (0.15, 0.15),
        tuple(_lost(results, one) for one in OURS),
        ".2f",
        most=True,
    )
    add(
        "the same 256 queries again, against infinity",
        (20, 20),
        both("again", "infinity", _speed, "again"),
        ".1f",
    )
    for form in ("base64", "float"):
        share = _ratio(results, f"static-{form}", "emblem-static", "echo", _speed)
        add(f"static model, of an echo, {form}", (0.5, None), (share, None), ".2f")
    share_of = cast("dict[str, dict[str, float]]", results.once.get("share", {}))
    add(
        "own share of a short query, ms",
        (0.8, 0.8),
        tuple(share_of.get(one, {}).get("share") for one in OURS),
        ".2f",
        most=True,
    )
    wrote = cast("dict[str, float]", results.once.get("encoding", {}))
    for ours, bare in (("json", "orjson"), ("base64", "pybase64")):
        add(
            f"encoding as {ours}, of a bare {bare}",
            (1.5, None),
            (wrote[ours] / wrote[bare] if wrote else None, None),
            ".2f",
            most=True,
        )
    begun = cast("dict[str, dict[str, list[float]]]", results.once.get("start", {}))
    seconds = tuple(median(begun[one]["seconds"]) if one in begun else None for one in OURS)
    add("start to ready, s", (2.5, 2.5), seconds, ".2f", most=True)
    held = tuple(median(begun[one]["worked_bytes"]) / 1e6 if one in begun else None for one in OURS)
    add("resident after work, MB", (600, 600), held, ".0f", most=True)
    return rows


def _best(results: Results, workload: str, of: Measure) -> tuple[float | None, ...]:
    """Give ours ÷ the best rival's, infinity on torch apart."""
    rivals = [one for one in results.of(workload) if one not in (*OURS, "infinity")]
    found = []
    for ours in OURS:
        each = [one for rival in rivals if (one := _ratio(results, workload, ours, rival, of))]
        found.append(min(each) if each else None)
    return tuple(found)


def _lost(results: Results, system: str) -> float | None:
    found = ratios(
        _values(results, "mixed", system, "bulk", _tokens),
        _values(results, "mixed", system, "alone", _tokens),
    )
    return 1 - median(found) if found else None


def products(results: Results, kind: str, rows: str = ROW) -> float | None:
    """Give GFLOP/s of the bare products at so many rows, by the best library there is."""
    ceilings = cast("Products", results.once.get("ceilings", {}))
    return max((one[rows] for one in ceilings.get(kind, {}).values()), default=None)


def _shares(results: Results, workload: str) -> tuple[float | None, ...]:
    """Give FLOP/s in the products for tokens that were asked for ÷ that of the bare products."""
    found: list[float | None] = []
    for system, kind in zip(OURS, ("fp32", "int8"), strict=True):
        speeds = _values(results, workload, system, None, _tokens).values()
        bare = products(results, kind)
        known = bare and speeds
        found.append(median(speeds) * FLOPS_PER_TOKEN / 1e9 / bare if known and bare else None)
    return tuple(found)


def ceiling_lines(results: Results) -> list[tuple[str, list[str], list[list[str]]]]:
    """Give title, header and rows of what is measured once, and of the growth of cost."""
    found = []
    ceilings = cast("Products", results.once.get("ceilings", {}))
    rows = [
        [f"{kind}, {way}", *(f"{value:,.0f}" for value in by_rows.values())]
        for kind, ways in ceilings.items()
        if isinstance(ways, dict)
        for way, by_rows in ways.items()
    ]
    if rows:
        sizes = [str(n) for n in next(iter(ceilings["fp32"].values()))]
        copied = cast("float | None", results.once["ceilings"]["copy_gb_s"])  # type: ignore[index]
        title = "Bare matrix products, GFLOP/s by rows"
        found.append((f"{title} (a large copy: {copied:,.1f} GB/s)", ["", *sizes], rows))
    begun = cast("dict[str, dict[str, list[float]]]", results.once.get("start", {}))
    rows = [
        [
            name,
            f"{median(each['seconds']):.2f}",
            f"{median(each['loaded_bytes']) / 1e6:,.0f}",
            f"{median(each['worked_bytes']) / 1e6:,.0f}",
        ]
        for name, each in begun.items()
    ]
    if rows:
        found.append(
            (
                "Start, and what resides",
                ["system", "s to the first vector", "MB loaded", "MB after 64 passages"],
                rows,
            )
        )
    wrote = cast("dict[str, float]", results.once.get("encoding", {}))
    if wrote:
        found.append(
            (
                "Writing 2,048 × 384 floats, ms",
                list(wrote),
                [[f"{one:.2f}" for one in wrote.values()]],
            )
        )
    share = cast("dict[str, dict[str, float]]", results.once.get("share", {}))
    rows = [
        [name, *(f"{one[key]:.2f}" for key in ("http", "row", "share"))]
        for name, one in share.items()
    ]
    if rows:
        found.append(
            ("One short query, ms", ["system", "over HTTP", "its row", "the difference"], rows)
        )
    return [*found, *_growth(results)]


def _growth(results: Results) -> list[tuple[str, list[str], list[list[str]]]]:
    systems = [one for one in (*OURS, "infinity") if results.of("growth-16").get(one)]
    rows = []
    for name in systems:
        each = [_values(results, f"growth-{n}", name, None, _p50) for n in LENGTHS]
        rows.append([name, *(f"{median(one.values()):,.1f}" if one else "" for one in each)])
    header = ["system", *(f"{n:,}" for n in LENGTHS)]
    title = "One text of so many tokens, p50 in ms (infinity cuts at 256, Emblem reads to the end)"
    return [(title, header, rows)] if rows else []
