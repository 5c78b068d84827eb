"""Sees to hourly sums and to retention, in a thread of its own: it may take its time."""

import logging
import threading
from collections.abc import Callable

from emblem.errors import EmblemError
from emblem.ports import UsageBook

log = logging.getLogger(__name__)

TIDY_S = 60.0  # between two turns
DAY_S = 86400.0

Stop = Callable[[], bool]  # tells, between one hour and the next, that it is time to end
Tidy = Callable[[float, Stop], None]


def tidying(book: UsageBook, retention_days: int) -> Tidy:
    """Give the chore that makes hourly sums, and forgets records so old; 0 days forgets none."""

    def tidy(now: float, stop: Stop) -> None:
        book.roll_up(now, stop)
        if retention_days:
            book.prune(now - retention_days * DAY_S, stop)

    return tidy


class Tidier:
    """Tidies now and then, until it is closed. Whoever writes records never waits for it.

    ``clock`` gives seconds since the epoch.
    """

    def __init__(self, tidy: Tidy, clock: Callable[[], float]) -> None:
        self._tidy = tidy
        self._clock = clock
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emblem-tidy", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end after the hour that it is at."""
        self._closing.set()

    def join(self, timeout_s: float) -> None:
        """Wait for its end; what it leaves half done is done by the next process."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closing.wait(TIDY_S):
            try:
                self._tidy(self._clock(), self._closing.is_set)
            except EmblemError as error:
                log.warning("usage is not added up: %s", error)
            except Exception:  # the thread must go on: nobody would notice its end
                log.exception("usage is not added up as it should be")
