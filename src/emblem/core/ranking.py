"""Whether what a server says of how documents rank can be right, and its order. Pure."""

from collections.abc import Sequence
from math import isfinite

Ranked = Sequence[tuple[int, float]]


def ranking_problem(ranked: Ranked, documents: int, top_n: int | None) -> str | None:
    """Say what is wrong with pairs of a document's index and its score, None where nothing is.

    Every document has a place, or ``top_n`` of them have. Their order is left to ``best_first``.
    """
    due = documents if top_n is None else min(top_n, documents)
    if len(ranked) != due:
        return f"{len(ranked)} results for {documents} documents where {due} were due"
    seen: set[int] = set()
    for place, (index, score) in enumerate(ranked):
        if not 0 <= index < documents:
            return f"result {place} is of document {index}, and there are {documents}"
        if index in seen:
            return f"document {index} has two places"
        if not isfinite(score):
            return f"the score of document {index} is no finite number"
        seen.add(index)
    return None


def best_first(ranked: Ranked) -> list[tuple[int, float]]:
    """Give the pairs with the highest score first; those with the same one stay as they came."""
    return sorted(ranked, key=lambda one: -one[1])
