"""A model that is served elsewhere gives for long texts what the same model gives here."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.tokenize import TextTokenizer
from emblem.core.windows import Manner
from emblem.engine import Engine
from emblem.errors import ConfigError, EmblemError, InvalidInput, InvalidRequest, InvalidResult
from emblem.offer import Prompts
from emblem.ports import Counting, Examining
from emblem.types import EmbedRequest, EmbedResult, Kind, Overflow
from emblem.wrappers.checked import Checked
from emblem.wrappers.windowed import Windowed
from tiny_engine import MAX_LENGTH, tiny_engine, tokenizer, words
from wrappers.honest import Honest, run, same

QUERY = Prompts(query="ask: ")
MANNER = Manner(MAX_LENGTH, QUERY, writes_prompts=True)


class Elsewhere:
    """The same model on another machine: it is sent short texts, and knows no rule."""

    def __init__(self, engine: Engine, *, kinds: bool = False) -> None:
        self._engine = engine
        self._kinds = kinds
        self.space = engine.space
        self.asked: list[EmbedRequest] = []

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.asked.append(request)
        assert request.overflow is None
        assert request.max_total_tokens is request.max_input_tokens is None
        assert not request.readings
        assert self._kinds or request.kind is None
        result = await self._engine.embed(replace(request, overflow=Overflow.ERROR))
        return replace(result, served_by="elsewhere", tokens=result.tokens * 0)

    def problem(self) -> str | None:
        return None

    async def aclose(self) -> None:
        pass


def reader() -> TextTokenizer:
    return TextTokenizer(tokenizer(), max_length=MAX_LENGTH)


TEXTS = st.one_of(
    st.sampled_from(["", " ", "w1  w2", "\ud800"]),
    st.lists(st.integers(0, 50), max_size=45).map(lambda numbers: words(*numbers)),
)
IDS = st.lists(st.integers(3, 60), min_size=1, max_size=30).map(tuple)
REQUESTS = st.builds(
    EmbedRequest,
    inputs=st.one_of(st.lists(TEXTS, max_size=5), st.lists(IDS, min_size=1, max_size=4)).map(tuple),
    kind=st.sampled_from([None, Kind.QUERY]),
    dimensions=st.sampled_from([None, 3]),
    overflow=st.sampled_from([None, *Overflow]),
    max_input_tokens=st.sampled_from([None, 20]),
    max_total_tokens=st.sampled_from([None, 70]),
)


async def outcome(
    embedder: Engine | Checked | Windowed, request: EmbedRequest
) -> EmbedResult | EmblemError:
    try:
        return await embedder.embed(request)
    except EmblemError as error:
        return error


@pytest.mark.parametrize("writes", [True, False])
@given(requests=st.lists(REQUESTS, min_size=1, max_size=8), ids=st.booleans())
@settings(max_examples=40, deadline=None)
def test_answers_and_refusals_are_those_of_the_engine(
    writes: bool, requests: list[EmbedRequest], ids: bool
) -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            manner = replace(MANNER, writes_prompts=writes, takes_ids=ids)
            windowed = Checked(Windowed(Elsewhere(engine, kinds=not writes), manner, reader()))
            for request in requests:
                if not ids and any(isinstance(one, tuple) for one in request.inputs):
                    continue
                expected = await outcome(engine, request)
                answer = await outcome(windowed, request)
                if isinstance(expected, EmbedResult):
                    assert isinstance(answer, EmbedResult), answer
                    assert np.abs(answer.vectors - expected.vectors).max(initial=0) < 1e-6
                    assert same(replace(answer, vectors=expected.vectors), expected)
                    assert answer.served_by == "elsewhere"
                else:
                    assert (type(answer), str(answer)) == (type(expected), str(expected))

    asyncio.run(go())


def test_what_is_counted_is_what_is_charged_and_is_not_read_again() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            windowed = Windowed(Elsewhere(engine), MANNER, read := reader())
            request = EmbedRequest((words(1, 2), words(*range(30))), Kind.QUERY)
            assert isinstance(windowed, Counting)
            counted, tokens = await windowed.count(request)
            read.readings = None  # type: ignore[assignment, method-assign]
            result = await windowed.embed(counted)
            assert tokens.tolist() == result.tokens.tolist() == [5, 33]
            assert same(result, await engine.embed(request))

    asyncio.run(go())


def test_all_inputs_that_are_wrong_are_named() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            windowed = Windowed(Elsewhere(engine), MANNER, reader())
            assert isinstance(windowed, Examining)
            texts = ("w1", words(*range(20)), "w2", "\ud800")
            request = EmbedRequest(texts, overflow=Overflow.ERROR)
            with pytest.raises(InvalidInput) as caught:
                await windowed.examine(request, {2: "is no text"})
            assert [place for place, _ in caught.value.problems] == [1, 2, 3]

    asyncio.run(go())


class Odd(Elsewhere):
    """Gives one vector that cannot be right, or refuses one part."""

    refuses = False

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        if self.refuses:
            raise InvalidInput([(2, "is not liked"), (1, "is not liked")])
        result = await super().embed(request)
        result.vectors[1] *= 3
        return result


def test_one_wrong_window_is_not_lost_in_the_mean_of_several() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            windowed = Windowed(Odd(engine), MANNER, reader())
            with pytest.raises(InvalidResult, match="vector 1 has norm 3"):
                await windowed.embed(EmbedRequest((words(*range(25)),)))

    asyncio.run(go())


def test_a_part_that_is_refused_is_named_as_its_text() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            odd = Odd(engine)
            odd.refuses = True
            with pytest.raises(InvalidInput, match=r"input\[1\] is not liked\.$"):
                await Windowed(odd, MANNER, reader()).embed(EmbedRequest(("w1", words(*range(15)))))

    asyncio.run(go())


def test_arrays_of_ids_are_refused_where_only_texts_are_taken() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            for read in (reader(), None):
                windowed = Windowed(Elsewhere(engine), MANNER, read)
                with pytest.raises(
                    InvalidRequest, match="tiny is served elsewhere and takes texts"
                ):
                    await windowed.embed(EmbedRequest(((5, 6),)))

    asyncio.run(go())


# -- without a tokenizer ------------------------------------------------------------------------


def test_without_a_tokenizer_what_may_be_too_long_is_refused_and_the_rest_passed_on() -> None:
    async def go() -> None:
        inner = Honest()
        windowed = Windowed(inner, Manner(8))
        assert same(
            await windowed.embed(EmbedRequest(("a b", "c"))),
            await Honest().embed(EmbedRequest(("a b", "c"))),
        )
        with pytest.raises(
            InvalidInput, match=r"\[1\] may be too long: honest reads 8 tokens.*`tokenizer`"
        ) as caught:
            await windowed.embed(EmbedRequest(("a", "abcdef", "bcdefg")))
        assert [place for place, _ in caught.value.problems] == [1, 2]
        assert len(inner.asked) == 1

    run(go)


def test_a_deployment_that_refuses_long_texts_by_itself_is_sent_them_unless_a_rule_is_asked_for() -> (
    None
):
    async def go() -> None:
        inner = Honest()
        windowed = Windowed(inner, Manner(8, refuses_long=True))
        await windowed.embed(EmbedRequest(("abcdef",)))
        await windowed.embed(EmbedRequest(("abcdef",), overflow=Overflow.ERROR))
        for rule in (Overflow.MEAN, Overflow.TRUNCATE):
            with pytest.raises(InvalidInput, match="may be too long"):
                await windowed.embed(EmbedRequest(("abcdef",), overflow=rule))
            await windowed.embed(EmbedRequest(("abc",), overflow=rule))
        assert [one.overflow for one in inner.asked] == [None] * 4

    run(go)


def test_without_a_tokenizer_the_count_is_what_a_text_costs_at_most() -> None:
    async def go() -> None:
        windowed = Windowed(Honest(), replace(MANNER, length=100))
        request, tokens = await windowed.count(EmbedRequest(("abcd", "é"), Kind.QUERY))
        assert tokens.tolist() == [15, 13]
        assert tokens.dtype == np.int32
        assert not request.readings
        with pytest.raises(InvalidInput, match=r"\[0\] may be too long"):
            await windowed.count(EmbedRequest(("a" * 98,)))

    run(go)


def test_a_prompt_is_written_also_without_a_tokenizer() -> None:
    async def go() -> None:
        inner = Honest()
        await Windowed(inner, replace(MANNER, length=100)).embed(EmbedRequest(("a",), Kind.QUERY))
        assert inner.asked[0].inputs == ("ask: a",)
        assert inner.asked[0].kind is None

    run(go)


def test_a_deployment_of_which_nobody_knows_when_it_cuts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"honest: nobody knows how long.*`max_length`"):
        Windowed(Honest(), Manner(None))
    Windowed(Honest(), Manner(None, refuses_long=True))


def test_closing_closes_what_is_inside() -> None:
    async def go() -> None:
        inner = Honest()
        await Windowed(inner, Manner(8)).aclose()
        assert inner.closed

    run(go)


# -- the real model -----------------------------------------------------------------------------

SAMPLES = {
    "en": "An emblem is an abstract or representational pictorial image that represents a concept. ",
    "de": "Die Donaudampfschifffahrtsgesellschaft befördert seit Jahrhunderten Güter und Reisende. ",
    "ru": "Герб — это отличительный знак, передаваемый по наследству; на нём изображаются предметы. ",
    "zh": "徽章是一种抽象或具象的图案，用来代表一个概念、一个人或一个组织。",
    "ja": "紋章は、個人や家系、組織を識別するための図案である。",
    "code": "for(let i=0;i<items.length;++i){results.push(transform_value(items[i].embedding_vector));}\n",
    "digits": "48612907345109283746501928374650192837465",
}


@pytest.mark.parametrize("language", SAMPLES)
@pytest.mark.parametrize("overflow", [Overflow.MEAN, Overflow.TRUNCATE])
def test_the_hosted_copy_of_a_model_gives_the_vectors_of_the_local_one(
    language: str, overflow: Overflow, minilm_folder: Path
) -> None:
    from emblem.config import Settings
    from emblem.models import layout, tokenizer
    from emblem.wiring import open_engine

    model = layout.read(minilm_folder, "all-MiniLM-L6-v2")
    read = TextTokenizer(tokenizer.load(model.tokenization), max_length=256, strip=True)
    long = SAMPLES[language] * 200
    texts = tuple(long[:n] for n in (1, 40, 900, 1300, 2500, 4000, 9000))

    async def go() -> None:
        engine = open_engine(model, Settings(threads=2))
        try:
            windowed = Checked(Windowed(Elsewhere(engine), Manner(256), read))
            request = EmbedRequest(texts, overflow=overflow)
            here, there = await engine.embed(request), await windowed.embed(request)
            assert here.overflowed
            assert same(replace(there, vectors=here.vectors), here)
            cosines = np.einsum("nd,nd->n", here.vectors, there.vectors)
            assert cosines.min() >= 0.999, cosines
        finally:
            await engine.aclose()

    asyncio.run(go())
