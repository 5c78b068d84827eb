"""What becomes of limits while Redis is away: refused, or counted by this process alone."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from emblem.accounts import Account, Charge, Grant, Spent, Standing
from emblem.core.limits import limits_of
from emblem.errors import LimitReached, LimitsUnavailable
from emblem.limits.memory import MEMORY
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
    """

    def __init__(
        self,
        limiter: Limiter,
        stand_in: Limiter | None,
        where: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limiter = limiter
        self._stand_in = stand_in
        self._where = where
        self._clock = clock
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
        return await self._stand_in.charge(account, charge)

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
        return await self._stand_in.peek(account)

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
        await self._limiter.aclose()
        if self._stand_in is not None:
            await self._stand_in.aclose()

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask what may be away, unless it was a moment ago. Raises LimitsUnavailable."""
        if self._seen.away:
            now = self._clock()
            if now < self._next_try:
                raise LimitsUnavailable
            self._next_try = now + RETRY_S
        try:
            answer = await question()
        except LimitReached:
            self._is_there()
            raise
        except LimitsUnavailable as error:
            self._is_away(error)
            raise
        self._is_there()
        return answer

    def _is_there(self) -> None:
        if self._seen.away:
            self._seen = replace(self._seen, away=False)
            log.warning("Redis at %s counts limits again", self._where)

    def _is_away(self, error: LimitsUnavailable) -> None:
        self._next_try = self._clock() + RETRY_S
        if not self._seen.away:
            self._seen = replace(self._seen, away=True, outages=self._seen.outages + 1)
            log.error(
                "Redis at %s does not answer (%s): until it does, %s",
                self._where,
                _why(error),
                "requests with limits are refused (limits_when_redis_is_away = refuse)"
                if self._stand_in is None
                else "each process counts limits alone (limits_when_redis_is_away = allow)",
            )


def _why(error: LimitsUnavailable) -> str:
    """Say on one line what the driver said. It names the address, and never the password."""
    cause = error.__cause__ or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:MAX_WHY]
