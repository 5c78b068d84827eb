"""A bar for what is being downloaded, on a terminal; silence anywhere else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from emblem.models.progress import Progress as Report


@contextmanager
def bars() -> Iterator[Report | None]:
    """Give a function that draws one bar for each description, or None without a terminal.

    They are drawn on stderr, so that stdout stays clean, and what arrived whole leaves one line.
    Any thread may report.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}
        arrived: set[str] = set()

        def report(description: str, done_bytes: int, total_bytes: int | None) -> None:
            if description not in tasks:
                tasks[description] = progress.add_task(description, total=total_bytes)
            progress.update(tasks[description], completed=done_bytes, total=total_bytes)
            if done_bytes and done_bytes == total_bytes and description not in arrived:
                arrived.add(description)
                line = f"{description}: {done_bytes / 1e6:.1f} MB"
                progress.console.print(line, markup=False, highlight=False)

        yield report
