"""Admission: whether work is taken in, decided from what is queued already."""

from math import inf

from emblem.types import value


@value()
class Load:
    """Predicted work: seconds on the device, and bytes held until it is done."""

    seconds: float = 0.0
    bytes: int = 0


def hopeless(asked: Load, seconds_left: float) -> bool:
    """Tell whether work would not be done in time even if nothing else waited.

    What is late already is not for this to judge.
    """
    return asked.seconds > seconds_left > 0


def learned(before: float, observed: float) -> float:
    """Give a model's speed, in seconds for a token, after one more observation.

    It counts for a tenth, and as ten times slower at most: one slow row, or one during which the
    whole machine stood still, must not look like a slow machine.
    """
    return before + 0.1 * (min(observed, 10 * before) - before)


class Pace:
    """How long rows take, learned from those that ran. Used under one lock.

    A row with few tokens takes longer for each, so what a queue of work will take is learned from
    rows that are at least half full, once there are any, and what a row takes from those of about
    its size. ``guess`` is the first guess of the seconds for a token.
    """

    def __init__(self, row_tokens: int, guess: float) -> None:
        self._row_tokens = row_tokens
        self._guess = guess
        self._any = guess
        self._full: float | None = None
        self._by_size: dict[int, float] = {}  # by the next power of two

    @property
    def seconds_per_token(self) -> float:
        """Seconds that a token of much work takes."""
        return self._any if self._full is None else self._full

    def row_seconds(self, tokens: int) -> float:
        """Predict what a row takes."""
        return tokens * self._by_size.get((tokens - 1).bit_length(), self.seconds_per_token)

    def learn(self, tokens: int, seconds: float) -> None:
        """Note what a row took."""
        observed = seconds / tokens
        self._any = learned(self._any, observed)
        if 2 * tokens >= self._row_tokens:
            before = self._any if self._full is None else self._full
            self._full = learned(before, observed)
        size = (tokens - 1).bit_length()
        known = self._by_size.get(size)
        if known is None:
            known = min(observed, 10 * self.seconds_per_token)
        self._by_size[size] = learned(known, observed)

    def doubt(self) -> None:
        """Move a little towards the guess where that is faster."""
        self._any = learned(self._any, min(self._any, self._guess))
        if self._full is not None:
            self._full = learned(self._full, min(self._full, self._guess))


@value()
class Demand:
    """What is asked for of one bound, in its unit, beside what waits.

    ``own`` is what waits of the share that asks, and ``shares`` how many wait, itself included.
    """

    asked: float
    own: float
    total: float
    shares: int

    def fits(self, bound: float, ceiling: float = inf) -> bool:
        """Tell whether there is room: within the bound for all, or in the share's part of it.

        So nobody is refused for what others have put in. Beyond ``ceiling`` nothing fits; without
        one, n shares have at most 1 + 1/2 + ... + 1/n times the bound waiting.
        """
        held = self.total + self.asked
        part = bound / max(1, self.shares)
        return held <= bound or (self.own + self.asked <= part and held <= ceiling)


def admitted(
    seconds: Demand, size: Demand, *, max_seconds: float, max_bytes: int, empty: bool
) -> bool:
    """Tell whether work is taken in. ``size`` is in bytes.

    Of the bytes half is for all, and the other half only for shares that have less than their part
    of the first; more than ``max_bytes`` is never held, but for what an empty queue takes in: anything
    that keeps the contract's own limits.
    """
    return empty or (seconds.fits(max_seconds) and size.fits(max_bytes / 2, max_bytes))
