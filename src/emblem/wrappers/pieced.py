"""Pieced: what is too much for one request to a deployment is asked for in several at once."""

import asyncio
from collections.abc import Sequence
from functools import partial

from emblem.core.pieces import Caps, moved, piece, pieces, refuse_total, together
from emblem.core.plan import refuse_unread
from emblem.errors import InvalidInput, InvalidRequest, TooManyTokens
from emblem.ports import Embedder
from emblem.types import EmbedRequest, EmbedResult
from emblem.wrappers.around import Around, Aside

AT_ONCE = 4  # pieces of one request


class Pieced(Around):
    """Cuts requests by ``caps``, and puts what comes back in the order of their inputs.

    At most ``at_once`` pieces of a request are under way. What is inside tries again by itself, so
    that one piece's failure does not have the others done again; the first that fails for good ends
    the others. A request that is wrong is refused as a whole would be: all texts that are wrong are
    named, where the embedder can examine them. Used on one event loop.
    """

    def __init__(self, embedder: Embedder, caps: Caps, *, at_once: int = AT_ONCE) -> None:
        super().__init__(embedder)
        self._caps = caps
        self._at_once = max(1, at_once)
        self._aside = Aside()

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed every text, in as many pieces as it takes; see ``ports.Embedder``."""
        places = pieces(request.inputs, self._caps)
        if len(places) == 1:
            return await self._embedder.embed(request)
        refuse_unread(request)
        try:
            results = await self._each(request, places)
        except (InvalidInput, TooManyTokens):
            await self._explain(request)
            raise
        numbers = len(request.inputs) * results[0].vectors.shape[1]
        result = await self._aside.do(partial(together, results), numbers)
        refuse_total(request, results)
        return result

    async def aclose(self) -> None:
        """Close the embedder, and the thread."""
        await super().aclose()
        self._aside.close()

    async def _explain(self, request: EmbedRequest) -> None:
        """Raise what the embedder has to say of the whole request, if that is anything."""
        try:
            await self.examine(request, {})
        except InvalidRequest as error:
            raise error from None

    async def _each(self, request: EmbedRequest, places: Sequence[slice]) -> list[EmbedResult]:
        """Embed every piece, or raise what the first of them failed with."""
        results: dict[int, EmbedResult] = {}
        errors: dict[int, Exception] = {}
        left = iter(places)

        async def some() -> None:
            for place in left:
                try:
                    results[place.start] = await self._embedder.embed(piece(request, place))
                except InvalidInput as error:
                    errors[place.start] = moved(error, place.start)
                except Exception as error:  # noqa: BLE001 - it is raised below
                    errors[place.start] = error
                if errors:
                    return

        tasks = {asyncio.create_task(some()) for _ in range(min(self._at_once, len(places)))}
        try:
            pending = tasks
            while pending and not errors:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(tasks)
        if errors:
            raise errors[min(errors)]
        return [results[place.start] for place in places]


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel what still runs, and wait until it has ended, so that nothing outlives the request."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
