"""What becomes of limits while Redis is away: refused, or counted by this process alone."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from emblem.accounts import Account, Charge, Grant, Spent, Standing
from emblem.core.limits import limits_of
from emblem.errors import LedgerUnavailable, LimitReached, LimitsUnavailable
from emblem.limits.memory import MEMORY
from emblem.limits.telling import Forgotten, Spending, Telling, nothing
from emblem.ports import Limiter

log = logging.getLogger(__name__)

RETRY_S = 1.0  # between two attempts to reach what was away
MAX_WHY = 200  # characters of what went wrong

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether what counts the limits answers, and what was done since the start while it did not.

    ``outages`` counts how often it went away; ``stood_in`` the charges that were counted here
    alone meanwhile, ``refused`` those that were not, and ``lost_refunds`` what was not given back.
    """

    away: bool = False
    outages: int = 0
    stood_in: int = 0
    refused: int = 0
    lost_refunds: int = 0


class OutageLimiter:
    """A limiter that may be away, with one that stands in for it or with none. On one event loop.

    Once it has not answered, it is asked again by one request each ``RETRY_S`` seconds; all others
    do not wait for it. Without ``stand_in`` they are refused with LimitsUnavailable, but for those
    of keys without limits. The log says once that it went, and once that it is back.

    ``spent`` says what the ledger has of the day and the month. ``stand_in`` is told that before it
    first stands in, and ``limiter`` before it counts again or where it has forgotten it.
    """

    def __init__(
        self,
        limiter: Limiter,
        stand_in: Limiter | None,
        where: str,
        clock: Callable[[], float] = time.monotonic,
        spent: Spending = nothing,
    ) -> None:
        self._limiter = limiter
        self._stand_in = stand_in
        self._where = where
        self._clock = clock
        self._tell = Telling(limiter, spent)
        self._tell_stand_in = Telling(limiter if stand_in is None else stand_in, spent)
        self._stand_in_told = False
        self._next_try = 0.0
        self._seen = Availability()

    @property
    def availability(self) -> Availability:
        """Say whether it answers, and what was done while it did not."""
        return self._seen

    async def charge(self, account: Account, charge: Charge) -> Grant:
        """Charge every limit of a key and its team, or none and raise LimitReached."""
        if not limits_of(account):
            return await self._limiter.charge(account, charge)
        try:
            return await self._ask(lambda: self._limiter.charge(account, charge))
        except LimitsUnavailable:
            if self._stand_in is None:
                self._seen = replace(self._seen, refused=self._seen.refused + 1)
                raise
        self._seen = replace(self._seen, stood_in=self._seen.stood_in + 1)
        return await (await self._standing_in(self._stand_in)).charge(account, charge)

    async def refund(self, grant: Grant) -> None:
        """Take a charge back from whoever counted it; where that is away now, it is lost."""
        if not grant.states:
            return
        try:
            if self._stand_in is not None and grant.counted_by == MEMORY:
                await self._stand_in.refund(grant)
            else:
                await self._ask(lambda: self._limiter.refund(grant))
        except LimitsUnavailable:
            self._seen = replace(self._seen, lost_refunds=self._seen.lost_refunds + 1)

    async def peek(self, account: Account) -> tuple[Standing, ...]:
        """Say how each limit stands now, with whoever counts."""
        if not limits_of(account):
            return ()
        try:
            return await self._ask(lambda: self._limiter.peek(account))
        except LimitsUnavailable:
            if self._stand_in is None:
                raise
        return await (await self._standing_in(self._stand_in)).peek(account)

    async def seed(self, spent: Sequence[Spent], *, now: float) -> None:
        """Count at least this much, here too. What is away now learns it the next time."""
        if self._stand_in is not None:
            await self._stand_in.seed(spent, now=now)
        try:
            await self._ask(lambda: self._limiter.seed(spent, now=now))
        except LimitsUnavailable:
            log.debug("what was used so far is not told to %s, which is away", self._where)

    async def aclose(self) -> None:
        """Close both."""
        await self._tell.aclose()
        await self._tell_stand_in.aclose()
        await self._limiter.aclose()
        if self._stand_in is not None:
            await self._stand_in.aclose()

    async def _standing_in(self, stand_in: Limiter) -> Limiter:
        """Give what stands in, told once in each outage what was used until then."""
        if not self._stand_in_told:
            try:
                await self._tell_stand_in()
            except LimitsUnavailable as error:  # it was told at the start, and still counts
                log.debug("what was used until now is not known: %s", _why(error))
            self._stand_in_told = True
        return stand_in

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask what may be away, unless it was a moment ago. Raises LimitsUnavailable."""
        returning = self._seen.away
        if returning:
            now = self._clock()
            if now < self._next_try:
                raise LimitsUnavailable
            self._next_try = now + RETRY_S
        try:
            if returning:
                await self._tell()
            answer = await self._answered(question)
        except LimitReached:
            self._is_there(returning)
            raise
        except LimitsUnavailable as error:
            self._is_away(error)
            raise
        self._is_there(returning)
        return answer

    async def _answered(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask, and once more where it has forgotten what was used, which it is told then."""
        try:
            return await question()
        except Forgotten:
            if not self._tell.under_way:  # many may find out at once
                log.warning("Redis at %s has lost what was used; the ledger tells it", self._where)
        await self._tell()
        return await question()

    def _is_there(self, returning: bool) -> None:
        """Note that it answers. What was on its way before it went does not say that it is back."""
        if returning and self._seen.away:
            self._seen = replace(self._seen, away=False)
            log.warning("Redis at %s counts limits again", self._where)

    def _is_away(self, error: LimitsUnavailable) -> None:
        self._next_try = self._clock() + RETRY_S
        if not self._seen.away:
            self._seen = replace(self._seen, away=True, outages=self._seen.outages + 1)
            self._stand_in_told = False
            untold = isinstance(error.__cause__, LedgerUnavailable)
            log.error(
                "Redis at %s %s (%s): until it %s, %s",
                self._where,
                "cannot be told what was used" if untold else "does not answer",
                _why(error),
                "can" if untold else "does",
                "requests with limits are refused (limits_when_redis_is_away = refuse)"
                if self._stand_in is None
                else "each process counts limits alone (limits_when_redis_is_away = allow)",
            )


def _why(error: LimitsUnavailable) -> str:
    """Say on one line what the driver said. It names the address, and never the password."""
    cause = error.__cause__ or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:MAX_WHY]
