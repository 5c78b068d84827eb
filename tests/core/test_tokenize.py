"""Reading texts as a model does, and cutting them into what it reads at once."""

import threading
from math import ceil

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

import tiny_models
from emblem.core.tokenize import Frame, Text, TextTokenizer, TooLong, cut, even_bounds, unfit
from emblem.errors import ModelError
from emblem.types import Overflow

TOKENIZERS = {
    "word pieces": tiny_models._word_piece,
    "byte pairs": tiny_models._byte_pairs,
    "unigram": tiny_models._unigram,
    "normalising unigram": tiny_models._normalising_unigram,
}
ANY_TOKENIZER = pytest.mark.parametrize("make", TOKENIZERS.values(), ids=TOKENIZERS.keys())


def reader(make=tiny_models._word_piece, max_length: int | None = 32, **options) -> TextTokenizer:
    return TextTokenizer(make(), max_length=max_length, **options)


def numbered(n: int, prompt: int = 0) -> Text:
    """Make a text whose content tokens are 100, 101, … after prompt tokens 50, 51, …."""
    ids = np.concatenate([50 + np.arange(prompt), 100 + np.arange(n)])
    return Text(ids.astype(np.int32), prompt, prompt)


@given(n=st.integers(1, 400), largest=st.integers(1, 60))
def test_parts_are_as_few_as_they_can_be_and_equal_to_within_one(n: int, largest: int) -> None:
    bounds = even_bounds(n, largest)
    sizes = np.diff(bounds)
    assert len(sizes) == ceil(n / largest)
    assert (bounds[0], bounds[-1]) == (0, n)
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= largest


@settings(deadline=None)
@given(
    n=st.integers(1, 300),
    prompt=st.integers(0, 5),
    special=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    max_length=st.integers(4, 40),
)
def test_the_windows_of_a_long_text_hold_all_of_it_with_prompt_and_special_tokens_in_each(
    n: int, prompt: int, special: tuple[int, int], max_length: int
) -> None:
    frame = Frame(tuple(range(special[0])), tuple(range(10, 10 + special[1])), max_length)
    room = max_length - sum(special) - prompt
    assume(0 < room < n)
    windows = cut(numbered(n, prompt), frame, Overflow.MEAN)
    assert len(windows) == ceil(n / room)
    before = [*frame.prefix, *range(50, 50 + prompt)]
    content: list[int] = []
    for window in windows:
        ids = window.ids.tolist()
        assert len(ids) <= max_length
        assert ids[: len(before)] == before
        assert ids[len(ids) - special[1] :] == [*frame.suffix]
        own = ids[len(before) : len(ids) - special[1]]
        assert window.content == len(own)
        assert window.skip == (len(before) if prompt else 0)
        content += own
    assert content == list(range(100, 100 + n))


def test_a_text_that_fits_is_one_window_under_every_rule() -> None:
    frame = Frame((1,), (2,), 8)
    for overflow in Overflow:
        (window,) = cut(numbered(6), frame, overflow)
        assert window.ids.tolist() == [1, *range(100, 106), 2]
        assert (window.skip, window.content) == (0, 6)


def test_truncate_keeps_the_first_tokens_that_fit() -> None:
    (window,) = cut(numbered(50, prompt=2), Frame((1,), (2,), 8), Overflow.TRUNCATE)
    assert window.ids.tolist() == [1, 50, 51, 100, 101, 102, 103, 2]
    assert (window.skip, window.content) == (3, 4)


def test_a_model_without_a_length_reads_everything_at_once() -> None:
    frame = Frame((), (), None)
    (window,) = cut(numbered(10_000), frame, Overflow.MEAN)
    assert window.content == 10_000
    assert not frame.overflows(numbered(10_000))


def test_what_cannot_be_cut_is_said_before_it_is_cut() -> None:
    frame = Frame((1,), (2,), 8)
    assert unfit(numbered(6), frame, Overflow.ERROR) is None
    assert "is 52 tokens and the model reads 8" in str(unfit(numbered(50), frame, Overflow.ERROR))
    assert "no room" in str(unfit(numbered(1, prompt=6), frame, Overflow.MEAN))
    assert unfit(numbered(9, prompt=5), frame, Overflow.MEAN) is None
    assert "no token" in str(unfit(numbered(0), Frame((), (), 8), Overflow.MEAN))
    assert unfit(numbered(0), frame, Overflow.MEAN) is None


