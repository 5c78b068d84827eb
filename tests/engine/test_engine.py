"""The engine over a backend that does what the tests say."""

import asyncio
import gc
import random
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

from emblem.backends.fake import FakeBackend, states
from emblem.core import plan as core_plan
from emblem.core.admit import Load
from emblem.core.tokenize import Reading, TextTokenizer
from emblem.engine import Engine, QueueLimits
from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    InvalidInput,
    InvalidRequest,
    ModelError,
    Overloaded,
    TooManyTokens,
)
from emblem.ports import Stream
from emblem.types import EmbedRequest, Kind, Lane, Overflow, Row, Vectors
from tiny_engine import (
    FIRST_WORD,
    MAX_LENGTH,
    WIDTH,
    WORDS,
    ids_of,
    model,
    tiny_engine,
    tokenizer,
    until,
    vector_of,
    words,
)

pytestmark = pytest.mark.anyio

ROWS_OF_ONE = 1  # a row of so many tokens holds one sequence only
LONG = 200  # words of a text that is too long to be read on the event loop


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def queued(engine: Engine, lane: Lane = Lane.INTERACTIVE) -> bool:
    return engine._queue.waiting(lane) != Load()


async def begun(backend: FakeBackend) -> None:
    """Wait until one more row has begun."""
    assert await asyncio.to_thread(backend.await_run)


def row_with(backend: FakeBackend, word: int) -> list[int]:
    """Find the places of the rows that held a word."""
    return [place for place, row in enumerate(backend.rows) if FIRST_WORD + word in row.ids]


# -- the right vectors ------------------------------------------------------------------------


async def test_two_hundred_mixed_requests_at_once_get_their_own_vectors() -> None:
    chance = random.Random(3)
    requests = []
    for _ in range(200):
        texts = [
            words(*(chance.randrange(WORDS) for _ in range(chance.choice((1, 3, 9, 10, 11, 45)))))
            for _ in range(chance.choice((1, 1, 2, 7, 30)))
        ]
        requests.append(
            EmbedRequest(
                tuple(texts),
                kind=chance.choice((None, Kind.QUERY, Kind.DOCUMENT)),
                dimensions=chance.choice((None, 3, WIDTH)),
                overflow=chance.choice((None, Overflow.MEAN, Overflow.TRUNCATE)),
                lane=chance.choice(list(Lane)),
            )
        )
    async with tiny_engine(FakeBackend(WIDTH, row_tokens=64, streams=2)) as engine:
        results = await asyncio.gather(*map(engine.embed, requests))
        assert [engine._queue.waiting(lane) for lane in Lane] == [Load(), Load()]
    for request, result in zip(requests, results, strict=True):
        d = request.dimensions or WIDTH
        assert result.vectors.shape == (len(request.inputs), d)
        for text, vector in zip(request.inputs, result.vectors, strict=True):
            expected = vector_of(
                str(text),
                prompt="ask:" if request.kind is Kind.QUERY else "",
                truncate=request.overflow is Overflow.TRUNCATE,
            )[:d]
            np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


async def test_a_text_has_the_same_bytes_alone_and_among_others() -> None:
    text = words(5, 6, 7)
    async with tiny_engine() as engine:
        alone = await engine.embed(EmbedRequest((text,)))
        among = await engine.embed(EmbedRequest((words(*range(40)), text, words(1))))
    assert alone.vectors[0].tobytes() == among.vectors[1].tobytes()


async def test_a_result_says_what_each_text_cost_and_which_were_too_long() -> None:
    texts = (words(1, 2), words(*range(25)), words(*range(10)))
    async with tiny_engine() as engine:
        whole = await engine.embed(EmbedRequest(texts))
        cut = await engine.embed(EmbedRequest(texts, overflow=Overflow.TRUNCATE))
    assert whole.tokens.tolist() == [4, 27, 12]
    assert cut.tokens.tolist() == [4, MAX_LENGTH, 12]
    assert whole.overflowed == cut.overflowed == (1,)
    assert whole.served_by == "tiny"


async def test_native_ids_give_the_vector_of_their_text() -> None:
    async with tiny_engine() as engine:
        result = await engine.embed(EmbedRequest((tuple(ids_of(words(8, 9))), words(8, 9))))
    assert result.vectors[0].tobytes() == result.vectors[1].tobytes()


# -- what is refused --------------------------------------------------------------------------


async def test_every_wrong_input_is_named_whichever_slice_it_is_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_plan, "SLICE_CHARACTERS", 4)
    inputs = ((-1,), words(1), (10, 11), "\udc80", (0,), words(2), (10**9,))
    async with tiny_engine() as engine:
        with pytest.raises(InvalidInput) as caught:
            await engine.embed(EmbedRequest(inputs))
    assert [index for index, _ in caught.value.problems] == [0, 3, 4, 6]


async def test_a_text_beyond_the_limit_is_refused_and_the_engine_goes_on() -> None:
    async with tiny_engine() as engine:
        with pytest.raises(InvalidInput, match="maximum context length is 5 tokens"):
            await engine.embed(EmbedRequest((words(1, 2, 3, 4),), max_input_tokens=5))
        with pytest.raises(TooManyTokens, match="Requested 9 tokens, max 8 tokens"):
            await engine.embed(EmbedRequest((words(1, 2), words(1, 2, 3)), max_total_tokens=8))
        with pytest.raises(InvalidRequest, match="nothing to embed"):
            await engine.embed(EmbedRequest(()))
        assert (await engine.embed(EmbedRequest((words(1),)))).vectors.shape == (1, WIDTH)


async def test_texts_that_were_read_and_one_that_was_not_are_named_together() -> None:
    reader = Recording()
    longest = words(1) + " " * 5 * core_plan.MAX_CHARACTERS_PER_TOKEN
    async with tiny_engine(reader=reader) as engine:
        with pytest.raises(InvalidInput) as caught:
            await engine.embed(
                EmbedRequest(
                    (words(1), words(1, 2, 3, 4), longest, words(2)),
                    max_input_tokens=5,
                    max_total_tokens=100,
                )
            )
    assert [index for index, _ in caught.value.problems] == [1, 2]
    assert "requested 6 tokens of its own vocabulary; $.input[2] is too long" in str(caught.value)
    assert "too many to read" in str(caught.value)
    assert reader.read_lengths == [2, 11, 0, 2]


async def test_a_text_that_no_request_may_hold_is_named_before_the_tokens_of_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_plan, "SLICE_CHARACTERS", 1)
    unread = "x" * (5 * core_plan.MAX_CHARACTERS_PER_TOKEN + 1)
    request = EmbedRequest(
        (words(1), words(*range(9)), words(2), unread), max_input_tokens=5, max_total_tokens=8
    )
    async with tiny_engine() as engine:
        with pytest.raises(InvalidInput) as caught:
            await engine.embed(request)
    assert [index for index, _ in caught.value.problems] == [1, 3]


async def test_tokenising_ends_once_there_are_too_many_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_plan, "SLICE_CHARACTERS", 1)
    reader = Recording()
    texts = tuple(words(n % 50) for n in range(100))  # too many to be read at once
    async with tiny_engine(reader=reader) as engine:
        with pytest.raises(TooManyTokens, match="Requested more than 9 tokens, max 8"):
            await engine.embed(EmbedRequest(texts, max_total_tokens=8))
    assert reader.read_lengths == [2, 2, 2]


class Recording(TextTokenizer):
    """Remembers how long the texts were that it read, and waits when told to."""

    def __init__(self) -> None:
        super().__init__(tokenizer(), max_length=MAX_LENGTH)
        self.read_lengths: list[int] = []
        self.begun = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def readings(self, inputs, prompt, most=None) -> list[Reading]:
        self.begun.set()
        assert self.go.wait(10)
        self.read_lengths += map(len, inputs)
        return super().readings(inputs, prompt, most)


class Panic(BaseException):
    """What a library of Rust raises where it cannot go on: no Exception."""


class Panicking(TextTokenizer):
    """Panics over one text."""

    def readings(self, inputs, prompt, most=None):
        if "w13" in inputs:
            raise Panic("index out of bounds")
        return super().readings(inputs, prompt, most)


