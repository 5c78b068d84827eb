"""What the processes of a server tell one another: a few numbers in memory that they share."""

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from emblem.process import Process

MOST_DEATHS, WITHIN_S = 5, 60.0  # beyond which no dead process is replaced any more


@dataclass(frozen=True, slots=True)
class Board:
    """For each place the process that answers in it, 0 for none; and who is about to leave.

    Made by the parent. Every number is written by one process at a time and read at any time.
    """

    count: int
    shared: Path | None = None
    answering: Any = field(init=False)  # process ids
    leaving: Any = field(init=False)  # the id of the process that is to take nobody in any more
    failure: Any = field(init=False)  # the exit code of a process that said why it cannot start
    greeted: Any = field(init=False)  # 1 once one has said what a newcomer needs

    def __post_init__(self) -> None:
        object.__setattr__(self, "answering", multiprocessing.RawArray("q", self.count))
        object.__setattr__(self, "leaving", multiprocessing.RawValue("q", 0))
        object.__setattr__(self, "failure", multiprocessing.RawValue("i", 0))
        object.__setattr__(self, "greeted", multiprocessing.RawValue("i", 0))

    @property
    def complete(self) -> bool:
        """Tell whether every place has a process that answers."""
        return all(self.answering)

    def answers(self, place: int) -> None:
        """Have it known that this process answers now."""
        self.answering[place] = os.getpid()

    def is_leaving(self) -> bool:
        """Tell whether this process is about to leave."""
        return bool(self.leaving.value == os.getpid())

    def process(self, place: int) -> Process:
        """Say which process this is, from the place that it has."""
        problems = partial(self.missing, but=place)
        return Process(place + 1, self.count, problems, self.shared)

    def missing(self, *, but: int) -> list[str]:
        """Say which processes do not answer, other than the one in a place."""
        return [
            f"process {place + 1} of {self.count} does not answer yet"
            for place, process in enumerate(self.answering)
            if not process and place != but
        ]


def worth_replacing(deaths: Sequence[float], now: float) -> bool:
    """Decide whether a process that died is to be replaced, by when others did, all in seconds.

    One that dies again and again has a reason that another start does not mend.
    """
    return sum(now - then < WITHIN_S for then in deaths) <= MOST_DEATHS
