"""Several deployments of a model that gives no vectors: who is asked, and what is held against whom."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from emblem.core.breaker import Trip
from emblem.core.patience import Patience
from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidResult,
    Overloaded,
    RefusedElsewhere,
)
from emblem.ports import Passage
from emblem.types import Health
from emblem.wrappers.passage_pool import PassagePool, Way

TIMEOUT_S = 100.0


class Clock:
    """Time that passes while somebody pauses, and not otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Named:
    """A way that is only a name: what becomes of asking it is up to the test."""

    def __init__(self, name: str) -> None:
        self.served_by = self.model = name
        self.closed = False

    def send(self, content: bytes, deadline: float) -> Any:
        raise AssertionError

    async def aclose(self) -> None:
        self.closed = True


class Asked:
    """Asks by one way after another, with what each of them is to fail with in turn."""

    def __init__(self, **failures: Sequence[EmblemError | None]) -> None:
        self._failures = {name: list(each) for name, each in failures.items()}
        self.order: list[str] = []
        self.deadlines: list[float] = []
        self.closed: list[str] = []

    @asynccontextmanager
    async def __call__(self, passage: Passage, deadline: float) -> AsyncIterator[str]:
        name = passage.served_by
        self.order.append(name)
        self.deadlines.append(deadline)
        left = self._failures.get(name, [])
        if left and (error := left.pop(0)) is not None:
            raise error
        try:
            yield name
        finally:
            self.closed.append(name)


def pool_of(
    *names: str, clock: Clock | None = None, most: int = 64, trip: Trip | None = None
) -> PassagePool:
    clock = clock or Clock()
    return PassagePool(
        "talker",
        [Way(Named(name), max_concurrency=most, kind="openai") for name in names],
        TIMEOUT_S,
        patience=Patience(),
        trip=trip or Trip(),
        clock=clock,
        dice=lambda: 0.0,
        pause=clock.pause,
    )


def run(pool: PassagePool, ask: Asked) -> str:
    async def once() -> str:
        async with pool.answer(ask) as answer:
            return answer

    return asyncio.run(once())


BROKEN = DeploymentFailed("a broke off.")
FULL = Overloaded("a takes no more.", 1.0)
LATE = DeadlineExceeded("a was late.")
WRONG = InvalidResult("a", "no choices")


@pytest.mark.parametrize("error", [BROKEN, FULL, LATE, WRONG])
def test_another_deployment_is_asked_before_an_answer_has_begun(error: EmblemError) -> None:
    ask = Asked(a=[error])
    assert run(pool_of("a", "b"), ask) == "b"
    assert ask.order == ["a", "b"]
    assert set(ask.deadlines) == {1000.0 + TIMEOUT_S}  # one for all that is tried
    assert ask.closed == ["b"]


@pytest.mark.parametrize("error", [BROKEN, LATE, WRONG, RuntimeError("ours")])
def test_nobody_is_asked_again_once_an_answer_has_begun(error: Exception) -> None:
    pool, ask = pool_of("a", "b"), Asked()

    async def broken_off() -> None:
        async with pool.answer(ask):
            raise error

    with pytest.raises(type(error)) as caught:
        asyncio.run(broken_off())
    assert caught.value is error
    assert (ask.order, ask.closed) == (["a"], ["a"])
    first, second = pool.deployments()
    assert (first.requests, first.answered, second.answered) == (0, 0, 0)
    assert first.failures == (error in (BROKEN, WRONG))  # time stood still: nobody was late


def test_what_is_wrong_with_the_request_is_raised_at_once_and_nobody_is_blamed() -> None:
    pool, ask = pool_of("a", "b"), Asked(a=[RefusedElsewhere("no")])
    with pytest.raises(RefusedElsewhere):
        run(pool, ask)
    assert ask.order == ["a"]
    assert [one.failures for one in pool.deployments()] == [0, 0]


def test_all_are_asked_again_after_a_pause_and_then_no_more() -> None:
    clock = Clock()
    ask = Asked(a=[BROKEN] * 9, b=[BROKEN] * 9)
    with pytest.raises(DeploymentFailed, match=r"`talker` cannot be answered now: a: .*; b: "):
        run(pool_of("a", "b", clock=clock), ask)
    assert ask.order == ["a", "b", "a", "b"]
    assert len(clock.pauses) == 1


def test_a_model_with_one_deployment_is_asked_once() -> None:
    clock = Clock()
    ask = Asked(a=[BROKEN] * 9)
    with pytest.raises(DeploymentFailed):
        run(pool_of("a", clock=clock), ask)
    assert (ask.order, clock.pauses) == (["a"], [])


