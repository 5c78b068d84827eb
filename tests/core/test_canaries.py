"""Texts whose vectors tell whether a deployment gives those of a space."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from emblem.core.canaries import SHORT, Verdict, canaries, compare, name_of
from emblem.types import Kind, Reference, Vectors

TEXTS = canaries()
WIDTH = 16


def unit(seed: int = 0, texts: int = len(TEXTS)) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(texts, WIDTH))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def reference(vectors: Vectors, *refused: int) -> Reference:
    return Reference(name_of(TEXTS), vectors, refused, by="first")


RIGHT = reference(unit())


def judged(vectors: Vectors, *refused: int, least: float = 0.999) -> Verdict:
    return compare(TEXTS, RIGHT, reference(vectors, *refused), least)


def turned(places: list[int], cosine: float) -> Vectors:
    """Turn some of the right vectors so that each has this cosine to what it was."""
    vectors = RIGHT.vectors.astype(np.float64)
    for place in places:
        other = np.random.default_rng(9).normal(size=WIDTH)
        other -= (other @ vectors[place]) * vectors[place]
        sine = np.sqrt(1 - cosine**2)
        vectors[place] = cosine * vectors[place] + sine * other / np.linalg.norm(other)
    return vectors.astype(np.float32)


def test_they_are_as_long_as_they_say_in_several_languages(minilm_folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(minilm_folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lengths = {one: len(tokenizer.encode(one.text).ids) for one in TEXTS}
    assert {one.tokens for one in TEXTS} >= {1, 200, 300, 600, 2000}
    assert len({one.language for one in TEXTS}) >= 5
    for one, length in lengths.items():
        if one.language == "English" and one.tokens > 1:
            assert 0.7 * one.tokens <= length <= 1.2 * one.tokens, one.tokens
    for longest in (128, 256, 512, 1024):  # where models cut
        assert any(length > longest + 20 for length in lengths.values())
    assert sum(lengths.values()) < 6000, "each proof costs as much"


def test_a_set_has_a_name_that_changes_with_any_text_or_kind() -> None:
    names = {
        name_of(TEXTS),
        name_of(TEXTS, refusing=True),
        name_of(TEXTS[1:]),
        name_of((replace(TEXTS[0], text="Hallo"), *TEXTS[1:])),
        name_of(canaries([Kind.QUERY])),
        name_of(canaries(Kind)),
    }
    assert len(names) == 6
    assert name_of(canaries(Kind)) == name_of(canaries(tuple(Kind)))


def test_a_model_with_prompts_is_asked_for_each_kind_and_for_none() -> None:
    asked = canaries(Kind)
    short = [one for one in asked if one.tokens <= SHORT]
    assert {one.kind for one in short} == {None, *Kind}
    assert {one.kind for one in asked if one.tokens > SHORT} == {Kind.DOCUMENT}


def test_the_same_vectors_pass() -> None:
    verdict = judged(RIGHT.vectors)
    assert verdict.problem is None
    assert verdict.worst == pytest.approx(1.0, abs=1e-6)


@given(
    st.sets(st.integers(0, len(TEXTS) - 1), min_size=1),
    st.sampled_from([0.5, 0.99, 0.9985, 0.9995]),
)
def test_the_worst_cosine_of_any_text_decides(places: set[int], cosine: float) -> None:
    verdict = judged(turned([*places], cosine))
    assert verdict.worst == pytest.approx(cosine, abs=1e-4)
    assert (verdict.problem is None) is (cosine >= 0.999)


def test_long_texts_alone_point_to_the_rule_for_long_texts() -> None:
    long = [place for place, one in enumerate(TEXTS) if one.tokens > SHORT]
    problem = judged(turned(long, 0.9)).problem
    assert problem is not None
    assert "cosine 0.9000 to the reference, and 0.999 is the least" in problem
    assert "short texts agree, so it does something else with long ones" in problem
    assert "short texts agree" not in str(judged(turned([0, *long], 0.9)).problem)


def test_texts_of_a_kind_alone_point_to_the_prompts() -> None:
    texts = canaries(Kind)
    right = Reference("", unit(texts=len(texts)), by="first")
    wrong = right.vectors.copy()
    for place, one in enumerate(texts):
        if one.kind is Kind.QUERY:
            wrong[place] = -wrong[place]
    problem = compare(texts, right, Reference("", wrong), 0.999).problem
    assert problem is not None
    assert "a short text in" in problem
    assert "as a query" in problem
    assert "texts of no kind agree, so its prompts are others" in problem


def test_another_width_is_another_model() -> None:
    verdict = compare(TEXTS, RIGHT, reference(RIGHT.vectors[:, :8]), 0.999)
    assert verdict == Verdict(None, "its vectors have 8 numbers, and 16 are right")


def test_a_text_that_only_one_of_the_two_refuses_is_a_difference() -> None:
    last = len(TEXTS) - 1
    zeros = RIGHT.vectors.copy()
    zeros[last] = 0.0
    one = judged(zeros, last)
    other = compare(TEXTS, reference(zeros, last), RIGHT, 0.999)
    long = "the text of about 2000 tokens in English"
    assert one.problem == f"it refuses {long}, which first embedded"
    assert other.problem == f"it embeds {long}, which first refused"
    assert compare(TEXTS, reference(zeros, last), reference(zeros, last), 0.999).problem is None


def test_vectors_that_are_longer_or_shorter_are_others() -> None:
    assert judged(RIGHT.vectors * np.float32(1.01)).problem is None
    problem = judged(RIGHT.vectors * np.float32(3.0)).problem
    assert problem is not None
    assert "has length 3, and 1 is right" in problem


def test_vectors_without_a_direction_never_pass() -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        assert judged(np.zeros_like(RIGHT.vectors)).problem is not None
        assert judged(np.full_like(RIGHT.vectors, np.nan)).problem is not None
