"""A result that cannot be right is found out, whatever is wrong with it."""

from dataclasses import replace

import numpy as np
import pytest

from emblem.core.check import violation
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult

SPACE = Space("tiny", "a" * 64, "b" * 64, 4, normalised=True)
ASKED = EmbedRequest(("one", "two", "three"))


def result(vectors: np.ndarray | None = None, **changes: object) -> EmbedResult:
    if vectors is None:
        vectors = np.eye(3, 4, dtype=np.float32)
    plain = EmbedResult(vectors, np.array([3, 0, 9], np.int32), (), "somebody")
    return replace(plain, **changes)


def altered(row: int, *numbers: float) -> np.ndarray:
    vectors = np.eye(3, 4, dtype=np.float32)
    vectors[row] = numbers
    return vectors


def test_nothing_is_said_of_a_result_that_is_right() -> None:
    assert violation(ASKED, result(overflowed=(0, 2)), SPACE) is None


def test_a_vector_without_unit_norm_is_right_where_the_space_has_none() -> None:
    long = altered(1, 3, 4, 0, 0)
    assert violation(ASKED, result(long), replace(SPACE, normalised=False)) is None


@pytest.mark.parametrize("width", [1, 384, 1536, 8192])
@pytest.mark.parametrize(
    ("norm", "right"),
    [(1 - 1.1e-3, False), (1 - 0.9e-3, True), (1.0, True), (1 + 0.9e-3, True), (1 + 1.1e-3, False)],
)
def test_a_norm_is_right_up_to_a_thousandth_however_many_numbers_it_is_of(
    width: int, norm: float, right: bool
) -> None:
    made = np.random.default_rng(width).standard_normal((3, width))
    made *= norm / np.linalg.norm(made, axis=1, keepdims=True)
    given = result(made.astype(np.float32))
    assert (violation(ASKED, given, replace(SPACE, width=width)) is None) is right


def test_a_shortened_result_has_the_width_that_was_asked_for() -> None:
    request = replace(ASKED, dimensions=3)
    assert violation(request, result(np.eye(3, dtype=np.float32)), SPACE) is None
    assert violation(request, result(), SPACE) == "3 × 4 where 3 × 3 was asked for"


@pytest.mark.parametrize(
    ("vectors", "what"),
    [
        (np.eye(2, 4, dtype=np.float32), "2 × 4 where 3 × 4 was asked for"),
        (np.eye(4, 4, dtype=np.float32), "4 × 4 where 3 × 4 was asked for"),
        (np.eye(3, 5, dtype=np.float32), "3 × 5 where 3 × 4 was asked for"),
        (np.ones(12, np.float32), "12 where 3 × 4 was asked for"),
        (np.eye(3, 4), "type float64"),
        (np.asfortranarray(altered(0, 1, 0, 0, 0)), "contiguous"),
        (altered(1, np.nan, 0, 0, 0), "not finite in vector 1"),
        (altered(2, np.inf, 0, 0, 0), "not finite in vector 2"),
        (altered(0, 0, -np.inf, 0, 0), "not finite in vector 0"),
        (altered(2, 0, 0, 0, 0), "a zero vector at 2"),
        (altered(1, 0, 1.002, 0, 0), "vector 1 has norm 1.0020, not 1"),
        (altered(1, 0, 0.998, 0, 0), "vector 1 has norm 0.9980, not 1"),
        (altered(1, 3e38, 3e38, 0, 0), "vector 1 has norm"),
    ],
)  # fmt: skip
def test_wrong_vectors_are_found(vectors: np.ndarray, what: str) -> None:
    assert what in str(violation(ASKED, result(vectors), SPACE))


def test_a_nan_that_signals_is_found_as_any_other_is_without_a_warning() -> None:
    vectors = np.eye(3, 4, dtype=np.float32)
    vectors.view(np.uint32)[1, 2] = 0x7FA00000
    assert "not finite in vector 1" in str(violation(ASKED, result(vectors), SPACE))


@pytest.mark.parametrize("tokens", [[1, 2], [1, 2, 3, 4], [[1, 2, 3]], []])
def test_token_counts_must_be_one_for_each_text(tokens: list[int]) -> None:
    found = violation(ASKED, result(tokens=np.array(tokens, np.int32)), SPACE)
    assert "token counts" in str(found)


def test_token_counts_must_be_whole_numbers_from_zero() -> None:
    below = violation(ASKED, result(tokens=np.array([1, -2, 3], np.int32)), SPACE)
    assert below == "a token count below zero at 1"
    broken = violation(ASKED, result(tokens=np.array([1, np.nan, 3])), SPACE)
    assert "type float64" in str(broken)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_text_that_was_not_sent_cannot_overflow(index: int) -> None:
    found = violation(ASKED, result(overflowed=(0, index)), SPACE)
    assert found == "an overflowing text that is not among the 3"
