"""Failover: which of several deployments is asked, what is held against one, and what callers hear."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from emblem.core.balance import least
from emblem.core.breaker import Trip
from emblem.core.patience import Patience
from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidResult,
    Overloaded,
)
from emblem.types import DeploymentState
from emblem.wrappers.conduct import Conduct, Course

PATIENCE = Patience()
TRIP = Trip()

# Who had less time than this for an answer is not blamed for being late.
FAIR_S = 1.0

# What a deployment may fail with. All else is the request's own fault, or nobody's.
FAILURES = (Overloaded, DeadlineExceeded, InvalidResult, DeploymentFailed)

Pause = Callable[[float], Awaitable[None]]

C = TypeVar("C", bound=Conduct[Any])


class Failover(Generic[C]):
    """Decides for the deployments of one model, in ``places``, who is sent a request next.

    It is the one with the least to do, and another where that fails. One that fails too often is
    left alone until a single request finds it well. Once all were tried, the request waits a while
    and begins again, within its deadline and the ``patience``. One that finds every deployment with
    as many requests as it may have is refused at once.

    ``model`` is what errors call the model. Used on one event loop. ``clock`` is the monotonic
    clock, in seconds, ``dice`` gives 0…1 without 1, ``pause`` waits seconds.
    """

    def __init__(
        self,
        model: str,
        places: Sequence[C],
        *,
        patience: Patience = PATIENCE,
        trip: Trip = TRIP,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._model = model
        self._places = list(places)
        self._patience = patience
        self._trip = trip
        self._clock = clock
        self._dice = dice
        self._pause = pause

    def problem(self) -> str | None:
        """Say why no deployment can answer; None where one can, even if it fails at times."""
        problems = [(place.name, place.problem()) for place in self._places]
        if any(problem is None for _, problem in problems):
            return None
        each = "; ".join(f"{name} {problem}" for name, problem in problems)
        return f"has no deployment that can answer: {each}"

    def deployments(self) -> tuple[DeploymentState, ...]:
        """Say how each deployment is."""
        now = self._clock()
        return tuple(place.state(now) for place in self._places)

    def _able(self) -> list[C]:
        return [place for place in self._places if place.problem() is None]

    def _next(self, course: Course[C]) -> C | None:
        """Choose whom to ask; None where there is nobody in this round, or any more."""
        if course.attempts >= self._patience.attempts:
            return None
        now = self._clock()
        ready = [
            place
            for place in self._able()
            if place not in course.tried and course.worth_asking(place) and not place.wait_s(now)
        ]
        if len(ready) == 1:  # as mostly
            return None if ready[0].full else ready[0]
        chosen = least([place.load for place in ready], self._dice())
        return None if chosen is None else ready[chosen]

    def _blame(
        self, place: C, ticket: int, error: EmblemError, course: Course[C], began: float
    ) -> None:
        """Count a failure against a deployment, unless it may not be its own."""
        now = self._clock()
        if isinstance(error, Overloaded):
            place.refused(ticket, now, error)
        elif isinstance(error, InvalidResult) and error.of_one_text:
            place.left(ticket)
            course.suspects.append((place, ticket, error))
        elif _excused(error, now - began):
            place.left(ticket)
        else:
            place.failed(ticket, now, error)

    async def _wait(self, course: Course[C], deadline: float) -> None:
        """Wait until deployments may be asked again. Raises what is wrong where that is of no use."""
        now, most = self._clock(), self._patience.attempts
        able = [place for place in self._able() if course.worth_asking(place)]
        # What was never sent waits neither for those that are failing nor for those that are full;
        # what was sent in vain, for those that have only begun to fail.
        beyond_s = self._trip.open_s if course.attempts else 0.0
        able = [place for place in able if not place.failing(now, beyond_s)]
        full = any(place.full and not place.wait_s(now) for place in able)
        if full and not course.attempts:
            raise self._told(course, now)
        if not able or course.attempts >= most or course.rounds >= most:
            raise self._told(course, now)
        ready_in = min(place.wait_s(now) for place in able)
        wait = self._patience.pause_s(course.rounds, ready_in, deadline - now, self._dice())
        if wait is None:
            raise self._told(course, now)
        course.rounds += 1
        course.tried.clear()
        await self._pause(wait)

    def _told(self, course: Course[C], now: float) -> EmblemError:
        """Give what the caller hears: of all that went wrong, what he can do most about."""
        each = "; ".join(
            f"{place.name}: {self._why(place, course, now).removeprefix(f'{place.name} ')}"
            for place in self._places
        )
        said = f"`{self._model}` cannot be answered now: {each}"
        failures = course.failures
        able = [place for place in self._able() if not place.failing(now)]
        if (able and not failures) or _any(Overloaded, failures):
            soonest = min((place.wait_s(now) for place in able), default=self._patience.longest_s)
            return Overloaded(said, soonest, everywhere=all(one.member.rests for one in able))
        for place, error in failures.items():
            if isinstance(error, InvalidResult):
                deployment = f"{place.name}, a deployment of `{self._model}`,"
                return InvalidResult(deployment, error.what, of_one_text=error.of_one_text)
        late = failures and all(isinstance(one, DeadlineExceeded) for one in failures.values())
        if late:
            return DeadlineExceeded(said)
        waits = [place.again_s(now) for place in self._able()]
        waits = waits or [place.state(now).retry_s or 0.0 for place in self._places]
        return DeploymentFailed(said, retry_after_s=min(waits))

    def _why(self, place: C, course: Course[C], now: float) -> str:
        if (error := course.failures.get(place)) is not None:
            return str(error)
        if (problem := place.problem()) is not None:
            return problem
        if (wait := place.wait_s(now)) > 0:
            state = place.state(now)
            return f"{state.problem or 'is left alone'}; it is asked again in {wait:.1f} s"
        if place.full:
            return f"has {place.member.max_concurrency} requests in work, as many as it may"
        return "was not asked"


def _excused(error: EmblemError, seconds: float) -> bool:
    """Tell whether an error says nothing against its deployment, which had so many seconds."""
    if isinstance(error, DeadlineExceeded):
        return seconds < FAIR_S
    return isinstance(error, DeploymentFailed) and error.unasked


def _any(kind: type[EmblemError], failures: Mapping[Any, EmblemError]) -> bool:
    return any(isinstance(error, kind) for error in failures.values())
