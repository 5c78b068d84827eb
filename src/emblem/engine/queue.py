"""The queue between the event loop, which puts requests in, and the streams, which take rows out."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from emblem.core.admit import Load, hopeless, learned, retry_after
from emblem.core.pack import Waiting, lane_to_run, take
from emblem.core.plan import Plan
from emblem.errors import DeadlineExceeded, DeploymentFailed, EmblemError, Overloaded
from emblem.types import Lane, Queued, Vectors, Work

log = logging.getLogger(__name__)

# The first guess of a model's speed; the rows it runs correct it.
INITIAL_SECONDS_PER_TOKEN = 2.5e-4


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


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much work may wait: predicted seconds in each lane, bytes in each lane.

    Queues with the same limits share the bytes: all of them together are bounded.
    """

    interactive_s: float = 2.0
    bulk_s: float = 120.0
    max_bytes: int = 1 << 30
    held: HeldBytes = field(default_factory=HeldBytes, compare=False)

    def seconds(self, lane: Lane) -> float:
        """Give the bound of a lane."""
        return self.interactive_s if lane is Lane.INTERACTIVE else self.bulk_s


@dataclass(slots=True, eq=False)
class Job:
    """One request in the queue. Streams fill ``vectors``, (windows, width).

    ``tokens`` counts those that wait for a row; ``remaining`` the windows that have not run yet.
    """

    plan: Plan
    waiting: Waiting
    vectors: Vectors
    bytes: int
    finished: asyncio.Future[None]
    tokens: int
    remaining: int

    def abandon(self) -> None:
        """Let nothing more of it run: nobody waits for it. From any thread."""
        self.waiting.abandoned = True

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
    """A job's part of a row: the indices of its windows, (k,), and how many tokens they have."""

    job: Job
    windows: npt.NDArray[np.intp]
    tokens: int


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
        self._jobs: dict[Lane, list[Job]] = {lane: [] for lane in Lane}
        self._changed = threading.Condition()
        self._interactive_rows = 0
        self._seconds_per_token = INITIAL_SECONDS_PER_TOKEN
        self._rows_done = self._tokens_done = 0
        self._closed: str | None = None  # why

    def waiting(self, lane: Lane) -> Load:
        """Predict the work that waits in a lane. What nobody waits for any more is no work."""
        with self._changed:
            jobs = [job for job in self._jobs[lane] if not job.waiting.abandoned]
            seconds = sum(job.tokens for job in jobs) * self._seconds_per_token
            return Load(seconds, sum(job.bytes for job in jobs))

    def admit(self, lane: Lane, tokens: int, size: int = 0) -> None:
        """Raise Overloaded where the lane has no room for so many more tokens and bytes."""
        with self._changed:
            own = sum(job.bytes for job in self._jobs[lane])
            after = retry_after(
                self.waiting(lane),
                Load(tokens * self._seconds_per_token, size),
                max_seconds=self._limits.seconds(lane),
                max_bytes=self._limits.max_bytes,
                elsewhere=self._limits.held.of(lane) - own,
            )
        if after is not None:
            raise Overloaded(
                f"{self._name} has {after:.1f} s of {lane} work waiting, and all models together "
                f"{self._limits.held.of(lane) >> 20} MiB of it. Please try again later.",
                after,
            )

    def put(self, job: Job, lane: Lane) -> None:
        """Take a request in. Raises Overloaded, or DeploymentFailed once closed."""
        with self._changed:
            if self._closed is not None:
                raise DeploymentFailed(self._closed)
            self._refuse_hopeless(job)
            self.admit(lane, job.tokens, job.bytes)
            self._jobs[lane].append(job)
            self._limits.held.add(lane, job.bytes)
            self._changed.notify()

    def work(self) -> Work:
        """Say what waits and what has run."""
        with self._changed:
            queued = {}
            for lane, jobs in self._jobs.items():
                wanted = [job for job in jobs if not job.waiting.abandoned]
                tokens = sum(job.tokens for job in wanted)
                queued[lane] = Queued(len(wanted), tokens, tokens * self._seconds_per_token)
            speed = self._seconds_per_token if self._rows_done else None
            return Work(queued, self._rows_done, self._tokens_done, speed)

    def _refuse_hopeless(self, job: Job) -> None:
        """Raise Overloaded for what could not be answered in time if it were alone."""
        seconds = job.tokens * self._seconds_per_token
        left = job.waiting.deadline - self._clock()
        if not hopeless(Load(seconds, job.bytes), left):
            return
        # If only such requests come, no row corrects a speed that was learned in a bad hour.
        guess = min(self._seconds_per_token, INITIAL_SECONDS_PER_TOKEN)
        self._seconds_per_token = learned(self._seconds_per_token, guess)
        raise Overloaded(
            f"{self._name} would need about {seconds:.0f} s for this request alone, and it has to "
            f"be answered within {left:.0f} s. Send the inputs in several requests.",
            60.0,
        )

    def next_row(self) -> list[Share] | None:
        """Wait for work and take the next row out; None once the queue is closed."""
        with self._changed:
            while self._closed is None:
                lane = lane_to_run(
                    interactive=len(self._jobs[Lane.INTERACTIVE]),
                    bulk=len(self._jobs[Lane.BULK]),
                    interactive_rows=self._interactive_rows,
                )
                if lane is None:
                    self._changed.wait()
                elif row := self._take(lane):
                    self._interactive_rows = 0 if lane is Lane.BULK else self._interactive_rows + 1
                    if any(self._jobs.values()):
                        # One request may fill many rows, and it woke one stream only.
                        self._changed.notify()
                    return row
        return None

    def done(self, row: list[Share], seconds: float) -> None:
        """Note that a row has run, and wake whoever waited for the last part of a request.

        ``seconds`` is what the row cost: its time, shared by the streams that run beside it.
        """
        with self._changed:
            for share in row:
                share.job.remaining -= len(share.windows)
            finished = [share.job for share in row if share.job.remaining == 0]
            tokens = sum(share.tokens for share in row)
            self._rows_done += 1
            self._tokens_done += tokens
            observed = seconds / tokens
            self._seconds_per_token = learned(self._seconds_per_token, observed)
        for job in finished:
            job.resolve()

    def ran(self, tokens: int, seconds: float) -> None:
        """Note a row that has run without waiting here: so many tokens, above 0."""
        with self._changed:
            self._rows_done += 1
            self._tokens_done += tokens
            self._seconds_per_token = learned(self._seconds_per_token, seconds / tokens)

    def fail(self, row: list[Share], error: EmblemError) -> None:
        """Give up the requests that had a part in a row, and no others."""
        for share in row:
            share.job.abandon()
            share.job.resolve(error)

    def close(self, why: str) -> None:
        """Give no more rows, and fail what waits and what still comes. The first reason stays."""
        with self._changed:
            if self._closed is not None:
                return
            self._closed = why
            jobs = [job for lane in self._jobs.values() for job in lane]
            for lane in Lane:
                self._keep(lane, [])
            self._changed.notify_all()
        for job in jobs:
            job.resolve(DeploymentFailed(why))

    def _take(self, lane: Lane) -> list[Share]:
        """Act on what ``core.pack.take`` decides. The lock is held."""
        jobs = self._jobs[lane]
        taken = take([job.waiting for job in jobs], self._row_tokens, self._clock())
        row = [_share(jobs[place], first, last) for place, first, last in taken.picks]
        for place in taken.expired:
            jobs[place].resolve(DeadlineExceeded("The request was not answered in time."))
        gone = {*taken.dropped, *taken.expired}
        left = [
            job
            for place, job in enumerate(jobs)
            if place not in gone and job.waiting.first < job.waiting.last
        ]
        if row and left and left[0] is row[0].job:
            # Whoever began this row is the last to begin another.
            left.append(left.pop(0))
        self._keep(lane, left)
        return row

    def _keep(self, lane: Lane, left: list[Job]) -> None:
        """Let go of all others that wait in a lane. The lock is held."""
        freed = sum(job.bytes for job in self._jobs[lane]) - sum(job.bytes for job in left)
        self._limits.held.add(lane, -freed)
        self._jobs[lane] = left


def _share(job: Job, first: int, last: int) -> Share:
    """Take the windows out that lie before ``first`` and from ``last`` on."""
    waiting = job.waiting
    front, back = slice(waiting.first, first), slice(last, waiting.last)
    windows = np.concatenate([waiting.order[front], waiting.order[back]])
    tokens = int(waiting.lengths[front].sum() + waiting.lengths[back].sum())
    waiting.first, waiting.last = first, last
    job.tokens -= tokens
    return Share(job, windows, tokens)
