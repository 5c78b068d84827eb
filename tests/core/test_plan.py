"""From a request to windows, and from the vectors of windows back to the texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.plan import (
    MAX_CHARACTERS_PER_TOKEN,
    MEASURED_CHARACTERS,
    SLICE_CHARACTERS,
    Plan,
    assemble,
    estimated_tokens,
    plan,
    refuse_unread,
    slices,
)
from emblem.core.tokenize import Frame, Text, TooLong, cut, unfit
from emblem.errors import InvalidInput, InvalidRequest, TooManyTokens
from emblem.types import EmbedRequest, Overflow, Vectors

FRAME = Frame((1,), (2,), 10)  # eight tokens of content
ASKED = EmbedRequest(("anything",))


def text(n: int) -> Text:
    return Text(np.arange(n, dtype=np.int32))


def planned(*lengths: int, overflow: Overflow = Overflow.MEAN) -> Plan:
    return plan([text(n) for n in lengths], FRAME, ASKED, overflow)


def random_vectors(n: int, width: int = 6, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_every_window_knows_its_text() -> None:
    found = planned(3, 20, 0, 8, 9)
    assert found.owners.tolist() == [0, 1, 1, 1, 2, 3, 4, 4]
    assert found.lengths == [5, 8, 9, 9, 2, 10, 6, 7]
    assert found.overflowed == (1, 4)


def test_usage_counts_a_whole_text_once_under_mean_and_what_is_left_under_truncate() -> None:
    assert planned(3, 20, 0).tokens.tolist() == [5, 22, 2]
    assert planned(3, 20, 0, overflow=Overflow.TRUNCATE).tokens.tolist() == [5, 10, 2]


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_the_usage_of_a_batch_is_that_of_its_texts_alone(lengths: list[int]) -> None:
    for overflow in (Overflow.MEAN, Overflow.TRUNCATE):
        together = planned(*lengths, overflow=overflow).tokens.tolist()
        alone = [int(planned(n, overflow=overflow).tokens[0]) for n in lengths]
        assert together == alone


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=6),
    normalised=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_long_text_is_the_weighted_mean_of_its_windows_and_any_other_its_only_window(
    lengths: list[int], normalised: bool, seed: int
) -> None:
    work = planned(*lengths)
    windows = random_vectors(len(work.windows), seed=seed)
    vectors = assemble(windows.copy(), work, normalised=normalised, dimensions=None)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    for index, length in enumerate(lengths):
        own = np.flatnonzero(work.owners == index)
        if length <= 8:
            assert vectors[index].tobytes() == windows[own[0]].tobytes()
            continue
        weights = [len(work.windows[place].ids) - 2 for place in own]
        assert sum(weights) == length
        mean = np.average(windows[own].astype(np.float64), axis=0, weights=weights)
        if normalised:
            mean /= np.linalg.norm(mean)
        np.testing.assert_allclose(vectors[index], mean, atol=1e-6)


def test_the_windows_of_a_model_without_unit_vectors_still_weigh_by_their_tokens_alone() -> None:
    work = planned(16)
    vectors = assemble(
        np.array([[3, 0], [0, 5]], np.float32), work, normalised=False, dimensions=None
    )
    np.testing.assert_allclose(vectors, [[0.5, 0.5]])


@pytest.mark.parametrize("lengths", [(3, 4), (3, 20)])
def test_fewer_dimensions_are_cut_and_made_unit_again(lengths: tuple[int, ...]) -> None:
    work = planned(*lengths)
    windows = random_vectors(len(work.windows))
    full = assemble(windows.copy(), work, normalised=True, dimensions=None)
    short = assemble(windows.copy(), work, normalised=True, dimensions=4)
    expected = full[:, :4] / np.linalg.norm(full[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(short, expected, atol=1e-6)
    assert short.flags.c_contiguous


def test_an_input_that_is_too_long_is_refused_in_the_words_that_clients_look_for() -> None:
    request = EmbedRequest(("x",), max_input_tokens=20)
    with pytest.raises(InvalidInput) as caught:
        plan([text(3), text(19), text(18)], FRAME, request, Overflow.MEAN)
    assert [index for index, _ in caught.value.problems] == [1]
    assert (
        "$.input[1] is too long: This model's maximum context length is 20 tokens, however you "
        "requested 21 tokens of its own vocabulary" in str(caught.value)
    )


def test_overflow_error_names_every_text_that_the_model_cannot_read_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        planned(3, 20, 8, 9, overflow=Overflow.ERROR)
    assert [index for index, _ in caught.value.problems] == [1, 3]
    assert "is 22 tokens and the model reads 10" in caught.value.problems[0][1]


def test_all_problems_are_named_at_once_whatever_they_are() -> None:
    bare = Frame((), (), 8)
    readings = [text(3), "has the id 7", text(0), text(30)]
    request = EmbedRequest(("x",), max_input_tokens=20)
    with pytest.raises(InvalidInput) as caught:
        plan(readings, bare, request, Overflow.MEAN)
    assert [index for index, _ in caught.value.problems] == [1, 2, 3]
    assert "has no token that the model knows" in str(caught.value)


def test_the_first_twenty_problems_are_shown_and_the_rest_counted() -> None:
    with pytest.raises(InvalidInput) as caught:
        plan([text(0)] * 25, Frame((), (), 8), ASKED, Overflow.MEAN)
    message = str(caught.value)
    assert len(caught.value.problems) == 25
    assert "$.input[19]" in message
    assert "$.input[20]" not in message
    assert "and 5 more" in message


def test_a_text_that_no_tokenizer_could_fit_is_refused_unread() -> None:
    most = 10 * MAX_CHARACTERS_PER_TOKEN
    request = EmbedRequest(("x" * (most + 1),) * 2, max_input_tokens=10)
    with pytest.raises(InvalidInput, match="maximum context length is 10 tokens") as caught:
        refuse_unread(request)
    assert [index for index, _ in caught.value.problems] == [0, 1]
    assert refuse_unread(EmbedRequest(("x" * most,), max_input_tokens=10)) == {}


def test_beside_a_text_that_is_not_read_the_others_may_be() -> None:
    most = 10 * MAX_CHARACTERS_PER_TOKEN
    unread = refuse_unread(EmbedRequest(("x" * most, "x" * (most + 1), "x"), max_input_tokens=10))
    assert list(unread) == [1]
    assert "however you requested 641 characters, too many to read" in unread[1]
    inputs = ("a", "long", "b")
    assert [one for part in slices(inputs, {1: "why"}) for one in part] == ["a", "", "b"]


def test_a_text_that_is_too_long_is_named_before_the_size_of_all_of_them() -> None:
    most = 10 * MAX_CHARACTERS_PER_TOKEN
    request = EmbedRequest(
        ("x" * most, "x" * (most + 1), "x" * most), max_input_tokens=10, max_total_tokens=19
    )
    with pytest.raises(InvalidInput) as caught:
        refuse_unread(request)
    assert [index for index, _ in caught.value.problems] == [1]


def test_texts_that_together_could_not_fit_are_refused_unread() -> None:
    texts = ("x" * MAX_CHARACTERS_PER_TOKEN,) * 10
    refuse_unread(EmbedRequest(texts, max_total_tokens=10))
    with pytest.raises(TooManyTokens, match="max 9 tokens per request"):
        refuse_unread(EmbedRequest(texts, max_total_tokens=9))


def test_whoever_has_counted_already_is_not_bounded_again() -> None:
    refuse_unread(EmbedRequest(("x" * 10_000_000,)))


def test_nothing_to_embed_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nothing to embed"):
        refuse_unread(EmbedRequest(()))


@given(sizes=st.lists(st.integers(0, SLICE_CHARACTERS), max_size=12))
def test_slices_hold_every_input_in_order_and_end_once_they_are_large(sizes: list[int]) -> None:
    inputs = [(0,) * size for size in sizes]
    parts = list(slices(inputs, {}))
    assert [one for part in parts for one in part] == inputs
    for part in parts[:-1]:
        assert sum(map(len, part)) >= SLICE_CHARACTERS
        assert sum(map(len, part[:-1])) < SLICE_CHARACTERS


def test_the_cost_of_a_request_is_guessed_from_bytes_ids_and_the_number_of_its_texts() -> None:
    assert estimated_tokens(EmbedRequest(("x" * 40, (1, 2, 3)))) == 2 + 10 + 2 + 3
    assert estimated_tokens(EmbedRequest(("a",) * 2048)) >= 2048


@pytest.mark.parametrize("n", [1000, 2 * MEASURED_CHARACTERS])
def test_a_text_of_which_a_character_is_a_token_is_not_guessed_to_be_a_quarter(n: int) -> None:
    assert estimated_tokens(EmbedRequest(("中" * n,))) == 2 + 3 * n // 4
    assert estimated_tokens(EmbedRequest(("\udc80",))) == 2


def test_a_text_costs_all_its_tokens_or_what_truncation_leaves_of_them() -> None:
    assert planned(50, 3).tokens.tolist() == [52, 5]
    cut_short = planned(50, 3, overflow=Overflow.TRUNCATE)
    assert (cut_short.tokens.tolist(), cut_short.uncut.tolist()) == ([10, 5], [52, 5])
    endless = plan([text(50)], Frame((1,), (2,), None), ASKED, Overflow.TRUNCATE)
    assert (endless.tokens.tolist(), endless.uncut) == ([52], None)


def test_a_text_that_was_counted_and_not_kept_is_refused_as_one_that_was_read() -> None:
    request = EmbedRequest(("x",), max_input_tokens=20)
    messages = []
    for long in (text(40), TooLong(40)):
        with pytest.raises(InvalidInput) as caught:
            plan([text(3), long], FRAME, request, Overflow.MEAN)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "$.input[1]" in messages[0]
    assert "requested 42 tokens of its own" in messages[0]


def test_a_text_that_was_not_kept_can_never_be_embedded() -> None:
    with pytest.raises(TypeError, match="not too long"):
        plan([TooLong(40)], FRAME, ASKED, Overflow.MEAN)


@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    prompt=st.integers(0, 9),
    bare=st.booleans(),
    max_length=st.none() | st.just(10),
    most=st.none() | st.integers(8, 50),
    overflow=st.sampled_from(Overflow),
)
def test_a_request_is_planned_as_its_texts_are_one_by_one(
    lengths: list[int],
    prompt: int,
    bare: bool,
    max_length: int | None,
    most: int | None,
    overflow: Overflow,
) -> None:
    frame = Frame((), (), max_length) if bare else Frame((1,), (2,), max_length)
    texts = [Text(np.arange(n + prompt, dtype=np.int32), prompt, prompt) for n in lengths]
    request = EmbedRequest(("x",), max_input_tokens=most)
    wrong = [
        index
        for index, one in enumerate(texts)
        if (most is not None and frame.length(one) > most) or unfit(one, frame, overflow)
    ]
    if wrong:
        with pytest.raises(InvalidInput) as caught:
            plan(texts, frame, request, overflow)
        assert [index for index, _ in caught.value.problems] == wrong
        return
    found = plan(texts, frame, request, overflow)
    parts = [cut(one, frame, overflow) for one in texts]
    expected = [window for part in parts for window in part]
    assert [(w.ids.tolist(), w.skip, w.content) for w in found.windows] == [
        (w.ids.tolist(), w.skip, w.content) for w in expected
    ]
    assert found.owners.tolist() == [n for n, part in enumerate(parts) for _ in part]
    assert found.overflowed == tuple(n for n, one in enumerate(texts) if frame.overflows(one))
    cuts = overflow is Overflow.TRUNCATE and max_length is not None
    charged = [min(frame.length(one), max_length) if cuts else frame.length(one) for one in texts]
    assert found.tokens.tolist() == charged
    assert (found.tokens.dtype, found.owners.dtype) == (np.int32, np.int32)