@ANY_TOKENIZER
def test_special_tokens_are_found_and_put_around_a_text(make) -> None:
    tokenizer = make()
    framed = tokenizer.encode("the river").ids
    read = TextTokenizer(tokenizer, max_length=32)
    (text,) = read.read(["the river"])
    (window,) = cut(text, read.frame, Overflow.MEAN)
    assert window.ids.tolist() == framed
    assert read.frame.special == 2
    assert read.frame.length(text) == len(framed)


def test_special_tokens_can_be_left_away() -> None:
    assert reader(special_tokens=False).frame.special == 0


def test_a_tokenizer_that_numbers_a_single_text_as_the_second_is_refused() -> None:
    tokenizer = tiny_models._word_piece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A:1 [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    with pytest.raises(ModelError, match="type id"):
        TextTokenizer(tokenizer, max_length=8)


def test_a_tokenizer_that_reads_no_letter_is_refused_rather_than_framed_wrongly() -> None:
    tokenizer = Tokenizer(models.BPE({"[CLS]": 0, "[SEP]": 1, "b": 2}, []))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    with pytest.raises(ModelError, match="no token"):
        TextTokenizer(tokenizer, max_length=8)


def test_a_tokenizer_that_fails_on_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(ModelError, match="UNK"):
        TextTokenizer(Tokenizer(models.WordLevel({"word": 0})), max_length=8)


@pytest.mark.parametrize("template", ["[CLS] $A $A [SEP]", "$A [CLS] $A"])
def test_a_tokenizer_that_repeats_a_text_is_refused(template: str) -> None:
    tokenizer = tiny_models._word_piece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    with pytest.raises(ModelError, match="does not put the same tokens around every text"):
        TextTokenizer(tokenizer, max_length=8)


def test_a_tokenizer_that_takes_all_texts_for_one_is_refused_rather_than_framed_wrongly() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    with pytest.raises(ModelError, match="does not tell the texts a, b a, 1, 中 apart"):
        TextTokenizer(tokenizer, max_length=8)


@ANY_TOKENIZER
@pytest.mark.parametrize("prompt", ["query: ", "query:", " find ", "the the", "▁ "])
@pytest.mark.parametrize("text", ["river garden", " river", "", "the", "x" * 40, "中文 🚀"])
def test_a_prompt_ends_where_its_last_character_is(make, prompt: str, text: str) -> None:
    tokenizer = make()
    (read,) = reader(make).read([text], prompt)
    encoded = tokenizer.encode(prompt + text, add_special_tokens=False)
    assert read.ids.tolist() == encoded.ids
    ends = [stop for _, stop in encoded.offsets]
    assert all(stop <= len(prompt) for stop in ends[: read.prompt])
    assert all(stop > len(prompt) for stop in ends[read.prompt : read.prompt + 1])
    assert read.prompt_alone == len(tokenizer.encode(prompt, add_special_tokens=False).ids)


def test_the_space_of_a_prompt_may_become_part_of_the_first_word() -> None:
    read = reader(tiny_models._byte_pairs)
    prompt = "query: "
    (text,) = read.read(["a"], prompt)
    assert (text.prompt, text.prompt_alone, text.content) == (2, 3, 1)
    (window,) = cut(text, read.frame, Overflow.MEAN)
    # As sentence-transformers has it for a text that fits; in its windows nothing is left out.
    assert window.skip == 4
    (long,) = read.read(["a " * 60], prompt)
    assert {one.skip for one in cut(long, read.frame, Overflow.MEAN)} == {3}


def test_an_empty_text_has_its_prompt_and_nothing_else() -> None:
    (text,) = reader().read([""], "query: ")
    assert (text.content, text.prompt) == (0, 2)
    assert reader().read([""])[0].content == 0


def test_white_space_is_stripped_only_where_it_is_asked_for() -> None:
    stripped = reader(tiny_models._byte_pairs, strip=True).read(["  river  "])
    plain = reader(tiny_models._byte_pairs).read(["river", "  river  "])
    np.testing.assert_array_equal(stripped[0].ids, plain[0].ids)
    assert len(plain[1].ids) > len(plain[0].ids)


def test_lowercasing_leaves_a_special_token_that_a_text_spells() -> None:
    plain, lowered = reader(tiny_models._unigram), reader(tiny_models._unigram, lowercase=True)
    assert plain.read(["RIVER"])[0].ids.tolist() != plain.read(["river"])[0].ids.tolist()
    assert lowered.read(["RIVER"])[0].ids.tolist() == plain.read(["river"])[0].ids.tolist()
    pieces = reader(lowercase=True)
    assert pieces.read(["[SEP]"])[0].ids.tolist() == [3]


def test_lowercasing_is_not_done_twice() -> None:
    tokenizer = tiny_models._unigram()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    TextTokenizer(tokenizer, max_length=8, lowercase=True)
    assert len(tokenizer.normalizer) == 2


def test_native_ids_are_taken_as_they_are_behind_the_prompt() -> None:
    read = reader()
    (text,) = read.read(["the river"], "query: ")
    native = read.native(text.ids[text.prompt :].tolist(), "query: ")
    np.testing.assert_array_equal(native.ids, text.ids)
    assert native.prompt == text.prompt
    assert read.native([20, 21]).ids.tolist() == [20, 21]


@pytest.mark.parametrize("wrong", [-1, 10**6, 2**70])
def test_a_native_id_outside_the_vocabulary_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match=f"has the id {wrong}; the model's ids are 0…"):
        reader().native([20, wrong])


