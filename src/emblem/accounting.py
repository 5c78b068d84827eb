"""Accounting: keys, limits and records of usage of one server, opened and closed together."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from emblem.accounts import Use
from emblem.charging import Charging
from emblem.config import Settings, rates, redis_address
from emblem.core.prices import Prices
from emblem.ledger.keyring import KeyRing
from emblem.ledger.opening import open_ledger
from emblem.ledger.recorder import Chores, Recorder, tidying
from emblem.ledger.secret import digest
from emblem.limits.opening import open_limiter
from emblem.limits.outage import Availability, OutageLimiter
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
            self.limiter = open_limiter(redis_address(settings), allow_when_away=allow)
        self.charging = Charging(self.limiter, Prices(rates(settings)))
        self._recorder: Recorder | None = None

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
            if self.keys is not None:
                self.keys.open()
                stack.callback(self.keys.close)
                now = time.time()
                spent = await asyncio.to_thread(self.ledger.usage.spent, now)
                await self.limiter.seed(spent, now=now)
                tidy = tidying(self.ledger.usage, self._settings.usage_retention_days)
                chores = Chores(self.keys.save_used, tidy)
                self._recorder = Recorder(self.ledger.usage, chores)
                stack.push_async_callback(self._recorder.aclose)
            yield
