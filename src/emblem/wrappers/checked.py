"""Checked: the promise. It wraps each deployment, so that nothing unchecked is ever handed on."""

from collections.abc import Mapping

from emblem.core.check import of_one_text, violation
from emblem.errors import InvalidResult
from emblem.ports import Embedder, Examining, Working
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Work


class Checked:
    """Passes on what an embedder gives, after looking at every vector of it.

    Raises InvalidResult for a result that cannot be right; see ``core.check.violation``.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def space(self) -> Space:
        """The space of the deployment."""
        return self._embedder.space

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed, and check; see ``ports.Embedder``."""
        result = await self._embedder.embed(request)
        if what := violation(request, result, self.space):
            single = of_one_text(what, result.vectors)
            raise InvalidResult(result.served_by, what, of_one_text=single)
        return result

    def problem(self) -> str | None:
        """Pass on what the deployment says of itself."""
        return self._embedder.problem()

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        """Pass on what the deployment says of the inputs, if it can say anything."""
        if isinstance(self._embedder, Examining):
            await self._embedder.examine(request, wrong)

    def work(self) -> Work:
        """Pass on what the deployment says of its work, if it can say anything."""
        return self._embedder.work() if isinstance(self._embedder, Working) else Work({})

    async def aclose(self) -> None:
        """Close the deployment."""
        await self._embedder.aclose()
