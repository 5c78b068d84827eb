"""Which models leave: as few as make room, the least recently used, and never one that is busy."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from emblem.core.room import Held, to_close

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


@given(held=HELD, needed=st.integers(1, 12), budget=st.integers(1, 30))
def test_whoever_leaves_is_idle_makes_room_and_is_needed(
    held: list[Held], needed: int, budget: int
) -> None:
    idle = [place for place, one in enumerate(held) if not one.busy]
    places = to_close(held, needed, budget)
    if places is None:
        assert total(held, tuple(idle)) + needed > budget
        return
    assert set(places) <= set(idle)
    assert len(set(places)) == len(places)
    assert total(held, places) + needed <= budget
    for fewer in combinations(places, max(0, len(places) - 1)):
        if fewer != places:
            assert total(held, fewer) + needed > budget
