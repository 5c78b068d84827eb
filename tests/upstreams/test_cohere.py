"""Cohere's dialect, against what its documentation shows."""

import base64
import json

import numpy as np
import pytest

from emblem.types import Kind
from emblem.upstreams.answers import Malformed
from emblem.upstreams.cohere import decode, encode
from emblem.upstreams.dialects import Wanted
from emblem.upstreams.presets import preset

COHERE = preset("cohere")

# From cohere-openapi.yaml, the example of POST /v2/embed, its vectors cut to their first numbers.
ROWS = [
    [0.016296387, -0.008354187, -0.04699707, -0.07104492],
    [0.04663086, -0.023239136, 0.008163452, -0.03945923],
]
META = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 2}}
REPLY = {
    "id": "da6e531f-54c6-4a73-bf92-f60566d8d753",
    "texts": ["hello", "goodbye"],
    "embeddings": {"float": ROWS},
    "meta": META,
    "response_type": "embeddings_by_type",
}


def test_a_request_is_written_as_documented() -> None:
    wanted = Wanted("embed-v4.0", ("hello", "goodbye"), "float", Kind.DOCUMENT)
    assert json.loads(json.dumps(encode(COHERE, wanted))) == {
        "model": "embed-v4.0",
        "texts": ["hello", "goodbye"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "truncate": "NONE",
    }


def test_a_shorter_vector_is_asked_for_by_its_own_name() -> None:
    wanted = Wanted("embed-v4.0", ("hello",), "base64", Kind.QUERY, 256)
    body = encode(COHERE, wanted)
    assert (body["output_dimension"], body["input_type"]) == (256, "search_query")
    assert body["embedding_types"] == ["base64"]


def test_an_answer_is_read_as_documented() -> None:
    found = decode(json.dumps(REPLY).encode(), 2, None)
    np.testing.assert_array_equal(found.vectors, np.array(ROWS, dtype=np.float32))
    assert (found.tokens, found.model) == (2, None)


def test_base64_gives_the_same_numbers() -> None:
    rows = [base64.b64encode(np.array(row, "<f4").tobytes()).decode() for row in ROWS]
    found = decode(json.dumps({"embeddings": {"base64": rows}}).encode(), 2, 4)
    np.testing.assert_array_equal(found.vectors, np.array(ROWS, dtype=np.float32))
    assert found.tokens == 0


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({**REPLY, "embeddings": {"float": ROWS[:1]}}, "1 vectors for 2 texts"),
        ({**REPLY, "embeddings": {"float": [*ROWS, ROWS[0]]}}, "3 vectors for 2 texts"),
        ({**REPLY, "embeddings": {"int8": [[1, 2], [3, 4]]}}, "0 vectors for 2 texts"),
        ({**REPLY, "embeddings": {"float": [ROWS[0], ROWS[1][:2]]}}, "2 numbers in vector 1"),
        ({**REPLY, "embeddings": {"float": [["0.1"] * 4] * 2}}, "no embeddings in Cohere's form"),
        ({**REPLY, "embeddings": {"float": None, "base64": ["AAAA", "AA=="]}}, "3 bytes in vector"),
        ({**REPLY, "embeddings": ROWS}, "no embeddings in Cohere's form"),
        ({**REPLY, "meta": {"billed_units": {"input_tokens": 1e30}}}, "a usage of 1"),
        ({"message": "invalid request"}, "no embeddings in Cohere's form"),
    ],
)
def test_an_answer_that_cannot_be_right_is_refused(reply: dict[str, object], said: str) -> None:
    with pytest.raises(Malformed, match=said):
        decode(json.dumps(reply).encode(), 2, 4)
