"""Coalesced: a text that is being computed is computed once, however many ask for it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

from emblem.core.reuse import Entry, Name, entries, joined, narrowed, part, rule, shortens, wanted
from emblem.errors import DeadlineExceeded, InvalidRequest, InvalidResult, Overloaded
from emblem.ports import Embedder
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Kind, Lane, Overflow, value
from emblem.waiting import begun
from emblem.wrappers.around import Around, Aside

# Failures that may lie in what else somebody asked for at once, and in how long he would wait.
_OF_THE_REQUEST = (InvalidRequest, InvalidResult, Overloaded, DeadlineExceeded)

Question = tuple[Kind | None, Overflow, Lane]
Outcome = EmbedResult | Exception


class _Ends:
    """Tells that work has ended, in its last step: a task tells so a turn of the event loop later.

    Each who waits has a future of its own, which it may cancel.
    """

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: list[asyncio.Future[None]] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        for one in self._told:
            if not one.done():
                one.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """Give what is done once the work, which goes on still, has ended."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._told.append(ended)
        return ended


@dataclass(slots=True, eq=False)
class _Flight:
    """One request to the embedder, which has each of its texts once, and how many wait for it.

    The task gives an error instead of raising it; what had not to be waited for has a future that is
    done already.
    """

    question: Question
    names: list[Name]
    task: asyncio.Future[Outcome]
    ends: "_Ends"
    waiting: int = 0
    places: dict[Name, int] = field(default_factory=dict)

    @property
    def result(self) -> EmbedResult:
        """What it gave. Raises what it raised."""
        result = self.task.result()
        if isinstance(result, Exception):
            raise result
        return result

    def parts(self, names: Sequence[Name], space: Space) -> dict[Name, Entry]:
        """Give what came of some of its texts."""
        if not self.places:
            self.places = {name: place for place, name in enumerate(self.names)}
        places = [self.places[name] for name in names]
        made = entries(self.result, len(self.names), space, places)
        return dict(zip(names, made, strict=True))


@value(eq=False)
class _Wait:
    """A request, and who has each of its texts in work: others, or ``mine``, which it began."""

    request: EmbedRequest
    names: Sequence[Name]
    flights: Mapping[Name, _Flight]
    mine: _Flight | None

    @property
    def whole(self) -> bool:
        """Tell whether all of it is in one flight, in its own order."""
        return self.mine is not None and len(self.mine.names) == len(self.names)

    @property
    def hits(self) -> int:
        """Count the texts that are not computed for it."""
        return len(self.names) - (len(self.mine.names) if self.mine else 0)

    def distinct(self) -> set[_Flight]:
        """Give each flight once."""
        return {self.mine} if self.mine and self.whole else set(self.flights.values())

    def result(self, space: Space) -> EmbedResult | None:
        """Put the result together; None where the request's own limits or rule refuse it."""
        shares: dict[_Flight, list[Name]] = {}
        for name, flight in self.flights.items():
            shares.setdefault(flight, []).append(name)
        known: dict[Name, Entry] = {}
        for flight, share in shares.items():
            known |= flight.parts(share, space)
        parts = [known[name] for name in self.names]
        served_by = self.flights[self.names[0]].result.served_by
        return joined(parts, self.request, space, served_by=served_by, hits=self.hits)


def _ended(outcome: Outcome) -> asyncio.Future[Outcome]:
    """Give what came of something in the form in which others wait for it."""
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    ended.set_result(outcome)
    return ended