@pytest.mark.parametrize("others", [0, LONG], ids=["on the loop", "in a thread"])
async def test_a_panic_of_the_tokenizer_fails_its_request_and_the_engine_goes_on(
    others: int,
) -> None:
    reader = Panicking(tokenizer(), max_length=MAX_LENGTH)
    async with tiny_engine(reader=reader) as engine:
        with pytest.raises(DeploymentFailed, match="failed to read a text: Panic"):
            await engine.embed(EmbedRequest(("w13", *map(words, range(others)))))
        assert (await engine.embed(EmbedRequest(("w14",)))).vectors.shape == (1, WIDTH)


async def test_ten_megabytes_are_refused_unread_while_others_are_served() -> None:
    reader = Recording()
    huge = EmbedRequest(("x" * 10_000_000,), max_input_tokens=8192)
    async with tiny_engine(reader=reader) as engine:
        small = [engine.embed(EmbedRequest((words(n),), max_input_tokens=8192)) for n in range(5)]
        *served, refused = await asyncio.gather(*small, engine.embed(huge), return_exceptions=True)
    assert isinstance(refused, InvalidInput)
    assert all(not isinstance(one, BaseException) for one in served)
    assert reader.read_lengths == [2] * 5


# -- who runs when ----------------------------------------------------------------------------


async def test_a_request_that_is_cancelled_is_dropped_before_it_runs() -> None:
    backend = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE)
    async with tiny_engine(backend) as engine:
        backend.block()
        running = asyncio.ensure_future(engine.embed(EmbedRequest((words(1),))))
        await begun(backend)
        leaving = asyncio.ensure_future(engine.embed(EmbedRequest((words(2), words(3)))))
        await until(lambda: queued(engine))
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert engine._queue.waiting(Lane.INTERACTIVE) == Load()
        backend.release()
        await running
        await engine.embed(EmbedRequest((words(4),)))
    assert len(backend.rows) == 2
    assert row_with(backend, 2) == row_with(backend, 3) == []


async def test_a_request_that_is_cancelled_half_way_runs_no_further() -> None:
    backend = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE)
    async with tiny_engine(backend) as engine:
        backend.block()
        leaving = asyncio.ensure_future(engine.embed(EmbedRequest((words(1),) * 50)))
        await begun(backend)
        leaving.cancel()
        await asyncio.wait([leaving])
        backend.release()
        await engine.embed(EmbedRequest((words(2),)))
    assert len(backend.rows) == 2


async def test_a_request_that_is_cancelled_while_it_is_tokenised_never_runs() -> None:
    backend, reader = FakeBackend(WIDTH), Recording()
    async with tiny_engine(backend, reader=reader) as engine:
        reader.go.clear()
        text = words(*range(LONG))
        leaving = asyncio.ensure_future(engine.embed(EmbedRequest((text,))))
        await asyncio.to_thread(reader.begun.wait)
        leaving.cancel()
        await asyncio.wait([leaving])
        reader.go.set()
        await engine.embed(EmbedRequest((words(WORDS - 1),)))
    assert row_with(backend, 1) == []


async def test_of_many_requests_that_wait_those_that_leave_never_run_and_the_others_all_do() -> (
    None
):
    backend = FakeBackend(WIDTH, row_tokens=16, streams=2)
    chance = random.Random(4)
    async with tiny_engine(backend) as engine:
        backend.block()
        tasks = [asyncio.ensure_future(engine.embed(EmbedRequest((words(0),), fair_share="0")))]
        await begun(backend)
        for n in range(1, 500):
            request = EmbedRequest(
                (words(n), words(n, n)), lane=chance.choice(list(Lane)), fair_share=str(n % 7)
            )
            tasks.append(asyncio.ensure_future(engine.embed(request)))
        await until(lambda: _requests(engine) >= 490)  # the second stream has taken a row, too
        staying = [n for n in range(500) if not any(n in row_words(row) for row in backend.rows)]
        leaving = chance.sample(staying, 300)
        for n in leaving:
            tasks[n].cancel()
        await asyncio.wait([tasks[n] for n in leaving])
        backend.release()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [engine._queue.waiting(lane) for lane in Lane] == [Load(), Load()]
    ran = {word for row in backend.rows for word in row_words(row)}
    assert ran == set(range(500)) - set(leaving)
    for n, result in enumerate(results):
        if n in leaving:
            assert isinstance(result, asyncio.CancelledError)
        else:
            np.testing.assert_allclose(result.vectors[0], vector_of(words(n)), atol=1e-5)


