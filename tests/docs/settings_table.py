"""The table of settings in docs/configuration.md, made from the settings themselves.

``python tests/docs/settings_table.py`` writes it into the page, which a test compares with it.
"""

from pathlib import Path

from emblem.config import Setting, describe

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
HEAD = "| setting | default | takes | what it sets |\n|---|---|---|---|"


def table() -> str:
    """Give the table in markdown."""
    return "\n".join([HEAD, *map(_row, describe())])


def _row(setting: Setting) -> str:
    cells = (f"`{setting.name}`", f"`{setting.default}`", setting.expects, setting.help)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Replace the table in the page."""
    begin, end = "<!-- settings: begin -->\n", "<!-- settings: end -->"
    before, there, rest = PAGE.read_text("utf-8").partition(begin)
    _, there_too, after = rest.partition(end)
    assert there, PAGE
    assert there_too, PAGE
    PAGE.write_text(f"{before}{begin}{table()}\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
