"""Which sequences form the next row, and whose turn it is."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.pack import (
    INTERACTIVE_ROWS_PER_BULK_ROW,
    MAX_LOOK,
    Take,
    Waiting,
    lane_to_run,
    take,
)
from emblem.types import Lane

FOREVER = float("inf")
REQUESTS = st.lists(
    st.lists(st.integers(1, 90), min_size=1, max_size=12), min_size=1, max_size=10
)  # fmt: skip


def waiting(*lengths: int, deadline: float = FOREVER) -> Waiting:
    return Waiting.of(np.array(lengths), deadline)


def act(queue: list[Waiting], taken: Take) -> dict[int, list[int]]:
    """Do what was decided; give the lengths taken from each place of the queue."""
    row = {}
    for place, first, last in taken.picks:
        one = queue[place]
        row[place] = [*one.lengths[one.first : first], *one.lengths[last : one.last]]
        one.first, one.last = first, last
    return row


@settings(deadline=None)
@given(requests=REQUESTS, row_tokens=st.integers(1, 100))
def test_repeated_rows_run_every_sequence_exactly_once_and_none_too_many_tokens(
    requests: list[list[int]], row_tokens: int
) -> None:
    queue = [waiting(*lengths) for lengths in requests]
    ran: list[list[int]] = [[] for _ in requests]
    while any(one.first < one.last for one in queue):
        places = [place for place, one in enumerate(queue) if one.first < one.last]
        live = [queue[place] for place in places]
        before = [(one.first, one.last) for one in live]
        row = act(live, take(live, row_tokens, now=0.0))
        lengths = [length for part in row.values() for length in part]
        assert sum(lengths) <= row_tokens or len(lengths) == 1
        assert row[0][0] == live[0].lengths[before[0][0]]  # its longest goes first
        for place in row:
            one, (first, last) = live[place], before[place]
            taken = [*one.order[first : one.first], *one.order[one.last : last]]
            ran[places[place]] += taken
    assert [sorted(one) for one in ran] == [list(range(len(lengths))) for lengths in requests]


@given(requests=REQUESTS, row_tokens=st.integers(1, 100))
def test_no_row_leaves_out_a_sequence_that_would_have_fitted(
    requests: list[list[int]], row_tokens: int
) -> None:
    queue = [waiting(*lengths) for lengths in requests]
    row = act(queue, take(queue, row_tokens, now=0.0))
    left = row_tokens - sum(sum(part) for part in row.values())
    shortest = [one.lengths[one.last - 1] for one in queue if one.first < one.last]
    assert all(length > left for length in shortest)


def test_a_small_request_shares_the_next_row_with_a_big_one_before_it() -> None:
    big, small = waiting(*[30] * 1000), waiting(10)
    assert act([big, small], take([big, small], 100, now=0.0))[1] == [10]


def test_requests_take_turns_so_that_none_fills_a_row_alone() -> None:
    queue = [waiting(*[10] * 50) for _ in range(4)]
    row = act(queue, take(queue, 80, now=0.0))
    assert [len(part) for part in row.values()] == [3, 2, 2, 1]


def test_a_sequence_longer_than_a_row_runs_alone() -> None:
    queue = [waiting(500, 5), waiting(5)]
    assert act(queue, take(queue, 100, now=0.0)) == {0: [500]}


def test_a_row_is_filled_with_short_ones_where_no_long_one_fits() -> None:
    queue = [waiting(60, 50, 20, 20)]
    assert act(queue, take(queue, 100, now=0.0)) == {0: [60, 20, 20]}


def test_what_nobody_waits_for_and_what_is_too_late_does_not_run() -> None:
    queue = [waiting(10), waiting(10, deadline=5.0), waiting(10, deadline=5.1)]
    queue[0].abandoned = True
    taken = take(queue, 100, now=5.0)
    assert (taken.dropped, taken.expired) == ((0,), (1,))
    assert [place for place, _, _ in taken.picks] == [2]


def test_who_left_and_is_too_late_as_well_is_told_nothing() -> None:
    queue = [waiting(10, deadline=1.0)]
    queue[0].abandoned = True
    assert take(queue, 100, now=2.0) == Take((), (0,), ())


def test_a_long_queue_costs_no_more_than_a_short_one() -> None:
    queue = [waiting(1) for _ in range(MAX_LOOK + 50)]
    for one in queue[MAX_LOOK:]:
        one.abandoned = True
    taken = take(queue, 10_000, now=0.0)
    assert [place for place, _, _ in taken.picks] == list(range(MAX_LOOK))
    assert taken.dropped == ()


def test_an_empty_queue_gives_an_empty_row() -> None:
    assert take([], 100, now=0.0) == Take((), (), ())


def test_interactive_goes_first_and_neither_lane_starves() -> None:
    assert lane_to_run(interactive=0, bulk=0, interactive_rows=0) is None
    assert lane_to_run(interactive=0, bulk=1, interactive_rows=0) is Lane.BULK
    assert lane_to_run(interactive=1, bulk=0, interactive_rows=10**6) is Lane.INTERACTIVE
    turns, since = [], 0
    for _ in range(5 * (INTERACTIVE_ROWS_PER_BULK_ROW + 1)):
        lane = lane_to_run(interactive=1, bulk=1, interactive_rows=since)
        since = 0 if lane is Lane.BULK else since + 1
        turns.append(lane)
    assert turns[0] is Lane.INTERACTIVE
    assert turns.count(Lane.BULK) == 5
