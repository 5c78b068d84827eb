"""The access log: a line for each request, written for all of one turn of the event loop at once.

A line by itself takes longer to make and to write than many a request takes to answer: writing lets
go of the interpreter's lock, and then waits for it.
"""

import asyncio
import logging
import time
from functools import lru_cache

access = logging.getLogger("emblem.access")


class Lines:
    """Lines of one record, each with its time in seconds of the epoch."""

    __slots__ = ("lines",)

    def __init__(self, lines: list[tuple[float, str]]) -> None:
        self.lines = lines

    def __str__(self) -> str:
        """Give them without their times."""
        return "\n".join([line for _, line in self.lines])


class LineFormatter(logging.Formatter):
    """Formats a record as ``logging`` does; one of several lines as if each were its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the text of a record."""
        if not isinstance(record.msg, Lines):
            return super().format(record)
        behind = f" {record.levelname} {record.name}: "
        return "\n".join([f"{_shown(when)}{behind}{line}" for when, line in record.msg.lines])


class AccessLog:
    """Takes lines and writes them when the event loop has its next turn. Used on one loop."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, str]] = []

    @property
    def enabled(self) -> bool:
        """Tell whether anybody wants them."""
        return access.isEnabledFor(logging.INFO)

    def add(self, line: str) -> None:
        """Write a line soon."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append((time.time(), line))

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        # They were wanted when they came, and nobody asks where in the code that was.
        access.handle(access.makeRecord(access.name, logging.INFO, "", 0, Lines(lines), (), None))


def _shown(when: float) -> str:
    """Write a time as ``logging`` does."""
    second, milliseconds = divmod(int(1000 * when), 1000)
    return f"{_to_the_second(second)},{milliseconds:03d}"


@lru_cache(4)
def _to_the_second(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
