"""When a deployment that fails is left alone, and how it is found out that it is well again."""

from hypothesis import given
from hypothesis import strategies as st

from emblem.core.breaker import Breaker, Stance, Trip

TRIP = Trip(in_a_row=3, rate=0.5, least=8, window_s=10.0, open_s=5.0, longest_s=20.0)


def failed(breaker: Breaker, now: float, times: int = 3) -> None:
    for _ in range(times):
        breaker.end(breaker.begin(now), now, failed=True)


def test_failures_in_a_row_open_it_and_one_answer_in_between_does_not_let_them() -> None:
    breaker = Breaker(TRIP)
    failed(breaker, 0.0, 2)
    breaker.end(breaker.begin(0.0), 0.0, failed=False)
    failed(breaker, 0.0, 2)
    assert breaker.stance(0.0) is Stance.CLOSED
    failed(breaker, 0.0, 1)
    assert breaker.stance(0.0) is Stance.OPEN
    assert breaker.wait_s(1.0) == 4.0


def test_half_of_the_outcomes_of_a_window_open_it_once_there_are_enough() -> None:
    breaker = Breaker(TRIP)
    for turn in range(7):
        breaker.end(breaker.begin(0.0), 0.0, failed=turn % 2 == 0)
    assert breaker.stance(0.0) is Stance.CLOSED
    breaker.end(breaker.begin(0.0), 0.0, failed=True)
    assert breaker.stance(0.0) is Stance.OPEN


def test_what_failed_before_the_window_counts_no_more() -> None:
    breaker = Breaker(TRIP)
    for turn in range(7):
        breaker.end(breaker.begin(0.0), 0.0, failed=turn % 2 == 0)
    breaker.end(breaker.begin(11.0), 11.0, failed=True)
    assert breaker.stance(11.0) is Stance.CLOSED


def test_one_request_finds_out_and_the_others_wait_for_it() -> None:
    breaker = Breaker(TRIP)
    failed(breaker, 0.0)
    assert breaker.stance(5.0) is Stance.HALF_OPEN
    assert breaker.wait_s(5.0) == 0.0
    probe = breaker.begin(5.0)
    assert breaker.wait_s(6.0) > 0.0
    breaker.end(probe, 6.0, failed=False)
    assert breaker.stance(6.0) is Stance.CLOSED
    assert breaker.wait_s(6.0) == 0.0


def test_it_says_when_it_is_half_open_and_not_how_long_a_probe_is_waited_for() -> None:
    breaker = Breaker(TRIP)
    assert breaker.half_open_s(0.0) == 0.0
    failed(breaker, 0.0)
    assert breaker.half_open_s(1.0) == 4.0
    probe = breaker.begin(5.0)
    assert (breaker.half_open_s(6.0), breaker.wait_s(6.0)) == (0.0, 19.0)
    breaker.end(probe, 6.0, failed=True)
    assert breaker.half_open_s(6.0) == 10.0


def test_it_stays_open_for_twice_as_long_each_time_up_to_a_bound() -> None:
    breaker, now, waits = Breaker(TRIP), 0.0, []
    failed(breaker, now)
    for _ in range(4):
        waits.append(breaker.wait_s(now))
        now += breaker.wait_s(now)
        breaker.end(breaker.begin(now), now, failed=True)
    assert waits == [5.0, 10.0, 20.0, 20.0]


def test_one_that_leaves_lets_the_next_find_out() -> None:
    breaker = Breaker(TRIP)
    failed(breaker, 0.0)
    breaker.leave(breaker.begin(5.0))
    assert breaker.wait_s(5.0) == 0.0


def test_one_that_never_ends_is_not_waited_for_for_ever() -> None:
    breaker = Breaker(TRIP)
    failed(breaker, 0.0)
    stuck = breaker.begin(5.0)
    assert breaker.wait_s(5.0) == TRIP.longest_s
    late = 5.0 + TRIP.longest_s
    assert breaker.wait_s(late) == 0.0
    probe = breaker.begin(late)
    breaker.end(stuck, late, failed=True)
    assert breaker.stance(late) is Stance.HALF_OPEN, "the stuck one counts no more"
    breaker.end(probe, late, failed=False)
    assert breaker.stance(late) is Stance.CLOSED


def test_what_began_before_it_opened_neither_closes_it_nor_opens_it_again() -> None:
    breaker = Breaker(TRIP)
    early = [breaker.begin(0.0) for _ in range(4)]
    failed(breaker, 0.0)
    breaker.end(early[0], 1.0, failed=False)
    assert breaker.stance(1.0) is Stance.OPEN
    breaker.end(breaker.begin(5.0), 5.0, failed=False)
    for one in early[1:]:
        breaker.end(one, 5.0, failed=True)
    assert breaker.stance(5.0) is Stance.CLOSED


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "answer", "fail", "leave"]),
            st.floats(0.0, 12.0),
            st.integers(0, 5),
        ),
        max_size=80,
    )
)
def test_whatever_happens_it_never_shuts_for_longer_than_it_may_nor_passes_two_probes(
    steps: list[tuple[str, float, int]],
) -> None:
    breaker, now, out = Breaker(TRIP), 0.0, list[tuple[int, bool]]()
    for what, later, which in steps:
        now += later
        half_open = breaker.stance(now) is Stance.HALF_OPEN
        if what == "begin":
            if breaker.wait_s(now) == 0.0:
                out.append((breaker.begin(now), half_open))
                if half_open:
                    assert breaker.wait_s(now) > 0.0
        elif out:
            ticket, _ = out.pop(which % len(out))
            if what == "leave":
                breaker.leave(ticket)
            else:
                breaker.end(ticket, now, failed=what == "fail")
        assert 0.0 <= breaker.wait_s(now) <= TRIP.longest_s
        if breaker.stance(now) is Stance.CLOSED:
            assert breaker.wait_s(now) == 0.0
        if breaker.stance(now) is Stance.OPEN:
            assert breaker.wait_s(now) > 0.0


@given(st.lists(st.booleans(), max_size=60))
def test_while_it_is_closed_it_has_seen_neither_too_many_in_a_row_nor_too_many_at_all(
    outcomes: list[bool],
) -> None:
    breaker, row, seen = Breaker(TRIP), 0, list[bool]()
    for fails in outcomes:
        if breaker.stance(0.0) is not Stance.CLOSED:
            break
        breaker.end(breaker.begin(0.0), 0.0, failed=fails)
        row = row + 1 if fails else 0
        seen.append(fails)
        often = len(seen) >= TRIP.least and sum(seen) >= len(seen) / 2 and fails
        opened = row >= TRIP.in_a_row or often
        assert (breaker.stance(0.0) is Stance.OPEN) is opened
