"""Embedding texts again in one way after another, until one explains the stored vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emblem.cli.verify_explained import Finding, Numbers, Way, compared
from emblem.errors import InvalidInput, InvalidRequest
from emblem.types import EmbedRequest, Lane, Overflow

if TYPE_CHECKING:
    from emblem.ports import Embedder
    from emblem.types import Kind, Tokens, Vectors

PART = 32  # texts in a request
TRIED = 48  # rows that a way is tried on before it is tried on all
BETTER = 0.2  # how much more of the cosines must be high for a way to be told of


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A model to compare with.

    ``prompts`` are the kinds that it has prompts for; ``longest`` is how many tokens it reads at
    once, None where that is any number or not known; ``rules`` are what it can do with longer texts.
    """

    embedder: Embedder
    name: str
    prompts: tuple[Kind, ...] = ()
    longest: int | None = None
    rules: tuple[Overflow, ...] = ()

    @property
    def normalised(self) -> bool:
        """Tell whether it gives unit vectors."""
        return self.embedder.space.normalised


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """New vectors, (n, width) float32, and how many tokens each text had, (n,) int32."""

    vectors: Vectors
    tokens: Tokens


async def embed(opened: Opened, texts: Sequence[str], way: Way) -> Embedded:
    """Embed all texts in one way. Raises what ``Embedder.embed`` raises.

    InvalidInput has the indices of all texts of the first part that has wrong ones.
    """
    vectors, tokens = [], []
    for start in range(0, len(texts), PART):
        inputs = tuple(way.text(one) for one in texts[start : start + PART])
        request = EmbedRequest(inputs, way.kind, overflow=way.overflow, lane=Lane.BULK)
        try:
            result = await opened.embedder.embed(request)
        except InvalidInput as error:
            raise InvalidInput([(start + at, why) for at, why in error.problems]) from None
        vectors.append(result.vectors)
        tokens.append(result.tokens if result.uncut is None else result.uncut)
    return Embedded(np.concatenate(vectors), np.concatenate(tokens))


async def tried(
    opened: Opened,
    texts: Sequence[str],
    stored: Numbers,
    cosines: Numbers | None,
    ways: Sequence[Way],
    least: float,
) -> Finding | None:
    """Find the way that gives the stored vectors, or else the one that comes nearest to it.

    ``cosines`` are those of the way that was asked for, None where that was another model's.
    """
    before = float((cosines >= least).mean()) if cosines is not None else 0.0
    rows = _rows(cosines, len(texts))
    nearest: tuple[float, Way] | None = None
    for way in ways:
        share = await _share(opened, texts, stored, rows, way, least)
        if share is None:
            continue
        if share == 1.0 and len(rows) < len(texts):
            everything = range(len(texts))
            share = await _share(opened, texts, stored, everything, way, least) or 0.0
        if share == 1.0:
            return Finding(way.cause, f"every stored vector is that of its text {way}", True)
        if nearest is None or share > nearest[0]:
            nearest = (share, way)
    if nearest is None or nearest[0] < before + BETTER:
        return None
    share, way = nearest
    return Finding(
        way.cause, f"{share:.0%} of the stored vectors are those of their texts {way}", False
    )


async def _share(
    opened: Opened,
    texts: Sequence[str],
    stored: Numbers,
    rows: Sequence[int],
    way: Way,
    least: float,
) -> float | None:
    """Give the share of cosines that are high enough; None for a way that the model does not have."""
    try:
        found = await embed(opened, [texts[row] for row in rows], way)
    except InvalidRequest:
        return None
    cosines = compared(stored[list(rows)], found.vectors, normalised=opened.normalised)
    return None if cosines is None else float((cosines >= least).mean())


def _rows(cosines: Numbers | None, count: int) -> list[int]:
    """Choose rows to try a way on: the worst half, and some of the others."""
    if cosines is None or count <= TRIED:
        return list(range(min(count, TRIED)))
    order = np.argsort(cosines)
    others = order[TRIED // 2 :]
    step = max(1, len(others) // (TRIED // 2))
    return [int(one) for one in (*order[: TRIED // 2], *others[::step][: TRIED // 2])]
