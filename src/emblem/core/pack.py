"""Packing: which waiting sequences form the next row, and whose turn it is. The engine acts on it.

Turns are counted in tokens for each share (whoever a request came from), as start-time fair
queueing does it: the share that has had the fewest goes first, and one that was away begins where
those are that stayed. Half of what a share gives goes to the request that came first, the other
half in the order in which its requests would end if all got the same part: a small one does not
wait for a large one, of two alike the first goes first, and none, however many come after it, waits
for more than twice what was there when it came.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

import numpy as np

from emblem.types import Lane, value

# How many requests of a share, and how many shares, are asked in vain for what fits into the rest of
# a row, so that a long queue costs no more than a short one.
MAX_LOOK = 32
MAX_SHARES_LOOK = 8

# Beside interactive work without end, bulk rows get a second for every so many of it.
INTERACTIVE_S_PER_BULK_S = 8

# A bulk row that somebody may have to wait for takes about so long where that is possible without
# making rows so small that they cost much more for a token.
ROW_S = 0.03
SMALLEST_PART_OF_A_ROW = 4

# Rows are not split further among idle streams: shorter ones take hardly less time.
SMALLEST_SPLIT = 16


@dataclass(slots=True, eq=False)
class Waiting:
    """The sequences of one request that are in no row yet.

    ``sizes`` are their different lengths from short to long, ``piles`` the indices of each length,
    of which the last goes first. ``tokens`` is how many there were at first, and ``turn`` is set by
    the line that it waits in.
    """

    sizes: list[int]
    piles: list[list[int]]
    tokens: int
    deadline: float = inf
    share: str = ""
    turn: tuple[float, int] = (0.0, 0)

    @classmethod
    def of(cls, sizes: Sequence[int], deadline: float, share: str = "") -> "Waiting":
        """Sort the sequences of a request, which have so many tokens each."""
        if len(sizes) == 1:
            return cls([*sizes], [[0]], sizes[0], deadline, share)
        lengths = np.array(sizes, np.intp)
        order = np.argsort(lengths, kind="stable")
        by_length = lengths[order]
        starts = [0, *(np.flatnonzero(np.diff(by_length)) + 1).tolist()]
        stops = [*starts[1:], len(lengths)]
        piles = [order[a:b][::-1].tolist() for a, b in zip(starts, stops, strict=True)]
        return cls(by_length[starts].tolist(), piles, int(lengths.sum()), deadline, share)

    def pick(self, room: float) -> tuple[int, int]:
        """Take the longest sequence out that fits: its index and length. There must be one."""
        place = bisect_right(self.sizes, room) - 1
        pile, size = self.piles[place], self.sizes[place]
        index = pile.pop()
        if not pile:
            del self.piles[place], self.sizes[place]
        return index, size


@dataclass(slots=True, eq=False)
class Part:
    """What a request gives to a row: the indices of its sequences, and how many tokens they have."""

    waiting: Waiting
    indices: list[int]
    tokens: int


@value()
class Take:
    """The next row, and the requests that were too late for it."""

    parts: tuple[Part, ...]
    expired: tuple[Waiting, ...] = ()


@dataclass(slots=True, eq=False)
class _Flow:
    """The requests of one share. ``had`` is the tokens that it got, over its weight.

    ``even`` is how many tokens a request would have had that was there from the beginning, if all
    had got the same part. ``requests`` are in the order of their turns; the last goes first.
    ``oldest_owed`` is how many tokens the request that came first is behind with its half,
    ``oldest_passed`` whether it was due and did not fit, and ``place`` the flow's in the heap.
    """

    share: str
    weight: float
    had: float
    even: float = 0.0
    added: int = 0
    oldest_owed: float = 0.0
    oldest_passed: bool = False
    place: int = 0
    requests: list[tuple[float, int, Waiting]] = field(default_factory=list)
    arrived: OrderedDict[Waiting, None] = field(default_factory=OrderedDict)

    def add(self, waiting: Waiting) -> None:
        """Give a request its turn."""
        self.added += 1
        waiting.turn = (-self.even - waiting.tokens, -self.added)
        insort(self.requests, (*waiting.turn, waiting))
        self.arrived[waiting] = None

    def remove(self, waiting: Waiting) -> None:
        """Take a request out."""
        del self.requests[bisect_left(self.requests, waiting.turn)]
        del self.arrived[waiting]

    def find(self, room: float, now: float, late: list[Waiting]) -> Waiting | None:
        """Give the request to run, of which a sequence fits, and move those that are late."""
        self.oldest_passed = False
        while self.arrived and len(late) < MAX_LOOK:
            oldest = next(iter(self.arrived))
            if oldest.deadline > now:
                break
            late.append(oldest)
            self.remove(oldest)
        if self.oldest_owed > 0 and self.arrived:
            oldest = next(iter(self.arrived))
            if oldest.sizes[0] <= room:
                return oldest
            self.oldest_passed = True
        return self._by_turn(room, now, late)

    def _by_turn(self, room: float, now: float, late: list[Waiting]) -> Waiting | None:
        found = None
        before = len(late)
        for *_, waiting in self.requests[: -MAX_LOOK - 1 : -1]:
            if waiting.deadline <= now:
                late.append(waiting)
            elif waiting.sizes[0] <= room:
                found = waiting
                break
        for waiting in late[before:]:
            self.remove(waiting)
        return found

    def pick(self, waiting: Waiting, room: float) -> tuple[int, int]:
        """Take the best sequence of a request out: its index and length."""
        index, tokens = waiting.pick(room)
        self.even += tokens / len(self.requests)
        self.had += tokens / self.weight
        if waiting is not next(iter(self.arrived)):
            self.oldest_owed += tokens / 2
        elif self.oldest_owed > 0:
            self.oldest_owed -= tokens / 2
        if not waiting.sizes:
            self.remove(waiting)
        return index, tokens


class Line:
    """Requests that wait in one lane. Used under one lock.

    ``weight`` gives how many times the tokens of others a share is to get.
    """

    def __init__(self, weight: Callable[[str], float] = lambda _: 1.0) -> None:
        self._weight = weight
        self._flows: dict[str, _Flow] = {}
        # Those with requests, emptied ones, and old places of others.
        self._heap: list[tuple[float, int, _Flow]] = []
        self._pushed = 0
        self._first: OrderedDict[_Flow, None] = OrderedDict()  # those that begin the next rows
        self._reached = 0.0  # what a share had that was the last to give
        self._away: dict[str, float] = {}  # what those had that have nothing more, and were ahead
        self._away_kept = MAX_LOOK

    def add(self, waiting: Waiting) -> None:
        """Let a request wait."""
        flow = self._flows.get(waiting.share)
        if flow is None:
            had = max(self._reached, self._away.pop(waiting.share, 0.0))
            flow = _Flow(waiting.share, self._weight(waiting.share), had)
            self._flows[waiting.share] = flow
        flow.add(waiting)
        if len(flow.requests) == 1:
            self._push(flow)

    def remove(self, waiting: Waiting) -> None:
        """Let a request that waits do so no longer."""
        flow = self._flows[waiting.share]
        flow.remove(waiting)
        if not flow.requests:
            self._end(flow)

    def take(self, row_tokens: int, now: float) -> Take:
        """Take the next row out.

        The share that has had least gives the longest sequence, however long, of the request that
        is due. Then whichever has had least gives what still fits into ``row_tokens``: the longest
        such of the first of its requests that has any. A share of which the oldest request was due
        and did not fit begins one of the next rows.
        """
        parts: dict[Waiting, Part] = {}
        late: list[Waiting] = []
        passed: list[_Flow] = []
        room: float = inf
        while room > 0 and len(passed) < MAX_SHARES_LOOK and (flow := self._pop(room)) is not None:
            found = flow.find(room, now, late)
            if flow.oldest_passed and not passed:
                self._first[flow] = None
            if found is None:
                passed.append(flow)
                continue
            self._reached = max(self._reached, flow.had)
            index, tokens = flow.pick(found, room)
            part = parts.setdefault(found, Part(found, [], 0))
            part.indices.append(index)
            part.tokens += tokens
            room = (row_tokens if room == inf else room) - tokens
            self._push(flow)
        for flow in passed:
            self._push(flow)
        return Take(tuple(parts.values()), tuple(late))

    def _push(self, flow: _Flow) -> None:
        """Put a flow where its turn is, or end it where it has nothing more."""
        if flow.requests:
            self._pushed += 1
            flow.place = self._pushed
            heappush(self._heap, (flow.had, flow.place, flow))
        else:
            self._end(flow)

    def _pop(self, room: float) -> _Flow | None:
        """Give the flow that has had least of those with requests, or one that is to begin."""
        while room == inf and self._first:
            flow, _ = self._first.popitem(last=False)
            if flow.requests:
                return flow
        while self._heap:
            _, place, flow = heappop(self._heap)
            if flow.requests and place == flow.place:
                return flow
        return None

    def _end(self, flow: _Flow) -> None:
        """Forget a share that has nothing more, but for how far it was ahead."""
        del self._flows[flow.share]
        if not self._flows:  # nobody is ahead of anybody
            self._away.clear()
            self._heap.clear()
            self._first.clear()
            self._reached = 0.0
            return
        self._away[flow.share] = flow.had
        if len(self._away) > self._away_kept:
            ahead = {share: had for share, had in self._away.items() if had > self._reached}
            self._away, self._away_kept = ahead, max(MAX_LOOK, 2 * len(ahead))


def lane_to_run(*, interactive: bool, bulk: bool, bulk_is_due: bool) -> Lane | None:
    """Choose whose turn it is, from which lanes wait; None where none does."""
    if bulk and (not interactive or bulk_is_due):
        return Lane.BULK
    return Lane.INTERACTIVE if interactive else None


def bounded(row_tokens: int, seconds_per_token: float) -> int:
    """Give the tokens of a row that may keep somebody waiting: fewer, where it would take long."""
    in_time = int(ROW_S / seconds_per_token) if seconds_per_token > 0 else row_tokens
    return max(1, row_tokens // SMALLEST_PART_OF_A_ROW, min(row_tokens, in_time))


def split(row_tokens: int, waiting_tokens: int, idle: int) -> int:
    """Give the tokens of a row where so many other streams have nothing to do."""
    return min(row_tokens, max(SMALLEST_SPLIT, -(-waiting_tokens // (idle + 1))))
