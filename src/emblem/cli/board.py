"""What the processes of a server tell one another: a few numbers in memory that they share."""

import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from emblem.process import Process

MOST_DEATHS, WITHIN_S = 5, 60.0  # beyond which no dead process is replaced any more

# A process shows that its event loop turns each MOVES_S. After SILENT_S without that the server is
# not ready; after HUNG_S nothing is to be hoped for, and the process is killed. Nothing that the
# loop does by itself takes a second, so that a busy machine alone does not make it so late.
MOVES_S, SILENT_S, HUNG_S = 1.0, 6.0, 60.0


@dataclass(frozen=True, slots=True)
class Board:
    """For each place the process that answers in it, 0 for none; and who is about to leave.

    Made by the parent. Every number is written by one process at a time and read at any time.
    Times are of the monotonic clock, which all processes of a machine share.
    """

    count: int
    shared: Path | None = None
    answering: Any = field(init=False)  # process ids
    moved: Any = field(
        init=False
    )  # when the process that answers in a place last showed that it lives
    leaving: Any = field(init=False)  # the id of the process that is to take nobody in any more
    failure: Any = field(init=False)  # the exit code of a process that said why it cannot start
    greeted: Any = field(init=False)  # 1 once one has said what a newcomer needs

    def __post_init__(self) -> None:
        object.__setattr__(self, "answering", multiprocessing.RawArray("q", self.count))
        object.__setattr__(self, "moved", multiprocessing.RawArray("d", self.count))
        object.__setattr__(self, "leaving", multiprocessing.RawValue("q", 0))
        object.__setattr__(self, "failure", multiprocessing.RawValue("i", 0))
        object.__setattr__(self, "greeted", multiprocessing.RawValue("i", 0))

    @property
    def complete(self) -> bool:
        """Tell whether every place has a process that answers."""
        return all(self.answering)

    def answers(self, place: int) -> None:
        """Have it known that this process answers now."""
        self.moved[place] = time.monotonic()
        self.answering[place] = os.getpid()

    def moves(self, place: int) -> None:
        """Have it known that this process lives, unless another has taken its place."""
        if self.answering[place] == os.getpid():
            self.moved[place] = time.monotonic()

    def is_leaving(self) -> bool:
        """Tell whether this process is about to leave."""
        return bool(self.leaving.value == os.getpid())

    def process(self, place: int) -> Process:
        """Say which process this is, from the place that it has."""
        problems = partial(self.missing, but=place)
        return Process(place + 1, self.count, problems, self.shared)

    def missing(self, *, but: int) -> list[str]:
        """Say which processes do not answer, other than the one in a place."""
        now = time.monotonic()
        return [
            f"process {place + 1} of {self.count} {said}"
            for place, process in enumerate(self.answering)
            if place != but and (said := _problem(process, now - self.moved[place]))
        ]

    def hung(self, since: float, now: float) -> list[int]:
        """Say in which places the process has not moved for too long, of the time from ``since`` on."""
        return [
            place
            for place, process in enumerate(self.answering)
            if process and now - max(since, self.moved[place]) > HUNG_S
        ]


def _problem(process: int, silent_s: float) -> str:
    if not process:
        return "does not answer yet"
    return f"has not moved for {silent_s:.0f} s" if silent_s > SILENT_S else ""


def worth_replacing(deaths: Sequence[float], now: float) -> bool:
    """Decide whether a process that died is to be replaced, by when others did, all in seconds.

    One that dies again and again has a reason that another start does not mend.
    """
    return sum(now - then < WITHIN_S for then in deaths) <= MOST_DEATHS


def watched_since(since: float, looked: float, now: float) -> float:
    """Give from when on it counts that a process does not move: not from before an interruption.

    Where whoever watches was held himself, in a container that was paused for instance, so were
    all. ``looked`` is when he last looked, ``since`` what this gave then.
    """
    return now if now - looked > HUNG_S / 2 else since