def _requests(engine: Engine) -> int:
    return sum(queued.requests for queued in engine.work().queued.values())


def row_words(row: Row) -> set[int]:
    """Give the words of a row."""
    return {int(token) - FIRST_WORD for token in row.ids if token >= FIRST_WORD}


async def test_a_key_with_one_request_does_not_wait_for_the_many_of_another() -> None:
    backend = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE)
    async with tiny_engine(backend) as engine:
        backend.block()
        flood = [
            EmbedRequest((words(n), words(n)), lane=Lane.BULK, fair_share="flood")
            for n in range(1, 101)
        ]
        tasks = [asyncio.ensure_future(engine.embed(request)) for request in flood]
        await begun(backend)
        await until(lambda: _requests(engine) == 100)
        mine = EmbedRequest((words(500), words(501)), lane=Lane.BULK, fair_share="mine")
        tasks.append(asyncio.ensure_future(engine.embed(mine)))
        await until(lambda: _requests(engine) == 101)
        backend.release()
        await asyncio.gather(*tasks)
    assert row_with(backend, 501)[0] <= 4
    assert len(backend.rows) == 202


async def test_an_interactive_request_overtakes_bulk_work_between_two_rows() -> None:
    backend = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE)
    # The clock stands still: bulk work is owed a row for every eight that others get, in seconds.
    async with tiny_engine(backend, clock=lambda: 0.0) as engine:
        backend.block()
        bulk = EmbedRequest(tuple(words(n) for n in range(20)), lane=Lane.BULK)
        long = asyncio.ensure_future(engine.embed(bulk))
        await begun(backend)
        quick = asyncio.ensure_future(engine.embed(EmbedRequest((words(100), words(101)))))
        await until(lambda: queued(engine))
        backend.release()
        await asyncio.gather(long, quick)
    assert (row_with(backend, 100), row_with(backend, 101)) == ([1], [2])


class SparingBackend(FakeBackend):
    """A fake of two streams, and one more whose rows never wait."""

    def __init__(self) -> None:
        super().__init__(WIDTH, row_tokens=ROWS_OF_ONE, streams=2)
        self.spared: list[Row] = []

    def spare(self) -> Stream:
        backend = self

        class Spared:
            def run(self, row: Row) -> Vectors:
                backend.spared.append(row)
                return states(row, WIDTH)

        return Spared()


async def test_an_interactive_request_is_run_beside_bulk_rows_that_take_all_streams() -> None:
    backend = SparingBackend()
    async with tiny_engine(backend) as engine:
        backend.block()
        bulk = EmbedRequest(tuple(words(n) for n in range(20)), lane=Lane.BULK)
        long = asyncio.ensure_future(engine.embed(bulk))
        await begun(backend)
        await begun(backend)
        found = await engine.embed(EmbedRequest((words(100), words(101))))
        assert not long.done()
        backend.release()
        await long
    assert [row_words(row) for row in backend.spared] == [{100}, {101}]
    assert [row.bulk for row in backend.spared] == [False, False]
    assert [row.bulk for row in backend.rows] == [True] * 20
    for vector, number in zip(found.vectors, (100, 101), strict=True):
        assert vector == pytest.approx(vector_of(words(number)), abs=1e-6)


async def test_no_more_rows_than_streams_are_run_beside_one_another_without_bulk() -> None:
    backend = SparingBackend()
    async with tiny_engine(backend) as engine:
        backend.block()
        many = EmbedRequest(tuple(words(n) for n in range(20)))
        first = asyncio.ensure_future(engine.embed(many))
        await begun(backend)
        await begun(backend)
        second = asyncio.ensure_future(engine.embed(EmbedRequest((words(100),))))
        await until(lambda: _requests(engine) == 2)
        backend.release()
        await asyncio.gather(first, second)
    assert backend.spared == []


async def test_bulk_work_goes_on_beside_interactive_requests_without_end() -> None:
    backend = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE)
    async with tiny_engine(backend) as engine:
        backend.block()
        first = asyncio.ensure_future(engine.embed(EmbedRequest((words(1),))))
        await begun(backend)
        many = EmbedRequest(tuple(words(n) for n in range(100, 140)))
        interactive = asyncio.ensure_future(engine.embed(many))
        bulk = asyncio.ensure_future(engine.embed(EmbedRequest((words(2),), lane=Lane.BULK)))
        await until(lambda: queued(engine) and queued(engine, Lane.BULK))
        backend.release()
        await asyncio.gather(first, interactive, bulk)
    assert row_with(backend, 2)[0] < 10