class Coalesced(Around):
    """Embeds each text once for all who want it at the same time, and once in each request.

    A request waits for texts that others have in work, as long as its own deadline lets it, and
    asks for the rest. Nobody who is interactive waits for what is queued as bulk: that is asked for
    once more, ahead of it. Work that nobody waits for any more is cancelled. Where it fails for a
    reason that lies in the model all who wait hear of it; where the reason may lie in the request
    that began it, the others have theirs embedded by themselves.

    The embedder must give for fewer ``dimensions`` what it gives at full width, shortened;
    ``shortening`` is false where it refuses them. What it may do at once begins outside of a task,
    unless ``sends`` says that it sends requests elsewhere, whose timers need one. Used on one event
    loop; ``clock`` is the monotonic clock, in seconds.
    """

    def __init__(
        self,
        embedder: Embedder,
        clock: Callable[[], float] = time.monotonic,
        *,
        shortening: bool = True,
        sends: bool = False,
    ) -> None:
        super().__init__(embedder)
        self._clock = clock
        self._shortening = shortening
        self._sends = sends
        self._aside = Aside()
        self._in_work: dict[Question, dict[Name, _Flight]] = {}

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed what nobody else has in work, and wait for the rest; see ``ports.Embedder``."""
        names = wanted(request, self._space, self._shortening) if request.reuse else None
        if names is None:
            return await self._embedder.embed(request)
        begun_with = self._begin(names, request)
        if not isinstance(begun_with, _Wait):
            return await self._narrowed(begun_with, request)
        flights = begun_with.distinct()
        for flight in flights:
            flight.waiting += 1
        try:
            result = await self._landed(begun_with, flights)
        finally:
            for flight in flights:
                self._leave(flight)
        return result or await self._embedder.embed(request)

    async def aclose(self) -> None:
        """Close the embedder, and the thread."""
        await super().aclose()
        self._aside.close()

    def _begin(self, names: Sequence[Name], request: EmbedRequest) -> _Wait | Outcome:
        """Find out who has which of the texts in work, and begin to embed those that nobody has.

        Where nobody has any, and all are done at once, gives what came of that: nobody else can have
        asked for them meanwhile.
        """
        places: dict[Name, int] = dict(zip(names, range(len(names)), strict=True))
        asked = (request.kind, rule(request, self._space))
        # Of two that have a text the later counts, and the interactive one is done first.
        bulk = request.lane is Lane.BULK
        lanes = (Lane.BULK, Lane.INTERACTIVE) if bulk else (Lane.INTERACTIVE,)
        tables = [table for lane in lanes if (table := self._in_work.get((*asked, lane)))]
        flights = {name: table[name] for table in tables for name in places.keys() & table.keys()}
        left = places
        if flights:
            left = {name: place for name, place in places.items() if name not in flights}
        if not left:
            return _Wait(request, names, flights, None)
        own = request
        if len(left) < len(names) or request.dimensions is not None:
            own = part(request, [*left.values()])
        begin = asyncio.create_task if self._sends else begun
        ends = _Ends()
        came: Outcome | asyncio.Future[Outcome] = begin(self._outcome(own, ends))
        if not isinstance(came, asyncio.Future):
            if len(left) == len(names):
                return came
            came = _ended(came)
        mine = self._flown((*asked, request.lane), left, came, ends)
        flights |= dict.fromkeys(left, mine)
        return _Wait(request, names, flights, mine)

    def _flown(
        self, question: Question, texts: Iterable[Name], task: asyncio.Future[Outcome], ends: _Ends
    ) -> _Flight:
        """Let others find what has begun."""
        flight = _Flight(question, [*texts], task, ends)
        self._in_work.setdefault(question, {}).update(dict.fromkeys(flight.names, flight))
        return flight

    async def _outcome(self, request: EmbedRequest, ends: _Ends) -> Outcome:
        with ends:
            try:
                return await self._embedder.embed(request)
            except Exception as error:  # noqa: BLE001 - it is raised again by those who wait
                return error

    async def _narrowed(self, outcome: Outcome, request: EmbedRequest) -> EmbedResult:
        """Give what came of a whole request as it was asked for. Raises what it failed with."""
        if isinstance(outcome, Exception):
            raise outcome
        made = partial(narrowed, outcome, request, self._space, hits=0)
        if not shortens(request, self._space):
            return made()
        return await self._aside.do(made, outcome.vectors.size)

    async def _landed(self, wait: _Wait, flights: set[_Flight]) -> EmbedResult | None:
        """Wait for all parts and give the result; None where there is none but by itself."""
        # A request's own part knows of its deadline.
        left = inf if wait.whole else wait.request.deadline - self._clock()
        coming = [flight for flight in flights if not flight.task.done()]
        if len(coming) == 1 and left == inf:
            await coming[0].ends.wait()
        elif coming:
            tasks = [flight.task for flight in coming]
            _, late = await asyncio.wait(tasks, timeout=None if left == inf else left)
            if late:
                raise DeadlineExceeded("The request was not answered in time.")
        outcomes = [flight.task.result() for flight in flights]
        if error := next((one for one in outcomes if isinstance(one, Exception)), None):
            if wait.whole or not isinstance(error, _OF_THE_REQUEST):
                raise error
            return None
        if wait.mine and wait.whole:
            return await self._narrowed(wait.mine.result, wait.request)
        made, numbers = partial(wait.result, self._space), len(wait.names) * self._space.width
        return await self._aside.do(made, numbers)

    def _leave(self, flight: _Flight) -> None:
        """Wait for it no more. Nobody finds what all have left."""
        flight.waiting -= 1
        if flight.waiting:
            return
        table = self._in_work[flight.question]
        for one in flight.names:
            del table[one]
        flight.task.cancel()
