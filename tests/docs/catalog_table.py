"""The table of models in docs/models.md, made from the rows of the catalogue.

``python tests/docs/catalog_table.py`` writes it into the page, which a test compares with it.
"""

from pathlib import Path

from emblem.models.catalog import ROWS, Row

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
HEAD = (
    "| name | numbers | reads at once | languages | licence | retrieval, as published | family |\n"
    "|---|---|---|---|---|---|---|"
)


def table() -> str:
    """Give the table in markdown."""
    return "\n".join([HEAD, *map(_row, ROWS)])


def _row(row: Row) -> str:
    cells = (
        "<br>".join(f"`{name}`" for name in (row.name, *row.short_names)),
        _numbers(row),
        f"{row.max_length:,}" if row.max_length else "any length",
        "English" if row.languages == ("en",) else row.claims or str(len(row.languages)),
        row.licence + (", gated" if row.gated else ""),
        _score(row),
        f"{row.family}, with `emblem[torch]`" if row.needs_torch else row.family,
    )
    return f"| {' | '.join(cells)} |"


def _numbers(row: Row) -> str:
    if row.min_width:
        return f"{row.width}; or any from {row.min_width}"
    return "; or ".join([str(row.width), *filter(None, [", ".join(map(str, row.widths))])])


def _score(row: Row) -> str:
    if row.score is None:
        return ""
    return f"[{row.score.value:g}]({row.score.source}), {row.score.benchmark}"


def main() -> None:
    """Replace the table in the page."""
    begin, end = "<!-- catalogue: begin -->\n", "<!-- catalogue: end -->"
    before, there, rest = PAGE.read_text("utf-8").partition(begin)
    _, there_too, after = rest.partition(end)
    assert there, PAGE
    assert there_too, PAGE
    PAGE.write_text(f"{before}{begin}{table()}\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
