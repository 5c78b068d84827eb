"""Python clients other than OpenAI's own: the same vectors as plain HTTP."""

from typing import Any

import numpy as np
import pytest

MODEL = "all-MiniLM-L6-v2"

# Every cl100k id of these is below 30,522: read as the model's own they would pass, and be wrong.
SMALL_IDS = ["hello world", "the cat is in the garden", "open the file and read it", "a b c d"]
WORD_PIECES = 30_522


def assert_same(vectors: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.array(vectors), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", ["text-embedding-3-small", "text-embedding-ada-002", MODEL])
def test_langchain_with_its_defaults_gets_the_vectors_of_the_texts(
    run_python_client: Any, plain: Any, texts: list[str], model: str
) -> None:
    told = run_python_client("langchain_openai_embeddings", model=model, texts=texts)
    assert_same(told["vectors"], plain(texts))
    assert_same(told["query"], plain(texts[0])[0])


def test_langchain_texts_whose_ids_are_all_small_are_not_read_as_the_models_own_ids(
    run_python_client: Any, plain: Any
) -> None:
    ids = run_python_client("cl100k_ids", texts=SMALL_IDS)["ids"]
    assert max(max(row) for row in ids) < WORD_PIECES
    told = run_python_client("langchain_openai_embeddings", model=MODEL, texts=SMALL_IDS)
    assert_same(told["vectors"], plain(SMALL_IDS))


def test_a_text_that_langchain_cuts_gets_the_mean_of_its_pieces(
    run_python_client: Any, plain: Any
) -> None:
    text = " ".join(f"{word} of the long text" for word in ("river", "hill", "cloud", "road") * 420)
    told = run_python_client("langchain_long_text", model=MODEL, text=text)
    lengths = np.array([len(piece) for piece in told["pieces"]])
    assert len(lengths) > 1
    mean = np.average(plain(told["pieces"]), axis=0, weights=lengths)
    assert_same(told["vector"], mean / np.linalg.norm(mean))


def test_token_arrays_are_the_texts_that_they_spell(
    run_python_client: Any, plain: Any, texts: list[str]
) -> None:
    ids = run_python_client("cl100k_ids", texts=texts)["ids"]
    np.testing.assert_array_equal(plain(ids), plain(texts))
    np.testing.assert_array_equal(plain(ids[0]), plain(texts[0]))


def test_both_of_llama_indexs_classes_get_the_vectors_of_the_texts(
    run_python_client: Any, plain: Any, texts: list[str]
) -> None:
    told = run_python_client("llama_index_embeddings", model=MODEL, texts=texts)
    for kind in ("openai", "like"):
        assert_same(told[kind]["vectors"], plain(texts))
        assert_same(told[kind]["query"], plain(texts[0])[0])


def test_haystack_gets_the_vectors_of_the_texts_and_their_usage(
    run_python_client: Any, plain: Any, texts: list[str]
) -> None:
    told = run_python_client("haystack_embedders", model=MODEL, texts=texts)
    assert_same(told["vectors"], plain(texts))
    assert_same(told["query"], plain(texts[0])[0])
    assert told["usage"]["prompt_tokens"] == told["usage"]["total_tokens"] > 0


def test_litellm_gets_the_vectors_of_the_texts_without_asking_for_floats(
    run_python_client: Any, plain: Any, texts: list[str]
) -> None:
    told = run_python_client("litellm_client", model=MODEL, texts=texts)
    assert_same(told["vectors"], plain(texts))
    assert told["tokens"] > 0
