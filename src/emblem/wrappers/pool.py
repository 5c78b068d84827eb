"""Pool: the deployments of one model as one embedder, which answers while any of them does."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from emblem.core.breaker import Trip
from emblem.core.patience import Patience
from emblem.errors import ConfigError, DeploymentFailed
from emblem.ports import Counting, Dated, Examining, Working
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Tokens, Work
from emblem.wrappers.around import SURE
from emblem.wrappers.conduct import Course
from emblem.wrappers.failover import FAILURES, PATIENCE, TRIP, Failover, Pause
from emblem.wrappers.places import Member as Member  # it is part of a pool's interface
from emblem.wrappers.places import Place, tokens_of


class Pool(Failover[Place]):
    """Sends each request to the deployment with the least to do, and to another where that fails.

    All are in ``space``, or ConfigError is raised: one that is shown to be in it says so, see
    ``Proven``. What is wrong with the request itself is raised at once. The rest is as ``Failover``
    says.
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
        super().__init__(
            model or space.name,
            [Place(one, trip) for one in members],
            patience=patience,
            trip=trip,
            clock=clock,
            dice=dice,
            pause=pause,
        )
        self._space = space
        self._counting: dict[Place, Counting] = {
            one: one.embedder for one in self._places if isinstance(one.embedder, Counting)
        }
        self._eras = [one.embedder.era for one in members if isinstance(one.embedder, Dated)]

    @property
    def space(self) -> Space:
        """The space of all deployments."""
        return self._space

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed with one of the deployments; see ``ports.Embedder``.

        Raises InvalidResult where every one that answered gave vectors that cannot be right.
        """
        course: Course[Place] = Course()
        while True:
            place = self._next(course)
            if place is None:
                await self._wait(course, request.deadline)
            elif (result := await self._ask(place, request, course)) is not None:
                return _signed(result, place, request)

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
        failure: DeploymentFailed | None = None
        for place in sorted(self._able(), key=lambda place: place.member.rests):
            if (counter := self._counting.get(place)) is not None:
                try:
                    read, tokens = await counter.count(place.own(request))
                except DeploymentFailed as error:
                    failure = error
                else:
                    return place.signed(read, tokens), tokens
        why = self.problem() or "cannot tell how many tokens a text has"
        raise failure or DeploymentFailed(f"`{self._model}` {why}")

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

    async def _ask(
        self, place: Place, request: EmbedRequest, course: Course[Place]
    ) -> EmbedResult | None:
        """Ask a deployment; None where it fails, which the course then has."""
        began = self._clock()
        ticket = place.begin(began)
        course.attempts += 1
        course.tried.add(place)
        try:
            result = await place.embedder.embed(place.own(request))
        except FAILURES as error:
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
