"""Tokens that are told before the work: those that the answer has, and no text is read twice."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.backends.fake import FakeBackend
from emblem.core.tokenize import TextTokenizer
from emblem.engine import QueueLimits
from emblem.errors import DeploymentFailed, EmblemError, InvalidInput, Overloaded, TooManyTokens
from emblem.ports import Counting
from emblem.types import EmbedRequest, EmbedResult, Kind, Lane, Overflow, Tokens
from emblem.wrappers.cached import Cached
from emblem.wrappers.checked import Checked
from emblem.wrappers.coalesced import Coalesced
from emblem.wrappers.laned import Laned
from emblem.wrappers.recent import Recent
from tiny_engine import MAX_LENGTH, WIDTH, tiny_engine, tokenizer, words
from wrappers.honest import Honest

LONG = words(*range(25))
TEXTS = st.lists(st.integers(0, 4), max_size=14).map(lambda some: words(*some)) | st.just(LONG)
IDS = st.lists(st.integers(4, 8), min_size=1, max_size=14).map(tuple)
REQUESTS = st.builds(
    EmbedRequest,
    inputs=(st.lists(TEXTS, max_size=5) | st.lists(IDS, min_size=1, max_size=4)).map(tuple),
    kind=st.sampled_from([None, Kind.QUERY]),
    dimensions=st.sampled_from([None, 3, WIDTH]),
    overflow=st.sampled_from([None, *Overflow]),
    lane=st.sampled_from(Lane),
    max_input_tokens=st.sampled_from([None, 9, 30]),
    max_total_tokens=st.sampled_from([None, 12, 60]),
    reuse=st.sampled_from([True, True, False]),
    lane_by_size=st.booleans(),
)


class Spy(TextTokenizer):
    """Counts the texts that it reads."""

    def __init__(self) -> None:
        super().__init__(tokenizer(), max_length=MAX_LENGTH)
        self.texts = 0

    def readings(self, inputs, prompt, most=None):
        self.texts += len(inputs)
        return super().readings(inputs, prompt, most)


async def outcome(work) -> object:
    try:
        return await work
    except EmblemError as error:
        return type(error), str(error)


async def check(stack: Counting, request: EmbedRequest, alone, reader: Spy) -> None:
    """Compare what is counted, and then answered, with what the engine alone answers."""
    expected = await outcome(alone.embed(request))
    counted = await outcome(stack.count(request))
    if not isinstance(expected, EmbedResult):
        assert counted == expected
        return
    read, tokens = counted
    assert replace(read, readings=()) == request
    assert tokens.dtype == np.int32
    assert tokens.tolist() == expected.tokens.tolist()
    before = reader.texts
    answer = await stack.embed(read)
    assert reader.texts == before, "a text was read again"
    assert answer.tokens.tolist() == tokens.tolist()
    assert answer.vectors.tobytes() == expected.vectors.tobytes()


@given(st.lists(REQUESTS, min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_what_is_counted_is_what_the_answer_costs_and_nothing_is_read_again(
    requests: list[EmbedRequest],
) -> None:
    async def go() -> None:
        reader = Spy()
        async with tiny_engine() as alone, tiny_engine(reader=reader) as engine:
            stack = Cached(Laned(Coalesced(Checked(engine))), Recent(10**6))
            for request in requests:
                await check(stack, request, alone, reader)
            stack._aside.close()

    asyncio.run(go())


def counted(stack: Counting, request: EmbedRequest) -> Tokens:
    return asyncio.run(stack.count(request))[1]


def test_what_is_remembered_is_counted_without_being_read_or_noted_as_found() -> None:
    async def go() -> None:
        reader = Spy()
        async with tiny_engine(reader=reader) as engine:
            recent = Recent(10**6)
            stack = Cached(Coalesced(Checked(engine)), recent)
            await stack.embed(EmbedRequest((words(1), words(2, 3))))
            before, report = reader.texts, recent.report()
            _, tokens = await stack.count(EmbedRequest((words(2, 3), words(1), words(1))))
            assert tokens.tolist() == [4, 3, 3]
            assert reader.texts == before
            assert recent.report() == report

    asyncio.run(go())


def test_what_was_forgotten_since_it_was_counted_is_read_for_the_answer() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            recent = Recent(10**6)
            stack = Cached(Coalesced(Checked(engine)), recent)
            request = EmbedRequest((words(1), words(2, 3)))
            expected = await stack.embed(EmbedRequest((words(1),)))
            read, _ = await stack.count(request)
            forgetful = Cached(Coalesced(Checked(engine)), Recent(10**6))
            answer = await forgetful.embed(read)
            assert answer.tokens.tolist() == [3, 4]
            assert answer.vectors[0].tobytes() == expected.vectors[0].tobytes()

    asyncio.run(go())


@pytest.mark.parametrize("known", [(), (0,), (0, 1, 2)])
def test_what_is_too_much_in_all_is_refused_however_much_of_it_is_known(
    known: tuple[int, ...],
) -> None:
    async def go() -> None:
        texts = (words(1, 2), words(3, 4), words(5, 6))
        async with tiny_engine() as engine:
            stack = Cached(Coalesced(Checked(engine)), Recent(10**6))
            if known:
                await stack.embed(EmbedRequest(tuple(texts[one] for one in known)))
            with pytest.raises(TooManyTokens, match="Requested 12 tokens, max 11"):
                await stack.count(EmbedRequest(texts, max_total_tokens=11))
            _, tokens = await stack.count(EmbedRequest(texts, max_total_tokens=12))
            assert tokens.sum() == 12

    asyncio.run(go())


@pytest.mark.parametrize("known", [False, True])
def test_a_refusal_names_the_texts_by_their_own_places(known: bool) -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            stack = Cached(Coalesced(Checked(engine)), Recent(10**6))
            if known:
                await stack.embed(EmbedRequest((words(1), LONG)))
            request = EmbedRequest((words(1), LONG, words(2), LONG), overflow=Overflow.ERROR)
            with pytest.raises(InvalidInput) as caught:
                await stack.count(request)
            assert [place for place, _ in caught.value.problems] == [1, 3]

    asyncio.run(go())


def test_what_the_queue_has_no_room_for_is_refused_before_it_is_read() -> None:
    async def go() -> None:
        reader, backend = Spy(), FakeBackend(WIDTH)
        none = QueueLimits(interactive_s=1e9, bulk_s=1e9, max_bytes=1)
        async with tiny_engine(backend, limits=none, reader=reader) as engine:
            backend.block()
            waiting = []
            for lane in Lane:  # full where something waits already
                while not engine.work().queued[lane].requests:
                    request = EmbedRequest((words(1),), lane=lane)
                    waiting.append(asyncio.ensure_future(engine.embed(request)))
                    await asyncio.sleep(0.01)
            before = reader.texts
            with pytest.raises(Overloaded):
                await Laned(engine).count(EmbedRequest((words(2),), lane_by_size=True))
            assert reader.texts == before
            backend.release()
            await asyncio.gather(*waiting)

    asyncio.run(go())


def test_an_embedder_that_cannot_count_says_so() -> None:
    with pytest.raises(DeploymentFailed, match="honest cannot tell how many tokens a text has"):
        counted(Cached(Coalesced(Honest()), Recent(10**6)), EmbedRequest(("a",)))
