"""What is known of all inputs in one look is what is known of each."""

from hypothesis import given
from hypothesis import strategies as st

from emblem.core.pieces import most_tokens, most_tokens_each, plain
from emblem.core.plan import estimated_tokens
from emblem.types import EmbedRequest

TEXTS = st.text(st.characters(max_codepoint=127)) | st.text()
INPUTS = st.lists(TEXTS | st.lists(st.integers(0, 9)).map(tuple), min_size=1, max_size=6).map(tuple)


@given(INPUTS)
def test_the_tokens_that_inputs_have_at_most_are_those_of_each_alone(
    inputs: tuple[str | tuple[int, ...], ...],
) -> None:
    assert most_tokens_each(inputs) == [most_tokens(one) for one in inputs]


@given(INPUTS)
def test_what_inputs_are_guessed_to_cost_is_the_sum_of_the_guesses_for_each(
    inputs: tuple[str | tuple[int, ...], ...],
) -> None:
    guesses = [estimated_tokens(EmbedRequest((one,))) for one in inputs]
    assert estimated_tokens(EmbedRequest(inputs)) == sum(guesses)


def test_only_texts_whose_characters_are_bytes_are_plain() -> None:
    assert plain(("a", "", "b c"))
    for other in ("ä", "\udc80", (1, 2), ()):
        assert not plain(("a", other))
