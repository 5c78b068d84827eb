"""Joining: a model of another Emblem that was not there when the server started is served once it is."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from emblem.errors import DeploymentFailed, EmblemError
from emblem.hosting import Hosting, look
from emblem.names import Absent, Served
from emblem.serving import Awaited, Plan, arrived, roster_of
from emblem.types import Kind

log = logging.getLogger(__name__)

FIRST_S = 2.0  # until it is asked again, and twice as long after each time that it is not there
LONGEST_S = 60.0

# Begins to serve a model, and every name of those that are served from then on. Raises EmblemError.
Join = Callable[[Hosting, tuple[Served, ...]], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Wait:
    """A model that is waited for: why, and when it is asked for next, in monotonic seconds."""

    awaited: Awaited
    why: str
    next_at: float
    misses: int = 0


class Joining:
    """Asks for what the awaited models of a plan are until they are there, and has them served.

    Each is asked for by itself, with a pause that grows up to a minute. Used on one event loop.
    ``clock`` is the monotonic clock, in seconds, ``dice`` gives 0…1, ``pause`` waits seconds.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = plan.settings
        self._configured = list(plan.configured)
        self._clock = clock
        self._dice = dice
        self._pause = pause
        self._waits = {one.name: _Wait(one, one.why, clock()) for one in plan.awaited}
        self._aliases = {name: one.model for name, one in plan.settings.aliases.items()}
        self._tasks: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()

    def begin(self, join: Join) -> None:
        """Begin to ask; ``join`` is called for one model at a time."""
        self._tasks = [asyncio.create_task(self._follow(one, join)) for one in self._waits.values()]

    async def aclose(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def problems(self) -> list[str]:
        """Say which models are not known yet, and why."""
        return [f"{name} is not known yet: {one.why}" for name, one in self._waits.items()]

    def absent(self, name: str) -> Absent | None:
        """Give what a name stands for that is waited for; None where it is none of those."""
        if not self._waits:
            return None
        base = name.removesuffix(":latest").partition("@")[0]
        base = self._aliases.get(base, base)
        wait = self._waits.get(base)
        for kind in Kind:
            wait = wait or self._waits.get(base.removesuffix(f"-{kind}"))
        if wait is None:
            return None
        said = f"`{wait.awaited.name}` cannot be answered now: {wait.why}"
        left = wait.next_at - self._clock()
        return Absent(wait.awaited.name, DeploymentFailed(said, retry_after_s=left))

    async def _follow(self, wait: _Wait, join: Join) -> None:
        while True:
            seconds = min(LONGEST_S, FIRST_S * 2.0 ** min(wait.misses, 32))
            seconds *= 0.9 + 0.1 * self._dice()  # others ask, too
            wait.next_at = self._clock() + seconds
            await self._pause(seconds)
            try:
                await self._join(wait.awaited, join)
            except EmblemError as error:
                self._miss(wait, str(error))
            except Exception as error:
                log.exception("%s cannot be served", wait.awaited.name)
                self._miss(wait, type(error).__name__)
            else:
                log.info("%s is there, and is served", wait.awaited.name)
                return

    async def _join(self, awaited: Awaited, join: Join) -> None:
        looked = await look(awaited.name, awaited.own, self._settings)
        async with self._turn:
            hosting, configured = await asyncio.to_thread(arrived, awaited, looked, self._settings)
            others = [one.awaited for one in self._waits.values() if one.awaited is not awaited]
            known = [*self._configured, configured]
            await join(hosting, roster_of(known, self._settings, others))
            self._configured = known
            del self._waits[awaited.name]

    def _miss(self, wait: _Wait, why: str) -> None:
        wait.misses += 1
        if why != wait.why:
            log.warning("%s is not served yet, and is asked again: %s", wait.awaited.name, why)
        wait.why = why
