"""One model in several places: who is asked, who is left alone, and what the caller hears."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.breaker import Trip
from emblem.core.patience import Patience
from emblem.errors import (
    ConfigError,
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidInput,
    InvalidRequest,
    InvalidResult,
    Overloaded,
)
from emblem.ports import Embedder
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Health, Lane, Queued, Tokens, Work
from emblem.wrappers.coalesced import Coalesced
from emblem.wrappers.laned import Laned
from emblem.wrappers.pool import Member, Pool
from wrappers.honest import SPACE, Honest, run, same, until

REQUEST = EmbedRequest(("a text",))
TRIP = Trip(in_a_row=3, rate=0.5, least=8, window_s=10.0, open_s=5.0, longest_s=20.0)
FAILED = DeploymentFailed("the connection was lost")
INVALID = InvalidResult("host", "2 × 6 where 1 × 6 was asked for")
OF_ONE_TEXT = InvalidResult("host", "a zero vector at 0", of_one_text=True)


class Place(Honest):
    """One that fails as it is told: ``errors`` are raised in their order, then it answers."""

    def __init__(self, *errors: Exception, space: Space = SPACE) -> None:
        super().__init__(space)
        self.errors = [*errors]
        self.trouble: str | None = None

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        result = await super().embed(request)
        if self.errors:
            raise self.errors.pop(0)
        return result

    def problem(self) -> str | None:
        return self.trouble or super().problem()


class Clock:
    """Time that passes only in pauses, which are kept."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def pool(
    *embedders: Embedder,
    clock: Clock | None = None,
    dice: float = 0.0,
    attempts: int = 4,
    member: Callable[[str, Embedder], Member] = Member,
) -> Pool:
    clock = clock or Clock()
    return Pool(
        SPACE,
        [member(f"place{number}", one) for number, one in enumerate(embedders)],
        model="a-model",
        patience=Patience(attempts=attempts, first_s=0.25, longest_s=30.0),
        trip=TRIP,
        clock=clock,
        dice=lambda: dice,
        pause=clock.pause,
    )


async def failure(embedder: Embedder, request: EmbedRequest = REQUEST) -> EmblemError:
    with pytest.raises(EmblemError) as caught:
        await embedder.embed(request)
    return caught.value


def test_an_answer_says_which_place_gave_it_and_is_that_places() -> None:
    async def go() -> None:
        place = Place()
        request = EmbedRequest(("a", "b c"), dimensions=3, lane=Lane.BULK)
        result = await pool(place).embed(request)
        assert result.served_by == "place0"
        assert same(result, await place.embed(request))
        assert place.asked[0] == request

    run(go)


def test_who_cannot_be_asked_for_just_this_is_not_to_blame_and_another_is_asked() -> None:
    async def go() -> None:
        unasked = [DeploymentFailed("cannot be sent that", unasked=True) for _ in range(9)]
        clock = Clock()
        some, other = Place(*unasked), Place()
        both = pool(some, other, clock=clock)
        for _ in range(9):
            assert (await both.embed(REQUEST)).served_by == "place1"
        assert both.deployments()[0].health is Health.SERVING
        assert clock.pauses == []
        alone = pool(Place(*unasked), clock=clock)
        assert "place0: cannot be sent that" in str(await failure(alone))
        assert clock.pauses == [], "it would say the same again"

    run(go)


def test_requests_go_to_who_has_the_least_to_do_for_his_weight() -> None:
    async def go() -> None:
        light, heavy = Place(), Place()
        light.gate.clear()
        heavy.gate.clear()
        both = Pool(SPACE, [Member("light", light), Member("heavy", heavy, weight=3.0)])
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(both.embed(REQUEST))
            await until(lambda: len(light.asked) + len(heavy.asked) == 40)
            light.gate.set()
            heavy.gate.set()
        assert len(light.asked) == 10
        assert len(heavy.asked) == 30

    run(go)


