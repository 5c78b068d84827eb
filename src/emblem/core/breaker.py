"""Breaker: when a deployment that fails is left alone, and when one request finds out how it is."""

from dataclasses import dataclass
from enum import StrEnum
from math import inf

SLOTS = 10  # that a window is counted in


@dataclass(frozen=True, slots=True)
class Trip:
    """What opens a breaker, and for how long.

    ``in_a_row`` failures do, and so do as many as are ``rate`` of all outcomes of the last
    ``window_s`` seconds, where those are ``least`` at the least. It is open for ``open_s`` seconds,
    and for twice as long each time that it is found failing still, up to ``longest_s``.
    """

    in_a_row: int = 5
    rate: float = 0.5
    least: int = 20
    window_s: float = 30.0
    open_s: float = 5.0
    longest_s: float = 60.0


class Stance(StrEnum):
    """Whether a breaker lets requests pass: all, none, or one that finds out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Counts what became of a deployment's requests. ``now`` is in monotonic seconds.

    A request passes where ``wait_s`` is 0: ``begin`` gives it a ticket, and ``end`` or ``leave``
    takes that back. Once it is open, outcomes of requests that began before count no more.
    """

    def __init__(self, trip: Trip = Trip()) -> None:
        self._trip = trip
        self._turn = 0  # the tickets that count
        self._in_a_row = 0
        self._slots: dict[int, tuple[int, int]] = {}  # outcomes and failures, by the time
        self._openings = 0  # since it was last closed
        self._open_until = -inf
        self._probed_at: float | None = None

    def stance(self, now: float) -> Stance:
        """Tell how it stands."""
        if not self._openings:
            return Stance.CLOSED
        return Stance.OPEN if now < self._open_until else Stance.HALF_OPEN

    def wait_s(self, now: float) -> float:
        """Give the seconds until a request may pass, 0 where it may now.

        One that finds out is waited for, though not for ever.
        """
        until = self._open_until if self._openings else now
        if self._probed_at is not None:
            until = max(until, self._probed_at + self._trip.longest_s)
        return max(0.0, until - now)

    def half_open_s(self, now: float) -> float:
        """Give the seconds until one request may find out how it is, 0 where one may or does now."""
        return max(0.0, self._open_until - now) if self._openings else 0.0

    def begin(self, now: float) -> int:
        """Let a request pass and give its ticket."""
        if self._openings:
            self._turn += 1
            self._probed_at = now
        return self._turn

    def end(self, ticket: int, now: float, *, failed: bool) -> None:
        """Count what became of a request."""
        if ticket != self._turn:
            return
        if self._openings:
            self._probed_at = None
            if failed:
                self._open(now)
            else:
                self._close()
            return
        self._in_a_row = self._in_a_row + 1 if failed else 0
        self._count(now, failed=failed)
        if failed and self._too_many():
            self._open(now)

    def leave(self, ticket: int) -> None:
        """Forget a request that tells nothing of the deployment."""
        if ticket == self._turn:
            self._probed_at = None

    def _count(self, now: float, *, failed: bool) -> None:
        slot = int(now * SLOTS // self._trip.window_s)
        if slot not in self._slots:
            self._slots = {
                one: counts for one, counts in self._slots.items() if slot - SLOTS < one <= slot
            }
        outcomes, failures = self._slots.get(slot, (0, 0))
        self._slots[slot] = outcomes + 1, failures + failed

    def _too_many(self) -> bool:
        outcomes, failures = (sum(counts) for counts in zip(*self._slots.values(), strict=True))
        often = outcomes >= self._trip.least and failures >= self._trip.rate * outcomes
        return often or self._in_a_row >= self._trip.in_a_row

    def _open(self, now: float) -> None:
        longer = 2.0 ** min(self._openings, 32)
        self._open_until = now + min(self._trip.longest_s, self._trip.open_s * longer)
        self._openings += 1
        self._turn += 1

    def _close(self) -> None:
        self._openings = self._in_a_row = 0
        self._slots = {}
        self._turn += 1
