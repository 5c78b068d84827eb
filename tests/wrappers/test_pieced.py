"""A request that goes in pieces is answered, or refused, as one that goes whole."""

import asyncio
from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.pieces import ENVELOPE_BYTES, Caps, body_bytes, most_tokens, pieces
from emblem.errors import DeploymentFailed, EmblemError, InvalidInput
from emblem.types import EmbedRequest, EmbedResult, Kind, Overflow
from emblem.wrappers.pieced import Pieced
from wrappers.honest import Honest, run, same, until

CAPS = st.builds(
    Caps,
    max_inputs=st.sampled_from([None, 1, 2, 3]),
    max_tokens=st.sampled_from([None, 1, 12, 30]),
    max_bytes=st.sampled_from([None, ENVELOPE_BYTES + 1, ENVELOPE_BYTES + 40]),
)
TEXTS = st.one_of(
    st.sampled_from(["", "a", "a b", "a b c d e f g h", "é ü", "a " * 700]),
    st.text("ab ", max_size=9),
)
IDS = st.lists(st.integers(0, 3), min_size=1, max_size=10).map(tuple)
REQUESTS = st.builds(
    EmbedRequest,
    inputs=st.one_of(st.lists(TEXTS, max_size=8), st.lists(IDS, min_size=1, max_size=6)).map(tuple),
    kind=st.sampled_from([None, Kind.QUERY]),
    dimensions=st.sampled_from([None, 3]),
    overflow=st.sampled_from([None, *Overflow]),
    max_input_tokens=st.sampled_from([None, 9, 20]),
    max_total_tokens=st.sampled_from([None, 12, 40]),
)


class Examined(Honest):
    """Can also say what is wrong with inputs."""

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        self._read(request)


async def outcome(embedder: Honest | Pieced, request: EmbedRequest) -> EmbedResult | EmblemError:
    try:
        return await embedder.embed(request)
    except EmblemError as error:
        return error


@given(REQUESTS, CAPS, st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_any_split_gives_what_one_request_gives(
    request: EmbedRequest, caps: Caps, at_once: int
) -> None:
    async def go() -> None:
        expected = await outcome(Examined(), request)
        inner = Examined()
        answer = await outcome(Pieced(inner, caps, at_once=at_once), request)
        if isinstance(expected, EmbedResult):
            assert isinstance(answer, EmbedResult)
            assert same(answer, expected)
            assert answer.served_by == "honest"
            sent = [one for piece in inner.asked for one in piece.inputs]
            assert sorted(map(str, sent)) == sorted(map(str, request.inputs))
        else:
            assert (type(answer), str(answer)) == (type(expected), str(expected))

    asyncio.run(go())


@given(st.lists(TEXTS, min_size=1), CAPS)
def test_every_input_is_in_one_piece_and_none_is_beyond_a_cap_with_others(
    texts: list[str], caps: Caps
) -> None:
    found = pieces(texts, caps)
    assert [n for one in found for n in range(len(texts))[one]] == list(range(len(texts)))
    for one in found:
        some = texts[one]
        assert some
        if len(some) > 1:
            assert caps.max_inputs is None or len(some) <= caps.max_inputs
            assert caps.max_tokens is None or sum(map(most_tokens, some)) <= caps.max_tokens
            if caps.max_bytes is not None:
                body = len(msgspec.json.encode({"input": some}))
                assert body <= sum(map(body_bytes, some)) + ENVELOPE_BYTES <= caps.max_bytes


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_is_longer_as_json_than_it_was_said_to_be(text: str) -> None:
    assert len(msgspec.json.encode(text)) + 1 <= body_bytes(text)


def test_a_ligature_that_many_tokenizers_spell_out_counts_with_all_its_letters() -> None:
    assert most_tokens("\ufdfa") >= 18
    assert most_tokens("abc") == 6
    assert most_tokens((7, 8)) == 5


class Several(Honest):
    """Answers under another name each time, and says what it knew."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        right = await super().embed(request)
        name = "east" if request.inputs[0] == "a" else "west"
        return EmbedResult(right.vectors, right.tokens, right.overflowed, name, right.uncut, 1)


def test_whoever_served_a_piece_is_named_once_and_hits_are_added_up() -> None:
    async def go() -> None:
        result = await Pieced(Several(), Caps(max_inputs=1)).embed(EmbedRequest(("b", "a", "b")))
        assert (result.served_by, result.hits) == ("west, east", 3)

    run(go)


def test_no_more_pieces_are_under_way_than_may_be() -> None:
    async def go() -> None:
        inner = Honest()
        inner.gate.clear()
        pieced = Pieced(inner, Caps(max_inputs=1), at_once=3)
        asked = asyncio.create_task(pieced.embed(EmbedRequest(tuple("abcdefgh"))))
        await until(lambda: len(inner.asked) == 3)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(inner.asked) == 3
        inner.gate.set()
        assert same(await asked, await Honest().embed(EmbedRequest(tuple("abcdefgh"))))

    run(go)


class Failing(Honest):
    """Fails for one text, and holds the others back."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        if "bad" in request.inputs:
            await until(lambda: len(self.asked) == 2)
            raise DeploymentFailed("gone")
        return await super().embed(request)


def test_the_first_piece_that_fails_for_good_ends_the_others() -> None:
    async def go() -> None:
        inner = Failing()
        inner.gate.clear()
        pieced = Pieced(inner, Caps(max_inputs=1), at_once=3)
        with pytest.raises(DeploymentFailed, match="gone"):
            await pieced.embed(EmbedRequest(("a", "bad", "b", "c")))
        assert inner.cancelled == 2
        assert len(inner.asked) == 2

    run(go)


def test_who_leaves_has_all_pieces_given_up() -> None:
    async def go() -> None:
        inner = Honest()
        inner.gate.clear()
        pieced = Pieced(inner, Caps(max_inputs=1), at_once=2)
        asked = asyncio.create_task(pieced.embed(EmbedRequest(("a", "b", "c"))))
        await until(lambda: len(inner.asked) == 2)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert inner.cancelled == 2
        assert len(asyncio.all_tasks()) == 1

    run(go)


def test_an_embedder_that_examines_nothing_has_its_refusal_put_right() -> None:
    async def go() -> None:
        pieced = Pieced(Honest(), Caps(max_inputs=2), at_once=1)
        texts = ("a", "b", "c", "w " * 30)
        with pytest.raises(InvalidInput) as caught:
            await pieced.embed(EmbedRequest(texts, overflow=Overflow.ERROR))
        assert [place for place, _ in caught.value.problems] == [3]

    run(go)


def test_what_was_read_of_an_input_goes_with_it() -> None:
    async def go() -> None:
        inner = Honest()
        request = EmbedRequest(("a", "b", "c"), readings=(1, 2, 3))
        await Pieced(inner, Caps(max_inputs=2)).embed(request)
        assert sorted(one.readings for one in inner.asked) == [(1, 2), (3,)]

    run(go)


def test_many_numbers_are_put_together_in_order() -> None:
    async def go() -> None:
        texts = tuple(f"t{n}" for n in range(2048))
        request = EmbedRequest(texts)
        result = await Pieced(Honest(), Caps(max_inputs=100)).embed(request)
        assert np.array_equal(result.vectors, (await Honest().embed(request)).vectors)

    run(go)
