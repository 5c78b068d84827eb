"""The table of metrics in docs/observe.md, made from the metrics themselves.

``python tests/observe/metrics_table.py`` writes it into the page, which a test compares with it.
"""

from pathlib import Path

from emblem.observe.names import EVERY, Metric, Type

PAGE = Path(__file__).parents[2] / "docs" / "observe.md"
BEGIN, END = "<!-- metrics: begin -->\n", "<!-- metrics: end -->"
HEAD = "| metric | | labels | |\n|---|---|---|---|"


def table() -> str:
    """Give the table in markdown."""
    return "\n".join([HEAD, *map(_row, EVERY)])


def in_page() -> str:
    """Give the table that the page has."""
    return PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].rstrip("\n")


def _row(metric: Metric) -> str:
    name = metric.series[0] if metric.type is Type.COUNTER else metric.name
    labels = ", ".join(f"`{one}`" for one in metric.labels)
    return f"| `{name}` | {metric.type} | {labels} | {metric.help} |"


def main() -> None:
    """Replace the table in the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{table()}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