async def test_a_small_request_does_not_wait_for_the_big_one_before_it() -> None:
    backend = FakeBackend(WIDTH, row_tokens=16)
    async with tiny_engine(backend) as engine:
        backend.block()
        texts = tuple(words(*range(n, n + 8)) for n in range(0, 800, 8))
        big = asyncio.ensure_future(engine.embed(EmbedRequest(texts, lane=Lane.BULK)))
        await begun(backend)
        small = asyncio.ensure_future(engine.embed(EmbedRequest((words(999),), lane=Lane.BULK)))
        await until(lambda: len(engine._queue._lanes[Lane.BULK].jobs) == 2)
        backend.release()
        await asyncio.gather(big, small)
    assert row_with(backend, 999)[0] <= 2
    assert len(backend.rows) >= 50


async def test_of_big_requests_alike_the_first_ends_first() -> None:
    backend = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE)
    async with tiny_engine(backend) as engine:
        backend.block()
        first, second = (
            EmbedRequest(tuple(words(n) for n in range(start, start + 6))) for start in (0, 100)
        )
        tasks = [asyncio.ensure_future(engine.embed(first))]
        await begun(backend)
        tasks.append(asyncio.ensure_future(engine.embed(second)))
        await until(lambda: len(engine._queue._lanes[Lane.INTERACTIVE].jobs) == 2)
        backend.release()
        await asyncio.gather(*tasks)
    assert [place for n in range(6) for place in row_with(backend, n)] == list(range(6))
    assert [place for n in range(100, 106) for place in row_with(backend, n)] == list(range(6, 12))


async def test_every_stream_works_on_one_request_that_fills_many_rows() -> None:
    backend = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE, streams=3)
    async with tiny_engine(backend) as engine:
        backend.block()
        texts = tuple(words(n) for n in range(9))
        task = asyncio.ensure_future(engine.embed(EmbedRequest(texts)))
        for _ in range(3):
            await begun(backend)
        backend.release()
        result = await task
    for text, vector in zip(texts, result.vectors, strict=True):
        np.testing.assert_allclose(vector, vector_of(text), atol=1e-5)


async def test_a_request_past_its_deadline_is_told_so_and_does_not_run() -> None:
    backend, now = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE), [0.0]
    async with tiny_engine(backend, clock=lambda: now[0]) as engine:
        backend.block()
        running = asyncio.ensure_future(engine.embed(EmbedRequest((words(1),), deadline=5.0)))
        await begun(backend)
        late = asyncio.ensure_future(engine.embed(EmbedRequest((words(2),), deadline=5.0)))
        in_time = asyncio.ensure_future(engine.embed(EmbedRequest((words(3),), deadline=50.0)))
        await until(lambda: len(engine._queue._lanes[Lane.INTERACTIVE].jobs) == 2)
        now[0] = 10.0
        backend.release()
        with pytest.raises(DeadlineExceeded):
            await late
        await asyncio.gather(running, in_time)
    assert row_with(backend, 2) == []


# -- overload ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits", [QueueLimits(interactive_s=1e-9), QueueLimits(max_bytes=1)], ids=["seconds", "bytes"]
)
async def test_beyond_its_bound_a_lane_refuses_and_the_other_one_goes_on(
    limits: QueueLimits,
) -> None:
    backend, reader = FakeBackend(WIDTH), Recording()
    async with tiny_engine(backend, limits=limits, reader=reader) as engine:
        backend.block()
        running = asyncio.ensure_future(engine.embed(EmbedRequest((words(1),))))
        await begun(backend)
        waiting = asyncio.ensure_future(engine.embed(EmbedRequest((words(*range(500)),))))
        await until(lambda: queued(engine))
        with pytest.raises(Overloaded) as caught:
            await engine.embed(EmbedRequest((words(3),)))
        assert 1 <= caught.value.retry_after_s <= 60
        assert len(reader.read_lengths) == 2  # what is refused was not even tokenised
        other = asyncio.ensure_future(engine.embed(EmbedRequest((words(4),), lane=Lane.BULK)))
        await until(lambda: queued(engine, Lane.BULK))
        backend.release()
        await asyncio.gather(running, waiting, other)
        assert (await engine.embed(EmbedRequest((words(5),)))).vectors.shape == (1, WIDTH)


