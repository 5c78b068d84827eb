"""Tells what counts limits what the ledger has of the day and the month."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from emblem.accounts import Spent
from emblem.errors import LedgerUnavailable, LimitsUnavailable
from emblem.ports import Limiter

log = logging.getLogger(__name__)

EVERY_S = 60.0  # between two tellings
SOON_S = 2.0  # after which the ledger has what passed just before it was read

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


async def keep_telling(
    tell: Telling, wake: asyncio.Event, *, every_s: float = EVERY_S, soon_s: float = SOON_S
) -> None:
    """Tell it now and then, at once where ``wake`` is set, and soon after that again; for ever.

    The ledger gets records a moment late: what it lacked when it was read is told the next time.
    """
    again = False
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(soon_s if again else every_s):
                await wake.wait()
        again = wake.is_set()
        wake.clear()
        try:
            await tell()
        except LimitsUnavailable as error:
            log.debug("what was used is not told to what counts limits: %s", error.__cause__)
