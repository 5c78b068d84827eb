"""Puts what was used into the ledger, beside the requests: they never wait for the database."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from emblem.accounts import Use
from emblem.errors import EmblemError, LedgerUnavailable
from emblem.ledger.tidying import Tidier, Tidy
from emblem.ports import UsageBook

log = logging.getLogger(__name__)

INTERVAL_S = 0.5  # between two writings: what kill -9 costs at most, with the time of one writing
BATCH = 500  # records of one transaction; so many are written at once, without waiting
ROOM = 100_000  # records that wait while the database is away, about 50 MB
TOUCH_S = 5.0  # between two writings of when keys were last used
CLOSE_S = 10.0  # how long an end waits for a database that is away
END_S = 2.0  # beyond that, for a question that the database has not answered
COMPLAINT_S = 60.0


@dataclass(frozen=True, slots=True)
class Chores:
    """What is done besides; each may raise EmblemError and is tried again.

    ``touch`` writes when keys were last used, in the thread that writes. ``tidy`` sees to sums and
    retention, as of a time of the epoch, in another, for it may take long; see ``tidying``.
    """

    touch: Callable[[], None] = lambda: None
    tidy: Tidy = lambda *_: None


class Recorder:
    """Takes a ``Use`` for each request and has them written, in order, by a thread of its own.

    Records wait in memory while the database is away, ``room`` of them and the batch in hand; then
    the oldest are given up, counted in ``lost`` and said in the log once a minute. What was taken
    is written within about a second, and by ``aclose`` in any case, so a process that is killed
    loses no more than that. The ledger knows a record by its id: none is ever there twice.
    """

    def __init__(
        self,
        book: UsageBook,
        chores: Chores | None = None,
        *,
        room: int = ROOM,
        interval_s: float = INTERVAL_S,
        close_s: float = CLOSE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._chores = chores or Chores()
        self._room = room
        self._interval_s = interval_s
        self._close_s = close_s
        self._queue: deque[Use] = deque()
        self._held: list[Use] = []  # the batch that is being written, until it is
        self._overflowed = 0  # counted by whoever records
        self._given_up = 0  # counted by the thread
        self._said_lost = 0
        self._said_at = -COMPLAINT_S
        self._touched = time.monotonic()
        self._ends_at = 0.0
        self._ended = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emblem-usage", daemon=True)
        self._thread.start()
        self._tidier = Tidier(self._chores.tidy, clock)

    @property
    def lost(self) -> int:
        """How many records could not be kept since the start."""
        return self._overflowed + self._given_up

    @property
    def waiting(self) -> int:
        """How many records are not written yet."""
        return len(self._queue) + len(self._held)

    def record(self, use: Use) -> None:
        """Take a record; after the end it is lost. Never waits and never raises.

        For one thread: the event loop's.
        """
        if self._ended:
            self._overflowed += 1
            return
        queue = self._queue
        queue.append(use)
        waiting = len(queue)
        if waiting >= BATCH and not self._wake.is_set():
            self._wake.set()
        if waiting > self._room:
            with suppress(IndexError):  # the thread has taken them meanwhile
                queue.popleft()
                self._overflowed += 1

    async def aclose(self) -> None:
        """Write everything, or give up after ``close_s`` where the database is away or stuck."""
        self._ends_at = time.monotonic() + self._close_s
        self._tidier.stop()
        self._closing.set()
        self._wake.set()
        await asyncio.to_thread(self._join)
        self._ended = True
        if not self._thread.is_alive():  # what came after its last look is written by nobody
            self._overflowed += len(self._queue)
            self._queue.clear()

    def _join(self) -> None:
        """Wait for the threads, but not for a database that never answers."""
        self._thread.join(self._close_s + END_S)
        if self._thread.is_alive():
            log.error("usage: %d records were not written before the end", self.waiting)
        self._tidier.join(max(0.0, self._ends_at - time.monotonic()))

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._interval_s)
            self._wake.clear()
            if not self._turn():  # more records are no reason to ask a database that is away
                self._closing.wait(self._interval_s)
        self._finish()

    def _turn(self) -> bool:
        """Write what waits, then see to the chores; false where the database is away."""
        try:
            self._write_until_below(BATCH)
            self._do_chores()
        except EmblemError as error:
            self._complain(error)
            return False
        except Exception:  # the thread must go on: nobody would notice its end
            log.exception("usage is not recorded as it should be")
        if self.lost > self._said_lost:
            self._complain(None)
        return True

    def _write_until_below(self, left: int) -> None:
        """Write batch after batch until fewer than that wait. Raises what the book raises.

        While requests come there is always one more: what is no full batch waits for others.
        """
        while self.waiting:
            self._write_batch()
            if self.waiting < left:
                return

    def _write_batch(self) -> None:
        self._take()
        try:
            self._given_up += self._book.add(self._held)
        except LedgerUnavailable:
            raise
        except Exception:  # noqa: BLE001 - the fault of one, which would come again for ever
            self._write_singly()
        self._held = []

    def _write_singly(self) -> None:
        """Write what is in hand one by one, and give up those that cannot be written."""
        while self._held:
            try:
                self._given_up += self._book.add(self._held[:1])
            except LedgerUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                self._given_up += 1
                log.error(  # noqa: TRY400 - its trace may hold what a request said
                    "a record of usage cannot be written: %s: %s", type(error).__name__, error
                )
            del self._held[0]

    def _take(self) -> None:
        """Fill the batch, behind what could not be written before."""
        while len(self._held) < BATCH:
            try:
                self._held.append(self._queue.popleft())
            except IndexError:
                return

    def _do_chores(self) -> None:
        now = time.monotonic()
        if now - self._touched >= TOUCH_S:
            self._touched = now
            self._chores.touch()

    def _complain(self, error: EmblemError | None) -> None:
        """Say once a minute that records wait, or that some were lost."""
        now = time.monotonic()
        if now - self._said_at < COMPLAINT_S:
            return
        self._said_at = now
        lost, self._said_lost = self.lost - self._said_lost, self.lost
        log.error(
            "usage: %d records wait to be written, %d were lost since this was last said%s",
            self.waiting,
            lost,
            f": {error}" if error else "",
        )

    def _finish(self) -> None:
        """Write the rest, with a little patience."""
        while True:
            try:
                self._write_until_below(1)
                self._chores.touch()
            except EmblemError as error:
                failed = str(error)
            except Exception:  # the batch is given up; the rest need not be
                failed = "see above"
                log.exception("usage is not recorded as it should be")
            else:
                return
            if time.monotonic() >= self._ends_at:
                break
            time.sleep(self._interval_s)
        left = len(self._held)
        self._held = []
        with suppress(IndexError):  # one by one, for more may come meanwhile
            while True:
                self._queue.popleft()
                left += 1
        self._given_up += left
        log.error("usage: %d records were not written before the end: %s", left, failed)