async def test_what_would_hold_too_many_bytes_is_refused_unread_though_there_is_room_for_some() -> (
    None
):
    backend, reader = FakeBackend(WIDTH), Recording()
    limits = QueueLimits(interactive_s=1e9, max_bytes=1000)
    async with tiny_engine(backend, limits=limits, reader=reader) as engine:
        backend.block()
        alike = EmbedRequest((words(*range(8)),))
        running = asyncio.ensure_future(engine.embed(alike))
        await begun(backend)
        waiting = asyncio.ensure_future(engine.embed(alike))
        await until(lambda: queued(engine))
        with pytest.raises(Overloaded):
            await engine.embed(alike)
        assert len(reader.read_lengths) == 2
        backend.release()
        await asyncio.gather(running, waiting)


async def test_work_that_was_abandoned_leaves_room_for_others() -> None:
    backend = FakeBackend(WIDTH)
    async with tiny_engine(backend, limits=QueueLimits(interactive_s=1e-9)) as engine:
        backend.block()
        running = asyncio.ensure_future(engine.embed(EmbedRequest((words(1),))))
        await begun(backend)
        leaving = asyncio.ensure_future(engine.embed(EmbedRequest((words(2),))))
        await until(lambda: queued(engine))
        leaving.cancel()
        await asyncio.wait([leaving])
        next_one = asyncio.ensure_future(engine.embed(EmbedRequest((words(3),))))
        await until(lambda: queued(engine) or next_one.done())
        backend.release()
        await asyncio.gather(running, next_one)


# -- what goes wrong --------------------------------------------------------------------------


class Poisoned(FakeBackend):
    """Fails when a row holds one word."""

    WORD = 666

    def run(self, row: Row) -> Vectors:
        states = super().run(row)
        if FIRST_WORD + self.WORD in row.ids:
            raise RuntimeError("the device did not like that")
        return states


async def test_a_failure_of_the_backend_fails_the_requests_of_that_row_and_no_others() -> None:
    backend = Poisoned(WIDTH, row_tokens=ROWS_OF_ONE)
    texts = [words(n) for n in (1, 2, Poisoned.WORD, 3, 4)]
    async with tiny_engine(backend) as engine:
        results = await asyncio.gather(
            *(engine.embed(EmbedRequest((text,))) for text in texts), return_exceptions=True
        )
        assert engine.problem() is None
        again = await engine.embed(EmbedRequest((words(7),)))
    failed = [isinstance(result, BaseException) for result in results]
    assert failed == [False, False, True, False, False]
    assert isinstance(results[2], DeploymentFailed)
    np.testing.assert_allclose(again.vectors[0], vector_of(words(7)), atol=1e-5)


async def test_a_request_of_which_a_part_failed_runs_no_further() -> None:
    backend = Poisoned(WIDTH, row_tokens=ROWS_OF_ONE)
    texts = (words(Poisoned.WORD, 1, 2), *(words(n) for n in range(50)))
    async with tiny_engine(backend) as engine:
        with pytest.raises(DeploymentFailed):
            await engine.embed(EmbedRequest(texts))
        await engine.embed(EmbedRequest((words(100),)))
        assert engine._queue.waiting(Lane.INTERACTIVE) == Load()
    assert len(backend.rows) == 2


class Misshapen(FakeBackend):
    """Gives states of another shape than it promised."""

    def __init__(self, cut: tuple[slice, slice]) -> None:
        super().__init__(WIDTH)
        self.cut: tuple[slice, slice] | None = cut

    def run(self, row: Row) -> Vectors:
        states = super().run(row)
        return states if self.cut is None else states[self.cut]