@pytest.mark.parametrize("error", [FAILED, INVALID, DeadlineExceeded("late"), Overloaded("", 9.0)])
def test_another_place_answers_at_once_where_one_fails(error: Exception) -> None:
    async def go() -> None:
        clock, broken, well = Clock(), Place(error), Place()
        result = await pool(broken, well, clock=clock).embed(REQUEST)
        assert result.served_by == "place1"
        assert len(broken.asked) == len(well.asked) == 1
        assert clock.pauses == []

    run(go)


@pytest.mark.parametrize("error", [InvalidRequest("no"), InvalidInput([(0, "is no text")])])
def test_what_is_wrong_with_the_request_is_said_at_once_and_blamed_on_nobody(
    error: InvalidRequest,
) -> None:
    async def go() -> None:
        one, other = Place(*([error] * 50)), Place(*([error] * 50))
        both = pool(one, other)
        for _ in range(20):
            assert await failure(both) is error
        assert len(one.asked) + len(other.asked) == 20
        assert {state.health for state in both.deployments()} == {Health.SERVING}
        assert sum(state.failures for state in both.deployments()) == 0

    run(go)


def test_once_all_have_failed_it_waits_with_jitter_and_begins_again() -> None:
    async def go() -> None:
        clock = Clock()
        one, other = Place(FAILED, FAILED), Place(FAILED)
        result = await pool(one, other, clock=clock, dice=0.5).embed(REQUEST)
        assert result.served_by == "place1"
        assert clock.pauses == [0.125]

    run(go)


def test_no_request_is_sent_more_often_than_it_may_be() -> None:
    async def go() -> None:
        clock = Clock()
        one, other = Place(*[FAILED] * 9), Place(*[FAILED] * 9)
        error = await failure(pool(one, other, clock=clock, attempts=5))
        assert isinstance(error, DeploymentFailed)
        assert len(one.asked) + len(other.asked) == 5
        assert len(clock.pauses) == 2
        assert str(error) == (
            "`a-model` cannot be answered now: place0: the connection was lost; "
            "place1: the connection was lost"
        )

    run(go)


def test_nothing_is_waited_for_beyond_the_deadline() -> None:
    async def go() -> None:
        clock = Clock()
        one = Place(*[FAILED] * 9)
        soon = replace(REQUEST, deadline=clock.now + 0.2)
        error = await failure(pool(one, clock=clock, dice=0.9), soon)
        assert isinstance(error, DeploymentFailed)
        assert len(one.asked) == 1
        assert clock.pauses == []

    run(go)


def test_a_wrong_answer_is_not_asked_for_twice_and_is_said_where_there_is_no_other() -> None:
    async def go() -> None:
        clock = Clock()
        one, other = Place(INVALID), Place(INVALID)
        error = await failure(pool(one, other, clock=clock))
        assert isinstance(error, InvalidResult)
        assert error.what == INVALID.what
        assert "a deployment of `a-model`" in str(error)
        assert "host" not in str(error)
        assert len(one.asked) == len(other.asked) == 1
        assert clock.pauses == []

    run(go)


def test_a_place_that_refuses_for_good_is_not_asked_twice_by_one_request() -> None:
    async def go() -> None:
        refuses = DeploymentFailed("place0 refused the API key (401): no", lasting=True)
        clock, place = Clock(), Place(refuses)
        failed = await failure(pool(place, clock=clock))
        assert isinstance(failed, DeploymentFailed)
        said = "`a-model` cannot be answered now: place0: refused the API key (401): no"
        assert str(failed) == said
        assert (len(place.asked), clock.pauses) == (1, [])
        clock, other = Clock(), Place(FAILED)
        result = await pool(Place(refuses), other, clock=clock).embed(REQUEST)
        assert (result.served_by, len(other.asked), len(clock.pauses)) == ("place1", 2, 1)

    run(go)


def test_a_text_that_no_place_can_embed_is_held_against_none_of_them() -> None:
    async def go() -> None:
        one, other = Place(*[OF_ONE_TEXT] * 20), Place(*[OF_ONE_TEXT] * 20)
        both = pool(one, other)
        for _ in range(20):
            assert isinstance(await failure(both), InvalidResult)
        assert [state.health for state in both.deployments()] == [Health.SERVING] * 2

    run(go)


