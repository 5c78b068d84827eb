"""Accounting: keys, limits and records of usage of one server, opened and closed together."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from emblem.accounts import Spent, Use
from emblem.charging import Charging
from emblem.config import Settings, rates, redis_address
from emblem.core.prices import Prices
from emblem.ledger.keyring import KeyRing
from emblem.ledger.opening import open_ledger
from emblem.ledger.recorder import Chores, Recorder
from emblem.ledger.secret import digest
from emblem.ledger.tidying import tidying
from emblem.limits.opening import open_limiter
from emblem.limits.outage import Availability, OutageLimiter
from emblem.limits.telling import Telling, keep_telling
from emblem.limits.unlimited import Unlimited
from emblem.ports import Limiter


class Accounting:
    """The ledger, and what works with it. ``keys`` is None where nobody is asked for one.

    Opens the database: raises ConfigError, LedgerUnavailable or MissingExtra.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.ledger = open_ledger(settings)
        fixed = [digest(settings.api_key)] if settings.api_key else []
        self.keys = KeyRing(self.ledger, fixed) if settings.auth else None
        allow = settings.limits_when_redis_is_away == "allow"
        self.limiter: Limiter = Unlimited()
        if settings.limits:
            redis = redis_address(settings)
            self.limiter = open_limiter(redis, allow_when_away=allow, spent=self._spent_again)
        self.charging = Charging(self.limiter, Prices(rates(settings)))
        self._recorder: Recorder | None = None
        self._tell_soon = asyncio.Event()

    @property
    def availability(self) -> Availability | None:
        """Say whether Redis answers; None where limits are counted here."""
        limiter = self.limiter
        return limiter.availability if isinstance(limiter, OutageLimiter) else None

    @property
    def usage_waiting(self) -> int:
        """How many records are not written yet."""
        return self._recorder.waiting if self._recorder else 0

    @property
    def usage_lost(self) -> int:
        """How many records could not be kept since the start."""
        return self._recorder.lost if self._recorder else 0

    def record(self, use: Use) -> None:
        """Take a record while this is open; see ``ports.UsageLog``."""
        if self._recorder is not None:
            self._recorder.record(use)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Read the keys and what they have used, and keep records inside; write all at the end.

        Raises LedgerUnavailable where the ledger cannot be read.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self.ledger.close)
            stack.push_async_callback(self.limiter.aclose)
            stack.push_async_callback(self.charging.aclose)
            if self.keys is not None:
                self.keys.open()
                stack.push_async_callback(asyncio.to_thread, self.keys.close)
                now = time.time()
                await self.limiter.seed(await self._spent(now), now=now)
                if self._settings.limits:
                    await stack.enter_async_context(self._telling(self.keys))
                tidy = tidying(self.ledger.usage, self._settings.usage_retention_days)
                chores = Chores(self.keys.save_used, tidy)
                self._recorder = Recorder(self.ledger.usage, chores)
                stack.push_async_callback(self._recorder.aclose)
            yield

    @asynccontextmanager
    async def _telling(self, keys: KeyRing) -> AsyncIterator[None]:
        """Tell the limiter what the ledger has, now and then, and where a key is newly limited."""
        loop = asyncio.get_running_loop()
        keys.on_new_limits = partial(loop.call_soon_threadsafe, self._tell_soon.set)
        tell = Telling(self.limiter, self._spent)
        task = asyncio.create_task(keep_telling(tell, self._tell_soon))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await tell.aclose()

    async def _spent(self, now: float) -> Sequence[Spent]:
        return await asyncio.to_thread(self.ledger.usage.spent, now)

    async def _spent_again(self, now: float) -> Sequence[Spent]:
        """Give what the ledger has, and have it told again once it has what passed just before."""
        self._tell_soon.set()
        return await self._spent(now)
