"""Whoever asks for no lane is in that of what there is to compute."""

import pytest

from emblem.errors import Overloaded
from emblem.types import EmbedRequest, Lane
from emblem.wrappers.cached import Cached
from emblem.wrappers.laned import INTERACTIVE_TOKENS, Laned
from emblem.wrappers.recent import Recent
from wrappers.honest import Honest, run

SHORT = "a short question"
LONG = "x" * (4 * INTERACTIVE_TOKENS)


@pytest.mark.parametrize(
    ("inputs", "lane"),
    [
        ((SHORT,), Lane.INTERACTIVE),
        (("x" * 3000,), Lane.INTERACTIVE),
        (("x" * 5000,), Lane.BULK),
        (("中" * 3000,), Lane.BULK),
        (("tiny",) * 2048, Lane.BULK),
    ],
)
def test_small_requests_go_first_unless_they_say_otherwise(
    inputs: tuple[str, ...], lane: Lane
) -> None:
    async def go() -> None:
        inner = Honest()
        await Laned(inner).embed(EmbedRequest(inputs, lane_by_size=True))
        for wanted in Lane:
            await Laned(inner).embed(EmbedRequest(inputs, lane=wanted))
        assert [request.lane for request in inner.asked] == [lane, *Lane]

    run(go)


@pytest.mark.parametrize(
    ("request_", "tried"),
    [
        (EmbedRequest((SHORT,), lane_by_size=True), [Lane.INTERACTIVE, Lane.BULK]),
        (EmbedRequest((LONG,), lane_by_size=True), [Lane.BULK]),
        (EmbedRequest((SHORT,), lane=Lane.INTERACTIVE), [Lane.INTERACTIVE]),
        (EmbedRequest((SHORT,), lane=Lane.BULK), [Lane.BULK]),
    ],
)
def test_a_small_request_waits_with_the_bulk_where_its_own_lane_is_full(
    request_: EmbedRequest, tried: list[Lane]
) -> None:
    """A burst of small requests is answered, if late; who asked for a lane hears that it is full."""

    async def go() -> None:
        inner, recent = Honest(), Recent(10**6)
        inner.error = Overloaded("full", 7.0)
        with pytest.raises(Overloaded):
            await Cached(Laned(inner), recent).embed(request_)
        assert [request.lane for request in inner.asked] == tried
        assert recent.report().misses == 1

    run(go)


def test_a_short_text_beside_many_that_are_known_is_not_bulk_work() -> None:
    async def go() -> None:
        inner = Honest()
        cached = Cached(Laned(inner), Recent(10**6))
        await cached.embed(EmbedRequest((LONG,), lane_by_size=True))
        await cached.embed(EmbedRequest((LONG, SHORT), lane_by_size=True))
        await cached.embed(EmbedRequest((LONG, "another one"), lane=Lane.BULK))
        assert [request.lane for request in inner.asked] == [Lane.BULK, Lane.INTERACTIVE, Lane.BULK]

    run(go)