def test_a_text_that_another_place_can_embed_is_held_against_the_one_that_cannot() -> None:
    async def go() -> None:
        one, other = Place(*[OF_ONE_TEXT] * 20), Place()
        both = pool(one, other)
        for _ in range(3):
            assert (await both.embed(REQUEST)).served_by == "place1"
        first, second = both.deployments()
        assert (first.health, first.failures, first.invalid) == (Health.OPEN, 3, 3)
        assert second.health is Health.SERVING

    run(go)


def test_a_place_that_asks_for_a_pause_is_left_alone_until_then() -> None:
    async def go() -> None:
        clock = Clock()
        busy, well = Place(Overloaded("slow down", 7.0)), Place()
        both = pool(busy, well, clock=clock)
        for _ in range(5):
            await both.embed(REQUEST)
        assert len(busy.asked) == 1
        state = both.deployments()[0]
        assert (state.health, state.retry_s, state.failures) == (Health.RESTING, 7.0, 0)
        clock.now += 7.0
        await both.embed(REQUEST)
        assert len(busy.asked) == 2

    run(go)


def test_the_pause_that_a_place_asks_for_is_kept_and_not_ended_by_all_at_once() -> None:
    async def go() -> None:
        clock = Clock()
        busy = Place(Overloaded("slow down", 7.0))
        result = await pool(busy, clock=clock, dice=0.5).embed(REQUEST)
        assert result.served_by == "place0"
        assert clock.pauses == [7.125]

    run(go)


def test_a_request_that_comes_during_the_pause_waits_for_its_end() -> None:
    async def go() -> None:
        clock = Clock()
        busy = Place(Overloaded("slow down", 7.0))
        one = pool(busy, clock=clock)
        await failure(one, replace(REQUEST, deadline=clock.now + 1.0))
        assert (await one.embed(REQUEST)).served_by == "place0"
        assert clock.pauses == [7.0]
        assert len(busy.asked) == 2

    run(go)


def test_a_pause_that_is_too_long_is_the_callers_to_wait_for() -> None:
    async def go() -> None:
        clock = Clock()
        busy = Place(Overloaded("come back later", 45.0))
        error = await failure(pool(busy, clock=clock))
        assert isinstance(error, Overloaded)
        assert error.retry_after_s == 45.0
        assert error.everywhere
        assert str(error) == "`a-model` cannot be answered now: place0: come back later"
        assert clock.pauses == []

    run(go)


def test_an_engine_whose_lane_is_full_is_asked_by_others_all_the_same() -> None:
    async def go() -> None:
        local = Place(Overloaded("the lane is full", 20.0))
        one = pool(local, attempts=1, member=lambda name, it: Member(name, it, rests=False))
        error = await failure(one)
        assert isinstance(error, Overloaded)
        assert not error.everywhere
        assert (await one.embed(REQUEST)).served_by == "place0"

    run(go)


def test_what_is_refused_in_every_lane_is_not_tried_in_the_other() -> None:
    async def go() -> None:
        small = replace(REQUEST, lane_by_size=True)
        elsewhere = Place(*[Overloaded("slow down", 45.0)] * 9)
        await failure(Laned(pool(elsewhere)), small)
        assert len(elsewhere.asked) == 1
        local = Place(Overloaded("the lane is full", 45.0))
        one = pool(local, member=lambda name, it: Member(name, it, rests=False), attempts=1)
        await Laned(one).embed(small)
        assert [request.lane for request in local.asked] == [Lane.INTERACTIVE, Lane.BULK]

    run(go)


def test_a_place_that_keeps_failing_is_left_alone_then_tried_by_one_request() -> None:
    async def go() -> None:
        clock = Clock()
        broken, well = Place(*[FAILED] * 4), Place()
        both = pool(broken, well, clock=clock)
        for _ in range(10):
            assert (await both.embed(REQUEST)).served_by == "place1"
        assert len(broken.asked) == 3
        state = both.deployments()[0]
        assert (state.health, state.retry_s) == (Health.OPEN, 5.0)
        assert state.problem == "failed too often, the last time with: the connection was lost"
        clock.now += 5.0
        assert both.deployments()[0].health is Health.PROBED
        broken.gate.clear()
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(both.embed(REQUEST)) for _ in range(8)]
            await until(lambda: sum(one.done() for one in answers) == 7)
            broken.gate.set()
        assert len(broken.asked) == 4, "one request found out"
        assert both.deployments()[0].health is Health.OPEN
        assert both.deployments()[0].retry_s == 10.0
        clock.now += 10.0
        await both.embed(REQUEST)
        assert both.deployments()[0].health is Health.SERVING
        assert {(await both.embed(REQUEST)).served_by} == {"place0"}

    run(go)


def test_a_request_under_way_does_not_wait_for_a_place_that_is_found_failing_again() -> None:
    async def go() -> None:
        clock, place = Clock(), Place(*[FAILED] * 20)
        failed = await failure(pool(place, clock=clock, attempts=8))
        assert isinstance(failed, DeploymentFailed)
        assert (len(place.asked), clock.pauses) == (4, [0.0, 0.0, 5.0])

    run(go)


def test_a_request_that_is_new_does_not_wait_for_places_that_fail() -> None:
    async def go() -> None:
        clock = Clock()
        one = pool(Place(*[FAILED] * 9), clock=clock, attempts=1)
        for _ in range(3):
            await failure(one)
        error = await failure(one)
        assert isinstance(error, DeploymentFailed)
        assert "failed too often" in str(error)
        assert "asked again in 5.0 s" in str(error)
        assert clock.pauses == []

    run(go)


def test_whoever_comes_while_all_are_left_alone_is_told_when_the_first_is_asked_again() -> None:
    async def go() -> None:
        clock, first, second = Clock(), Place(), Place(*[FAILED] * 9)
        both = pool(first, second, clock=clock, attempts=1)
        first.trouble = "is not proven"
        for _ in range(4):
            error = await failure(both)
        assert error.retry_after_s == 5.0
        clock.now += 3.5
        first.trouble = None
        first.errors = [FAILED] * 9
        for _ in range(2):
            assert (await failure(both)).retry_after_s == 1.0, "one of them is asked now"
        for _ in range(2):
            assert (await failure(both)).retry_after_s == 1.5
        clock.now += 1.5
        second.gate.clear()
        async with asyncio.TaskGroup() as group:
            probe = group.create_task(failure(both))
            await until(lambda: len(second.asked) == 4)
            error = await failure(both)
            assert error.retry_after_s == 1.0, "what finds out may end at any time"
            second.gate.set()
        assert (await probe).retry_after_s == 3.5
        first.trouble = second.trouble = "gives other vectors"
        assert (await failure(pool(first, second))).retry_after_s == 1.0, "nobody knows"

    run(go)


def test_a_place_takes_so_many_requests_at_once_and_the_next_is_refused_early() -> None:
    async def go() -> None:
        place = Place()
        place.gate.clear()
        one = pool(place, member=lambda name, it: Member(name, it, max_concurrency=2))
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(one.embed(REQUEST))
            await until(lambda: len(place.asked) == 2)
            assert one.deployments()[0].requests == 2
            error = await failure(one)
            place.gate.set()
        assert isinstance(error, Overloaded)
        assert error.retry_after_s == 1.0
        assert str(error) == (
            "`a-model` cannot be answered now: place0: has 2 requests in work, as many as it may"
        )
        assert (await one.embed(REQUEST)).served_by == "place0"
        assert one.deployments()[0].requests == 0

    run(go)


def test_whoever_leaves_takes_his_request_back_and_his_place_in_the_count() -> None:
    async def go() -> None:
        place = Place()
        place.gate.clear()
        one = pool(place)
        for _ in range(9):
            task = asyncio.create_task(one.embed(REQUEST))
            await until(lambda: place.asked)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            place.asked.clear()
        state = one.deployments()[0]
        assert place.cancelled == 9
        assert (state.requests, state.failures, state.health) == (0, 0, Health.SERVING)

    run(go)


