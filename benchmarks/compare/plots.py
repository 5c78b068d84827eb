"""Plots from what was kept. Needs matplotlib."""

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.compare.kept import Results
from benchmarks.compare.systems import SYSTEMS
from benchmarks.compare.workloads import LENGTHS

TITLES = {system.name: system.title for system in SYSTEMS}
OURS, THEIRS = "#2a6f97", "#adb5bd"


def write(results: Results, folder: Path) -> list[Path]:
    """Write a PNG for each thing that was measured, and give their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    made = [_throughput(results), _connections(results), _mixed(results), _growth(results)]
    written = []
    for name, figure in (one for one in made if one is not None):
        file = folder / f"{name}.png"
        figure.savefig(file, dpi=110, metadata={"Software": None})
        written.append(file)
    return written


def _axes(title: str, label: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _medians(results: Results, workload: str, part: str | None, field: str) -> dict[str, float]:
    return {
        name: median(float(getattr(one, field)) for one in turns.values())
        for name, turns in results.of(workload, part).items()
    }


def _bars(values: dict[str, float], title: str, label: str) -> Any:
    figure, axes = _axes(title, label)
    ordered = sorted(values, key=lambda name: values[name])
    colours = [OURS if name.startswith("emblem") else THEIRS for name in ordered]
    bars = axes.barh(
        [TITLES[name] for name in ordered], [values[n] for n in ordered], color=colours
    )
    axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
    return figure


def _throughput(results: Results) -> tuple[str, Any] | None:
    speeds = {
        name: median(one.tokens / one.seconds for one in turns.values())
        for name, turns in results.of("passages").items()
    }
    if not speeds:
        return None
    return "passages", _bars(speeds, "Passages, 64 a request", "tokens a second")


def _mixed(results: Results) -> tuple[str, Any] | None:
    waits = _medians(results, "mixed", "query", "p50_ms")
    if not waits:
        return None
    figure = _bars(waits, "A query beside passages, half wait longer", "milliseconds")
    axes = figure.axes[0]
    axes.set_xscale("log")
    axes.set_xlim(left=1)
    _plain(axes.xaxis, (1,))
    return "mixed", figure


def _plain(axis: Any, each: tuple[int, ...] = (1, 2, 5)) -> None:
    """Have an axis of powers of ten say numbers as one reads them."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=each))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:,g}")


def _lines(lines: dict[str, dict[int, float]], title: str, x: str, y: str) -> Any:
    figure, axes = _axes(title, x)
    for name, points in lines.items():
        style = "-" if name.startswith("emblem") else "--"
        axes.plot(list(points), list(points.values()), style, marker="o", label=TITLES[name])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({at for points in lines.values() for at in points}))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel(y)
    _plain(axes.yaxis)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _over(results: Results, workloads: dict[int, str]) -> dict[str, dict[int, float]]:
    lines: dict[str, dict[int, float]] = {}
    for at, workload in workloads.items():
        for name, value in _medians(results, workload, None, "p50_ms").items():
            lines.setdefault(name, {})[at] = value
    return {name: points for name, points in lines.items() if len(points) > 1}


def _connections(results: Results) -> tuple[str, Any] | None:
    lines = _over(results, {n: f"queries-{n}" for n in (1, 8, 32, 128)})
    if not lines:
        return None
    return "connections", _lines(lines, "Short queries", "connections", "p50, ms")


def _growth(results: Results) -> tuple[str, Any] | None:
    lines = _over(results, {n: f"growth-{n}" for n in LENGTHS})
    if not lines:
        return None
    title = "One text (infinity reads its first 256 tokens, Emblem all)"
    return "growth", _lines(lines, title, "tokens", "p50, ms")
