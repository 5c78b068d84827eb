"""PassagePool: the deployments of a model that gives no vectors; see ``ports.Passages``."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from emblem.core.breaker import Trip
from emblem.core.patience import Patience
from emblem.errors import DeadlineExceeded
from emblem.ports import Asking, Passage
from emblem.wrappers.conduct import Conduct, Course
from emblem.wrappers.failover import FAILURES, PATIENCE, TRIP, Failover, Pause

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Way:
    """A deployment that requests are passed on to; see ``conduct.Part``."""

    passage: Passage
    weight: float = 1.0
    max_concurrency: int = 64
    kind: str = ""
    rests: bool = True

    @property
    def name(self) -> str:
        """What it is called."""
        return self.passage.served_by


Place = Conduct[Way]


class PassagePool(Failover[Place]):
    """Passes each request on to the deployment with the least to do, and to another where that fails.

    That is so until an answer has begun: what breaks off later is not asked for again, for some of
    it may have been read already. A model with one deployment is asked once. All of a request is
    over within ``timeout_s``. The rest is as ``Failover`` says.
    """

    def __init__(
        self,
        model: str,
        ways: Sequence[Way],
        timeout_s: float,
        *,
        patience: Patience = PATIENCE,
        trip: Trip = TRIP,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
        pause: Pause = asyncio.sleep,
    ) -> None:
        super().__init__(
            model,
            [Place(one, trip) for one in ways],
            patience=patience if len(ways) > 1 else replace(patience, attempts=1),
            trip=trip,
            clock=clock,
            dice=dice,
            pause=pause,
        )
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def answer(self, ask: Asking[T]) -> AsyncIterator[T]:
        """Give the first answer that a deployment begins with; see ``ports.Passages``."""
        course: Course[Place] = Course()
        deadline = self._clock() + self._timeout_s
        async with AsyncExitStack() as stack:
            while True:
                place = self._next(course)
                if place is None:
                    await self._wait(course, deadline)
                    continue
                asked = self._asked(place, course, ask, deadline)
                try:
                    begun = await stack.enter_async_context(asked)
                except FAILURES as error:
                    course.failures[place] = error
                else:
                    break
            yield begun

    @asynccontextmanager
    async def _asked(
        self, place: Place, course: Course[Place], ask: Asking[T], deadline: float
    ) -> AsyncIterator[T]:
        """Ask one deployment, and note what becomes of that until its answer is over."""
        began = self._clock()
        ticket = place.begin(began)
        course.attempts += 1
        course.tried.add(place)
        answering = False
        try:
            async with ask(place.member.passage, deadline) as begun:
                place.begun(ticket, self._clock())
                answering = True
                yield begun
        except FAILURES as error:
            # Whoever reads an answer slowly may have taken all the time there was.
            if answering and isinstance(error, DeadlineExceeded) and self._clock() >= deadline:
                place.left(ticket)
            else:
                self._blame(place, ticket, error, course, began)
            raise
        except BaseException:  # the request's own fault, or its client has left
            place.left(ticket)
            raise
        else:
            place.answered(ticket, self._clock())
        finally:
            place.done()

    async def aclose(self) -> None:
        """Close the connections of all deployments, also where closing one fails."""
        closing = [place.member.passage.aclose() for place in self._places]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