def test_whoever_finds_out_and_leaves_lets_the_next_find_out() -> None:
    async def go() -> None:
        clock, place = Clock(), Place(FAILED, FAILED, FAILED)
        one = pool(place, clock=clock, attempts=1)
        for _ in range(3):
            await failure(one)
        clock.now += 5.0
        place.gate.clear()
        task = asyncio.create_task(one.embed(REQUEST))
        await until(lambda: len(place.asked) == 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        place.gate.set()
        assert (await one.embed(REQUEST)).served_by == "place0"

    run(go)


def test_a_deadline_that_was_too_short_is_not_blamed_on_the_place() -> None:
    async def go() -> None:
        class Slow(Place):
            seconds = 0.0

            async def embed(self, request: EmbedRequest) -> EmbedResult:
                clock.now += self.seconds
                raise DeadlineExceeded("the request was not answered in time")

        for seconds, health in ((0.1, Health.SERVING), (3.0, Health.OPEN)):
            clock, slow = Clock(), Slow()
            slow.seconds = seconds
            one = pool(slow, clock=clock, attempts=1)
            for _ in range(3):
                assert isinstance(await failure(one), DeadlineExceeded)
            assert one.deployments()[0].health is health

    run(go)


def test_a_place_with_a_problem_is_not_asked_and_all_with_one_are_a_problem() -> None:
    async def go() -> None:
        shut, well = Place(), Place()
        shut.trouble = "is quarantined: other vectors"
        both = pool(shut, well)
        assert both.problem() is None
        assert (await both.embed(REQUEST)).served_by == "place1"
        assert shut.asked == []
        assert both.deployments()[0].health is Health.CLOSED
        well.trouble = "is shutting down"
        due = "place0 is quarantined: other vectors; place1 is shutting down"
        assert both.problem() == f"has no deployment that can answer: {due}"
        error = await failure(both)
        assert isinstance(error, DeploymentFailed)
        assert "place0: is quarantined: other vectors" in str(error)

    run(go)


def test_a_place_that_fails_at_times_is_no_problem_of_the_model() -> None:
    async def go() -> None:
        one = pool(Place(*[FAILED] * 3), attempts=1)
        for _ in range(3):
            await failure(one)
        assert one.problem() is None

    run(go)


def test_places_of_two_spaces_are_refused_before_any_is_asked() -> None:
    other = Space.declared("other", SPACE.width, normalised=True)
    cut = Space.declared("honest", SPACE.width, normalised=True)
    for space in (other, cut):
        with pytest.raises(ConfigError, match="vectors of two spaces cannot be compared"):
            pool(Place(), Place(space=space))
    with pytest.raises(ConfigError, match="has no deployment"):
        pool()
    with pytest.raises(ConfigError, match="two deployments called 'twin'"):
        pool(Place(), Place(), member=lambda _, it: Member("twin", it))


def test_closing_closes_every_place_also_where_one_cannot() -> None:
    async def go() -> None:
        class Stuck(Place):
            async def aclose(self) -> None:
                raise OSError("no")

        one, other = Stuck(), Place()
        with pytest.raises(OSError, match="no"):
            await pool(one, other).aclose()
        assert other.closed

    run(go)


class Counts(Place):
    """One that counts: every letter is a token."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(*errors)
        self.read: list[tuple[object, ...]] = []

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.read.append(request.readings)
        return await super().embed(replace(request, readings=()))

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        counts = np.array([len(one) for one in request.inputs], np.int32)
        return replace(request, readings=tuple(f"read {one}" for one in request.inputs)), counts

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        raise InvalidInput([(0, "examined"), *wrong.items()])

    def work(self) -> Work:
        return Work({Lane.BULK: Queued(requests=3)})


def test_what_one_place_counts_is_what_any_of_them_costs() -> None:
    async def go() -> None:
        elsewhere, here = Place(), Counts(FAILED)
        both = pool(here, elsewhere, member=_engine)
        request = EmbedRequest(("abc", "de"))
        read, tokens = await both.count(request)
        assert tokens.tolist() == [3, 2]
        result = await both.embed(read)
        assert result.served_by == "place1"
        assert result.tokens.tolist() == [3, 2]
        assert here.read == [("read abc", "read de")]
        assert elsewhere.asked[0].readings == (), "it is no business of another's"

    run(go)


def test_what_is_guessed_elsewhere_is_not_what_a_text_costs() -> None:
    async def go() -> None:
        guessing, here = Counts(), Counts()
        elsewhere = pool(guessing)
        read, tokens = await elsewhere.count(EmbedRequest(("a b cd",)))
        assert tokens.tolist() == [6]
        result = await elsewhere.embed(read)
        assert result.tokens.tolist() == [5], "two more than it has words"
        assert guessing.read == [("read a b cd",)]
        both = Pool(SPACE, [Member("far", guessing), Member("here", here, rests=False)])
        read, _ = await both.count(EmbedRequest(("abcdefg",)))
        results = [await both.embed(read) for _ in range(20)]
        assert {result.served_by for result in results} == {"far", "here"}
        assert {result.tokens[0] for result in results} == {7}, "it has one word"

    run(go)


def test_what_a_place_read_is_that_places_also_where_texts_are_shared() -> None:
    async def go() -> None:
        here = Counts()
        shared = Coalesced(pool(here, member=_engine))
        read, _ = await shared.count(EmbedRequest(("abc", "de", "abc")))
        result = await shared.embed(read)
        assert here.read == [("read abc", "read de")] or here.read == [("read de", "read abc")]
        assert result.tokens.tolist() == [3, 2, 3]

    run(go)


def test_whoever_can_say_more_than_vectors_is_asked_for_it() -> None:
    async def go() -> None:
        both = pool(Place(), Counts())
        with pytest.raises(InvalidInput, match="examined"):
            await both.examine(REQUEST, {1: "wrong"})
        assert both.work().queued[Lane.BULK].requests == 3
        none = pool(Place())
        await none.examine(REQUEST, {})
        assert none.work() == Work({})
        with pytest.raises(DeploymentFailed, match="cannot tell how many tokens"):
            await none.count(REQUEST)

    run(go)


def _engine(name: str, embedder: Embedder) -> Member:
    return Member(name, embedder, rests=False)


ERRORS = [FAILED, INVALID, OF_ONE_TEXT, Overloaded("busy", 2.0), DeadlineExceeded("late"), None]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(ERRORS), max_size=12), min_size=1, max_size=4),
    st.integers(1, 12),
    st.integers(1, 6),
    st.floats(0.0, 1.0, exclude_max=True),
    st.sampled_from([inf, 1.0, 20.0]),
)
def test_whatever_places_do_every_request_ends_in_time_with_an_answer_or_an_error(
    plans: list[list[Exception | None]],
    requests: int,
    attempts: int,
    dice: float,
    seconds: float,
) -> None:
    class Planned(Honest):
        """Answers or fails as planned, then answers."""

        def __init__(self, plan: list[Exception | None]) -> None:
            super().__init__()
            self.plan = [*plan]

        async def embed(self, request: EmbedRequest) -> EmbedResult:
            await asyncio.sleep(0)
            result = await super().embed(request)
            if self.plan and (error := self.plan.pop(0)):
                raise error
            return result

    async def go() -> None:
        clock = Clock()
        places = [Planned(plan) for plan in plans]
        all_ = pool(*places, clock=clock, dice=dice, attempts=attempts)
        until_ = clock.now + seconds
        made = [EmbedRequest((f"text {number}",), deadline=until_) for number in range(requests)]
        outcomes = await asyncio.gather(*map(all_.embed, made), return_exceptions=True)
        for request, outcome in zip(made, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, EmblemError), outcome
            else:
                assert same(outcome, await Honest().embed(request))
        sent = Counter(request.inputs for place in places for request in place.asked)
        assert max(sent.values(), default=0) <= attempts
        assert all(0 <= pause <= 30.0 for pause in clock.pauses)
        assert all(state.requests == 0 for state in all_.deployments())

    run(go)
