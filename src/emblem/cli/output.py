"""What commands print: tables and facts for people, JSON for programs.

On a terminal tables are drawn by rich, which honours NO_COLOR; anywhere else they are plain text in
columns, without colours, whatever the width.
"""

import json
import sys
import time
from collections.abc import Sequence

import typer

from emblem.core.amount import size as size


def print_json(value: object) -> None:
    """Print a value that msgspec can turn into JSON, for programs."""
    import msgspec

    plain = msgspec.to_builtins(value)
    typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> None:
    """Print a table. ``right`` names, by single spaces apart, the columns of numbers."""
    numbers = [title in right.split() for title in head]
    if sys.stdout.isatty():
        _draw(head, rows, numbers)
        return
    widths = [max(map(_cells, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = zip(row, widths, numbers, strict=True)
        typer.echo("  ".join(_padded(*one) for one in cells).rstrip())


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values, the values below one another; what is "" is left out."""
    width = max(len(name) for name, value in facts if value)
    for name, value in facts:
        for number, line in enumerate(value.splitlines()):
            typer.echo(f"{'' if number else name:<{width}}  {line}")


def moment(seconds: float) -> str:
    """Write a time of the epoch as this machine's clock has it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _draw(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool]) -> None:
    """Draw a table as wide as it is: a name that is broken in two could not be copied."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, is_number in zip(head, numbers, strict=True):
        table.add_column(title, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, width=10_000)
    console.print(table, crop=False, soft_wrap=True)


def _padded(cell: str, width: int, is_number: bool) -> str:
    gap = " " * (width - _cells(cell))
    return gap + cell if is_number else cell + gap


def _cells(text: str) -> int:
    """Count the cells that a text takes on a terminal: a Chinese character takes two."""
    from rich.cells import cell_len

    return cell_len(text)
