"""A request's body says the same whether it is read at once, as most are, or part by part."""

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.api.inputs import Inputs, read_inputs
from emblem.api.problems import Problem
from emblem.api.wire import EmbeddingsBody, TextsBody, decode
from emblem.errors import EmblemError
from emblem.service import Limits

LIMITS = Limits(max_inputs=4, max_request_tokens=9)

TEXT = st.text(st.characters(codec="utf-8"), max_size=3)
IDS = st.lists(st.integers(-1, 3), max_size=3)
ITEMS = TEXT | IDS | st.none() | st.booleans() | st.floats() | st.integers()
INPUT = (
    TEXT | st.lists(TEXT, max_size=6) | IDS | st.lists(IDS, max_size=3) | st.lists(ITEMS) | ITEMS
)
FIELD = st.tuples(
    st.sampled_from(["model", "dimensions", "encoding_format", "user", "other"]),
    st.sampled_from(["a", "base64", 1, 0, None, {"input": ["x"]}]),
)
PAIRS = st.lists(FIELD | st.tuples(st.just("input"), INPUT), max_size=5)

Outcome = tuple[object, ...]


def outcome(work: Callable[[], TextsBody | EmbeddingsBody]) -> Outcome:
    """Give what a body says, or what is wrong with it."""
    try:
        body = work()
        said: tuple[Inputs, dict[int, str]] = read_inputs(body.input, LIMITS)
    except Problem as problem:
        return problem.status, problem.body
    except EmblemError as error:
        return type(error), str(error)
    return said, body.model, body.user, body.encoding_format, body.options


def in_parts(content: bytes) -> EmbeddingsBody:
    return msgspec.json.Decoder(EmbeddingsBody).decode(content)


@given(PAIRS, st.integers(0, 2))
def test_texts_that_are_read_at_once_are_those_that_are_read_by_themselves(
    pairs: list[tuple[str, object]], spaces: int
) -> None:
    said = [f"{json.dumps(name)}:{' ' * spaces}{json.dumps(value)}" for name, value in pairs]
    content = ("{" + ",".join(said) + "}").encode()  # where a name comes twice, the last one counts
    try:
        in_parts(content)
    except msgspec.MsgspecError:
        with pytest.raises(Problem):
            decode(content)
    else:
        assert outcome(lambda: decode(content)) == outcome(lambda: in_parts(content))


@pytest.mark.parametrize("given_input", ["a text", ["one", "two"], [""], []])
def test_texts_are_read_with_the_rest_of_a_body(given_input: object) -> None:
    body = decode(json.dumps({"model": "m", "input": given_input}).encode())
    assert isinstance(body, TextsBody)
    assert body.input == given_input


@pytest.mark.parametrize("given_input", [[1, 2], [[1], [2]], ["a", 1], None, {}, 1])
def test_other_inputs_are_left_to_be_looked_at(given_input: object) -> None:
    body = decode(json.dumps({"model": "m", "input": given_input}).encode())
    assert isinstance(body, EmbeddingsBody)
