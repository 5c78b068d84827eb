"""A text in work is computed once, and nobody pays for what another does."""

import asyncio
from collections.abc import Coroutine

import pytest

from emblem.core.reuse import entries
from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidInput,
    InvalidResult,
    Overloaded,
)
from emblem.types import EmbedRequest, EmbedResult, Lane, Overflow
from emblem.wrappers.coalesced import Coalesced
from wrappers.honest import Honest, run, same, until

LONG = " ".join("abcdefghij")


class Bench:
    """A coalescer before an embedder that waits at its gate."""

    def __init__(self) -> None:
        self.now = 100.0
        self.inner = Honest()
        self.inner.gate.clear()
        self.once = Coalesced(self.inner, lambda: self.now)

    async def begin(self, *inputs: str, **options: object) -> asyncio.Task[EmbedResult]:
        """Ask, and let it come as far as it can."""
        task = asyncio.create_task(self.once.embed(EmbedRequest(inputs, **options)))
        for _ in range(10):
            await asyncio.sleep(0)
        return task

    async def end(self, *tasks: asyncio.Task[EmbedResult]) -> list[EmbedResult]:
        self.inner.gate.set()
        results = await asyncio.gather(*tasks)
        assert not any(self.once._in_work.values())
        return results


async def failure(work: Coroutine[None, None, EmbedResult] | asyncio.Task[EmbedResult]) -> str:
    with pytest.raises(EmblemError) as caught:
        await work
    return f"{type(caught.value).__name__}: {caught.value}"


def test_a_text_is_computed_once_in_a_request_and_once_for_all_who_wait() -> None:
    async def go() -> None:
        bench = Bench()
        one = await bench.begin("a", "b", "a")
        two = await bench.begin("b", "c")
        three = await bench.begin("c", "a", dimensions=3)
        first, second, third = await bench.end(one, two, three)
        assert bench.inner.computed == ["a", "b", "c"]
        assert (first.hits, second.hits, third.hits) == (1, 1, 2)
        for result, request in (
            (first, EmbedRequest(("a", "b", "a"))),
            (second, EmbedRequest(("b", "c"))),
            (third, EmbedRequest(("c", "a"), dimensions=3)),
        ):
            assert same(result, await Honest().embed(request))

    run(go)


def test_who_joins_a_large_request_has_only_his_own_texts_picked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picked: list[int] = []

    def counted(*args: object) -> list[bytes]:
        made = entries(*args)
        picked.append(len(made))
        return made

    async def go() -> None:
        monkeypatch.setattr("emblem.wrappers.coalesced.entries", counted)
        bench = Bench()
        many = await bench.begin(*(f"t{n}" for n in range(50)), LONG)
        joining = await bench.begin("t7", LONG, "t7")
        _, joined = await bench.end(many, joining)
        assert picked == [2]
        assert same(joined, await Honest().embed(EmbedRequest(("t7", LONG, "t7"))))

    run(go)


def test_bulk_work_joins_the_interactive_of_two_that_have_its_text() -> None:
    async def go() -> None:
        bench = Bench()
        slow = await bench.begin("a", lane=Lane.BULK)
        fast = await bench.begin("a", lane=Lane.INTERACTIVE)
        third = await bench.begin("a", lane=Lane.BULK)
        slow.cancel()
        await until(lambda: bench.inner.cancelled)  # since nobody else waits for it
        await bench.end(fast, third)

    run(go)


def test_what_has_been_answered_is_computed_anew() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.end(await bench.begin("a"))
        await bench.end(await bench.begin("a"))
        assert bench.inner.computed == ["a", "a"]

    run(go)


def test_nobody_waits_for_another_question() -> None:
    async def go() -> None:
        bench = Bench()
        tasks = [await bench.begin(LONG, overflow=rule) for rule in (None, Overflow.TRUNCATE)]
        tasks.append(await bench.begin(LONG, reuse=False))
        await bench.end(*tasks)
        assert bench.inner.computed == [LONG] * 3

    run(go)


@pytest.mark.parametrize(
    ("first", "second", "computed"),
    [
        (Lane.BULK, Lane.INTERACTIVE, 2),
        (Lane.INTERACTIVE, Lane.BULK, 1),
        (Lane.BULK, Lane.BULK, 1),
        (Lane.INTERACTIVE, Lane.INTERACTIVE, 1),
    ],
)
def test_an_interactive_request_never_waits_behind_bulk_work(
    first: Lane, second: Lane, computed: int
) -> None:
    async def go() -> None:
        bench = Bench()
        tasks = [await bench.begin("a", lane=first), await bench.begin("a", lane=second)]
        await bench.end(*tasks)
        assert len(bench.inner.computed) == computed
        assert [one.lane for one in bench.inner.asked] == [first, second][:computed]

    run(go)