@pytest.mark.parametrize(
    "cut",
    [
        (slice(1, None), slice(None)),
        (slice(None), slice(1)),
        (slice(None), slice(3)),
        (slice(0), slice(0)),
    ],
    ids=["too few", "one wide", "three wide", "none"],
)
async def test_states_of_the_wrong_shape_fail_the_row_and_the_engine_goes_on(
    cut: tuple[slice, slice],
) -> None:
    backend = Misshapen(cut)
    async with tiny_engine(backend) as engine:
        with pytest.raises(DeploymentFailed):
            await engine.embed(EmbedRequest((words(1), words(2))))
        backend.cut = None
        assert engine.problem() is None
        await engine.embed(EmbedRequest((words(3),)))


async def test_a_backend_of_another_width_than_the_space_is_refused_at_once() -> None:
    reader = TextTokenizer(tokenizer(), max_length=MAX_LENGTH)
    with pytest.raises(ModelError, match="tiny has 6 numbers and its backend gives 8"):
        Engine(model(width=6), reader, FakeBackend(WIDTH))


class Dying(FakeBackend):
    """Cannot open a stream, or not a second one."""

    def __init__(self, streams: int) -> None:
        super().__init__(WIDTH, streams=streams)
        self.left = streams - 1
        self.go = threading.Event()
        self.turn = threading.Lock()

    def stream(self):
        with self.turn:
            self.left -= 1
            if self.left < 0:
                assert self.go.wait(10)
                raise RuntimeError("no device")
        return super().stream()


@pytest.mark.parametrize("streams", [1, 2])
async def test_a_stream_that_dies_shows_and_whoever_waits_is_told(streams: int) -> None:
    backend = Dying(streams)
    backend.block()
    async with tiny_engine(backend) as engine:
        requests = [EmbedRequest((words(n),) * 40) for n in range(3)]
        tasks = [asyncio.ensure_future(engine.embed(request)) for request in requests]
        await until(lambda: len(engine._queue._lanes[Lane.INTERACTIVE].jobs) == 3)
        backend.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [DeploymentFailed] * 3
        await until(lambda: engine.problem() is not None)
        assert "has lost emblem-stream-" in str(engine.problem())
        with pytest.raises(DeploymentFailed, match="has lost emblem-stream-"):
            await engine.embed(EmbedRequest((words(1),)))


# -- the end ----------------------------------------------------------------------------------


async def test_closing_hands_back_what_runs_and_fails_what_waits() -> None:
    backend = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE)
    async with tiny_engine(backend) as engine:
        backend.block()
        running = asyncio.ensure_future(engine.embed(EmbedRequest((words(1),))))
        await begun(backend)
        waiting = asyncio.ensure_future(engine.embed(EmbedRequest((words(2),))))
        await until(lambda: queued(engine))
        closing = asyncio.ensure_future(engine.aclose())
        with pytest.raises(DeploymentFailed, match="tiny is shutting down"):
            await waiting
        assert engine.problem() == "is shutting down"
        with pytest.raises(DeploymentFailed, match="is shutting down"):
            await engine.embed(EmbedRequest((words(3),)))
        assert not backend.closed
        backend.release()
        np.testing.assert_allclose((await running).vectors[0], vector_of(words(1)), atol=1e-5)
        await closing
        assert backend.closed
    assert len(backend.rows) == 1


async def test_a_request_that_is_tokenised_while_the_engine_closes_is_told_so() -> None:
    reader = Recording()
    async with tiny_engine(reader=reader) as engine:
        reader.go.clear()
        texts = [words(*range(n, n + LONG)) for n in range(5)]
        tasks = [asyncio.ensure_future(engine.embed(EmbedRequest((text,)))) for text in texts]
        await asyncio.to_thread(reader.begun.wait)
        await engine.aclose()
        reader.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [DeploymentFailed] * 5


async def test_nothing_of_a_request_is_kept_once_it_is_answered() -> None:
    async with tiny_engine() as engine:
        result = await engine.embed(EmbedRequest((words(1), words(2))))
        kept = weakref.ref(result.vectors)
        del result

        def freed() -> bool:
            gc.collect()
            return kept() is None

        await until(freed)


async def test_requests_of_one_text_and_of_many_add_up_to_the_same_usage() -> None:
    texts = tuple(words(*range(n)) for n in (1, 9, 10, 11, 33))
    request = EmbedRequest(texts)
    async with tiny_engine() as engine:
        together = await engine.embed(request)
        alone = [await engine.embed(replace(request, inputs=(text,))) for text in texts]
    assert together.tokens.tolist() == [int(one.tokens[0]) for one in alone]