@ANY_TOKENIZER
def test_native_ids_may_be_unknown_but_not_special(make) -> None:
    tokenizer = make()
    read = reader(make)
    for token, added in tokenizer.get_added_tokens_decoder().items():
        unknown = added.content == "[UNK]" or (added.content == "<unk>" and "unigram" in str(make))
        if unknown:
            assert read.native([token]).ids.tolist() == [token]
        else:
            with pytest.raises(ValueError, match="special token"):
                read.native([token])


def test_what_cannot_be_read_gives_its_reason_in_its_place() -> None:
    good, surrogate, special, native = reader().readings(["the", "a\ud800", (3,), (20,)], "")
    assert isinstance(good, Text)
    assert isinstance(native, Text)
    assert "surrogate" in str(surrogate)
    assert "special token" in str(special)


def test_a_text_of_control_characters_has_no_tokens_and_one_that_spells_special_ones_has() -> None:
    control, spelled = reader().read(["\x00\r\n", "[CLS] [SEP]"])
    assert (control.content, spelled.ids.tolist()) == (0, [2, 3])


@ANY_TOKENIZER
def test_one_tokenizer_serves_many_threads_at_once(make) -> None:
    tokenizer = make()
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(3)
    read = TextTokenizer(tokenizer, max_length=32)
    texts = [word * (1 + place % 5) for place, word in enumerate(tiny_models.WORDS)]
    expected = [text.ids.tolist() for text in reader(make).read(texts, "query: ")]
    assert max(map(len, expected)) > 9
    failures: list[object] = []
    start = threading.Barrier(6)

    def work() -> None:
        start.wait()
        for _ in range(8):
            try:
                found = [text.ids.tolist() for text in read.read(texts, "query: ")]
                if found != expected:
                    failures.append(found)
            except Exception as error:  # noqa: BLE001 - any is a failure of this test
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []


def test_a_byte_level_prefix_space_belongs_to_the_text_behind_the_prompt() -> None:
    tokenizer = tiny_models._byte_pairs()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    (text,) = TextTokenizer(tokenizer, max_length=32).read(["garden"], "find ")
    assert tokenizer.decode(text.ids[text.prompt :].tolist()).strip() == "garden"


