"""Tells what counts limits what the ledger has of the day and the month."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from emblem.accounts import Spent
from emblem.errors import LedgerUnavailable, LimitsUnavailable
from emblem.ports import Limiter

# What was used of the day and the month of a time; raises LedgerUnavailable.
Spending = Callable[[float], Awaitable[Sequence[Spent]]]


class Forgotten(LimitsUnavailable):
    """What counts limits has lost what it was told: it was started again, or emptied."""


async def nothing(now: float) -> Sequence[Spent]:  # noqa: ARG001 - of all that tell
    """Say that nothing was used: where there is no ledger."""
    return ()


class Telling:
    """Has a limiter count at least what the ledger has. Used on one event loop.

    Whoever asks while that is under way waits for it, and a caller that leaves does not end it.
    """

    def __init__(
        self, limiter: Limiter, spent: Spending, clock: Callable[[], float] = time.time
    ) -> None:
        self._limiter = limiter
        self._spent = spent
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Tell whether it is told just now."""
        return self._task is not None and not self._task.done()

    async def __call__(self) -> None:
        """Tell it now. Raises LimitsUnavailable where the ledger or the limiter does not answer."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._tell())
            # Whoever asked may be gone by then: what was raised is looked at in any case.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._task)

    async def _tell(self) -> None:
        now = self._clock()
        try:
            spent = await self._spent(now)
        except LedgerUnavailable as error:
            raise LimitsUnavailable from error
        await self._limiter.seed(spent, now=now)

    async def aclose(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
