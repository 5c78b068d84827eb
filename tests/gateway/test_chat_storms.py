"""Chats while deployments misbehave: never two answers in one, nothing late, nothing left over."""

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.passing_front import SECOND_KEY, THEIR_KEY
from emblem.types import Health
from emblem.upstreams.misbehaving import Fault
from emblem.upstreams.misbehaving.talk import WORDS, words
from gateway.chats import BOUNDS, DEADLINE_S, FAULTS, SLACK_S, VOICES, assert_right, storm
from gateway.storms import Heard

OK = Fault.OK
ONE = [("what is it?", True, None)]
BOTH = [("what is it?", True, None), ("and what else?", False, None)]

# Before anything has come that could be passed on.
BEFORE = (
    *(Fault.RESET, Fault.CLOSE, Fault.HANG, Fault.NOT_HTTP, Fault.HUGE_HEADERS),
    *(Fault.BUSY, Fault.BUSY_HUGE, Fault.ERROR_500, Fault.ERROR_502, Fault.ERROR_503),
    *(Fault.ERROR_529, Fault.BIG_ERROR, Fault.KEY_ECHO, Fault.REDIRECT, Fault.NOT_FOUND),
    *(Fault.HTML_IN_200, Fault.ERROR_IN_200, Fault.BAD_UTF8, Fault.BAD_GZIP, Fault.GZIP_BOMB),
)
AFTER = (Fault.RESET_BODY, Fault.HANG_BODY, Fault.TRUNCATED, Fault.BAD_JSON)


@pytest.mark.parametrize("fault", BEFORE)
def test_what_has_not_begun_is_answered_by_another_deployment(fault: Fault) -> None:
    stormed = asyncio.run(storm([[fault], [OK]], BOTH * 2))
    assert_right(stormed)
    assert [one.status for one in stormed.chats] == [200] * 4
    assert not any(one.broken for one in stormed.chats)
    for one in stormed.chats:
        assert one.said == "".join(words(one.question, VOICES[1]))


@pytest.mark.parametrize("fault", AFTER)
def test_what_has_begun_is_never_asked_again(fault: Fault) -> None:
    stormed = asyncio.run(storm([[fault]], ONE))
    assert_right(stormed)
    [one] = stormed.chats
    assert one.status == 200
    assert one.broken
    assert one.body.count(b'"error"') == 1
    assert 0 < len(one.said) < len("".join(words(one.question, VOICES[0])))
    assert stormed.asked == [1]
    assert stormed.recorded > 0
    # Who had less than a second for the next part of it is not blamed for being late.
    assert stormed.states[0].failures == (fault is not Fault.HANG_BODY)


def test_half_an_answer_that_is_not_streamed_is_not_passed_on() -> None:
    for fault in AFTER:
        stormed = asyncio.run(storm([[fault], [OK]], BOTH[1:] * 2))
        assert_right(stormed)
        assert [one.status for one in stormed.chats] == [200] * 2


def test_a_storm_of_refusals_is_a_refusal_and_costs_nothing() -> None:
    busy = [Fault.BUSY_SECONDS, Fault.BUSY, Fault.BUSY_HUGE]
    stormed = asyncio.run(storm([busy, busy, busy], BOTH * 5))
    assert_right(stormed)
    assert {one.status for one in stormed.chats} == {503}
    assert (stormed.used, stormed.recorded) == (0, 0)
    assert {one.health for one in stormed.states} == {Health.RESTING}


def test_deployments_that_all_hang_end_in_time() -> None:
    stormed = asyncio.run(storm([[Fault.HANG]] * 3, BOTH * 5))
    assert_right(stormed)
    assert {one.status for one in stormed.chats} == {503}
    assert (stormed.used, stormed.recorded) == (0, 0)


def test_a_deployment_that_fails_is_left_alone_by_those_that_come_later() -> None:
    stormed = asyncio.run(storm([[Fault.ERROR_500], [OK]], BOTH * 5, rounds=3))
    assert_right(stormed)
    assert {one.status for one in stormed.chats} == {200}
    assert stormed.states[0].health is Health.OPEN
    assert stormed.states[1].answered == 30
    assert stormed.asked[0] <= 10  # those of the first round, and nobody since


def test_an_answer_that_nobody_asked_for_is_never_somebody_else_s() -> None:
    questions = [(f"question {number}", number % 2 == 0, None) for number in range(6)]
    stormed = asyncio.run(storm([[Fault.UNASKED]], questions, rounds=3, between_s=0.05))
    assert_right(stormed)
    assert {one.status for one in stormed.chats} == {200}


def test_every_fault_at_once_beside_a_deployment_that_is_well() -> None:
    heard = Heard()
    logging.getLogger().addHandler(heard)
    try:
        questions = [(f"q {n}", n % 2 == 0, None) for n in range(2 * len(FAULTS))]
        stormed = asyncio.run(storm([FAULTS, [OK], FAULTS[::-1]], questions))
    finally:
        logging.getLogger().removeHandler(heard)
    assert_right(stormed)
    answered = [one for one in stormed.chats if one.status == 200 and not one.broken]
    assert len(answered) > len(questions) / 2
    assert not any(key in line for line in heard.lines for key in (THEIR_KEY, SECOND_KEY))


def test_whoever_leaves_takes_his_request_along_wherever_it_is() -> None:
    slow = [Fault.TRICKLE, Fault.HANG, Fault.HANG_BODY, Fault.SLOW]
    questions = [(f"q {n}", n % 2 == 0, 0.02 * n) for n in range(12)]
    stormed = asyncio.run(storm([slow, slow[::-1]], questions))
    assert_right(stormed)
    assert any(one.status == 0 for one in stormed.chats)


QUESTION = st.tuples(
    st.text("abc def", min_size=1, max_size=20),
    st.booleans(),
    st.none() | st.floats(0, 1),
)


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(
    st.lists(st.lists(st.sampled_from(FAULTS), min_size=1, max_size=6), min_size=1, max_size=3),
    st.lists(QUESTION, min_size=1, max_size=8),
)
def test_whatever_deployments_do_no_answer_is_wrong_late_or_paid_twice(
    scripts: list[list[Fault]], questions: list[tuple[str, bool, float | None]]
) -> None:
    assert_right(asyncio.run(storm(scripts, questions, rounds=2)))


def test_the_bounds_of_the_storms_leave_room_to_fail_over() -> None:
    assert BOUNDS.first_byte_s * 2 < DEADLINE_S < SLACK_S
    assert WORDS > 4
