"""Clients of Text Embeddings Inference, against the address of Emblem instead."""

import asyncio
from typing import Any

import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from server import RunningServer

LONG = 5  # of the texts: more than the model reads at once


@pytest.fixture
def cut(plain: Any, texts: list[str]) -> Any:
    return plain(texts, overflow="truncate")


@pytest.mark.parametrize("path", ["", "/", "/embed", "/all-MiniLM-L6-v2/embed"])
def test_hugging_faces_client_gets_the_vectors_of_the_texts(
    server: RunningServer, texts: list[str], cut: Any, path: str
) -> None:
    client = InferenceClient(model=server.root + path, token=server.key)
    vectors = client.feature_extraction(texts, truncate=True, normalize=True)
    np.testing.assert_allclose(vectors, cut, rtol=0, atol=1e-6)
    np.testing.assert_allclose(client.feature_extraction("x"), cut[4:5], rtol=0, atol=1e-6)


def test_its_older_release_gets_them_too(
    run_python_client: Any, server: RunningServer, texts: list[str], cut: Any
) -> None:
    told = run_python_client("huggingface_embeddings", url=server.root, texts=texts)
    np.testing.assert_allclose(np.array(told["vectors"]), cut, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.array(told["one"]), cut[:1], rtol=0, atol=1e-6)


def test_the_async_client_gets_them_too(server: RunningServer, texts: list[str], cut: Any) -> None:
    async def ask() -> Any:
        async with AsyncInferenceClient(model=f"{server.root}/embed", token=server.key) as client:
            return await client.feature_extraction(texts[:5])

    np.testing.assert_allclose(asyncio.run(ask()), cut[:5], rtol=0, atol=1e-6)


def test_a_text_that_is_too_long_is_an_error_that_says_so(
    server: RunningServer, texts: list[str]
) -> None:
    client = InferenceClient(model=server.root, token=server.key)
    with pytest.raises(HfHubHTTPError) as caught:
        client.feature_extraction(texts[LONG])
    assert caught.value.response.status_code == 413
    assert "the model reads 256" in caught.value.response.json()["error"]


def test_what_the_model_cannot_give_is_an_error(server: RunningServer) -> None:
    client = InferenceClient(model=server.root, token=server.key)
    for wrong in ({"normalize": False}, {"prompt_name": "query"}, {"truncation_direction": "left"}):
        with pytest.raises(HfHubHTTPError) as caught:
            client.feature_extraction("x", **wrong)  # type: ignore[arg-type]
        assert caught.value.response.status_code == 422


def test_a_wrong_key_does_not_come_in(server: RunningServer) -> None:
    client = InferenceClient(model=server.root, token="sk-wrong-key-0123456789")
    with pytest.raises(HfHubHTTPError) as caught:
        client.feature_extraction("x")
    assert caught.value.response.status_code == 401


def test_tokens_and_the_model_are_told(server: RunningServer, texts: list[str]) -> None:
    told = server.get("/info").json()
    assert (told["model_id"], told["max_input_length"]) == ("all-MiniLM-L6-v2", 256)
    answer = server.post({"inputs": texts[:3]}, "/tokenize")
    assert answer.status_code == 200, answer.text
    tokens = [[one["id"] for one in text] for text in answer.json()]
    used = server.post({"model": "all-MiniLM-L6-v2", "input": texts[:3]}).json()["usage"]
    assert sum(map(len, tokens)) == used["prompt_tokens"]
    assert [text[0] for text in tokens] == [101] * 3
