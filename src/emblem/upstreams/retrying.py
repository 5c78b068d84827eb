"""Asking one server again while that may help: for the command line, which has no pool."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from emblem.errors import DeadlineExceeded
from emblem.upstreams import retry
from emblem.upstreams.sending import Answer
from emblem.upstreams.server import Passing, Posted, Server

log = logging.getLogger(__name__)

Pause = Callable[[float], Awaitable[None]]


class Patient:
    """A server that is asked again, after longer and longer waits, for at most ``retry_s``.

    A first text that reaches no server is not tried again. ``pause`` waits, ``clock`` is the
    monotonic clock, both in seconds.
    """

    def __init__(
        self,
        server: Server,
        retry_s: float = 120.0,
        *,
        pause: Pause = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._retry_s = retry_s
        self._pause = pause
        self._clock = clock

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._server.closed

    def until(self, deadline: float) -> float:
        """Give the time after which nothing more is tried."""
        return min(deadline, self._clock() + self._retry_s)

    def left_s(self, until: float) -> float:
        """Give the seconds until then, below 0 where it is past."""
        return self._server.left_s(until)

    async def post(self, posted: Posted) -> Answer:
        """Give the answer of status 200; see ``server.Posting``."""
        attempt = 0
        last: Passing | None = None
        while True:
            try:
                return await self._server.attempt(posted)
            except DeadlineExceeded:
                if last is not None:
                    raise last.error from None
                raise
            except Passing as passing:
                last = passing
            if last.unanswered and posted.width is None:
                raise last.error
            wait = retry.delay(attempt, last.delay_s, random.random())  # noqa: S311 - dice
            if self._clock() + wait >= posted.until:
                raise last.error
            attempt += 1
            log.warning("%s; trying again (%d)", last.error, attempt + 1)
            await self._pause(wait)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._server.aclose()
