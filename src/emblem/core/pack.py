"""Packing: which waiting sequences form the next row. Decides only; the engine acts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from emblem.types import Lane

# How many requests a row is gathered from at most, so that a long queue costs no more than a short.
MAX_LOOK = 64

# A bulk row runs after so many interactive ones, so that neither lane starves.
INTERACTIVE_ROWS_PER_BULK_ROW = 8


@dataclass(slots=True, eq=False)
class Waiting:
    """The sequences of one request that have not run yet.

    ``order`` lists them from longest to shortest and ``lengths`` their tokens in that order; those
    from ``first`` up to ``last`` still wait. Rows take from both ends: a long one, then short ones
    that fill what is left.
    """

    order: npt.NDArray[np.intp]
    lengths: npt.NDArray[np.intp]
    deadline: float
    first: int = 0
    last: int = 0
    abandoned: bool = False

    @classmethod
    def of(cls, lengths: npt.NDArray[np.intp], deadline: float) -> "Waiting":
        """Put the sequences of a request in order; ``lengths`` is (n,)."""
        order = np.argsort(-lengths, kind="stable")
        return cls(order, lengths[order], deadline, 0, len(lengths))


@dataclass(frozen=True, slots=True)
class Take:
    """The next row: (request's place in the queue, its new ``first``, its new ``last``) for each.

    ``dropped`` holds the places of requests that nobody waits for any more, ``expired`` of those
    whose deadline has passed.
    """

    picks: tuple[tuple[int, int, int], ...]
    dropped: tuple[int, ...]
    expired: tuple[int, ...]


def take(queue: Sequence[Waiting], row_tokens: int, now: float) -> Take:
    """Choose the next row from the head of a queue.

    The first request gives its longest sequence, however long; then each in turn, again and again,
    gives one that still fits into ``row_tokens``, so that a small request never waits for the whole
    of a large one before it.
    """
    dropped: list[int] = []
    expired: list[int] = []
    live: list[int] = []
    for place, waiting in enumerate(islice(queue, MAX_LOOK)):
        if waiting.abandoned:
            dropped.append(place)
        elif waiting.deadline <= now:
            expired.append(place)
        else:
            live.append(place)
    ends = {place: [queue[place].first, queue[place].last] for place in live}
    left = row_tokens
    for place in live[:1]:
        left -= int(queue[place].lengths[ends[place][0]])
        ends[place][0] += 1
    fitting = live
    while fitting and left > 0:
        still = []
        for place in fitting:
            used = _pick(queue[place], ends[place], left)
            if used:
                left -= used
                still.append(place)
        fitting = still
    picks = tuple(
        (place, first, last)
        for place, (first, last) in ends.items()
        if (first, last) != (queue[place].first, queue[place].last)
    )
    return Take(picks, tuple(dropped), tuple(expired))


def _pick(waiting: Waiting, ends: list[int], left: int) -> int:
    """Take the longest that fits from the front, or else the shortest from the back."""
    first, last = ends
    if first >= last:
        return 0
    if (longest := int(waiting.lengths[first])) <= left:
        ends[0] = first + 1
        return longest
    if (shortest := int(waiting.lengths[last - 1])) <= left:
        ends[1] = last - 1
        return shortest
    return 0


def lane_to_run(*, interactive: int, bulk: int, interactive_rows: int) -> Lane | None:
    """Choose whose turn it is, from how many requests wait in each lane; None where none waits.

    ``interactive_rows`` counts the interactive rows since the last bulk row.
    """
    if bulk and (not interactive or interactive_rows >= INTERACTIVE_ROWS_PER_BULK_ROW):
        return Lane.BULK
    return Lane.INTERACTIVE if interactive else None
