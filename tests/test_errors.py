"""One tree of errors, as its documentation draws it, and what each of them says."""

import re
from collections.abc import Iterator

import pytest

from emblem import errors
from emblem.errors import (
    EmblemError,
    InvalidInput,
    MissingExtra,
    NotAuthenticated,
    Overloaded,
    SpaceChanged,
    TooManyTokens,
    UnknownModel,
)


def drawn() -> Iterator[tuple[str, str]]:
    """Read the tree in the module's docstring: (error, the one that it is under)."""
    above: list[str] = []
    for line in str(errors.__doc__).splitlines():
        if found := re.match(r"    ([│ ]*)(├── |└── )?([A-Z]\w+Error|[A-Z]\w+)(?:\s{2}|$)", line):
            depth = 0 if not found[2] else 1 + len(found[1]) // 4
            above[depth:] = [found[3]]
            if depth:
                yield found[3], above[depth - 1]


def test_the_tree_is_as_it_is_drawn() -> None:
    real = {
        (name, one.__bases__[0].__name__)
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, EmblemError) and one is not EmblemError
    }
    assert set(drawn()) == real
    assert len(real) >= 14


@pytest.mark.parametrize(("asked", "said"), [(0.0, 1.0), (0.3, 1.0), (17.5, 17.5), (4000.0, 60.0)])
def test_whoever_is_sent_away_is_told_to_come_back_in_one_to_sixty_seconds(
    asked: float, said: float
) -> None:
    assert Overloaded("busy", asked).retry_after_s == said


def test_wrong_inputs_are_named_the_first_twenty_in_full() -> None:
    few = InvalidInput([(3, "is an empty string"), (7, "is a number")])
    assert str(few) == (
        "'$.input' is invalid: $.input[3] is an empty string; $.input[7] is a number."
    )
    exactly = str(InvalidInput([(index, "is bad") for index in range(20)]))
    assert "more" not in exactly
    many = str(InvalidInput([(index, "is bad") for index in range(23)]))
    assert many.endswith("$.input[19] is bad; and 3 more.")
    assert few.param == "input"


def test_too_many_tokens_says_how_many_and_what_to_do() -> None:
    error = TooManyTokens("416735", 300_000)
    assert str(error).startswith("Requested 416735 tokens, max 300000 tokens per request")
    assert "several requests" in str(error)


def test_an_unknown_model_is_said_in_the_words_of_openai_with_our_hint_behind() -> None:
    plain, helped = UnknownModel("x"), UnknownModel("x", "Run this.")
    assert str(plain) == "The model `x` does not exist or you do not have access to it."
    assert str(helped) == f"{plain} Run this."


def test_a_key_is_never_part_of_the_message() -> None:
    assert "sk-secret" not in str(NotAuthenticated("sk-secret"))
    assert str(NotAuthenticated(None)) == "no API key"


def test_a_changed_space_says_both_and_the_way_out() -> None:
    message = str(SpaceChanged([("docs", "a@1/384", "b@2/384")]))
    assert "a@1/384" in message
    assert "b@2/384" in message
    assert "emblem rebind docs" in message


def test_a_missing_part_is_answered_with_the_line_that_installs_it() -> None:
    assert "pip install 'emblem[torch]'" in str(MissingExtra("The torch backend", "torch"))
