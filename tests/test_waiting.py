"""What guards a wait: it begins where there is one, and leaves every other outcome alone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from emblem.waiting import Interruption, begun, guarded, within

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Late(Exception):
    pass


class Guard:
    """Counts how often it was entered, and remembers what it was left with."""

    def __init__(self) -> None:
        self.left_with: list[str] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.left_with.append(type(error).__name__)
            raise
        self.left_with.append("nothing")


async def at_once(value: int) -> int:
    return value


async def after(turns: int, value: int = 0) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def failing(turns: int) -> int:
    await after(turns)
    raise KeyError(turns)


async def test_work_that_never_waits_is_not_guarded() -> None:
    guard = Guard()
    assert await guarded(at_once(3), guard) == 3
    with pytest.raises(KeyError):
        await guarded(failing(0), guard)
    assert guard.left_with == []


async def test_work_that_waits_is_guarded_until_it_ends() -> None:
    guard = Guard()
    assert await guarded(after(1, 4), guard) == 4
    assert await guarded(after(5, 5), guard) == 5
    with pytest.raises(KeyError):
        await guarded(failing(2), guard)
    assert guard.left_with == ["nothing", "nothing", "KeyError"]


async def test_work_hears_of_a_cancellation_and_may_outlive_it() -> None:
    async def stubborn(met: list[str]) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            met.append("cancelled")
        return await_that

    await_that, met, guard = "done all the same", [], Guard()
    task = asyncio.ensure_future(guarded_task(stubborn(met), guard))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == await_that
    assert met == ["cancelled"]
    assert guard.left_with == ["nothing"]


async def guarded_task(work, guard):
    return await guarded(work, guard)


async def test_what_takes_longer_than_it_may_is_cancelled_and_the_error_raised() -> None:
    ended = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(Late):
        await guarded(endless(), partial(within, 0.0, Late))
    assert ended == [True]
    assert asyncio.current_task().cancelling() == 0


async def test_of_two_guards_the_one_that_struck_says_so() -> None:
    async def inner() -> None:
        await guarded(after(1 << 30), partial(within, 60.0, KeyError))

    with pytest.raises(Late):
        await guarded(inner(), partial(within, 0.0, Late))
    assert asyncio.current_task().cancelling() == 0


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    task = asyncio.ensure_future(guarded_task(after(1 << 30), partial(within, 60.0, Late)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_the_guards_own_is_not_swallowed() -> None:
    guard = Interruption(Late)

    async def both() -> None:
        with guard:
            await asyncio.Event().wait()

    task = asyncio.ensure_future(both())
    await asyncio.sleep(0)
    guard.strike()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_strike_that_comes_too_late_does_nothing() -> None:
    guard = Interruption(Late)
    with guard:
        await asyncio.sleep(0)
    guard.strike()
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


async def test_what_watches_may_strike_at_once() -> None:
    ended = []

    def watch(strike):
        strike()
        strike()
        return partial(ended.append, "unwatched")

    for turns in (1, 1 << 30):
        with pytest.raises(Late):
            await guarded(after(turns), partial(Interruption, Late, watch))
    assert ended == ["unwatched"] * 2
    assert asyncio.current_task().cancelling() == 0


async def test_work_begins_at_once_and_is_done_where_it_never_waits() -> None:
    assert begun(at_once(3)) == 3
    with pytest.raises(KeyError):
        begun(failing(0))


async def test_work_that_has_begun_goes_on_in_a_task_of_its_own() -> None:
    order: list[str] = []

    async def work() -> str:
        order.append("begun")
        await asyncio.sleep(0)
        order.append("resumed")
        await asyncio.get_running_loop().run_in_executor(None, order.append, "threaded")
        return "done"

    task = begun(work())
    assert order == ["begun"]
    assert await task == "done"
    assert order == ["begun", "resumed", "threaded"]
    with pytest.raises(KeyError):
        await begun(failing(3))


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_work_that_has_begun_hears_that_it_is_cancelled_even_before_its_task_ran(
    turns: int,
) -> None:
    heard = False

    async def work() -> None:
        nonlocal heard
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            heard = True
            raise

    task = begun(work())
    await after(turns)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard
