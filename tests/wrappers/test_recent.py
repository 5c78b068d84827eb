"""What is remembered stays within its bytes, and what is asked for again stays longest."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.wrappers.recent import Recent, cost

ENTRY = b"e" * 1548  # of a vector of 384 numbers


def key(number: int) -> bytes:
    return b"key %06d" % number


def filled(room: int, *numbers: int) -> Recent:
    """Keep entries one by one where there is room for so many of them."""
    recent = Recent(room * cost(key(0), ENTRY))
    for number in numbers:
        recent.put([key(number)], [ENTRY])
    return recent


def known(recent: Recent, *numbers: int) -> list[int]:
    found = recent.find([key(number) for number in numbers])
    return [number for number, entry in zip(numbers, found, strict=True) if entry is not None]


def test_what_was_put_is_found_and_what_was_not_is_none() -> None:
    recent = Recent(10_000)
    recent.put([b"one", b"two"], [b"1", b"2"])
    assert recent.find([b"two", b"three", b"one"]) == [b"2", None, b"1"]
    report = recent.report()
    assert (report.entries, report.hits, report.misses) == (2, 2, 1)
    assert report.bytes == cost(b"one", b"1") + cost(b"two", b"2")


def test_the_oldest_goes_first() -> None:
    recent = filled(5, *range(8))
    assert known(recent, *range(8)) == [3, 4, 5, 6, 7]


def test_a_million_texts_that_come_once_leave_alone_what_came_twice() -> None:
    recent = filled(10, 1, 2, 3)
    assert known(recent, 1, 2, 3) == [1, 2, 3]
    for number in range(100, 1100):
        recent.put([key(number)], [ENTRY])
    assert known(recent, 1, 2, 3) == [1, 2, 3]


def test_what_came_twice_long_ago_gives_way_to_what_comes_twice_now() -> None:
    recent = filled(10, *range(8))
    known(recent, *range(8))
    for number in range(100, 120):
        recent.put([key(number)], [ENTRY])
        known(recent, number)
    assert known(recent, *range(8)) == []
    assert len(known(recent, *range(100, 120))) == 10


def test_a_key_has_its_newest_entry() -> None:
    recent = filled(5, 1)
    known(recent, 1)
    recent.put([key(1), key(2), key(2)], [b"new", b"old", b"new"])
    assert recent.find([key(1), key(2)]) == [b"new", b"new"]
    assert recent.held_bytes == cost(key(1), b"new") + cost(key(2), b"new")


def test_what_came_twice_and_is_computed_anew_still_outlives_what_comes_once() -> None:
    recent = filled(10, 1, 2)
    assert known(recent, 1, 2) == [1, 2]
    recent.put([key(1), key(2)], [ENTRY, ENTRY])
    for number in range(100, 200):
        recent.put([key(number)], [ENTRY])
    assert known(recent, 1, 2) == [1, 2]


def test_what_can_never_fit_is_not_kept_and_drives_nobody_out() -> None:
    recent = filled(2, 1, 2)
    recent.put([b"huge"], [b"h" * recent.max_bytes])
    assert known(recent, 1, 2) == [1, 2]
    assert recent.find([b"huge"]) == [None]


def test_nothing_is_kept_in_no_room() -> None:
    recent = Recent(0)
    recent.put([b"one"], [b""])
    assert recent.find([b"one"]) == [None]
    assert recent.held_bytes == 0


ACTIONS = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=6), st.integers(0, 400)),
    max_size=40,
)


@given(ACTIONS, st.integers(0, 3000))
@settings(max_examples=150, deadline=None)
def test_the_bytes_are_counted_right_whatever_happens(
    actions: list[tuple[bool, list[int], int]], room: int
) -> None:
    recent = Recent(room)
    newest: dict[bytes, bytes] = {}
    for puts, numbers, size in actions:
        keys = [key(number) for number in numbers]
        if puts:
            entries = [b"%d %d" % (size, place) + b"." * size for place in range(len(keys))]
            recent.put(keys, entries)
            newest |= dict(zip(keys, entries, strict=True))
        else:
            for one, entry in zip(keys, recent.find(keys), strict=True):
                assert entry is None or entry == newest[one]
        kept = [(one, entry) for one in newest if (entry := recent.find([one])[0]) is not None]
        assert recent.held_bytes == sum(cost(one, entry) for one, entry in kept) <= room
        assert recent.report().entries == len(kept)


def test_it_takes_no_more_memory_than_it_counts() -> None:
    recent = Recent(1 << 40)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20_000):
            recent.put([key(number)], [bytes(ENTRY[:-1]) + b"%d" % (number % 10)])
        known(recent, *range(15_000))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.85 * recent.held_bytes < taken < 1.02 * recent.held_bytes
