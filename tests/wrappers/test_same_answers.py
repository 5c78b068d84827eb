"""Whatever is asked in whatever order, memory changes nothing in the answers."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.errors import EmblemError, InvalidInput, InvalidRequest, InvalidResult
from emblem.types import EmbedRequest, EmbedResult, Kind, Lane, Overflow
from emblem.wrappers.cached import Cached
from emblem.wrappers.checked import Checked
from emblem.wrappers.coalesced import Coalesced
from emblem.wrappers.recent import Recent
from wrappers.honest import LATE, WIDTH, Honest, same

WORD = "abcdefgh"
TEXTS = st.one_of(
    st.sampled_from(["", "a", "b", LATE, "a b", " ".join(WORD), " ".join(WORD[:7]), "x" * 2000]),
    st.text("ab ", max_size=12),
    st.lists(st.sampled_from(WORD), max_size=12).map(" ".join),
    st.just("a " * 700),  # more characters than its limit lets be read
)
IDS = st.lists(st.integers(0, 3), min_size=1, max_size=10).map(tuple)
INPUTS = st.one_of(st.lists(TEXTS, max_size=6), st.lists(IDS, min_size=1, max_size=5))
REQUESTS = st.builds(
    EmbedRequest,
    inputs=INPUTS.map(tuple),
    kind=st.sampled_from([None, Kind.QUERY]),
    dimensions=st.sampled_from([None, None, 3, WIDTH, WIDTH + 1]),
    overflow=st.sampled_from([None, *Overflow]),
    lane=st.sampled_from(Lane),
    max_input_tokens=st.sampled_from([None, 9, 20]),
    max_total_tokens=st.sampled_from([None, 12, 40]),
    reuse=st.booleans(),
    keep=st.booleans(),
)


async def outcome(embedder: Honest | Cached | Checked, request: EmbedRequest) -> object:
    try:
        return await embedder.embed(request)
    except EmblemError as error:
        return error


def alike(one: object, other: object) -> bool:
    if isinstance(one, EmbedResult) and isinstance(other, EmbedResult):
        return same(one, other)
    if isinstance(one, InvalidResult) and isinstance(other, InvalidResult):
        assert one.of_one_text is other.of_one_text
    return type(one) is type(other) and str(one) == str(other)


@given(
    st.lists(st.lists(REQUESTS, min_size=1, max_size=4), max_size=5), st.sampled_from([700, 10**6])
)
@settings(max_examples=150, deadline=None)
def test_answers_and_refusals_are_those_of_the_embedder_alone(
    rounds: list[list[EmbedRequest]], room: int
) -> None:
    """The requests of a round run at once; ``room`` has place for two entries, or for all."""

    async def go() -> None:
        alone = Checked(Honest())
        inner = Honest()
        recent = Recent(room)
        cached = Cached(Coalesced(Checked(inner)), recent)
        for requests in rounds:
            inner.gate.clear()
            asked = [asyncio.create_task(outcome(cached, one)) for one in requests]
            for _ in range(5):
                await asyncio.sleep(0)
            inner.gate.set()
            for request, answer in zip(requests, await asyncio.gather(*asked), strict=True):
                expected = await outcome(alone, request)
                assert alike(answer, expected), (request, answer, expected)
                if isinstance(answer, EmbedResult):
                    assert answer.hits is not None
                    assert 0 <= answer.hits <= len(request.inputs)
        assert recent.held_bytes <= room

    asyncio.run(go())


@pytest.mark.parametrize("known", [False, True])
def test_a_refusal_names_the_texts_by_their_own_places(known: bool) -> None:
    async def go() -> None:
        cached = Cached(Coalesced(Honest()), Recent(10**6))
        short, long = "a b", " ".join(WORD)
        if known:
            await cached.embed(EmbedRequest((short, long)))
        request = EmbedRequest((short, short, long, "c", long), overflow=Overflow.ERROR)
        with pytest.raises(InvalidInput) as caught:
            await cached.embed(request)
        assert [place for place, _ in caught.value.problems] == [2, 4]

    asyncio.run(go())


def test_a_model_that_gives_no_fewer_dimensions_refuses_them_also_of_known_texts() -> None:
    async def go() -> None:
        inner = Honest(shortening=False)
        cached = Cached(Coalesced(inner, shortening=False), Recent(10**6), shortening=False)
        await cached.embed(EmbedRequest(("a",)))
        with pytest.raises(InvalidRequest, match="no fewer dimensions"):
            await cached.embed(EmbedRequest(("a",), dimensions=3))

    asyncio.run(go())


@pytest.mark.parametrize("texts", [(LATE,), ("a", LATE, "b"), ("a", LATE, "a")])
def test_a_vector_of_which_shortening_leaves_nothing_is_refused_each_time(
    texts: tuple[str, ...],
) -> None:
    async def go() -> None:
        embedder = Checked(Honest())
        recent = Recent(10**6)
        request = EmbedRequest(texts, dimensions=3)
        for one in (Coalesced(embedder), Cached(Coalesced(embedder), recent)):
            for known in ((), texts[-1:], texts):  # of the second of them
                await one.embed(EmbedRequest(known or ("c",)))
                with pytest.raises(InvalidResult, match="a zero vector at ") as caught:
                    await one.embed(request)
                assert caught.value.of_one_text
        assert (await one.embed(EmbedRequest(texts))).hits == len(texts)

    asyncio.run(go())
