"""No embedder, however wrong, gets a wrong vector past the check."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from emblem.errors import DeploymentFailed, InvalidResult
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult
from emblem.wrappers.checked import Checked

REQUEST = EmbedRequest(("one", "two"))
RIGHT = EmbedResult(np.eye(2, 4, dtype=np.float32), np.array([1, 1], np.int32), (), "liar")


class Liar:
    """An embedder that gives whatever it is told to."""

    space = Space("tiny", "a" * 64, "b" * 64, 4, normalised=True)

    def __init__(self, result: EmbedResult | Exception) -> None:
        self.result = result
        self.closed = False

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def problem(self) -> str | None:
        return "is lying"

    async def aclose(self) -> None:
        self.closed = True


def embed(result: EmbedResult | Exception, request: EmbedRequest = REQUEST) -> EmbedResult:
    return asyncio.run(Checked(Liar(result)).embed(request))


def test_a_right_result_is_passed_on_as_it_is() -> None:
    assert embed(RIGHT) is RIGHT


@pytest.mark.parametrize(
    "lie",
    [
        {"vectors": RIGHT.vectors[:1]},
        {"vectors": np.eye(3, 4, dtype=np.float32)},
        {"vectors": np.eye(2, 3, dtype=np.float32)},
        {"vectors": np.eye(2, 4)},
        {"vectors": np.eye(4, 2, dtype=np.float32).T},
        {"vectors": RIGHT.vectors * np.float32(np.nan)},
        {"vectors": np.full((2, 4), np.inf, np.float32)},
        {"vectors": RIGHT.vectors * 0},
        {"vectors": RIGHT.vectors * 2},
        {"tokens": RIGHT.tokens[:1]},
        {"tokens": -RIGHT.tokens},
        {"tokens": RIGHT.tokens.astype(np.float32)},
        {"overflowed": (2,)},
    ],
    ids=lambda lie: f"{next(iter(lie))}",
)
def test_no_lie_is_passed_on(lie: dict[str, object]) -> None:
    with pytest.raises(InvalidResult, match="liar returned an invalid result: ") as caught:
        embed(replace(RIGHT, **lie))
    assert caught.value.deployment == "liar"


@pytest.mark.parametrize(
    ("vectors", "of_one_text"),
    [
        (RIGHT.vectors * np.float32(np.nan), True),
        (RIGHT.vectors * 0, True),
        (RIGHT.vectors * 2, False),
        (np.zeros((2, 3), np.float32), False),
        (np.zeros((2, 4, 1), np.float32), False),
    ],
)
def test_only_what_a_text_may_cause_is_said_to_be_of_one(
    vectors: np.ndarray, of_one_text: bool
) -> None:
    with pytest.raises(InvalidResult) as caught:
        embed(replace(RIGHT, vectors=vectors))
    assert caught.value.of_one_text is of_one_text


def test_a_result_of_full_width_is_a_lie_where_fewer_dimensions_were_asked_for() -> None:
    with pytest.raises(InvalidResult, match="2 × 4 where 2 × 3 was asked for"):
        embed(RIGHT, replace(REQUEST, dimensions=3))


def test_an_error_is_passed_on_as_it_is() -> None:
    with pytest.raises(DeploymentFailed, match="gone"):
        embed(DeploymentFailed("gone"))


def test_everything_else_is_asked_of_what_is_wrapped() -> None:
    liar = Liar(RIGHT)
    checked = Checked(liar)
    assert checked.space is liar.space
    assert checked.problem() == "is lying"
    asyncio.run(checked.aclose())
    assert liar.closed