def test_what_is_not_known_may_be_left_out_of_texts_prompts_and_ids() -> None:
    names = ["[UNK]", "ask", "river", "boat", "[X]"]
    tokenizer = Tokenizer(models.WordLevel({name: n for n, name in enumerate(names)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    read = TextTokenizer(tokenizer, max_length=None, special_tokens=False, keep_unknown=False)
    plain, nothing = read.read(["river ? boat", "? !"])
    assert plain.ids.tolist() == [2, 3]
    assert nothing.ids.tolist() == []
    assert unfit(nothing, read.frame, Overflow.MEAN) == "has no token that the model knows"
    (asked,) = read.read(["? boat"], "ask ? river ")
    assert (asked.ids.tolist(), asked.prompt, asked.prompt_alone) == ([1, 2, 3], 2, 2)
    assert read.native((2, 0, 3)).ids.tolist() == [2, 3]


def test_a_unigram_model_names_what_it_does_not_know_by_its_id() -> None:
    tokenizer = Tokenizer(models.Unigram([("a", -1.0), ("<unk>", 0.0), ("b", -2.0)], 1, False))
    options = {"max_length": None, "special_tokens": False}
    left_out = TextTokenizer(tokenizer, **options, keep_unknown=False)
    assert left_out.read(["axb"])[0].ids.tolist() == [0, 2]
    assert TextTokenizer(tokenizer, **options).read(["axb"])[0].ids.tolist() == [0, 1, 2]


# -- the same, however it is read -----------------------------------------------------------


def one_by_one(read: TextTokenizer, tokenizer: Tokenizer, text: str, prompt: str) -> Text:
    """Read a text alone with the tokenizer itself, from the lists that it gives."""
    encoded = tokenizer.encode(prompt + text, add_special_tokens=False)
    before = [stop for _, stop in encoded.offsets]
    first = next((n for n, stop in enumerate(before) if stop > len(prompt)), len(before))
    alone = len(tokenizer.encode(prompt, add_special_tokens=False).ids) if prompt else 0
    return Text(np.array(encoded.ids, np.int32), first if prompt else 0, alone)


@ANY_TOKENIZER
@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(
        st.text(
            st.sampled_from("aeiourtb .,\u0301中🚀\n") | st.characters(exclude_categories=["Cs"])
        )
        | st.lists(st.sampled_from(tiny_models.WORDS), max_size=12).map(" ".join),
        max_size=6,
    ),
    prompt=st.sampled_from(["", "query: ", "find", " the "]),
)
def test_texts_read_together_are_each_as_it_is_alone(make, texts: list[str], prompt: str) -> None:
    tokenizer = make()
    read = reader(make)
    for text, found in zip(texts, read.readings(texts, prompt), strict=True):
        expected = one_by_one(read, tokenizer, text, prompt)
        assert isinstance(found, Text)
        assert found.ids.tolist() == expected.ids.tolist()
        assert (found.prompt, found.prompt_alone) == (expected.prompt, expected.prompt_alone)
        for overflow in (Overflow.MEAN, Overflow.TRUNCATE):
            ours, theirs = (cut(one, read.frame, overflow) for one in (found, expected))
            assert [(w.ids.tolist(), w.skip, w.content) for w in ours] == [
                (w.ids.tolist(), w.skip, w.content) for w in theirs
            ]


@ANY_TOKENIZER
def test_of_a_text_that_is_too_long_only_the_number_of_its_tokens_is_kept(make) -> None:
    read = reader(make)
    texts = ["the river", "the river " * 20, "the", ""]
    for prompt in ("", "query: "):
        whole = read.read(texts, prompt)
        most = read.frame.length(whole[0])
        found = read.readings(texts, prompt, most)
        assert [type(one) for one in found] == [Text, TooLong, Text, Text]
        assert [one.tokens for one in found] == [one.tokens for one in whole]
        bounded = read.readings([*texts, (20,)], prompt, most)
        assert [type(one) for one in bounded] == [Text, TooLong, Text, Text, Text]


def test_a_text_of_which_tokens_are_left_out_is_counted_by_those_that_are_kept() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "1": 3}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    read = TextTokenizer(tokenizer, max_length=None, special_tokens=False, keep_unknown=False)
    (found,) = read.readings(["a ? ? ? b"], "", 2)
    assert isinstance(found, Text)
    assert found.ids.tolist() == [1, 2]
