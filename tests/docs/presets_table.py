"""The table of providers in docs/upstreams.md, made from the presets.

``python tests/docs/presets_table.py`` writes it into the page, which a test compares with it.
"""

from pathlib import Path

from emblem.upstreams.presets import PRESETS, Preset

PAGE = Path(__file__).parents[2] / "docs" / "upstreams.md"
HEAD = (
    "| preset | address | key | texts at once | dimensions | query or document | a text that is too "
    "long | models that are known | run here |\n|---|---|---|---|---|---|---|---|---|"
)


def table() -> str:
    """Give the table in markdown."""
    return "\n".join([HEAD, *map(_row, PRESETS)])


def _row(row: Preset) -> str:
    cells = (
        f"`{row.name}`",
        f"`{row.base_url}`" if row.base_url else "your own",
        f"`{row.key_variable}`" if row.key_variable else "",
        f"{row.max_inputs:,}",
        f"`{row.dimensions_field}`" if row.dimensions_field else "",
        _kinds(row),
        _long(row),
        "<br>".join(f"`{one.name}`" for one in row.models),
        "yes" if row.run else "not run here",
    )
    return f"| {' | '.join(cells)} |"


def _kinds(row: Preset) -> str:
    names = sorted({name for fields in row.kinds.values() for name in fields})
    return ", ".join(f"`{name}`" for name in names) + (", required" if row.needs_kind else "")


def _long(row: Preset) -> str:
    if row.dialect == "emblem":
        return "as `overflow` says"
    if row.refuses_long is None:
        return "cut without a word, or not known"
    said = ", ".join(f"`{name}`" for name in row.refuses_long)
    return f"refused, with {said}" if said else "refused"


def main() -> None:
    """Replace the table in the page."""
    begin, end = "<!-- presets: begin -->\n", "<!-- presets: end -->"
    before, there, rest = PAGE.read_text("utf-8").partition(begin)
    _, there_too, after = rest.partition(end)
    assert there, PAGE
    assert there_too, PAGE
    PAGE.write_text(f"{before}{begin}{table()}\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
