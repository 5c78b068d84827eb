"""Where a text is cut: near to where its tokens would be, and where words begin."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from emblem.core.plan import charges
from emblem.core.tokenize import Located, TextTokenizer
from emblem.core.windows import REACH, Manner, Part, Parts, Reader, near_bounds, parts, perhaps_long
from emblem.offer import Prompts
from emblem.types import EmbedRequest, Kind, Overflow
from tiny_engine import MAX_LENGTH, tokenizer, words


def located(lengths: list[int]) -> Located:
    """Give a text of words that have so many tokens of one character each, with spaces between."""
    starts, owners, at = [], [], 0
    for word, length in enumerate(lengths):
        starts += range(at, at + length)
        owners += [word] * length
        at += length + 1
    begins = np.array(starts, np.int64)
    return Located("x" * at, begins, begins + 1, np.array(owners, np.int64), 0)


@given(st.lists(st.integers(1, 5), min_size=8, max_size=60), st.integers(2, 30), st.integers(0, 2))
def test_windows_have_room_for_their_tokens_and_are_near_to_equal(
    lengths: list[int], room: int, more: int
) -> None:
    found = located(lengths)
    n = len(found.starts)
    windows = min(n, -(-n // room) + more)
    bounds = near_bounds(found, windows, room)
    sizes = np.diff(bounds)
    assert (bounds[0], bounds[-1], len(sizes)) == (0, n, windows)
    assert sizes.min() >= 1
    assert sizes.max() <= room
    reach = max(1, min(REACH, room // 8))
    if -(-n // windows) + reach <= room:  # nothing had to move for want of room
        even = np.arange(windows + 1) * n // windows
        assert np.abs(np.array(bounds) - even).max() <= reach


def test_a_cut_moves_to_the_nearest_beginning_of_a_word() -> None:
    found = located([3, 3, 3, 3])
    assert near_bounds(found, 2, 40) == [0, 6, 12]
    found = located([3, 4, 5])
    assert near_bounds(found, 2, 40) == [0, 7, 12]


def test_a_character_of_several_tokens_is_not_cut() -> None:
    starts = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2], np.int64)
    found = Located("日本語", starts, starts + 1, np.zeros(9, np.int64), 0)
    assert near_bounds(found, 2, 8) == [0, 3, 9]


def reader(manner: Manner | None = None, kind: Kind | None = None) -> Reader:
    made = TextTokenizer(tokenizer(), max_length=MAX_LENGTH)
    return Reader(made, manner or Manner(MAX_LENGTH), kind)


def test_a_long_text_goes_in_windows_and_a_short_one_as_it_is() -> None:
    one = reader()
    texts = (" w1  w2 ", words(*range(25)))
    read = one.tokenizer.read(texts)
    found = parts(texts, read, (1,), one, Overflow.MEAN)
    assert isinstance(found, Parts)
    assert found.sent[0] == " w1  w2 "
    assert [len(sent.split()) for sent in found.sent[1:]] == [8, 8, 9]
    assert " ".join(map(str.strip, found.sent[1:])) == texts[1]
    assert found.weights == (2, 8, 8, 9)
    assert found.owners.tolist() == [0, 1, 1, 1]
    assert not found.whole


@pytest.mark.parametrize("writes", [True, False])
def test_the_prompt_is_in_every_window_and_takes_its_room(writes: bool) -> None:
    manner = Manner(MAX_LENGTH, Prompts(query="ask: "), writes_prompts=writes)
    one = reader(manner, Kind.QUERY)
    found = one.of_text(words(*range(18)), Overflow.MEAN)
    before = "ask: " if writes else ""
    assert found == [
        Part(f"{before}{words(*range(9))} ", 9),
        Part(before + words(*range(9, 18)), 9),
    ]
    assert one.of_text(words(*range(18)), Overflow.TRUNCATE) == [Part(before + words(*range(9)), 9)]


def test_token_ids_are_cut_as_tokens_are() -> None:
    manner = Manner(MAX_LENGTH, Prompts(query="ask: "), writes_prompts=True, takes_ids=True)
    one = reader(manner, Kind.QUERY)
    text = one.tokenizer.read([words(*range(20))], "ask: ")[0]
    found = one.of_ids(text, Overflow.MEAN, long=True)
    assert [part.weight for part in found] == [6, 7, 7]
    assert [part.sent[0] for part in found] == [3, 3, 3]
    assert [n for part in found for n in part.sent[1:]] == list(range(4, 24))
    assert one.of_ids(text, Overflow.TRUNCATE, long=True)[0].sent == (3, *range(4, 13))


def test_where_one_text_goes_as_ids_all_do() -> None:
    one = reader(Manner(MAX_LENGTH, takes_ids=True))
    texts = ("w1", words(*range(11)))
    read = one.tokenizer.read(texts)
    short = parts(texts[:1], read[:1], (), one, Overflow.MEAN)
    both = parts(texts, read, (1,), one, Overflow.MEAN)
    assert isinstance(short, Parts)
    assert isinstance(both, Parts)
    assert short.sent == ("w1",)
    assert both.sent == ((5,), tuple(range(4, 9)), tuple(range(9, 15)))


def test_the_mean_of_windows_weighs_each_by_its_tokens() -> None:
    one = reader()
    texts = ("w1", words(*range(11)))
    read = one.tokenizer.read(texts)
    request = EmbedRequest(texts)
    found = parts(texts, read, (1,), one, Overflow.MEAN)
    assert isinstance(found, Parts)
    charged = charges(read, one.tokenizer.frame, request, Overflow.MEAN)
    vectors = np.array([[0.6, 0.8], [1, 0], [0, 1]], np.float32)
    joined = found.joined(vectors, charged, normalised=True, dimensions=None)
    assert joined[0].tolist() == vectors[0].tolist()
    assert joined[1] == pytest.approx(np.array([5, 6]) / np.hypot(5, 6))


def test_a_part_s_fault_is_that_of_its_text_and_said_once() -> None:
    found = Parts(("a", "b", "c"), (1, 1, 1), np.array([0, 1, 1], np.int32))
    assert found.blamed([(2, "is bad"), (1, "is worse"), (0, "too")]) == [(0, "too"), (1, "is bad")]


def test_what_may_be_too_long_is_told_by_its_bytes_and_its_prompt() -> None:
    manner = Manner(20, Prompts(query="q" * 10))
    texts = ("x" * 17, "x" * 18, "é" * 9, "x" * 4)
    assert [place for place, _ in perhaps_long(texts, manner, None)] == [1, 2]
    assert [place for place, _ in perhaps_long(texts, manner, Kind.QUERY)] == [0, 1, 2]
    assert not [*perhaps_long(texts, Manner(None), None)]


def bytewise(length: int) -> TextTokenizer:
    """Make a tokenizer with a token for each byte."""
    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({name: n for n, name in enumerate(names)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return TextTokenizer(made, max_length=length)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(6, 24))
def test_nothing_of_a_text_is_lost_where_characters_have_several_tokens(
    text: str, length: int
) -> None:
    one = Reader(bytewise(length), Manner(length), None)
    tokens = len(text.encode())
    assume(tokens > length)
    found = one.of_text(text, Overflow.MEAN)
    sent = [part.sent for part in found if isinstance(part.sent, str)]
    assert "".join(sent) == text
    assert max(len(part.encode()) for part in sent) <= length
    assert min(map(len, sent)) >= 1
    assert sum(part.weight for part in found) == tokens
    (first,) = one.of_text(text, Overflow.TRUNCATE)
    assert isinstance(first.sent, str)
    assert text.startswith(first.sent)
    assert length - 3 <= len(first.sent.encode()) <= length


def test_a_text_that_cannot_be_cut_is_named() -> None:
    one = Reader(bytewise(2), Manner(2), None)
    read = one.tokenizer.read(["a", "日本"])
    found = parts(("a", "日本"), read, (1,), one, Overflow.MEAN)
    assert found == {1: "cannot be cut into parts that the model reads"}
