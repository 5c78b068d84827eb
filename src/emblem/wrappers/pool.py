"""Pool: the deployments of one model as one embedder, which answers while any of them does."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np

from emblem.core.balance import least
from emblem.core.breaker import Trip
from emblem.core.patience import Patience
from emblem.errors import (
    ConfigError,
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidResult,
    Overloaded,
)
from emblem.ports import Counting, Dated, Examining, Working
from emblem.space import Space
from emblem.types import DeploymentState, EmbedRequest, EmbedResult, Tokens, Work
from emblem.wrappers.around import SURE
from emblem.wrappers.places import Course, Place, tokens_of
from emblem.wrappers.places import Member as Member  # it is part of a pool's interface

PATIENCE = Patience()
TRIP = Trip()

# Who had less time than this for an answer is not blamed for being late.
FAIR_S = 1.0

Pause = Callable[[float], Awaitable[None]]


class Pool:
    """Sends each request to the deployment with the least to do, and to another where that fails.

    All are in ``space``, or ConfigError is raised: one that is shown to be in it says so, see
    ``Proven``. One that fails too often is left alone until a single request finds it well. Once
    all were tried, the request waits a while and begins again, within its deadline and the
    ``patience``. What is wrong with the request itself is raised at once, and one that
    finds every deployment with as many requests as it may have is refused at once.

    ``model`` is what errors call the model. Used on one event loop. ``clock`` is the monotonic
    clock, in seconds, ``dice`` gives 0…1 without 1, ``pause`` waits seconds.
    """

    def __init__(
        self,
        space: Space,
        members: Sequence[Member],
        *,
        model: str = "",
        patience: Patience = PATIENCE,
        trip: Trip = TRIP,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
        pause: Pause = asyncio.sleep,
    ) -> None:
        _check(space, members)
        self._space = space
        self._model = model or space.name
        self._places = [Place(one, trip) for one in members]
        self._counting: dict[Place, Counting] = {
            one: one.embedder for one in self._places if isinstance(one.embedder, Counting)
        }
        self._eras = [one.embedder.era for one in members if isinstance(one.embedder, Dated)]
        self._patience = patience
        self._trip = trip
        self._clock = clock
        self._dice = dice
        self._pause = pause

    @property
    def space(self) -> Space:
        """The space of all deployments."""
        return self._space

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed with one of the deployments; see ``ports.Embedder``.

        Raises InvalidResult where every one that answered gave vectors that cannot be right.
        """
        course = Course()
        while True:
            place = self._next(course)
            if place is None:
                await self._wait(course, request.deadline)
            elif (result := await self._ask(place, request, course)) is not None:
                return _signed(result, place, request)

    def problem(self) -> str | None:
        """Say why no deployment can answer; None where one can, even if it fails at times."""
        problems = [(place.name, place.embedder.problem()) for place in self._places]
        if any(problem is None for _, problem in problems):
            return None
        each = "; ".join(f"{name} {problem}" for name, problem in problems)
        return f"has no deployment that can answer: {each}"

    def deployments(self) -> tuple[DeploymentState, ...]:
        """Say how each deployment is."""
        now = self._clock()
        return tuple(place.state(now) for place in self._places)

    def era(self) -> int:
        """Give the latest era of any deployment; see ``ports.Dated``."""
        return max([era() for era in self._eras], default=SURE)

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        """Have a deployment that can say what is wrong with the inputs; see ``ports.Examining``."""
        for place in self._able():
            if isinstance(place.embedder, Examining):
                try:
                    return await place.embedder.examine(place.own(request), wrong)
                except DeploymentFailed:
                    continue
        return None

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Have a deployment count that can, an engine first; see ``ports.Counting``.

        What an engine counts is what the request costs, whichever deployment embeds it. Others may
        guess, and then it costs what is counted by whoever embeds it.
        """
        why = self.problem() or "cannot tell how many tokens a text has"
        failure = DeploymentFailed(f"`{self._model}` {why}")
        for place in sorted(self._able(), key=lambda place: place.member.rests):
            if (counter := self._counting.get(place)) is not None:
                try:
                    read, tokens = await counter.count(place.own(request))
                except DeploymentFailed as error:
                    failure = error
                else:
                    return place.signed(read, tokens), tokens
        raise failure

    def work(self) -> Work:
        """Pass on what the first deployment says of its work that can say anything."""
        for place in self._places:
            if isinstance(place.embedder, Working) and (work := place.embedder.work()) != Work({}):
                return work
        return Work({})

    async def aclose(self) -> None:
        """Close every deployment, also where closing one fails."""
        closing = [place.embedder.aclose() for place in self._places]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _able(self) -> list[Place]:
        return [place for place in self._places if place.embedder.problem() is None]

    def _next(self, course: Course) -> Place | None:
        """Choose whom to ask; None where there is nobody in this round, or any more."""
        if course.attempts >= self._patience.attempts:
            return None
        now = self._clock()
        ready = [
            place
            for place in self._able()
            if place not in course.tried and course.worth_asking(place) and not place.wait_s(now)
        ]
        chosen = least([place.load for place in ready], self._dice())
        return None if chosen is None else ready[chosen]

    async def _ask(self, place: Place, request: EmbedRequest, course: Course) -> EmbedResult | None:
        """Ask a deployment; None where it fails, which the course then has."""
        began = self._clock()
        ticket = place.begin(began)
        course.attempts += 1
        course.tried.add(place)
        try:
            result = await place.embedder.embed(place.own(request))
        except (Overloaded, DeadlineExceeded, InvalidResult, DeploymentFailed) as error:
            self._blame(place, ticket, error, course, began)
            course.failures[place] = error
            return None
        except BaseException:  # the request's own fault, or it was cancelled
            place.left(ticket)
            raise
        finally:
            place.done()
        now = self._clock()
        place.answered(ticket, now)
        for suspect, its_ticket, violation in course.suspects:
            suspect.failed(its_ticket, now, violation)  # so it was not the text
        return result

    def _blame(
        self, place: Place, ticket: int, error: EmblemError, course: Course, began: float
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

    async def _wait(self, course: Course, deadline: float) -> None:
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

    def _told(self, course: Course, now: float) -> EmblemError:
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
        return DeadlineExceeded(said) if late else DeploymentFailed(said)

    def _why(self, place: Place, course: Course, now: float) -> str:
        if (error := course.failures.get(place)) is not None:
            return str(error)
        if (problem := place.embedder.problem()) is not None:
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


def _any(kind: type[EmblemError], failures: Mapping[Place, EmblemError]) -> bool:
    return any(isinstance(error, kind) for error in failures.values())


def _check(space: Space, members: Sequence[Member]) -> None:
    """Raise ConfigError for deployments that cannot be of one model."""
    if not members:
        raise ConfigError(f"{space.name} has no deployment")
    names = [one.name for one in members]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"{space.name} has two deployments called {twice!r}")
    for one in members:
        if one.embedder.space.identity != space.identity:
            raise ConfigError(
                f"the deployment {one.name} gives vectors of the space {one.embedder.space}, and "
                f"those of {space} are served; vectors of two spaces cannot be compared, so it "
                "must be left out, or be a model of its own"
            )


def _signed(result: EmbedResult, place: Place, request: EmbedRequest) -> EmbedResult:
    """Give a result under the deployment's name, with the tokens that were counted before."""
    tokens, uncut = result.tokens, result.uncut
    if request.readings and uncut is None and (counted := tokens_of(request)) is not None:
        tokens = np.array(counted, np.int32)
    # Each request comes here, and dataclasses.replace takes three times as long.
    return EmbedResult(result.vectors, tokens, result.overflowed, place.name, uncut, result.hits)
