"""What is known is not computed again, and is asked whatever a new text would be."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from emblem.core.reuse import entries
from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    InvalidInput,
    InvalidResult,
    TooManyTokens,
)
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Kind, Lane, Overflow, Queued, Tokens, Work
from emblem.wrappers.cached import Cached
from emblem.wrappers.coalesced import Coalesced
from emblem.wrappers.recent import Recent
from wrappers.honest import READS, SPACE, WIDTH, Honest, run, same

LONG = " ".join("abcdefghij")


class Bench:
    """A cache before an embedder, both with a clock that the tests set."""

    def __init__(self, room: int = 10**6) -> None:
        self.now = 100.0
        self.inner = Honest()
        self.recent = Recent(room)
        self.cached = Cached(self.inner, self.recent, lambda: self.now)

    async def embed(self, *inputs: str | tuple[int, ...], **options: object) -> EmbedResult:
        return await self.cached.embed(EmbedRequest(inputs, **options))

    async def anew(self, *inputs: str | tuple[int, ...], **options: object) -> EmbedResult:
        return await Honest().embed(EmbedRequest(inputs, **options))


def test_what_was_embedded_is_not_embedded_again() -> None:
    async def go() -> None:
        bench = Bench()
        first = await bench.embed("a", "b c")
        again = await bench.embed("b c", "a", "d")
        assert (first.hits, again.hits) == (0, 2)
        assert bench.inner.computed == ["a", "b c", "d"]
        assert same(again, await bench.anew("b c", "a", "d"))
        all_known = await bench.embed("d", "d", "a")
        assert all_known.hits == 3
        assert same(all_known, await bench.anew("d", "d", "a"))
        assert len(bench.inner.asked) == 2

    run(go)


def test_an_answer_from_memory_is_served_by_whoever_computed_it() -> None:
    async def go() -> None:
        cached = Cached(Honest(replace(SPACE, name="elsewhere")), Recent(10**6), name="honest")
        answers = [
            await cached.embed(EmbedRequest(texts)) for texts in (("a",), ("a",), ("a", "b"))
        ]
        assert {answer.served_by for answer in answers} == {"honest"}

    run(go)


class Doubtful(Honest):
    """One that is found out to have been wrong when a test says so."""

    wrong = 0

    def era(self) -> int:
        return self.wrong

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        return request, self._read(request)[0]


@pytest.mark.parametrize("known", [True, False])
def test_what_was_counted_is_not_known_any_more_once_the_embedder_is_found_wrong(
    known: bool,
) -> None:
    async def go() -> None:
        inner = Doubtful()
        cached = Cached(inner, Recent(10**6))
        request = EmbedRequest(("a",))
        if known:
            await cached.embed(request)
        read, _ = await cached.count(request)
        inner.wrong += 1
        assert (await cached.embed(read)).hits == 0
        assert (await cached.embed(request)).hits == 1, "it is remembered in the era that came"

    run(go)


@pytest.mark.parametrize("dimensions", [1, 3, WIDTH, None])
def test_every_number_of_dimensions_comes_from_one_entry(dimensions: int | None) -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a", "b", dimensions=2)
        known = await bench.embed("b", "a", dimensions=dimensions)
        assert known.hits == 2
        assert same(known, await bench.anew("b", "a", dimensions=dimensions))
        mixed = await bench.embed("c", "a", dimensions=dimensions)
        assert same(mixed, await bench.anew("c", "a", dimensions=dimensions))

    run(go)


def test_a_large_answer_is_the_same_as_many_small_ones() -> None:
    async def go() -> None:
        wide = Honest(replace(SPACE, width=100))
        cached = Cached(wide, Recent(10**8))
        texts = tuple(f"t{n}" for n in range(1100))  # more numbers than are handled on the loop
        for request in (EmbedRequest(texts, dimensions=40), EmbedRequest(texts)):
            fresh = await Honest(wide.space).embed(request)
            assert same(await cached.embed(request), fresh)
        assert len(wide.computed) == len(texts)

    run(go)


BUSY = tuple(f"t{n}" for n in range(1100))


@pytest.mark.parametrize("dimensions", [None, 40])
def test_a_large_answer_waits_for_nobody_who_loads_a_model(dimensions: int | None) -> None:
    async def go() -> None:
        loop, loaded = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        loading = loop.run_in_executor(None, loaded.wait)
        cached = Cached(Coalesced(Honest(replace(SPACE, width=100))), Recent(10**8))
        try:
            for texts in (BUSY, BUSY, ("new", *BUSY)):
                await cached.embed(EmbedRequest(texts, dimensions=dimensions))
        finally:
            loaded.set()
        await loading

    run(go)


def test_what_is_remembered_of_many_texts_is_not_made_on_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    makers: list[threading.Thread] = []

    def made(*args: object) -> list[bytes]:
        makers.append(threading.current_thread())
        return entries(*args)

    async def go() -> None:
        monkeypatch.setattr("emblem.wrappers.cached.entries", made)
        cached = Cached(Honest(replace(SPACE, width=100)), Recent(10**8))
        await cached.embed(EmbedRequest(("a",)))
        await cached.embed(EmbedRequest(BUSY))
        await cached.aclose()
        cached = Cached(Honest(replace(SPACE, width=100)), Recent(10**8))
        await cached._aside.do(cached._aside.close, 0)
        assert (await cached.embed(EmbedRequest(BUSY))).hits == 0  # also while it is closed
        first, many, late = makers
        assert first is late is threading.main_thread() is not many

    run(go)


@pytest.mark.parametrize(
    "other",
    [
        EmbedRequest(("a b",), kind=Kind.QUERY),
        EmbedRequest(("a b",), kind=Kind.DOCUMENT),
        EmbedRequest(("a b",), overflow=Overflow.TRUNCATE),
        EmbedRequest(("a b ",)),
        EmbedRequest(("A b",)),
        EmbedRequest(((1, 2),)),
    ],
    ids=str,
)
def test_another_question_has_an_answer_of_its_own(other: EmbedRequest) -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a b")
        answer = await bench.cached.embed(other)
        assert answer.hits == 0
        assert same(answer, await Honest().embed(other))

    run(go)


@pytest.mark.parametrize("size", [3, 500])
def test_a_text_that_spells_the_bytes_of_token_ids_is_not_taken_for_them(size: int) -> None:
    async def go() -> None:
        bench = Bench()
        ids = (97,) * size
        await bench.embed("a\0\0\0\0\0\0\0" * size)
        assert (await bench.embed(ids)).hits == 0
        assert (await bench.embed(ids)).hits == 1

    run(go)


def test_long_texts_are_told_apart_by_their_last_character() -> None:
    async def go() -> None:
        bench = Bench()
        texts = ["é" * 600 + end for end in ("x", "y", "")]
        for text in texts:
            assert (await bench.embed(text)).hits == 0
        assert (await bench.embed(*texts)).hits == 3

    run(go)


def test_two_spaces_share_the_room_and_no_vector() -> None:
    async def go() -> None:
        recent = Recent(10**6)
        other = Honest(Space("honest", "c" * 64, "b" * 64, WIDTH, normalised=True))
        one, two = Cached(Honest(), recent), Cached(other, recent)
        await one.embed(EmbedRequest(("a",)))
        answer = await two.embed(EmbedRequest(("a",)))
        assert answer.hits == 0
        assert same(answer, await Honest(other.space).embed(EmbedRequest(("a",))))
        assert recent.report().entries == 2

    run(go)


# -- limits, rules and time ---------------------------------------------------------------------


def test_a_known_text_that_is_too_long_is_refused_under_error_and_only_then() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed(LONG)
        with pytest.raises(InvalidInput, match=r"\$\.input\[1\] is 12 tokens"):
            await bench.embed("a", LONG, overflow=Overflow.ERROR)
        assert bench.inner.computed == [LONG, "a"]
        assert (await bench.embed("b", LONG)).overflowed == (1,)

    run(go)


def test_what_error_let_through_is_known_to_mean_and_the_other_way_round() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a", overflow=Overflow.ERROR)
        assert (await bench.embed("a", overflow=Overflow.MEAN)).hits == 1
        assert (await bench.embed("a", overflow=Overflow.ERROR)).hits == 1

    run(go)


@pytest.mark.parametrize("overflow", [Overflow.MEAN, Overflow.TRUNCATE])
def test_a_known_text_counts_with_all_its_tokens_against_the_limits(overflow: Overflow) -> None:
    """Cut texts too: they cost less than they have."""

    async def go() -> None:
        bench = Bench()
        before = await bench.embed(LONG, "a", overflow=overflow)
        assert before.tokens.tolist()[0] == (READS if overflow is Overflow.TRUNCATE else 12)
        with pytest.raises(InvalidInput, match=r"\[0\] is too long.* 11 tokens.* 12"):
            await bench.embed(LONG, overflow=overflow, max_input_tokens=11)
        with pytest.raises(TooManyTokens, match="Requested 27 tokens, max 26"):
            await bench.embed(LONG, LONG, "a", overflow=overflow, max_total_tokens=26)
        with pytest.raises(TooManyTokens, match="Requested 16 tokens, max 15"):
            await bench.embed(LONG, "new one", overflow=overflow, max_total_tokens=15)
        fits = await bench.embed(LONG, LONG, "a", overflow=overflow, max_total_tokens=27)
        assert fits.hits == 3
        assert same(fits, await bench.anew(LONG, LONG, "a", overflow=overflow))

    run(go)


def test_a_request_whose_time_is_up_gets_nothing_from_memory_either() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a")
        bench.inner.error = DeadlineExceeded("too late")
        with pytest.raises(DeadlineExceeded):
            await bench.embed("a", deadline=bench.now)
        assert (await bench.embed("a", deadline=bench.now + 1)).hits == 1

    run(go)


def test_a_failure_is_passed_on_and_not_remembered() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a")
        bench.inner.error = DeploymentFailed("gone")
        with pytest.raises(DeploymentFailed, match="gone"):
            await bench.embed("a", "b")
        assert (await bench.embed("a")).hits == 1  # needs nobody
        bench.inner.error = None
        assert (await bench.embed("a", "b")).hits == 1

    run(go)


# -- what may be remembered ---------------------------------------------------------------------


def test_without_reuse_all_is_computed_and_remembered_anew() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a")
        assert (await bench.embed("a", reuse=False)).hits == 0
        assert bench.inner.computed == ["a", "a"]
        assert (await bench.embed("a")).hits == 1
        assert bench.recent.report().entries == 1

    run(go)


def test_without_keep_nothing_is_remembered_and_what_is_known_is_used() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a")
        assert (await bench.embed("a", "b", keep=False)).hits == 1
        assert (await bench.embed("b", keep=False)).hits == 0
        assert (await bench.embed("b")).hits == 0

    run(go)


def test_nothing_of_a_result_that_has_another_shape_is_kept() -> None:
    class Short(Honest):
        async def embed(self, request: EmbedRequest) -> EmbedResult:
            right = await super().embed(request)
            return replace(right, vectors=right.vectors[:1])

    async def go() -> None:
        recent = Recent(10**6)
        with pytest.raises(InvalidResult, match="1 × 6 float32 where 2 × 6 float32"):
            await Cached(Short(), recent).embed(EmbedRequest(("a", "b")))
        assert recent.report().entries == 0

    run(go)


def test_nobody_can_change_what_is_remembered() -> None:
    async def go() -> None:
        bench = Bench()
        for answer in (await bench.embed("a"), await bench.embed("a")):
            with pytest.raises(ValueError, match="read-only"):
                answer.vectors[0, 0] = 9
            before = answer.tokens.copy()
            answer.tokens[:] = 99
            assert (await bench.embed("a")).tokens.tolist() == before.tolist()

    run(go)


def test_an_entry_does_not_keep_the_batch_alive_that_it_came_in() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed(*(f"t{n}" for n in range(100)))
        (entry,) = bench.recent.find([next(iter(bench.recent._fresh))])
        assert type(entry) is bytes
        assert len(entry) == 4 * WIDTH + 12

    run(go)


# -- what is passed on --------------------------------------------------------------------------


def test_once_closed_it_knows_nothing() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a")
        await bench.cached.aclose()
        assert bench.inner.closed
        bench.inner.error = DeploymentFailed("honest is shutting down")
        with pytest.raises(DeploymentFailed, match="shutting down"):
            await bench.embed("a")

    run(go)


class Talking(Honest):
    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        raise InvalidInput([(0, "examined"), *wrong.items()])

    def work(self) -> Work:
        return Work({Lane.BULK: Queued(1, 5, 0.5)}, rows=7)


def test_everything_else_is_asked_of_what_is_wrapped() -> None:
    async def go() -> None:
        cached = Cached(Coalesced(Talking()), Recent(1000))
        assert cached.space is SPACE
        assert cached.problem() is None
        assert cached.work().rows == 7
        with pytest.raises(InvalidInput) as caught:
            await cached.examine(EmbedRequest(("a", "b")), {1: "wrong"})
        assert dict(caught.value.problems) == {0: "examined", 1: "wrong"}
        await cached.aclose()
        assert cached.problem() == "is closed"

    run(go)


def test_what_cannot_be_examined_is_not() -> None:
    async def go() -> None:
        cached = Cached(Coalesced(Honest()), Recent(1000))
        await cached.examine(EmbedRequest(("a",)), {})
        assert cached.work() == Work({})

    run(go)


def test_ids_that_no_vocabulary_has_are_for_the_embedder_to_refuse() -> None:
    async def go() -> None:
        bench = Bench()
        cached = Cached(Coalesced(bench.inner), bench.recent)
        result = await cached.embed(EmbedRequest(((1 << 70,),)))
        assert result.hits == 0
        assert bench.recent.report().entries == 0
        assert np.isfinite(result.vectors).all()

    run(go)
