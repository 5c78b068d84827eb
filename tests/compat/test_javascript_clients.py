"""JavaScript clients: the same vectors as plain HTTP, bit for bit."""

from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("model", ["text-embedding-3-small", "all-MiniLM-L6-v2"])
def test_the_openai_node_client_decodes_the_very_numbers_of_plain_http(
    run_node_client: Any, plain: Any, texts: list[str], model: str
) -> None:
    told = run_node_client("openai", model=model, texts=texts)
    np.testing.assert_array_equal(np.array(told["vectors"], np.float32), plain(texts))
    assert told["usage"]["prompt_tokens"] == told["usage"]["total_tokens"] > 0


def test_the_openai_node_client_raises_the_right_class_for_each_error(run_node_client: Any) -> None:
    key, model, empty = run_node_client("openai_errors")
    assert (key["name"], key["status"], key["code"]) == (
        "AuthenticationError",
        401,
        "invalid_api_key",
    )
    assert (model["name"], model["status"], model["code"]) == (
        "NotFoundError",
        404,
        "model_not_found",
    )
    assert (empty["name"], empty["status"]) == ("BadRequestError", 400)
    assert {error["type"] for error in (key, model, empty)} == {"invalid_request_error"}


@pytest.mark.parametrize("provider", ["openai", "compatible"])
def test_the_vercel_ai_sdk_gets_the_vectors_of_plain_http(
    run_node_client: Any, plain: Any, texts: list[str], provider: str
) -> None:
    told = run_node_client("vercel", model="all-MiniLM-L6-v2", texts=texts)[provider]
    np.testing.assert_array_equal(np.array(told["many"], np.float32), plain(texts))
    np.testing.assert_array_equal(np.array(told["one"], np.float32), plain(texts[:1])[0])
    assert told["tokens"] > 0
