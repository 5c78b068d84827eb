"""The queue between the event loop, which puts requests in, and the streams, which take rows out."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from emblem.core.admit import Load, Pace, admitted, hopeless
from emblem.core.pack import INTERACTIVE_S_PER_BULK_S, bounded, lane_to_run, split
from emblem.engine.lane import HeldBytes, Job, LaneJobs, Share, resolve
from emblem.errors import DeadlineExceeded, DeploymentFailed, EmblemError, Overloaded
from emblem.types import Lane, Queued, Work

__all__ = ["HeldBytes", "Job", "Queue", "QueueLimits", "Share"]

# The first guess of a model's speed; the rows it runs correct it.
INITIAL_SECONDS_PER_TOKEN = 2.5e-4

# So long after an interactive request, bulk rows are bounded in time for the sake of the next.
INTERACTIVE_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much work may wait: predicted seconds in each lane, bytes in each lane.

    Queues with the same limits share the bytes: all of them together are bounded. Of what is full a
    share still gets its part; see ``core.admit``.
    """

    interactive_s: float = 1.0
    bulk_s: float = 120.0
    max_bytes: int = 1 << 30
    held: HeldBytes = field(default_factory=HeldBytes, compare=False)

    def seconds(self, lane: Lane) -> float:
        """Give the bound of a lane."""
        return self.interactive_s if lane is Lane.INTERACTIVE else self.bulk_s


