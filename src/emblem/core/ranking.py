"""Whether what a server says of how documents rank can be right. Pure."""

from collections.abc import Sequence
from math import isfinite


def ranking_problem(
    ranked: Sequence[tuple[int, float]], documents: int, top_n: int | None
) -> str | None:
    """Say what is wrong with pairs of a document's index and its score, None where nothing is.

    Every document has a place, or the first ``top_n`` have; the best comes first.
    """
    due = documents if top_n is None else min(top_n, documents)
    if len(ranked) != due:
        return f"{len(ranked)} results for {documents} documents where {due} were due"
    seen: set[int] = set()
    before = None
    for place, (index, score) in enumerate(ranked):
        if not 0 <= index < documents:
            return f"result {place} is of document {index}, and there are {documents}"
        if index in seen:
            return f"document {index} has two places"
        if not isfinite(score):
            return f"the score of document {index} is no finite number"
        if before is not None and score > before:
            return f"result {place} has a higher score than the one before it"
        seen.add(index)
        before = score
    return None
