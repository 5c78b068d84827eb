"""How far a download has come, told to whoever shows it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

_INTERVAL_S = 0.2


class Progress(Protocol):
    """Called now and then while an asset is fetched, also from a thread of its own.

    The last call for a description has ``done_bytes`` equal to ``total_bytes`` where all went well.
    """

    def __call__(self, description: str, done_bytes: int, total_bytes: int | None) -> None:
        """Take note of so many bytes done of so many, None where nobody knows."""
        ...


def silent(description: str, done_bytes: int, total_bytes: int | None) -> None:
    """Show nothing."""
    del description, done_bytes, total_bytes


@contextmanager
def watching(
    folder: Path, progress: Progress, description: str, total_bytes: int | None
) -> Iterator[None]:
    """Report the bytes that arrive below a folder while somebody else writes them there."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_INTERVAL_S):
            size = _size(folder)
            progress(description, min(size, total_bytes or size), total_bytes)

    progress(description, 0, total_bytes)
    watcher = threading.Thread(target=watch, name="emblem-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress(description, total_bytes or _size(folder), total_bytes)


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; files and folders that go away meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):  # which passes over what it cannot open
        for name in names:
            with suppress(OSError):
                total += (Path(parent) / name).stat().st_size
    return total
