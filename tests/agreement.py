"""What it means that Emblem and another program agree, for the tests that compare them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emblem.config import Settings
from emblem.opening import open_model
from emblem.types import EmbedRequest, Kind, Overflow, Vectors

LEAST_COSINE = 0.99999
MOST_APART = 1e-4  # in any one component


def embed(
    folder: Path,
    *batches: Sequence[str | tuple[int, ...]],
    kind: Kind | None = None,
    overflow: Overflow = Overflow.TRUNCATE,
) -> list[Vectors]:
    """Open a model folder, embed each batch as one request and close: [(n, width) float32]."""

    async def work() -> list[Vectors]:
        embedder = open_model(folder, folder.name, Settings())
        try:
            requests = [EmbedRequest(tuple(batch), kind, overflow=overflow) for batch in batches]
            return [(await embedder.embed(request)).vectors for request in requests]
        finally:
            await embedder.aclose()

    return asyncio.run(work())


def disagreements(ours: Vectors, theirs: Vectors, texts: Sequence[str]) -> list[str]:
    """Say which texts have vectors that are too far apart, and by how much."""
    assert ours.shape == theirs.shape
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    apart = np.abs(a - b).max(axis=1)
    cosines = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return [
        f"{texts[index][:60]!r}: {apart[index]:.1e} apart, cosine {cosines[index]:.6f}"
        for index in np.flatnonzero(~((apart <= MOST_APART) & (cosines >= LEAST_COSINE)))
    ]
