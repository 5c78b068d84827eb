"""Which of a server's processes one is. Holds data only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


def _none() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Process:
    """One of the processes that answer on a port.

    ``problems`` says which of the others cannot answer, and ``shared`` is a folder where they lay
    what they have counted; None where there is but one.
    """

    number: int = 1
    count: int = 1
    problems: Callable[[], Sequence[str]] = _none
    shared: Path | None = None


ALONE = Process()
