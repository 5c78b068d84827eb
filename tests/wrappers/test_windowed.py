"""A model that is served elsewhere gives for long texts what the same model gives here."""

import asyncio
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem import registry
from emblem.core.pieces import Caps
from emblem.core.tokenize import TextTokenizer
from emblem.core.windows import Manner, near_bounds
from emblem.engine import Engine, QueueLimits
from emblem.errors import (
    ConfigError,
    DeploymentFailed,
    EmblemError,
    InvalidInput,
    InvalidRequest,
    InvalidResult,
)
from emblem.model import Model
from emblem.models import layout
from emblem.models.safetensors import Weights
from emblem.models.tokenizer import load
from emblem.offer import Prompts
from emblem.ports import Counting, Examining
from emblem.types import EmbedRequest, EmbedResult, Kind, Lane, Overflow, Vectors
from emblem.wrappers.checked import Checked
from emblem.wrappers.pieced import Pieced
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


class Opposite(Elsewhere):
    """Gives a vector and its opposite in turn."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        result = await super().embed(request)
        signs = np.where(np.arange(len(result.vectors)) % 2, -1, 1).astype(np.float32)
        return replace(result, vectors=result.vectors[:1] * signs[:, None])


def test_windows_of_which_nothing_is_left_are_refused() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            windowed = Windowed(Opposite(engine), MANNER, reader())
            with pytest.raises(InvalidResult, match=r"at 0|vector 0"):
                await windowed.embed(EmbedRequest((words(*range(20)),)))

    asyncio.run(go())


def test_a_part_that_is_refused_is_named_as_its_text() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            odd = Odd(engine)
            odd.refuses = True
            with pytest.raises(InvalidInput, match=r"input\[1\] is not liked\.$"):
                await Windowed(odd, MANNER, reader()).embed(EmbedRequest(("w1", words(*range(15)))))

    asyncio.run(go())


def test_what_a_request_says_beyond_its_texts_and_their_rule_is_passed_on() -> None:
    """Field by field, so that a new one is not forgotten where requests are written anew."""
    own = {"inputs", "kind", "overflow", "max_input_tokens", "max_total_tokens", "readings"}
    says = EmbedRequest((words(1),), dimensions=3, lane=Lane.BULK, deadline=9e9, fair_share="key")
    says = replace(says, reuse=False, keep=False, lane_by_size=True)
    plain = EmbedRequest((words(1),))

    async def go() -> EmbedRequest:
        async with tiny_engine() as engine:
            elsewhere = Elsewhere(engine)
            await Windowed(elsewhere, MANNER, reader()).embed(says)
            return elsewhere.asked[0]

    asked = asyncio.run(go())
    for one in fields(EmbedRequest):
        if one.name not in own:
            assert getattr(says, one.name) != getattr(plain, one.name)
            assert getattr(asked, one.name) == getattr(says, one.name)


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
    "zh": "徽章是一种抽象或具象的图案，用来代表一个概念、一个人或一个组织。",
    "ja": "紋章は、個人や家系、組織を識別するための図案である。",
    "code": "for (let i = 0; i < n; ++i) { results.push(transform(items[i].vector)); }\n",
    "de": "Im Jahr 1815 beschloss der Wiener Kongress die Neuordnung Europas; Fürsten verhandelten. ",
    "ru": "Герб — это отличительный знак, передаваемый по наследству; на нём изображаются предметы. ",
}


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path) -> Iterator[Engine]:
    model = layout.read(minilm_folder, "all-MiniLM-L6-v2")
    weights = Weights(model.weights, eight_bits=False)
    backend = registry.backend("openvino")(model.encoder, weights, threads=2, streams=1, group=0)
    engine = Engine(model, reads_as(model), backend, QueueLimits(1e9, 1e9, 1 << 40))
    yield engine
    asyncio.run(engine.aclose())


def reads_as(model: Model) -> TextTokenizer:
    own = model.tokenization
    return TextTokenizer(load(own), max_length=own.max_length, strip=own.strip)


def texts_of(language: str, read: TextTokenizer, *tokens: int) -> tuple[str, ...]:
    """Give texts of about so many tokens."""
    long = SAMPLES[language] * 250
    stops = read.located(long).stops
    return tuple(long[: int(stops[n - 1])] for n in tokens)


FAST, ALL = (1, 30, 300, 600), (257, 1000, 3000)


def slow(*given: object) -> object:
    return pytest.param(*given, marks=pytest.mark.slow)


def cosines(one: Vectors, other: Vectors) -> Vectors:
    return np.einsum("nd,nd->n", one, other)


@pytest.mark.parametrize("language", ["de", *(slow(one) for one in SAMPLES)])
def test_every_window_is_read_elsewhere_as_the_tokens_that_it_has_here(
    language: str, minilm: Engine, minilm_folder: Path
) -> None:
    read = reads_as(layout.read(minilm_folder, "all-MiniLM-L6-v2"))
    (text,) = texts_of(language, read, 600)

    async def go() -> None:
        found = read.located(text)
        ids = read.read([text])[0].ids
        bounds = near_bounds(found, -(-len(ids) // 254), 254)
        windows = tuple(tuple(ids[a:b].tolist()) for a, b in pairwise(bounds))
        vectors = (await minilm.embed(EmbedRequest(windows))).vectors
        expected = np.diff(bounds) @ vectors
        expected /= np.linalg.norm(expected)
        there = await Windowed(Elsewhere(minilm), Manner(256), read).embed(EmbedRequest((text,)))
        assert cosines(there.vectors, expected[None]).min() >= 0.99999

    asyncio.run(go())


# Words of many tokens: the engine cuts inside of one, and no text is read as the second half of it.
CLOSE = dict.fromkeys(SAMPLES, 0.999) | {"de": 0.99, "ru": 0.99}


@pytest.mark.parametrize(
    ("language", "rule", "tokens"),
    [
        ("en", Overflow.MEAN, FAST),
        ("zh", Overflow.MEAN, FAST),
        ("de", Overflow.TRUNCATE, FAST),
        *(slow(one, Overflow.MEAN, ALL) for one in SAMPLES),
        *(slow(one, Overflow.TRUNCATE, ALL) for one in SAMPLES),
    ],
)
def test_the_hosted_copy_of_a_model_gives_the_vectors_of_the_local_one(
    language: str, rule: Overflow, tokens: tuple[int, ...], minilm: Engine, minilm_folder: Path
) -> None:
    read = reads_as(layout.read(minilm_folder, "all-MiniLM-L6-v2"))

    async def go() -> None:
        windowed = Checked(Windowed(Elsewhere(minilm), Manner(256), read))
        request = EmbedRequest(texts_of(language, read, *tokens), overflow=rule)
        here, there = await minilm.embed(request), await windowed.embed(request)
        assert len(here.overflowed) >= 2
        assert same(replace(there, vectors=here.vectors), here)
        found = cosines(here.vectors, there.vectors)
        least = 0.999 if rule is Overflow.TRUNCATE else CLOSE[language]
        assert found.min() >= least, found

    asyncio.run(go())


def test_windows_that_are_more_than_a_deployment_takes_at_once_go_in_pieces() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            inner = Elsewhere(engine)
            windowed = Windowed(Pieced(inner, Caps(max_inputs=2)), MANNER, reader())
            request = EmbedRequest((words(*range(45)), "w1"))
            result = await windowed.embed(request)
            assert [len(one.inputs) for one in inner.asked] == [2, 2, 2]
            assert np.abs(result.vectors - (await engine.embed(request)).vectors).max() < 1e-6

    asyncio.run(go())


@pytest.mark.parametrize("rule", [Overflow.MEAN, Overflow.TRUNCATE])
def test_beside_an_engine_a_long_text_is_sent_in_its_very_windows_or_not_at_all(
    rule: Overflow, minilm: Engine, minilm_folder: Path
) -> None:
    read = reads_as(layout.read(minilm_folder, "all-MiniLM-L6-v2"))
    texts = [one for name in ("en", "ru", "de") for one in texts_of(name, read, 30, 280, 300, 311)]

    async def go() -> None:
        windowed = Windowed(Elsewhere(minilm), Manner(256, exact=True), read)
        unsent = []
        for text in texts:
            request = EmbedRequest((text,), overflow=rule)
            try:
                there = await windowed.embed(request)
            except DeploymentFailed as error:
                unsent.append(error)
                continue
            here = await minilm.embed(request)
            assert cosines(here.vectors, there.vectors).min() >= 0.999999
            assert same(replace(there, vectors=here.vectors), here)
        assert all(one.unasked and "inside of a word" in str(one) for one in unsent)
        assert len(unsent) < len(texts) - 3
        assert unsent or rule is Overflow.TRUNCATE, "the beginning of a word is read as it was"

    asyncio.run(go())
