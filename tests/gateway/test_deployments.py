"""Deployments that misbehave, in this process: never a wrong vector, a hang, a leak or a key."""

import asyncio
import logging
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from emblem.errors import InvalidRequest
from emblem.types import EmbedResult
from emblem.upstreams.misbehaving import Fault, Misbehaving, Notice, always
from emblem.upstreams.misbehaving.faults import FAULTS
from gateway.storms import (
    COMPATIBLE,
    KEY,
    MANNERS,
    PRESETS,
    SEEN,
    Heard,
    Outcome,
    _Narrow,
    ask,
    assert_right,
    nothing_left,
    pooled,
    storm,
    until,
)

BATCHES = [["a cat"], ["a dog", "a house of some size"], ["one", "two", "three", "four"]]

STORMS = given(
    scripts=st.lists(
        st.lists(st.sampled_from(SEEN), min_size=1, max_size=6), min_size=1, max_size=3
    ),
    batches=st.lists(
        st.lists(st.text("abc ", min_size=1, max_size=12), min_size=1, max_size=5),
        min_size=1,
        max_size=5,
    ),
    row=st.sampled_from(PRESETS),
)
BOUNDED = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
    "phases": [Phase.generate],  # a storm takes a second: making one smaller would take minutes
}


def weather(
    scripts: Sequence[Sequence[Fault]], batches: Sequence[Sequence[str]], row: str = COMPATIBLE
) -> list[Outcome]:
    """Have a storm, and look at all that comes of it, the log included."""
    heard, root = Heard(), logging.getLogger()
    root.addHandler(heard)
    try:
        outcomes = asyncio.run(storm(scripts, batches, row))
    finally:
        root.removeHandler(heard)
    assert_right(outcomes, (fault for script in scripts for fault in script))
    assert KEY not in "\n".join(heard.lines)
    return outcomes


@settings(max_examples=16, **BOUNDED)
@STORMS
def test_a_storm_of_faults_never_gives_a_wrong_vector(
    scripts: list[list[Fault]], batches: list[list[str]], row: str
) -> None:
    weather(scripts, batches, row)


@pytest.mark.slow
@settings(max_examples=150, **BOUNDED)
@STORMS
def test_a_long_storm_of_faults_never_gives_a_wrong_vector(
    scripts: list[list[Fault]], batches: list[list[str]], row: str
) -> None:
    weather(scripts, batches, row)


async def _each(faults: Sequence[Fault], timeout_s: float) -> list[list[Outcome]]:
    """Have a server for each fault, all at the same time; each has so long for an answer."""

    async def one(fault: Fault) -> list[Outcome]:
        async with Misbehaving(always(fault), MANNERS, _Narrow()) as server:
            pool = pooled([server], timeout_s)
            try:
                return [await ask(pool, batch, 2 * timeout_s) for batch in BATCHES[1:]]
            finally:
                await pool.aclose()

    return list(await asyncio.gather(*map(one, faults)))


def of(notice: Notice) -> list[Fault]:
    return [fault for fault, about in FAULTS.items() if about.notice is notice]


def test_what_is_right_in_spite_of_a_fault_is_taken() -> None:
    faults = of(Notice.HARMLESS)
    for fault, outcomes in zip(faults, asyncio.run(_each(faults, 20.0)), strict=True):
        assert_right(outcomes, [fault])
        assert all(isinstance(one.result, EmbedResult) for one in outcomes), outcomes


def test_what_is_wrong_or_no_answer_is_an_error() -> None:
    faults = [*of(Notice.VISIBLE), *of(Notice.FAILURE)]
    right = (Fault.RENAMED, Fault.BAD_UTF8, Fault.CLOSE_REUSED)  # the vectors are
    for fault, outcomes in zip(faults, asyncio.run(_each(faults, 0.5)), strict=True):
        assert_right(outcomes, [fault])
        kinds = {type(one.result) for one in outcomes}
        assert fault in right or EmbedResult not in kinds, fault
        assert (InvalidRequest in kinds) is (fault is Fault.REFUSED)


def test_an_answer_that_nobody_asked_for_is_nobody_s() -> None:
    outcomes = weather([[Fault.UNASKED]], BATCHES)
    assert any(isinstance(one.result, EmbedResult) for one in outcomes)


def test_one_deployment_that_is_well_answers_for_all_that_are_not() -> None:
    broken = [one for one in SEEN if FAULTS[one].notice in (Notice.VISIBLE, Notice.FAILURE)]
    quick = [one for one in broken if one not in (Fault.REFUSED, Fault.TRICKLE, Fault.HANG_BODY)]
    outcomes = weather([quick[::3], [Fault.OK]], BATCHES)
    assert all(isinstance(one.result, EmbedResult) for one in outcomes)


def test_a_client_that_leaves_takes_its_request_along() -> None:
    async def run() -> None:
        async with Misbehaving(always(Fault.HANG), MANNERS, _Narrow()) as server:
            pool = pooled([server])
            before = asyncio.all_tasks()
            asking = [asyncio.create_task(ask(pool, ["x"])) for _ in range(4)]
            await until(lambda: server.seen().requests > 0)
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await nothing_left([server], before)
            await pool.aclose()

    asyncio.run(run())


def test_a_key_is_not_sent_to_another_host_and_is_not_repeated() -> None:
    outcomes = weather([[Fault.REDIRECT, Fault.KEY_ECHO, Fault.HEADER_ECHO]], BATCHES)
    assert not any(isinstance(one.result, EmbedResult) for one in outcomes)