async def test_what_is_wrong_already_is_named_with_what_reading_shows() -> None:
    """Nothing is embedded, and the empty text that stands for a wrong input is not judged."""
    backend = FakeBackend(WIDTH)
    async with tiny_engine(backend) as engine:
        asked = EmbedRequest(("", "w1", " ".join(["w2"] * 9), "x" * 9999), max_input_tokens=8)
        with pytest.raises(InvalidInput) as refused:
            await engine.examine(asked, {0: "is an empty string"})
    assert [index for index, _ in refused.value.problems] == [0, 2, 3]
    assert dict(refused.value.problems)[0] == "is an empty string"
    assert not backend.rows


async def test_vectors_that_may_not_be_shortened_are_given_whole_or_not_at_all() -> None:
    described = replace(model(), shortening=False)
    reader = TextTokenizer(tokenizer(), max_length=MAX_LENGTH)
    engine = Engine(described, reader, FakeBackend(WIDTH))
    try:
        whole = await engine.embed(EmbedRequest((words(1),), dimensions=WIDTH))
        assert whole.vectors.shape == (1, WIDTH)
        with pytest.raises(InvalidRequest, match="Leave dimensions out"):
            await engine.embed(EmbedRequest((words(1),), dimensions=WIDTH - 1))
    finally:
        await engine.aclose()


class InstantBackend(FakeBackend):
    """Says that rows of up to 14 tokens need no thread, and remembers who ran the rows."""

    instant_tokens = 14

    def __init__(self) -> None:
        super().__init__(WIDTH)
        self.ran_by: list[threading.Thread] = []
        self.broken = False

    def stream(self) -> "Observed":
        return Observed(self, super().stream())


class Observed:
    def __init__(self, backend: InstantBackend, stream: Stream) -> None:
        self._backend = backend
        self._stream = stream

    def run(self, row: Row) -> Vectors:
        self._backend.ran_by.append(threading.current_thread())
        if self._backend.broken:
            raise RuntimeError("broken")
        return self._stream.run(row)


async def test_an_instant_backend_runs_a_short_row_at_once_and_a_longer_one_in_its_thread() -> None:
    backend = InstantBackend()
    short, longer = EmbedRequest((words(1),)), EmbedRequest((words(*range(15)),))
    async with tiny_engine(backend) as engine:
        given = [(await engine.embed(request)).vectors[0] for request in (short, longer)]
        counted = engine.work()
    here, there = backend.ran_by
    assert here is threading.current_thread()
    assert there.name.startswith("emblem-stream")
    for request, vector in zip((short, longer), given, strict=True):
        assert np.abs(vector - vector_of(request.inputs[0])).max() < 1e-6
    assert (counted.rows, counted.tokens) == (2, 3 + 19)
    assert counted.seconds_per_token is not None


async def test_a_row_that_an_instant_backend_cannot_run_fails_its_request_and_no_other() -> None:
    backend = InstantBackend()
    async with tiny_engine(backend) as engine:
        backend.broken = True
        with pytest.raises(DeploymentFailed, match="failed to run"):
            await engine.embed(EmbedRequest((words(1),)))
        backend.broken = False
        assert (await engine.embed(EmbedRequest((words(1),)))).vectors.shape == (1, WIDTH)


# -- what a row costs -------------------------------------------------------------------------


@pytest.mark.parametrize("costs", [[6.0], [2.0, 4.0]])
async def test_a_rows_time_is_shared_while_another_runs_beside_it(
    costs: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    noted: list[float] = []
    backend = FakeBackend(WIDTH, row_tokens=ROWS_OF_ONE, streams=2)
    async with tiny_engine(backend, clock=lambda: now) as engine:
        done = engine._queue.done
        monkeypatch.setattr(
            engine._queue, "done", lambda row, seconds: (noted.append(seconds), done(row, seconds))
        )
        backend.block()
        asked = []
        for number in range(len(costs)):
            now = 2.0 * number
            asked.append(asyncio.create_task(engine.embed(EmbedRequest((words(number),)))))
            await begun(backend)
        now = 6.0
        backend.release()
        await asyncio.gather(*asked)
    assert sorted(noted) == costs
