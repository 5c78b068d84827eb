"""Around: what every wrapper passes on, whatever it does with the embedding itself."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from emblem.errors import DeploymentFailed
from emblem.ports import Counting, Dated, Deploying, Embedder, Examining, Working
from emblem.space import Space
from emblem.types import DeploymentState, EmbedRequest, Tokens, Work

T = TypeVar("T")

# What makes more numbers than these is done in a thread: it takes more than half a millisecond.
NUMBERS_ON_THE_LOOP = 100_000

# The era of what has none, since it cannot be wrong: it shares nothing with what can.
SURE = -1


class Around:
    """Asks the embedder inside for everything but ``embed``."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._space = embedder.space
        self._counter: Counting | None = None  # the embedder, once it has proven to be one
        # Each request asks for it, so that it is not asked through all that is wrapped.
        self.era: Callable[[], int] = embedder.era if isinstance(embedder, Dated) else _sure

    @property
    def space(self) -> Space:
        """The space of the embedder, which never changes."""
        return self._space

    def problem(self) -> str | None:
        """Pass on what the embedder says of itself."""
        return self._embedder.problem()

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        """Pass on what the embedder says of the inputs, if it can say anything."""
        if isinstance(self._embedder, Examining):
            await self._embedder.examine(request, wrong)

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Pass on what the embedder will charge; DeploymentFailed where it cannot tell."""
        return await self.counter().count(request)

    def counter(self) -> Counting:
        """Give what is inside and tells tokens beforehand. Raises DeploymentFailed."""
        if self._counter is None:
            self._counter = counting(self._embedder)
        return self._counter

    def work(self) -> Work:
        """Pass on what the embedder says of its work, if it can say anything."""
        return self._embedder.work() if isinstance(self._embedder, Working) else Work({})

    def deployments(self) -> tuple[DeploymentState, ...]:
        """Pass on what the embedder says of the places that serve it; none where it knows none."""
        return self._embedder.deployments() if isinstance(self._embedder, Deploying) else ()

    async def aclose(self) -> None:
        """Close the embedder."""
        await self._embedder.aclose()


def _sure() -> int:
    """Give the era of what is never wrong."""
    return SURE


def counting(embedder: Embedder) -> Counting:
    """Give an embedder as one that tells tokens beforehand, or what it would only ask in turn.

    Raises DeploymentFailed.
    """
    if isinstance(embedder, Around):  # to ask for the protocol takes much longer
        return embedder.counter() if type(embedder).count is Around.count else embedder
    if not isinstance(embedder, Counting):
        raise DeploymentFailed(f"{embedder.space.name} cannot tell how many tokens a text has.")
    return embedder


class Aside:
    """A thread of its own for what makes many numbers, so that the event loop goes on meanwhile.

    Models are opened and closed in the loop's own threads, which may be busy for long. Whoever
    creates it closes it; what comes later is done on the loop.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "emblem-answers")

    async def do(self, work: Callable[[], T], numbers: int) -> T:
        """Do what makes so many numbers: here, where they are few."""
        if numbers <= NUMBERS_ON_THE_LOOP:
            return work()
        try:
            done = self._thread.submit(work)
        except RuntimeError:  # it is closed
            return work()
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Let the thread end once it has done what it was given."""
        self._thread.shutdown(wait=False)
