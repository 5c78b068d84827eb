"""Around: what every wrapper passes on, whatever it does with the embedding itself."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from emblem.ports import Embedder, Examining, Working
from emblem.space import Space
from emblem.types import EmbedRequest, Work

T = TypeVar("T")

# What makes more numbers than these is done in a thread: it takes more than half a millisecond.
NUMBERS_ON_THE_LOOP = 100_000


class Around:
    """Asks the embedder inside for everything but ``embed``."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def space(self) -> Space:
        """The space of the embedder."""
        return self._embedder.space

    def problem(self) -> str | None:
        """Pass on what the embedder says of itself."""
        return self._embedder.problem()

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        """Pass on what the embedder says of the inputs, if it can say anything."""
        if isinstance(self._embedder, Examining):
            await self._embedder.examine(request, wrong)

    def work(self) -> Work:
        """Pass on what the embedder says of its work, if it can say anything."""
        return self._embedder.work() if isinstance(self._embedder, Working) else Work({})

    async def aclose(self) -> None:
        """Close the embedder."""
        await self._embedder.aclose()


async def in_turn(work: Callable[[], T], numbers: int) -> T:
    """Do what makes so many numbers, and let the event loop go on meanwhile where they are many."""
    return work() if numbers <= NUMBERS_ON_THE_LOOP else await asyncio.to_thread(work)