def test_no_pause_is_longer_than_the_time_that_is_left() -> None:
    clock = Clock()
    gone = Overloaded("later", 50.0)

    class Slow(Asked):
        @asynccontextmanager
        async def __call__(self, passage: Passage, deadline: float) -> AsyncIterator[str]:
            clock.now += 60.0
            async with super().__call__(passage, deadline) as answer:
                yield answer

    with pytest.raises(Overloaded) as caught:
        run(pool_of("a", "b", clock=clock), Slow(a=[gone] * 9, b=[gone] * 9))
    assert clock.pauses == []
    assert caught.value.retry_after_s <= 50.0


def test_what_refuses_for_good_is_not_asked_twice() -> None:
    lasting = DeploymentFailed("a refuses the key.", lasting=True)
    ask = Asked(a=[lasting] * 9, b=[BROKEN, None])
    assert run(pool_of("a", "b"), ask) == "b"
    assert ask.order == ["a", "b", "b"]


def test_one_that_keeps_failing_is_left_alone_and_found_well_by_one_request() -> None:
    clock = Clock()
    pool = pool_of("a", "b", clock=clock, trip=Trip(in_a_row=2, open_s=5.0))
    ask = Asked(a=[BROKEN, BROKEN])
    assert [run(pool, ask) for _ in range(3)] == ["b"] * 3
    assert ask.order == ["a", "b", "a", "b", "b"]
    assert pool.deployments()[0].health is Health.OPEN
    clock.now += 5.0
    assert pool.deployments()[0].health is Health.PROBED
    assert run(pool, ask) == "a"
    assert pool.deployments()[0].health is Health.SERVING


def test_an_answer_that_has_begun_finds_a_deployment_well_however_long_it_takes() -> None:
    clock = Clock()
    pool = pool_of("a", clock=clock, trip=Trip(in_a_row=1, open_s=5.0))
    with pytest.raises(DeploymentFailed):
        run(pool, Asked(a=[BROKEN]))
    clock.now += 5.0

    async def beside_a_long_one() -> None:
        async with pool.answer(Asked()):
            assert pool.deployments()[0].health is Health.SERVING
            async with pool.answer(Asked()) as answer:
                assert answer == "a"
            assert pool.deployments()[0].requests == 1

    asyncio.run(beside_a_long_one())
    [state] = pool.deployments()
    assert (state.requests, state.answered, state.failures) == (0, 2, 1)


def test_streams_that_always_break_off_open_the_breaker() -> None:
    pool = pool_of("a", "b", trip=Trip(in_a_row=3))

    async def broken_off() -> None:
        async with pool.answer(Asked()):
            raise DeploymentFailed("broke off")

    for _ in range(6):
        with pytest.raises(DeploymentFailed):
            asyncio.run(broken_off())
    assert Health.OPEN in {one.health for one in pool.deployments()}


@pytest.mark.parametrize(("seconds", "failures"), [(TIMEOUT_S - 1.0, 1), (TIMEOUT_S, 0)])
def test_an_answer_that_is_read_until_its_time_is_up_is_held_against_nobody(
    seconds: float, failures: int
) -> None:
    clock = Clock()
    pool = pool_of("a", clock=clock)

    async def slowly() -> None:
        async with pool.answer(Asked()):
            clock.now += seconds
            raise LATE

    with pytest.raises(DeadlineExceeded):
        asyncio.run(slowly())
    [state] = pool.deployments()
    assert (state.requests, state.failures) == (0, failures)


def test_a_request_that_finds_all_deployments_full_is_refused_at_once() -> None:
    clock = Clock()
    pool = pool_of("a", "b", clock=clock, most=1)

    async def beside_two() -> None:
        async with pool.answer(Asked()) as one, pool.answer(Asked()) as other:
            assert {one, other} == {"a", "b"}  # the one with less to do is asked
            with pytest.raises(Overloaded, match="has 1 requests in work"):
                async with pool.answer(Asked()):
                    raise AssertionError

    asyncio.run(beside_two())
    assert clock.pauses == []
    assert [one.requests for one in pool.deployments()] == [0, 0]


def test_whoever_leaves_is_held_against_nobody() -> None:
    pool = pool_of("a", "b")

    async def leave(hold: Callable[[], Any]) -> None:
        task = asyncio.create_task(hold())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def inside() -> None:
        async with pool.answer(Asked()):
            await asyncio.get_running_loop().create_future()

    async def both() -> None:
        await leave(inside)

    asyncio.run(both())
    assert [(one.requests, one.failures, one.answered) for one in pool.deployments()] == [
        (0, 0, 0)
    ] * 2


def test_all_ways_are_closed() -> None:
    ways = [Named("a"), Named("b")]
    asyncio.run(PassagePool("talker", [Way(one) for one in ways], 1.0).aclose())
    assert all(one.closed for one in ways)
