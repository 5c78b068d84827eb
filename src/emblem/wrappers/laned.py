"""Laned: whoever asks for no lane is in that of what there is to compute."""

from dataclasses import replace

from emblem.core.plan import estimated_tokens
from emblem.errors import Overloaded
from emblem.types import EmbedRequest, EmbedResult, Lane, Tokens
from emblem.wrappers.around import Around

# A request that a person may be waiting for: about a quarter of a second's work on two cores.
INTERACTIVE_TOKENS = 1024


class Laned(Around):
    """Chooses the lane of a request that leaves it to its size, and passes on any other.

    One that is small goes to the other lane where its own is full: it is answered, if late.
    """

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed in the lane that is right; see ``ports.Embedder``."""
        if not request.lane_by_size:
            return await self._embedder.embed(request)
        if estimated_tokens(request) <= INTERACTIVE_TOKENS:
            try:
                return await self._embedder.embed(_in(Lane.INTERACTIVE, request))
            except Overloaded as error:
                if error.everywhere:
                    raise
        return await self._embedder.embed(_in(Lane.BULK, request))

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Count, unless both lanes are full that it may go to; see ``ports.Counting``."""
        if not request.lane_by_size:
            return await self.counter().count(request)
        if estimated_tokens(request) <= INTERACTIVE_TOKENS:
            try:
                return await self._counted(request, Lane.INTERACTIVE)
            except Overloaded as error:
                if error.everywhere:
                    raise
        return await self._counted(request, Lane.BULK)

    async def _counted(self, request: EmbedRequest, lane: Lane) -> tuple[EmbedRequest, Tokens]:
        read, tokens = await self.counter().count(_in(lane, request))
        if read.lane is not request.lane:
            read = replace(read, lane=request.lane, lane_by_size=True)  # ``embed`` chooses again
        return read, tokens


def _in(lane: Lane, request: EmbedRequest) -> EmbedRequest:
    # Inside nobody asks any more who chose the lane, so one that is in it already is right as it is.
    return request if request.lane is lane else replace(request, lane=lane, lane_by_size=False)
