"""Which sequences form the next row, and whose turn it is."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.pack import (
    MAX_LOOK,
    MAX_SHARES_LOOK,
    ROW_S,
    SMALLEST_SPLIT,
    Line,
    Take,
    Waiting,
    bounded,
    lane_to_run,
    split,
)
from emblem.types import Lane

FOREVER = float("inf")
LENGTHS = st.lists(st.integers(1, 90), min_size=1, max_size=12)
REQUESTS = st.lists(st.tuples(st.sampled_from("abc"), LENGTHS), min_size=1, max_size=10)


def waiting(*lengths: int, share: str = "", deadline: float = FOREVER) -> Waiting:
    return Waiting.of(lengths, deadline, share)


def line(*requests: Waiting) -> Line:
    made = Line()
    for one in requests:
        made.add(one)
    return made


def tokens(taken: Take) -> dict[str, int]:
    """Count what each share got."""
    had: Counter[str] = Counter()
    for part in taken.parts:
        had[part.waiting.share] += part.tokens
    return had


def rows(of: Line, row_tokens: int, count: int) -> list[Take]:
    return [of.take(row_tokens, now=0.0) for _ in range(count)]


# -- what a row holds -------------------------------------------------------------------------


@settings(deadline=None)
@given(requests=REQUESTS, row_tokens=st.integers(1, 100))
def test_repeated_rows_run_every_sequence_exactly_once_and_none_too_many_tokens(
    requests: list[tuple[str, list[int]]], row_tokens: int
) -> None:
    lengths = {waiting(*these, share=share): these for share, these in requests}
    ran: dict[Waiting, list[int]] = {one: [] for one in lengths}
    queue = line(*lengths)
    while parts := queue.take(row_tokens, now=0.0).parts:
        row = [(part.waiting, index) for part in parts for index in part.indices]
        total = sum(lengths[one][index] for one, index in row)
        assert total <= row_tokens or len(row) == 1
        assert total == sum(part.tokens for part in parts)
        assert len({part.waiting for part in parts}) == len(parts)
        for one, index in row:
            ran[one].append(index)
    assert [sorted(one) for one in ran.values()] == [
        list(range(len(these))) for these in lengths.values()
    ]
    assert not any(one.sizes for one in lengths)


@settings(deadline=None)
@given(requests=REQUESTS, row_tokens=st.integers(1, 100))
def test_no_row_leaves_out_a_sequence_that_would_have_fitted(
    requests: list[tuple[str, list[int]]], row_tokens: int
) -> None:
    queued = [waiting(*these, share=share) for share, these in requests]
    queue = line(*queued)
    while (taken := queue.take(row_tokens, now=0.0)).parts:
        left = row_tokens - sum(part.tokens for part in taken.parts)
        assert all(one.sizes[0] > left for one in queued if one.sizes)


def test_a_row_is_filled_by_what_fits_best() -> None:
    one = waiting(60, 50, 39, 39, 20)
    taken = line(one).take(100, now=0.0)
    assert taken.parts[0].indices == [0, 2]
    assert taken.parts[0].tokens == 99
    assert (one.sizes, one.piles) == ([20, 39, 50], [[4], [3], [1]])


def test_sequences_of_one_length_go_in_their_order() -> None:
    taken = line(waiting(7, 7, 9, 7)).take(100, now=0.0)
    assert taken.parts[0].indices == [2, 0, 1, 3]


def test_a_sequence_longer_than_a_row_runs_alone() -> None:
    queue = line(waiting(500, 5), waiting(506))
    assert [part.tokens for part in queue.take(100, now=0.0).parts] == [500]


def test_rows_of_real_lengths_are_nearly_full_while_there_is_enough_to_choose_from() -> None:
    chance = np.random.default_rng(4)
    lengths = np.clip(chance.lognormal(4.0, 0.5, 640).astype(int), 8, 128)
    queue = line(*(waiting(*part.tolist()) for part in lengths.reshape(10, 64)))
    full = [sum(part.tokens for part in row.parts) for row in rows(queue, 128, 200)]
    assert np.mean(full) > 0.97 * 128


def test_an_empty_line_gives_an_empty_row() -> None:
    assert Line().take(100, now=0.0) == Take(())


# -- turns within a share ---------------------------------------------------------------------


def test_a_small_request_shares_the_next_row_with_a_big_one_before_it() -> None:
    big, small = waiting(*[30] * 1000), waiting(10)
    taken = line(big, small).take(100, now=0.0)
    assert {part.waiting: part.tokens for part in taken.parts} == {big: 90, small: 10}


def test_of_requests_alike_the_first_ends_first_and_fills_its_rows_with_the_next() -> None:
    requests = [waiting(*[10] * 9) for _ in range(3)]
    queue = line(*requests)
    had = [{part.waiting: part.tokens for part in row.parts} for row in rows(queue, 60, 5)]
    first, second, third = requests
    assert had == [{first: 60}, {first: 30, second: 30}, {second: 60}, {third: 60}, {third: 30}]


@settings(deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(1, 90), min_size=1, max_size=12)),
        min_size=1,
        max_size=20,
    ),
    row_tokens=st.integers(1, 120),
)
def test_no_request_waits_for_more_than_twice_what_was_there_when_it_came_whatever_comes_after(
    arrivals: list[tuple[int, list[int]]], row_tokens: int
) -> None:
    queue, ran, there = Line(), 0, 0
    due: dict[Waiting, int] = {}
    slack = row_tokens + 2 * 90
    for rows_before, lengths in [*arrivals, *[(1, [1])] * 60]:
        for _ in range(rows_before):
            for part in queue.take(row_tokens, now=0.0).parts:
                ran += part.tokens
                there -= part.tokens
            due = {one: latest for one, latest in due.items() if one.sizes}
            assert ran <= min(due.values(), default=ran)
        one = waiting(*lengths)
        queue.add(one)
        there += one.tokens
        due[one] = ran + 2 * there + slack


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_no_request_ends_after_more_than_twice_what_turns_would_have_run_before_its_end(
    sizes: list[int],
) -> None:
    queue = line(*(waiting(*[1] * size) for size in sizes))
    for place in range(1, sum(sizes) + 1):
        (part,) = queue.take(1, now=0.0).parts
        if not part.waiting.sizes:
            in_turns = sum(min(part.waiting.tokens, size) for size in sizes)
            assert place <= 2 * in_turns + 1


@pytest.mark.parametrize("clients", [100, 1000])
def test_a_large_request_ends_soon_though_short_ones_of_the_same_key_always_wait(
    clients: int,
) -> None:
    queue = line(*(waiting(15) for _ in range(clients)))
    large = waiting(*[200] * 5)
    queue.add(large)
    ran = 0
    while large.sizes:
        for part in queue.take(128, now=0.0).parts:
            ran += part.tokens
            if part.waiting is not large:
                queue.add(waiting(15))
    assert ran <= 2 * (clients * 15 + large.tokens) + 128 + 200


def test_a_long_sequence_runs_though_another_key_begins_row_after_row_and_shorter_ones_fit() -> (
    None
):
    queue, long = Line(), waiting(90, share="long and short")
    for n in range(100):
        queue.add(waiting(40, share="begins"))
        queue.add(waiting(*[10] * 6, share="long and short"))
        if n == 5:
            queue.add(long)
        queue.take(100, now=0.0)
    assert not long.sizes


def test_what_is_due_and_does_not_fit_begins_the_next_row() -> None:
    first, second, third, fourth = waiting(95), waiting(50), waiting(40), waiting(40)
    queue = line(first, second, third, fourth)
    assert [part.waiting for part in queue.take(100, now=0.0).parts] == [third, fourth]
    assert [part.waiting for part in queue.take(100, now=0.0).parts] == [first]
    assert [part.waiting for part in queue.take(100, now=0.0).parts] == [second]


def test_what_left_and_what_is_too_late_does_not_run() -> None:
    left, late, in_time = waiting(10), waiting(10, deadline=5.0), waiting(10, deadline=5.1)
    queue = line(left, late, in_time)
    queue.remove(left)
    taken = queue.take(100, now=5.0)
    assert taken.expired == (late,)
    assert [part.waiting for part in taken.parts] == [in_time]


def test_a_row_asks_no_more_requests_than_its_bound_for_what_fits() -> None:
    queue = line(waiting(50), *(waiting(60) for _ in range(MAX_LOOK)), waiting(50, 60))
    assert [part.tokens for part in queue.take(100, now=0.0).parts] == [50]
    shares = [waiting(60, share=str(n)) for n in range(MAX_SHARES_LOOK)]
    queue = line(waiting(50, share="first"), *shares, waiting(50, share="last"))
    assert [part.tokens for part in queue.take(100, now=0.0).parts] == [50]


# -- turns among shares -----------------------------------------------------------------------


@settings(deadline=None)
@given(
    ours=st.lists(LENGTHS, min_size=40, max_size=40),
    theirs=st.lists(LENGTHS, min_size=10, max_size=10),
    row_tokens=st.integers(1, 120),
)
def test_two_shares_that_wait_get_as_much_but_for_a_row_and_two_sequences(
    ours: list[list[int]], theirs: list[list[int]], row_tokens: int
) -> None:
    left = {"ours": sum(map(sum, ours)), "theirs": sum(map(sum, theirs))}
    queue = line(
        *(waiting(*these, share="ours") for these in ours),
        *(waiting(*these, share="theirs") for these in theirs),
    )
    had = dict.fromkeys(left, 0)
    while True:
        for share, tokens_of in tokens(queue.take(row_tokens, now=0.0)).items():
            had[share] += tokens_of
        if any(had[share] == left[share] for share in had):
            return
        # One sequence more than the row's: that of a share that begins a row ahead of its turn.
        assert abs(had["ours"] - had["theirs"]) <= row_tokens + 2 * 90


@settings(deadline=None)
@given(
    small=st.lists(st.integers(1, 20), min_size=1, max_size=60),
    row_tokens=st.integers(1, 100),
    length=st.integers(1, 90),
)
def test_a_request_runs_after_as_much_as_its_own_share_and_the_others_are_due(
    small: list[int], row_tokens: int, length: int
) -> None:
    """However many requests others put in before and meanwhile: no share and no length starves."""
    queue = line(*(waiting(90, *small, share="flood") for _ in range(100)))
    queue.take(row_tokens, now=0.0)
    mine = waiting(length, share="mine")
    queue.add(mine)
    before = 0
    while mine.sizes:
        queue.add(waiting(*small, share="flood"))
        before += tokens(queue.take(row_tokens, now=0.0))["flood"]
    assert before <= 2 * (row_tokens + 90)


def test_a_share_gets_as_many_times_more_as_it_weighs() -> None:
    queue = Line(lambda share: {"heavy": 3.0, "light": 1.0}[share])
    for share in ("heavy", "light"):
        queue.add(waiting(*[10] * 1000, share=share))
    had = Counter[str]()
    for row in rows(queue, 100, 20):
        had.update(tokens(row))
    assert had["heavy"] == pytest.approx(3 * had["light"], abs=20)


def test_a_share_that_was_away_gets_nothing_for_it() -> None:
    queue = line(waiting(*[10] * 1000, share="steady"))
    rows(queue, 100, 50)
    queue.add(waiting(*[10] * 1000, share="new"))
    for row in rows(queue, 100, 10):
        assert abs(tokens(row)["new"] - tokens(row)["steady"]) <= 20


def test_a_share_that_asks_again_and_again_gets_no_more_than_one_that_waits() -> None:
    queue = line(waiting(*[10] * 1000, share="waits"))
    had = Counter[str]()
    for _ in range(50):
        queue.add(waiting(*[10] * 8, share="again"))
        had.update(tokens(queue.take(100, now=0.0)))
    assert had["again"] <= had["waits"] + 200


def test_shares_that_came_and_went_are_forgotten() -> None:
    queue = line(waiting(*[10] * 20_000, share="stays"))
    for n in range(3000):
        queue.add(waiting(10, share=f"share {n}"))
        queue.take(40, now=0.0)
    assert len(queue._away) <= 2 * MAX_LOOK
    assert len(queue._heap) == len(queue._flows) == 1


def test_a_share_that_left_without_a_row_is_no_trouble_when_it_comes_back() -> None:
    gone, stays = waiting(10, share="a"), waiting(10, share="b")
    queue = line(gone, stays)
    queue.remove(gone)
    back = waiting(10, share="a")
    queue.add(back)
    taken = queue.take(100, now=0.0)
    assert {part.waiting for part in taken.parts} == {stays, back}
    assert queue.take(100, now=0.0) == Take(())


# -- lanes and sizes --------------------------------------------------------------------------


def test_interactive_goes_first_unless_bulk_is_due() -> None:
    def lane(interactive: bool, bulk: bool, due: bool) -> Lane | None:
        return lane_to_run(interactive=interactive, bulk=bulk, bulk_is_due=due)

    for due in (False, True):
        assert lane(False, False, due) is None
        assert lane(False, True, due) is Lane.BULK
        assert lane(True, False, due) is Lane.INTERACTIVE
    assert lane(True, True, False) is Lane.INTERACTIVE
    assert lane(True, True, True) is Lane.BULK


def test_a_row_of_a_slow_model_is_shorter_but_not_so_short_that_it_costs_much_more() -> None:
    assert bounded(128, ROW_S / 1000) == 128
    assert bounded(128, ROW_S / 100) == 100
    assert bounded(128, 1.0) == 32
    assert bounded(128, 0.0) == 128
    assert bounded(1, 1.0) == 1


def test_streams_that_have_nothing_to_do_get_their_part() -> None:
    assert split(128, 10_000, idle=0) == 128
    assert split(128, 10_000, idle=3) == 128
    assert split(128, 101, idle=1) == 51
    assert split(128, 20, idle=3) == SMALLEST_SPLIT
    assert split(8, 20, idle=3) == 8
