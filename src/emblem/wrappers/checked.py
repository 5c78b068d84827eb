"""Checked: the promise. It wraps each deployment, so that nothing unchecked is ever handed on."""

from emblem.core.check import refuse_wrong
from emblem.types import EmbedRequest, EmbedResult
from emblem.wrappers.around import Around


class Checked(Around):
    """Passes on what an embedder gives, after looking at every vector of it.

    Raises InvalidResult for a result that cannot be right; see ``core.check.violation``.
    """

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed, and check; see ``ports.Embedder``."""
        result = await self._embedder.embed(request)
        refuse_wrong(request, result, self._space)
        return result
