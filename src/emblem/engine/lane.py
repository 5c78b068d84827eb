"""What waits in one lane of a queue, and how much of it there is."""

import asyncio
import logging
import threading
from dataclasses import dataclass

from emblem.core.pack import Line, Part, Waiting
from emblem.core.plan import Plan
from emblem.errors import EmblemError
from emblem.types import Lane, Vectors

log = logging.getLogger(__name__)


class HeldBytes:
    """The bytes of work that waits in several queues, by lane. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = dict.fromkeys(Lane, 0)

    def of(self, lane: Lane) -> int:
        """Give the bytes that wait in that lane of all queues."""
        with self._lock:
            return self._held[lane]

    def add(self, lane: Lane, size: int) -> None:
        """Count so many more bytes, or fewer."""
        with self._lock:
            self._held[lane] += size


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

    def resolve(self, error: EmblemError | None = None) -> None:
        """Wake whoever waits. From any thread."""
        try:
            self.finished.get_loop().call_soon_threadsafe(self._resolve, error)
        except RuntimeError:  # the loop has closed: nobody waits
            log.debug("a result came after its event loop had closed")

    def _resolve(self, error: EmblemError | None) -> None:
        if self.finished.done():
            return
        if error is None:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """A job's part of a row: the indices of its windows, and how many tokens they have."""

    job: Job
    windows: list[int]
    tokens: int


class LaneJobs:
    """What waits in one lane. Used under the lock of its queue."""

    def __init__(self, lane: Lane, held: HeldBytes) -> None:
        self.lane = lane
        self.jobs: dict[Waiting, Job] = {}
        self.line = Line()
        self.tokens = self.bytes = 0
        self._held = held

    def add(self, job: Job) -> None:
        """Let a request wait."""
        self.jobs[job.waiting] = job
        self.line.add(job.waiting)
        self.tokens += job.tokens
        self._hold(job.bytes)

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
        self.tokens -= part.tokens
        if not part.waiting.sizes:
            self._gone(part.waiting)
        return Share(job, part.indices, part.tokens)

    def _gone(self, waiting: Waiting) -> Job:
        job = self.jobs.pop(waiting)
        self.tokens -= job.tokens
        self._hold(-job.bytes)
        return job

    def _hold(self, size: int) -> None:
        self.bytes += size
        self._held.add(self.lane, size)