def test_bulk_work_waits_for_both_lanes_at_once() -> None:
    async def go() -> None:
        bench = Bench()
        tasks = [
            await bench.begin("a", lane=Lane.INTERACTIVE),
            await bench.begin("b", "c", lane=Lane.BULK),
            await bench.begin("c", "d", "a", lane=Lane.BULK),
        ]
        *_, last = await bench.end(*tasks)
        assert bench.inner.computed == ["a", "b", "c", "d"]
        assert last.hits == 2
        assert same(last, await Honest().embed(EmbedRequest(("c", "d", "a"))))

    run(go)


# -- leaving ------------------------------------------------------------------------------------


def test_work_is_cancelled_when_the_last_who_waited_has_left() -> None:
    async def go() -> None:
        bench = Bench()
        one, two = await bench.begin("a"), await bench.begin("a", "b")
        one.cancel()
        await asyncio.wait([one])
        assert bench.inner.cancelled == 0
        two.cancel()
        await asyncio.wait([two])
        await until(lambda: bench.inner.cancelled == 2)
        assert not any(bench.once._in_work.values())

    run(go)


def test_those_who_stay_get_what_the_one_who_left_had_begun() -> None:
    async def go() -> None:
        bench = Bench()
        one, two = await bench.begin("a"), await bench.begin("a")
        one.cancel()
        await asyncio.wait([one])
        (result,) = await bench.end(two)
        assert bench.inner.computed == ["a"]
        assert same(result, await Honest().embed(EmbedRequest(("a",))))

    run(go)


def test_nobody_joins_work_that_is_being_given_up() -> None:
    async def go() -> None:
        bench = Bench()
        one = await bench.begin("a")
        one.cancel()
        await asyncio.sleep(0)  # it has left, and its work has not heard yet
        two = await bench.begin("a")
        (result,) = await bench.end(two)
        assert bench.inner.computed == ["a", "a"]
        assert result.hits == 0

    run(go)


# -- time ---------------------------------------------------------------------------------------


def test_who_waits_for_another_leaves_when_his_own_time_is_up() -> None:
    async def go() -> None:
        bench = Bench()
        one = await bench.begin("a")
        two = await bench.begin("a", deadline=bench.now + 0.01)
        assert await failure(two) == "DeadlineExceeded: The request was not answered in time."
        (result,) = await bench.end(one)
        assert result.hits == 0
        assert bench.inner.cancelled == 0

    run(go)


@pytest.mark.parametrize(
    "error",
    [
        DeadlineExceeded("the first one's time was up"),
        Overloaded("the first one was too large", 1),
        InvalidInput([(1, "the first one had another text")]),
        InvalidResult("honest", "a zero vector at 1", of_one_text=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_fails_for_the_one_who_began_it_does_not_fail_the_others(error: EmblemError) -> None:
    async def go() -> None:
        bench = Bench()
        one, two = await bench.begin("a", "x"), await bench.begin("a", "b")
        bench.inner.error = error
        failing = asyncio.create_task(failure(one))
        await until(lambda: two.done() or len(bench.inner.asked) == 2)

        async def recover() -> None:
            await until(failing.done)
            bench.inner.error = None

        bench.inner.gate.set()
        bench.inner.gate.clear()
        await recover()
        bench.inner.gate.set()
        result = await two
        assert same(result, await Honest().embed(EmbedRequest(("a", "b"))))
        assert str(error) in failing.result()

    run(go)


def test_a_failure_of_the_model_reaches_all_who_wait_and_is_tried_no_more() -> None:
    async def go() -> None:
        bench = Bench()
        tasks = [await bench.begin("a", text) for text in "abc"]
        bench.inner.error = DeploymentFailed("honest failed to run")
        bench.inner.gate.set()
        for task in tasks:
            assert await failure(task) == "DeploymentFailed: honest failed to run"
        assert len(bench.inner.asked) == 3  # the second and third had a text of their own
        assert not any(bench.once._in_work.values())

    run(go)


def test_limits_are_each_request_s_own() -> None:
    async def go() -> None:
        bench = Bench()
        wide = await bench.begin(LONG)
        narrow = await bench.begin(LONG, max_input_tokens=8)
        strict = await bench.begin(LONG, "a", max_total_tokens=14)
        bench.inner.gate.set()
        assert (await wide).overflowed == (0,)
        assert "maximum context length is 8 tokens" in await failure(narrow)
        assert "Requested 15 tokens, max 14" in await failure(strict)

    run(go)


def test_a_text_and_the_token_ids_that_spell_it_are_two_things() -> None:
    async def go() -> None:
        bench = Bench()
        one = await bench.begin("a\0\0\0\0\0\0\0")
        two = asyncio.create_task(bench.once.embed(EmbedRequest(((97,), (97,)))))
        await asyncio.sleep(0)
        bench.inner.gate.set()
        assert (await one).hits == 0
        assert (await two).hits == 1
        assert same(await two, await Honest().embed(EmbedRequest(((97,), (97,)))))

    run(go)
