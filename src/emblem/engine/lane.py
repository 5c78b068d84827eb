"""What waits in one lane of a queue, and how much of it there is."""

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from emblem.core.admit import Demand
from emblem.core.pack import Line, Part, Waiting
from emblem.core.plan import Plan
from emblem.errors import EmblemError
from emblem.types import Lane, Vectors, value

log = logging.getLogger(__name__)


class ByShare:
    """How much of something waits: of each share, and of all. Used under one lock."""

    def __init__(self) -> None:
        self.total = 0
        self._of: dict[str, int] = {}

    def add(self, share: str, size: int) -> None:
        """Count so much more, or less; a share that has nothing is forgotten."""
        self.total += size
        left = self._of.get(share, 0) + size
        if left:
            self._of[share] = left
        else:
            self._of.pop(share, None)

    def demand(self, share: str, asked: int, unit: float = 1.0) -> Demand:
        """Say what a share asks for beside what waits, of which one is so many of the bound's."""
        others = len(self._of) - (share in self._of)
        own = self._of.get(share, 0)
        return Demand(asked * unit, own * unit, self.total * unit, others + 1)


class HeldBytes:
    """The bytes of work that waits in several queues, by lane. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = {lane: ByShare() for lane in Lane}

    def of(self, lane: Lane) -> int:
        """Give the bytes that wait in that lane of all queues."""
        with self._lock:
            return self._held[lane].total

    def demand(self, lane: Lane, share: str, asked: int) -> Demand:
        """Say what a share asks for beside what waits in that lane of all queues."""
        with self._lock:
            return self._held[lane].demand(share, asked)

    def add(self, lane: Lane, share: str, size: int) -> None:
        """Count so many more bytes of a share, or fewer."""
        with self._lock:
            self._held[lane].add(share, size)


@dataclass(slots=True, eq=False)
class Job:
    """One request in the queue. Streams fill ``vectors``, (windows, width).

    ``tokens`` counts those that wait for a row; ``remaining`` the windows that have not run yet.
    Both change under the queue's lock.
    """

    plan: Plan
    waiting: Waiting
    vectors: Vectors
    bytes: int
    finished: asyncio.Future[None]
    tokens: int
    remaining: int

    def end(self, error: EmblemError | None) -> None:
        """Tell whoever waits, if nobody has. On the event loop of ``finished``."""
        if self.finished.done():
            return
        if error is None:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)


def resolve(jobs: Iterable[Job], error: EmblemError | None = None) -> None:
    """Wake whoever waits for these, each event loop once. From any thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = defaultdict(list)
    for job in jobs:
        by_loop[job.finished.get_loop()].append(job)
    for loop, its in by_loop.items():
        try:
            loop.call_soon_threadsafe(_end, its, error)
        except RuntimeError:  # the loop has closed: nobody waits
            log.debug("a result came after its event loop had closed")


def _end(jobs: list[Job], error: EmblemError | None) -> None:
    for job in jobs:
        job.end(error)


@value(eq=False)
class Share:
    """A job's part of a row: the indices of its windows, how many tokens they have, and its lane."""

    job: Job
    windows: list[int]
    tokens: int
    lane: Lane


class LaneJobs:
    """What waits in one lane. Used under the lock of its queue."""

    def __init__(self, lane: Lane, held: HeldBytes, weights: Callable[[str], float]) -> None:
        self.lane = lane
        self.jobs: dict[Waiting, Job] = {}
        self.line = Line(weights)
        self.bytes = 0
        self._waiting = ByShare()  # tokens
        self._held = held

    @property
    def tokens(self) -> int:
        """How many tokens wait."""
        return self._waiting.total

    def demand(self, share: str, tokens: int, seconds_per_token: float) -> Demand:
        """Say for how many seconds' work a share asks, beside what waits."""
        return self._waiting.demand(share, tokens, seconds_per_token)

    def add(self, job: Job) -> None:
        """Let a request wait."""
        self.jobs[job.waiting] = job
        self.line.add(job.waiting)
        self._waiting.add(job.waiting.share, job.tokens)
        self._hold(job.waiting.share, job.bytes)

    def leave(self, job: Job) -> None:
        """Let a request go that nobody waits for any more, if it waits here."""
        if job.waiting in self.jobs:
            self.line.remove(job.waiting)
            self._gone(job.waiting)

    def take(self, row_tokens: int, now: float) -> tuple[list[Share], list[Job]]:
        """Take the next row out, and the requests that are too late."""
        taken = self.line.take(row_tokens, now)
        row = [self._share(part) for part in taken.parts]
        return row, [self._gone(late) for late in taken.expired]

    def _share(self, part: Part) -> Share:
        job = self.jobs[part.waiting]
        job.tokens -= part.tokens
        self._waiting.add(part.waiting.share, -part.tokens)
        if not part.waiting.sizes:
            self._gone(part.waiting)
        return Share(job, part.indices, part.tokens, self.lane)

    def _gone(self, waiting: Waiting) -> Job:
        job = self.jobs.pop(waiting)
        self._waiting.add(waiting.share, -job.tokens)
        self._hold(waiting.share, -job.bytes)
        return job

    def _hold(self, share: str, size: int) -> None:
        self.bytes += size
        self._held.add(self.lane, share, size)
