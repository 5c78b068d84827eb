"""What texts cost whose tokenizer nobody here knows: at most so much before, and what is said after."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from emblem.core.pieces import Caps, most_tokens
from emblem.errors import TooManyTokens
from emblem.types import EmbedRequest, EmbedResult
from emblem.wrappers.cached import Cached
from emblem.wrappers.estimated import Estimated
from emblem.wrappers.pieced import Pieced
from emblem.wrappers.recent import Recent
from wrappers.honest import Honest

TEXTS = ("one two three", "four", "five six")
COST = [5, 3, 4]  # a word is a token, and two are special


class Silent(Honest):
    """Does not say what the requests cost that have some of these texts."""

    def __init__(self, *about: str) -> None:
        super().__init__()
        self.about = about

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        result = await super().embed(request)
        silent = set(self.about) & set(request.inputs)
        return replace(result, tokens=result.tokens * 0) if silent else result


def test_what_the_server_says_is_what_a_request_cost() -> None:
    result = asyncio.run(Estimated(Honest()).embed(EmbedRequest(TEXTS)))
    assert result.tokens.tolist() == COST


def test_where_it_says_nothing_a_request_cost_what_was_counted_before() -> None:
    estimated = Estimated(Silent(*TEXTS))
    result = asyncio.run(estimated.embed(EmbedRequest(TEXTS)))
    _, counted = asyncio.run(estimated.count(EmbedRequest(TEXTS)))
    assert result.tokens.tolist() == counted.tolist() == [most_tokens(one) for one in TEXTS]
    assert result.tokens.dtype == np.int32


def test_each_part_of_a_request_that_is_silent_costs_its_bound() -> None:
    pieced = Pieced(Estimated(Silent("four")), Caps(max_inputs=1))
    result = asyncio.run(pieced.embed(EmbedRequest(TEXTS)))
    assert result.tokens.tolist() == [5, most_tokens("four"), 4]


@pytest.mark.parametrize(("silent", "told"), [(TEXTS, 0), (TEXTS[1:2], 9), ((), 12)])
def test_a_bound_beyond_what_a_request_may_have_is_no_reason_to_refuse_it(
    silent: tuple[str, ...], told: int
) -> None:
    pieced = Pieced(Estimated(Silent(*silent)), Caps(max_inputs=1))
    most = max(told, *COST)  # each of the pieces is refused by itself beyond that
    result = asyncio.run(pieced.embed(EmbedRequest(TEXTS, max_total_tokens=most)))
    assert (sum(result.tokens.tolist()) > most) is bool(silent)
    if told:
        with pytest.raises(TooManyTokens, match=f"Requested {told} tokens, max {told - 1}"):
            asyncio.run(pieced.embed(EmbedRequest(TEXTS, max_total_tokens=told - 1)))


@pytest.mark.parametrize("known", [0, 1, 3])
def test_what_is_remembered_is_counted_as_it_cost_and_only_the_rest_by_its_bound(
    known: int,
) -> None:
    async def go() -> None:
        stack = Cached(Estimated(Honest()), Recent(10**6))
        if known:
            await stack.embed(EmbedRequest(TEXTS[:known]))
        read, counted = await stack.count(EmbedRequest(TEXTS))
        assert counted.tolist() == COST[:known] + [most_tokens(one) for one in TEXTS[known:]]
        assert (await stack.embed(read)).tokens.tolist() == COST
        await stack.aclose()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("limits", "again"),
    [({"max_total_tokens": 15}, 0), ({"max_input_tokens": 6}, 0), ({"max_total_tokens": 8}, 1)],
)
def test_what_nobody_counted_is_answered_from_memory_though_its_bound_is_beyond_the_limits(
    limits: dict[str, int], again: int
) -> None:
    async def go() -> None:
        inside = Silent("four")
        stack = Cached(Pieced(Estimated(inside), Caps(max_inputs=1)), Recent(10**6))
        await stack.embed(EmbedRequest(("four", *TEXTS)))
        inside.asked.clear()
        for _ in range(2):
            with suppress(TooManyTokens):
                await stack.embed(EmbedRequest(TEXTS, **limits))
        assert bool(inside.asked) is bool(again)
        await stack.aclose()

    asyncio.run(go())