class Queue:
    """Two lanes of requests. Every method may be called from any thread.

    None takes longer for what waits. ``clock`` is the monotonic clock, in seconds. ``weights`` gives
    how many times the tokens of others a share is to get where it waits beside them. ``streams``
    threads take rows, and one more may take what would wait until all of them have run bulk.
    """

    def __init__(
        self,
        name: str,
        row_tokens: int,
        limits: QueueLimits,
        clock: Callable[[], float],
        weights: Callable[[str], float] = lambda _: 1.0,
        *,
        streams: int = 1,
    ) -> None:
        self._name = name
        self._row_tokens = row_tokens
        self._limits = limits
        self._clock = clock
        self._lanes = {lane: LaneJobs(lane, limits.held, weights) for lane in Lane}
        self._interactive, self._bulk = self._lanes[Lane.INTERACTIVE], self._lanes[Lane.BULK]
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._overtaking = threading.Condition(self._lock)
        self._streams = streams
        self._idle = 0  # streams that wait for work
        self._on_bulk: set[int] = set()  # the threads of those that run bulk
        self._bulk_owed_s = 0.0
        self._last_interactive = -inf
        self._pace = Pace(row_tokens, INITIAL_SECONDS_PER_TOKEN)
        self._rows_done = self._tokens_done = 0
        self._seconds_done = 0.0
        self._closed: str | None = None  # why

    def waiting(self, lane: Lane) -> Load:
        """Predict the work that waits in a lane."""
        with self._lock:
            here = self._lanes[lane]
            return Load(here.tokens * self._pace.seconds_per_token, here.bytes)

    def admit(self, lane: Lane, tokens: int, size: int = 0, *, share: str) -> None:
        """Raise Overloaded where the lane has no room for so many more tokens and bytes."""
        with self._lock:
            if self._lanes[lane].bytes == 0:
                return  # which is for what waits to bound, and here nothing does
            queued = self.waiting(lane)
            taken_in = admitted(
                self._lanes[lane].demand(share, tokens, self._pace.seconds_per_token),
                self._limits.held.demand(lane, share, size),
                max_seconds=self._limits.seconds(lane),
                max_bytes=self._limits.max_bytes,
                empty=False,
            )
        if not taken_in:
            raise Overloaded(
                f"{self._name} has {queued.seconds:.1f} s of {lane} work waiting, and all models "
                f"together {self._limits.held.of(lane) >> 20} MiB of it. Please try again later.",
                queued.seconds,
            )

    def put(self, job: Job, lane: Lane) -> None:
        """Take a request in. Raises Overloaded, or DeploymentFailed once closed."""
        with self._lock:
            if self._closed is not None:
                raise DeploymentFailed(self._closed)
            self._refuse_hopeless(job)
            self.admit(lane, job.tokens, job.bytes, share=job.waiting.share)
            self._lanes[lane].add(job)
            if lane is Lane.INTERACTIVE:
                self._last_interactive = self._clock()
            self._wake()

    def leave(self, job: Job) -> None:
        """Let nothing more of a request run: nobody waits for it."""
        with self._lock:
            for lane in self._lanes.values():
                lane.leave(job)

    def work(self) -> Work:
        """Say what waits and what has run."""
        with self._lock:
            speed = self._pace.seconds_per_token
            queued = {
                name: Queued(len(lane.jobs), lane.tokens, lane.tokens * speed)
                for name, lane in self._lanes.items()
            }
            return Work(
                queued,
                rows=self._rows_done,
                tokens=self._tokens_done,
                seconds_per_token=speed if self._rows_done else None,
                row_tokens=self._row_tokens,
                row_seconds=self._seconds_done,
            )

    def _refuse_hopeless(self, job: Job) -> None:
        """Raise Overloaded for what could not be answered in time if it were alone."""
        seconds = job.tokens * self._pace.seconds_per_token
        left = job.waiting.deadline - self._clock()
        if not hopeless(Load(seconds, job.bytes), left):
            return
        # If only such requests come, no row corrects a speed that was learned in a bad hour.
        self._pace.doubt()
        raise Overloaded(
            f"{self._name} would need about {seconds:.0f} s for this request alone, and it has to "
            f"be answered within {left:.0f} s. Send the inputs in several requests.",
            60.0,
        )

    def next_row(self) -> list[Share] | None:
        """Wait for work and take the next row out; None once the queue is closed.

        Called by the thread of a stream, whose row before has been run.
        """
        stream = threading.get_ident()
        with self._lock:
            self._on_bulk.discard(stream)
            while self._closed is None:
                lane = self._lane_to_run()
                if lane is None:
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                elif row := self._take(lane):
                    if lane is Lane.BULK:
                        self._on_bulk.add(stream)
                    if self._interactive.jobs or self._bulk.jobs:
                        # One request may fill many rows, and it woke one stream only.
                        self._wake()
                    return row
        return None

    def overtaking_row(self) -> list[Share] | None:
        """Wait until somebody waits while every stream runs bulk, and take the next row out for him.

        None once the queue is closed. Called by one thread, which is no stream's.
        """
        with self._lock:
            while self._closed is None:
                if not self._interactive.jobs or len(self._on_bulk) < self._streams:
                    self._overtaking.wait()
                elif row := self._take(Lane.INTERACTIVE):
                    return row
        return None

    def done(self, row: list[Share], seconds: float) -> None:
        """Note that a row has run, and wake whoever waited for the last part of a request.

        ``seconds`` is what the row cost: its time, shared by the streams that run beside it.
        """
        with self._lock:
            for share in row:
                share.job.remaining -= len(share.windows)
            finished = [share.job for share in row if share.job.remaining == 0]
            self.ran(_tokens(row), seconds)
        resolve(finished)

    def ran(self, tokens: int, seconds: float) -> None:
        """Note a row that has run, here or without waiting: so many tokens, above 0."""
        with self._lock:
            self._rows_done += 1
            self._tokens_done += tokens
            self._seconds_done += seconds
            self._pace.learn(tokens, seconds)

    def fail(self, row: list[Share], error: EmblemError) -> None:
        """Give up the requests that had a part in a row, and no others."""
        for share in row:
            self.leave(share.job)
        resolve((share.job for share in row), error)

    def close(self, why: str) -> None:
        """Give no more rows, and fail what waits and what still comes. The first reason stays."""
        with self._lock:
            if self._closed is not None:
                return
            self._closed = why
            jobs = [job for lane in self._lanes.values() for job in lane.jobs.values()]
            for job in jobs:
                self.leave(job)
            self._changed.notify_all()
            self._overtaking.notify_all()
        resolve(jobs, DeploymentFailed(why))

    # -- the lock is held ---------------------------------------------------------------------

    def _wake(self) -> None:
        """Wake one that may take what waits."""
        (self._changed if self._idle else self._overtaking).notify()

    def _lane_to_run(self) -> Lane | None:
        """Tell whose turn it is; None where nobody waits."""
        interactive, bulk = bool(self._interactive.jobs), bool(self._bulk.jobs)
        due = interactive and bulk and self._bulk_is_due()  # it counts only where both wait
        return lane_to_run(interactive=interactive, bulk=bulk, bulk_is_due=due)

    def _take(self, lane: Lane) -> list[Share]:
        """Take the next row of a lane out, and tell those that are too late."""
        both = bool(self._interactive.jobs and self._bulk.jobs)
        row, late = self._lanes[lane].take(self._row_size(lane), self._clock())
        if late:
            resolve(late, DeadlineExceeded("The request was not answered in time."))
        if not both:
            self._bulk_owed_s = 0.0
        elif row:
            seconds = self._pace.row_seconds(_tokens(row))
            owed = -seconds if lane is Lane.BULK else seconds / INTERACTIVE_S_PER_BULK_S
            self._bulk_owed_s += owed
        return row

    def _row_size(self, lane: Lane) -> int:
        """Give the tokens of the next row of a lane."""
        tokens = split(self._row_tokens, self._lanes[lane].tokens, self._idle)
        if lane is Lane.BULK and self._clock() < self._last_interactive + INTERACTIVE_AGAIN_S:
            return bounded(tokens, self._pace.seconds_per_token)
        return tokens

    def _bulk_is_due(self) -> bool:
        """Tell whether bulk work has waited long enough for a row of its own."""
        size = self._row_size(Lane.BULK)
        return self._bulk_owed_s >= self._pace.row_seconds(size)


def _tokens(row: list[Share]) -> int:
    return sum(share.tokens for share in row)
