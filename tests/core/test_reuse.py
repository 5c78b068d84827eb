"""What may be answered from parts, and what a part is."""

import numpy as np
import pytest

from emblem.core.reuse import CHARACTERS_PER_ID, MAX_CHARACTERS, entries, joined, wanted
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult

SPACE = Space("tiny", "a" * 64, "b" * 64, 3, normalised=True)
VECTORS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
RESULT = EmbedResult(
    VECTORS,
    np.array([4, 5, 6, 7], np.int32),
    (1, 3),
    "tiny",
    np.array([4, 9, 6, 8], np.int32),
)


@pytest.mark.parametrize("places", [[0, 1, 2, 3], [3, 1], [2], [1], [1, 1]])
def test_entries_of_some_texts_are_what_they_are_among_all(places: list[int]) -> None:
    every = entries(RESULT, 4, SPACE)
    some = entries(RESULT, 4, SPACE, places)
    assert some == [every[place] for place in places]
    request = EmbedRequest(("text",) * len(places))
    result = joined(some, request, SPACE, served_by="tiny", hits=0)
    assert result is not None
    assert result.vectors.tolist() == VECTORS[places].tolist()
    assert result.tokens.tolist() == [4 + place for place in places]
    assert result.overflowed == tuple(n for n, place in enumerate(places) if place in (1, 3))
    uncut = None if result.uncut is None else result.uncut.tolist()
    cut = {1, 3} & set(places)
    assert uncut == ([[4, 9, 6, 8][place] for place in places] if cut else None)
    assert not result.vectors.flags.writeable


def test_an_entry_is_the_same_whichever_others_are_made() -> None:
    whole = entries(RESULT, 4, SPACE)
    assert entries(RESULT, 4, SPACE, [2, 0]) == [whole[2], whole[0]]


def test_what_would_hold_up_the_loop_while_it_is_compared_is_for_the_embedder_alone() -> None:
    most = MAX_CHARACTERS // CHARACTERS_PER_ID
    for largest, larger in (("x" * MAX_CHARACTERS, "x"), ((1,) * most, (1,))):
        assert wanted(EmbedRequest((largest,)), SPACE, shortening=True) is not None
        assert wanted(EmbedRequest((largest, larger)), SPACE, shortening=True) is None
