"""Tables of what is measured once, of the share of the ceiling, and of the growth of cost."""

from collections.abc import Callable, Iterator
from statistics import median
from typing import cast

from benchmarks.compare.ceilings import ROW
from benchmarks.compare.kept import Results
from benchmarks.compare.stats import Spread, spread
from benchmarks.compare.targets import KINDS, OURS, p50, shares, values
from benchmarks.compare.workloads import LENGTHS, WORKLOADS

Table = tuple[str, list[str], list[list[str]]]  # title, header, rows


def tables(results: Results, shown: Callable[[Spread, str], str]) -> Iterator[Table]:
    """Give the tables that have rows."""
    for made in (_shares(results, shown), _products(results), _starts(results)):
        if made[2]:
            yield made
    yield from (made for made in (_wrote(results), _own(results), _growth(results)) if made[2])


def _shares(results: Results, shown: Callable[[Spread, str], str]) -> Table:
    rows = []
    for workload in (one.name for one in WORKLOADS if one.ceilings):
        for system in OURS:
            found = list(shares(results, workload, system).values())
            if found:
                each = [ours for ours, _ in found], [bare for _, bare in found]
                told = [shown(spread(one), ",.0f") for one in each]
                part = shown(spread([ours / bare for ours, bare in found]), ".2f")
                rows.append([workload, system, *told, _way(results, workload, system), part])
    header = ["workload", "system", "useful GFLOP/s", "bare products", "the best way", "share"]
    return f"Share of the ceiling, rows of {ROW} tokens, in the same rounds", header, rows


def _way(results: Results, workload: str, system: str) -> str:
    """Name the way that was the best in most rounds."""
    best = [max(each, key=lambda way: each[way]) for each in _kinds(results, workload, system)]
    return max(best, key=best.count)


def _kinds(results: Results, workload: str, system: str) -> list[dict[str, float]]:
    found = results.bare(workload).values()
    return [one[KINDS[system]] for one in found if one.get(KINDS[system])]


def _products(results: Results) -> Table:
    found = cast("dict[str, dict[str, dict[str, float]]]", results.once.get("ceilings", {}))
    ways = [
        (kind, way, by_rows)
        for kind, each in found.items()
        if isinstance(each, dict)
        for way, by_rows in each.items()
    ]
    rows = [
        [f"{kind}, {way}", *(f"{one:,.0f}" for one in each.values())] for kind, way, each in ways
    ]
    copied = cast("float | None", found.get("copy_gb_s"))
    told = f" (a large copy: {copied:,.1f} GB/s)" if copied else ""
    sizes = list(ways[0][2]) if ways else []
    return f"Bare matrix products, GFLOP/s by rows{told}", ["streams × threads", *sizes], rows


def _starts(results: Results) -> Table:
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
    header = ["system", "s to the first vector", "MB loaded", "MB after 64 passages"]
    return "Start, and what resides", header, rows


def _wrote(results: Results) -> Table:
    wrote = cast("dict[str, float]", results.once.get("encoding", {}))
    rows = [[f"{one:.2f}" for one in wrote.values()]] if wrote else []
    return "Writing 2,048 × 384 floats, ms", list(wrote), rows


def _own(results: Results) -> Table:
    share = cast("dict[str, dict[str, float]]", results.once.get("share", {}))
    rows = [
        [name, *(f"{one[key]:.2f}" for key in ("http", "row", "share", "alone"))]
        for name, one in share.items()
    ]
    header = ["system", "over HTTP", "its row there", "the difference", "its row alone"]
    return "One short query, ms, means of rounds", header, rows


def _growth(results: Results) -> Table:
    rows = []
    for name in (*OURS, "infinity"):
        each = [values(results, f"growth-{n}", name, p50) for n in LENGTHS]
        if any(each):
            rows.append([name, *(f"{median(one.values()):,.1f}" if one else "" for one in each)])
    title = "One text of so many tokens, p50 in ms (infinity cuts at 256, Emblem reads to the end)"
    return title, ["system", *(f"{n:,}" for n in LENGTHS)], rows
