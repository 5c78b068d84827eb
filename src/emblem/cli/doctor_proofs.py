"""Holding the deployments of a model to its space, as a server does at its start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emblem.cli.canaries import Check
from emblem.ports import Deploying
from emblem.types import EmbedRequest, EmbedResult
from emblem.wrappers.around import Around

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.ports import Embedder, References
    from emblem.space import Space
    from emblem.types import DeploymentState, Reference

NAME = "proof"


async def proven(model: str, settings: Settings, local: Embedder | None) -> dict[str, Check]:
    """Prove every deployment of a model once; give what came of that, by their names.

    ``local`` is the one that is here, if there is one. Nothing is written. Raises what a server
    that serves the model would not start for: ConfigError or ModelError.
    """
    from emblem import wiring
    from emblem.cli import hosted_model
    from emblem.wrappers.references import FileReferences

    kept = Borrowed(FileReferences(Path(settings.home) / wiring.REFERENCES))
    lent = None if local is None else Lent(local)
    async with hosted_model.opened(model, settings, lent, kept) as found:
        pool = found.embedder
        states = pool.deployments() if isinstance(pool, Deploying) else ()
    return {one.name: _check(one, found.offer.space) for one in states}


def _check(state: DeploymentState, space: Space) -> Check:
    if state.problem is not None or state.worst_cosine is None:
        return Check(NAME, False, state.problem or "was not held to its space in time")
    return Check(NAME, True, f"gives vectors of {space}: cosine {state.worst_cosine:.6f} at least")


class Lent(Around):
    """A deployment that goes on when whoever it was lent to has done with it."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Pass on what it gives; see ``ports.Embedder``."""
        return await self._embedder.embed(request)

    async def aclose(self) -> None:
        """Leave that to its owner."""


class Borrowed:
    """References where a server keeps them, which are read; new ones are kept in memory alone."""

    def __init__(self, kept: References) -> None:
        self._kept = kept
        self._made: dict[tuple[str, str], Reference] = {}

    def get(self, space: Space, texts: str) -> Reference | None:
        """Give the reference of a space for this set of texts; see ``ports.References``."""
        return self._made.get((space.identity, texts)) or self._kept.get(space, texts)

    def put(self, space: Space, reference: Reference) -> Reference:
        """Keep a reference until the command ends, unless there is one already."""
        return self._made.setdefault((space.identity, reference.texts), reference)
