"""Which models leave: as few as make room, the least recently used, and never one that is busy."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.core.room import Held, excess, to_close

HELD = st.lists(
    st.builds(Held, bytes=st.integers(1, 9), last_used=st.integers(0, 5), busy=st.booleans()),
    max_size=6,
)


def total(held: list[Held], without: tuple[int, ...] = ()) -> int:
    return sum(one.bytes for place, one in enumerate(held) if place not in without)


def test_nobody_leaves_where_there_is_room() -> None:
    assert to_close([Held(3, 1.0), Held(3, 2.0)], needed=4, budget=10) == ()


def test_the_least_recently_used_leaves_first() -> None:
    held = [Held(3, 2.0), Held(3, 1.0), Held(3, 3.0)]
    assert to_close(held, needed=3, budget=9) == (1,)
    assert to_close(held, needed=5, budget=9) == (1, 0)


def test_one_that_the_others_make_unnecessary_stays() -> None:
    assert to_close([Held(1, 1.0), Held(8, 2.0)], needed=8, budget=9) == (1,)


def test_the_busy_are_in_the_way() -> None:
    assert to_close([Held(5, 1.0, busy=True), Held(2, 2.0)], needed=6, budget=10) is None
    assert to_close([Held(5, 1.0, busy=True), Held(2, 2.0)], needed=5, budget=10) == (1,)


def test_what_is_taken_beyond_the_models_counts_as_they_do() -> None:
    held = [Held(3, 1.0), Held(3, 2.0)]
    assert to_close(held, needed=3, budget=9, beyond=0) == ()
    assert to_close(held, needed=3, budget=9, beyond=1) == (0,)
    assert to_close(held, needed=3, budget=9, beyond=4) == (0, 1)
    busy = [Held(3, 1.0), Held(3, 2.0, busy=True)]
    assert to_close(busy, needed=3, budget=9, beyond=3) == (0,)
    assert to_close(busy, needed=3, budget=9, beyond=4) is None


def test_what_fits_alone_is_loaded_alone_whatever_is_taken_beyond() -> None:
    assert to_close([], needed=9, budget=9, beyond=100) == ()
    assert to_close([Held(3, 1.0)], needed=9, budget=9, beyond=100) == (0,)
    assert to_close([], needed=10, budget=9) is None


@pytest.mark.parametrize(
    ("resident", "base", "held", "beyond"),
    [(100, 30, 50, 20), (100, 30, 70, 0), (100, 30, 90, 0), (None, 30, 5, 0), (100, None, 5, 0)],
)
def test_the_excess_is_what_neither_the_base_nor_a_model_accounts_for(
    resident: int | None, base: int | None, held: int, beyond: int
) -> None:
    assert excess(resident, base, held) == beyond


@given(held=HELD, needed=st.integers(1, 12), budget=st.integers(1, 30), beyond=st.integers(0, 20))
def test_whoever_leaves_is_idle_makes_room_and_is_needed(
    held: list[Held], needed: int, budget: int, beyond: int
) -> None:
    idle = [place for place, one in enumerate(held) if not one.busy]
    needed_in_all = needed + beyond
    places = to_close(held, needed, budget, beyond)
    if places is None:
        assert total(held, tuple(idle)) + needed_in_all > budget
        assert len(idle) < len(held) or needed > budget
        return
    assert set(places) <= set(idle)
    assert len(set(places)) == len(places)
    if total(held, places) + needed_in_all > budget:
        assert sorted(places) == list(range(len(held)))  # it will be alone
        assert needed <= budget
    for fewer in combinations(places, max(0, len(places) - 1)):
        if fewer != places:
            assert total(held, fewer) + needed_in_all > budget


@given(held=HELD, needed=st.integers(1, 30), beyond=st.integers(0, 50))
def test_where_nobody_is_busy_whatever_fits_alone_can_be_loaded(
    held: list[Held], needed: int, beyond: int
) -> None:
    at_rest = [Held(one.bytes, one.last_used) for one in held]
    assert to_close(at_rest, needed, 30, beyond) is not None
