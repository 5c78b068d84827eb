"""The JDK's HttpClient, which offers h2c to every plain server, and what LangChain4j builds on."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np


def test_the_jdk_client_is_answered_in_full_although_it_offers_h2c(
    run_java: Callable[[str], str], plain: Any, texts: list[str]
) -> None:
    body = json.dumps({"model": "text-embedding-3-small", "input": texts})
    answers = [json.loads(line) for line in run_java(body).splitlines()]
    assert len(answers) == 2
    for answer in answers:
        vectors = np.array([item["embedding"] for item in answer["data"]], np.float32)
        np.testing.assert_array_equal(vectors, plain(texts))
