"""The queue between the event loop, which puts requests in, and the streams, which take rows out."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from emblem.core.admit import Load, retry_after
from emblem.core.pack import Waiting, lane_to_run, take
from emblem.core.plan import Plan
from emblem.errors import DeadlineExceeded, DeploymentFailed, EmblemError, Overloaded
from emblem.types import Lane, Vectors

log = logging.getLogger(__name__)

# The first guess of a model's speed; the rows it runs correct it.
INITIAL_SECONDS_PER_TOKEN = 2.5e-4


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much work may wait: predicted seconds in each lane, bytes in each lane."""

    interactive_s: float = 2.0
    bulk_s: float = 120.0
    max_bytes: int = 1 << 30

    def seconds(self, lane: Lane) -> float:
        """Give the bound of a lane."""
        return self.interactive_s if lane is Lane.INTERACTIVE else self.bulk_s


@dataclass(slots=True, eq=False)
class Job:
    """One request in the queue. Streams fill ``vectors``, (windows, width)."""

    plan: Plan
    waiting: Waiting
    vectors: Vectors
    bytes: int
    finished: asyncio.Future[None]
    remaining: int

    def resolve(self, error: EmblemError | None = None) -> None:
        """Wake whoever waits, from any thread."""
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
    """A job's part of a row: the indices of its windows, (k,)."""

    job: Job
    windows: npt.NDArray[np.intp]


@dataclass(slots=True, eq=False)
class _LaneQueue:
    jobs: list[Job] = field(default_factory=list)
    tokens: int = 0
    bytes: int = 0


class Queue:
    """Two lanes of requests. Every method may be called from any thread.

    ``clock`` is the monotonic clock, in seconds.
    """

    def __init__(
        self, name: str, row_tokens: int, limits: QueueLimits, clock: Callable[[], float]
    ) -> None:
        self._name = name
        self._row_tokens = row_tokens
        self._limits = limits
        self._clock = clock
        self._lanes = {lane: _LaneQueue() for lane in Lane}
        self._changed = threading.Condition()
        self._interactive_rows = 0
        self._seconds_per_token = INITIAL_SECONDS_PER_TOKEN
        self._closed = False

    def admit(self, lane: Lane, tokens: int, size: int = 0) -> None:
        """Raise Overloaded where the lane has no room for so many more tokens and bytes."""
        queued = self._lanes[lane]
        after = retry_after(
            Load(queued.tokens * self._seconds_per_token, queued.bytes),
            Load(tokens * self._seconds_per_token, size),
            max_seconds=self._limits.seconds(lane),
            max_bytes=self._limits.max_bytes,
        )
        if after is not None:
            raise Overloaded(
                f"{self._name} has {after:.1f} s of {lane} work waiting. Please try again later.",
                after,
            )

    def put(self, job: Job, lane: Lane) -> None:
        """Take a request in. Raises Overloaded, or DeploymentFailed once closed."""
        tokens = int(job.waiting.lengths.sum())
        with self._changed:
            if self._closed:
                raise DeploymentFailed("the server is shutting down")
            self.admit(lane, tokens, job.bytes)
            queued = self._lanes[lane]
            queued.jobs.append(job)
            queued.tokens += tokens
            queued.bytes += job.bytes
            self._changed.notify()

    def next_row(self) -> list[Share] | None:
        """Wait for work and take the next row out; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                lane = lane_to_run(
                    interactive=len(self._lanes[Lane.INTERACTIVE].jobs),
                    bulk=len(self._lanes[Lane.BULK].jobs),
                    interactive_rows=self._interactive_rows,
                )
                if lane is None:
                    self._changed.wait()
                elif row := self._take(self._lanes[lane]):
                    self._interactive_rows = 0 if lane is Lane.BULK else self._interactive_rows + 1
                    return row
        return None

    def done(self, row: list[Share], seconds: float) -> None:
        """Note that a row has run, and wake whoever waited for the last part of a request."""
        tokens = 0
        with self._changed:
            for share in row:
                tokens += sum(len(share.job.plan.windows[window].ids) for window in share.windows)
                share.job.remaining -= len(share.windows)
            # A tenth of each observation: one slow row must not look like a slow machine.
            self._seconds_per_token += 0.1 * (seconds / tokens - self._seconds_per_token)
        for share in row:
            if share.job.remaining == 0:
                share.job.resolve()

    def close(self) -> None:
        """Give no more rows and fail what waits."""
        with self._changed:
            self._closed = True
            jobs = [job for lane in self._lanes.values() for job in lane.jobs]
            self._lanes = {lane: _LaneQueue() for lane in Lane}
            self._changed.notify_all()
        for job in jobs:
            job.resolve(DeploymentFailed("the server is shutting down"))

    def _take(self, lane: _LaneQueue) -> list[Share]:
        """Act on what ``core.pack.take`` decides. The lock is held."""
        jobs = lane.jobs
        taken = take([job.waiting for job in jobs], self._row_tokens, self._clock())
        row = []
        for place, first, last in taken.picks:
            waiting = jobs[place].waiting
            front, back = slice(waiting.first, first), slice(last, waiting.last)
            row.append(
                Share(jobs[place], np.concatenate([waiting.order[front], waiting.order[back]]))
            )
            lane.tokens -= int(waiting.lengths[front].sum() + waiting.lengths[back].sum())
            waiting.first, waiting.last = first, last
        for place in (*taken.dropped, *taken.expired):
            waiting = jobs[place].waiting
            lane.tokens -= int(waiting.lengths[waiting.first : waiting.last].sum())
            waiting.first = waiting.last
        for place in taken.expired:
            jobs[place].resolve(DeadlineExceeded("The request was not answered in time."))
        lane.jobs = [job for job in jobs if job.waiting.first < job.waiting.last]
        lane.bytes = sum(job.bytes for job in lane.jobs)
        if row and lane.jobs and lane.jobs[0] is row[0].job:
            # Whoever began this row is the last to begin another.
            lane.jobs.append(lane.jobs.pop(0))
        return row
