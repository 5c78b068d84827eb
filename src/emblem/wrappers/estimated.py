"""Estimated: what texts cost at most, where whoever embeds them cannot tell beforehand."""

import numpy as np

from emblem.core.pieces import most_tokens
from emblem.types import EmbedRequest, EmbedResult, Tokens
from emblem.wrappers.around import Around


class Estimated(Around):
    """Counts the tokens that the inputs have at most; see ``core.pieces.most_tokens``.

    For a deployment that decides everything about long texts by itself, such as another Emblem.
    """

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Pass a request on; see ``ports.Embedder``."""
        return await self._embedder.embed(request)

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Say what the inputs cost at most, up to four times as much for English."""
        return request, np.array([most_tokens(one) for one in request.inputs], np.int32)
