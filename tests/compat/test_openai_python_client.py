"""OpenAI's Python client: its defaults, its options, its errors."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest

from server import RunningServer

ALIAS = "text-embedding-3-small"


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=server.base_url, api_key=server.key, max_retries=0, timeout=60
    ) as opened:
        yield opened


def vectors_of(response: Any) -> Any:
    return np.array([item.embedding for item in response.data], np.float32)


def test_the_default_base64_and_explicit_floats_are_the_same_numbers(
    client: openai.OpenAI, plain: Any, texts: list[str]
) -> None:
    expected = plain(texts)
    default = client.embeddings.create(model=ALIAS, input=texts)
    floats = client.embeddings.create(model=ALIAS, input=texts, encoding_format="float")
    np.testing.assert_array_equal(vectors_of(default), expected)
    np.testing.assert_array_equal(vectors_of(floats), expected)
    assert default.model == "all-MiniLM-L6-v2"
    assert default.usage == floats.usage


def test_the_async_client_gets_the_same_numbers(
    server: RunningServer, plain: Any, texts: list[str]
) -> None:
    async def ask() -> Any:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key) as client:
            return await asyncio.gather(
                *(client.embeddings.create(model=ALIAS, input=text) for text in texts)
            )

    for answer, text in zip(asyncio.run(ask()), texts, strict=True):
        np.testing.assert_allclose(vectors_of(answer), plain(text), rtol=0, atol=1e-6)


def test_dimensions_are_cut_and_made_unit_again(client: openai.OpenAI, plain: Any) -> None:
    response = client.embeddings.create(model=ALIAS, input="a river", dimensions=128)
    cut = plain("a river")[0, :128]
    np.testing.assert_allclose(
        vectors_of(response)[0], cut / np.linalg.norm(cut), rtol=0, atol=1e-6
    )


def test_dimensions_none_is_sent_as_null_and_means_all(client: openai.OpenAI, plain: Any) -> None:
    response = client.embeddings.create(model=ALIAS, input="a river", dimensions=None)  # type: ignore[arg-type]
    np.testing.assert_array_equal(vectors_of(response), plain("a river"))


def test_dimensions_beyond_the_model_are_refused_and_never_padded(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="not OpenAI's 1536") as refused:
        client.embeddings.create(model=ALIAS, input="a river", dimensions=1536)
    assert refused.value.param == "dimensions"


def test_the_raw_response_carries_the_headers(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model=ALIAS, input="a river")
    assert raw.headers["x-request-id"]
    assert float(raw.headers["openai-processing-ms"]) >= 0
    assert raw.headers["x-embedding-space"] == "all-MiniLM-L6-v2@53aa5117/384"
    assert len(raw.parse().data[0].embedding) == 384


def test_a_base_url_with_the_model_in_its_path_works(
    server: RunningServer, client: openai.OpenAI, plain: Any
) -> None:
    moved = client.with_options(base_url=f"{server.root}/all-MiniLM-L6-v2/v1")
    response = moved.embeddings.create(model="all-MiniLM-L6-v2", input="a river")
    np.testing.assert_array_equal(vectors_of(response), plain("a river"))
    assert "all-MiniLM-L6-v2" in {model.id for model in moved.models.list()}


def test_models_are_listed_and_found_by_name(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert {"all-MiniLM-L6-v2", ALIAS} <= set(listed)
    assert client.models.retrieve(ALIAS) == listed[ALIAS]
    assert listed[ALIAS].object == "model"
    assert isinstance(listed[ALIAS].created, int)


def test_a_wrong_key_raises_authentication_error(client: openai.OpenAI) -> None:
    stranger = client.with_options(api_key="sk-nobody-gave-me-this-key")
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key") as refused:
        stranger.embeddings.create(model=ALIAS, input="a river")
    assert refused.value.code == "invalid_api_key"
    assert refused.value.request_id
    assert "nobody-gave-me" not in refused.value.message


def test_an_unknown_model_raises_not_found_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model") as refused:
        client.embeddings.create(model="no-such-model", input="a river")
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="no/such"):
        client.models.retrieve("no/such")


@pytest.mark.parametrize("bad", [[], "", ["fine", ""], [[]], ["text", 3], [1.5], {"a": 1}])
def test_a_bad_input_raises_bad_request_error(client: openai.OpenAI, bad: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=ALIAS, input=bad)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.param == "input"


def test_every_offending_index_of_a_bad_input_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=ALIAS, input=["", "fine", "", "fine", ""])
    for index in (0, 2, 4):
        assert f"[{index}]" in refused.value.message


def test_a_text_that_is_too_long_is_refused_in_words_that_clients_read(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 8192 tokens"):
        client.embeddings.create(model=ALIAS, input="river " * 9000)
