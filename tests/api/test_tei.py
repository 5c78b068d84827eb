"""TEI's addresses: its bodies and its errors, over the same service."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from api.asking import Reply, get, post
from api.small_app import TINY, Small, charging, vector_of
from emblem.api.app import create_app
from emblem.api.working import tei_routes
from emblem.errors import InvalidInput, Overloaded
from emblem.model import Tokenization
from emblem.models.tokens import Tokens
from emblem.types import Kind, Overflow


def tei_of(small: Small, tokens: Tokens | None = None, default: str = "tiny") -> ASGIApp:
    """Build the application with TEI's addresses before a small one's service."""

    def working(bodies: Any) -> Any:
        return tei_routes(
            small.service,
            charging(),
            tokens or Tokens({}),
            bodies,
            default=default,
            max_requests=64,
        )

    return create_app(small.service, small.keys, observers=(small,), working=working)


@pytest.fixture
def tei(small: Small) -> ASGIApp:
    return tei_of(small)


def refused(reply: Reply, status: int, error_type: str) -> str:
    """Give the message of an error, once it is one that TEI's clients read."""
    assert reply.status == status, reply.body
    assert set(reply.json) == {"error", "error_type"}
    assert reply.json["error_type"] == error_type
    message: str = reply.json["error"]
    return message


@pytest.mark.parametrize("path", ["/", "/embed", "/tiny/embed", "/acme/four/embed"])
def test_texts_become_an_array_of_arrays(tei: ASGIApp, path: str) -> None:
    reply = post(tei, {"inputs": ["one", "two words"]}, path)
    width = 4 if "four" in path else None
    wanted = [vector_of("one", width), vector_of("two words", width)]
    assert reply.status == 200
    np.testing.assert_array_equal(np.array(reply.json, np.float32), np.stack(wanted))
    assert reply.headers["x-embedding-space"].startswith("tiny@")


def test_one_text_becomes_an_array_with_one_array(tei: ASGIApp) -> None:
    assert np.array(post(tei, {"inputs": "one"}, "/embed").json).shape == (1, 8)


@pytest.mark.parametrize(
    ("truncate", "overflow"),
    [({}, Overflow.ERROR), ({"truncate": False}, Overflow.ERROR), ({"truncate": None}, Overflow.ERROR),
     ({"truncate": True}, Overflow.TRUNCATE)],
)  # fmt: skip
def test_a_long_text_is_cut_only_where_that_is_asked_for(
    small: Small, tei: ASGIApp, truncate: dict[str, Any], overflow: Overflow
) -> None:
    assert post(tei, {"inputs": "x", **truncate}, "/embed").status == 200
    assert small.asked.overflow is overflow


def test_an_alias_that_fixes_the_rule_keeps_it(small: Small, tei: ASGIApp) -> None:
    assert post(tei, {"inputs": "x"}, "/cut/embed").status == 200
    assert small.asked.overflow is Overflow.TRUNCATE


def test_a_text_that_is_too_long_is_413_and_says_how_to_have_it_cut(
    small: Small, tei: ASGIApp
) -> None:
    small.embedder.error = InvalidInput([(1, "is 600 tokens and the model reads 256: shorten it")])
    said = refused(post(tei, {"inputs": ["a", "b"]}, "/embed"), 413, "Validation")
    assert "$.inputs[1] is 600 tokens and the model reads 256" in said
    assert '"truncate": true' in said


def test_vectors_that_are_not_normalised_are_not_to_be_had(tei: ASGIApp) -> None:
    said = refused(post(tei, {"inputs": "x", "normalize": False}, "/embed"), 422, "Validation")
    assert "normalize" in said
    assert post(tei, {"inputs": "x", "normalize": True}, "/embed").status == 200


def test_a_prompt_is_named_as_the_model_has_it(small: Small, tei: ASGIApp) -> None:
    assert post(tei, {"inputs": "x", "prompt_name": "query"}, "/asking/embed").status == 200
    assert small.asked.kind is Kind.QUERY
    said = refused(
        post(tei, {"inputs": "x", "prompt_name": "passage"}, "/asking/embed"), 422, "Validation"
    )
    assert "query and document" in said
    said = refused(post(tei, {"inputs": "x", "prompt_name": "query"}, "/embed"), 422, "Validation")
    assert "has none" in said


@pytest.mark.parametrize(
    ("body", "status", "kind", "said"),
    [
        ({}, 400, "Empty", "cannot be empty"),
        ({"inputs": []}, 400, "Empty", "cannot be empty"),
        ({"inputs": ""}, 400, "Empty", "cannot be empty"),
        ({"inputs": ["a", ""]}, 400, "Empty", "$.inputs[1]"),
        ({"inputs": ["x"] * 2049}, 413, "Validation", "batch size 2049"),
        ({"inputs": [1, 2]}, 422, "Validation", "Token ids are not read here"),
        ({"inputs": {"a": 1}}, 422, "Validation", "an object"),
        ({"inputs": "x", "dimensions": 0}, 422, "Validation", "$.dimensions"),
        ({"inputs": "x", "dimensions": 9}, 422, "Validation", "dimensions may be 1 to 8"),
        ({"inputs": "x", "truncate": "yes"}, 422, "Validation", "$.truncate"),
        ({"inputs": "x", "truncation_direction": "Left"}, 422, "Validation", "at their end"),
        ([], 422, "Validation", "must be an object"),
        (b"{", 422, "Validation", "could not parse"),
    ],
)
def test_what_is_wrong_is_said_in_tei_s_shape(
    tei: ASGIApp, body: object, status: int, kind: str, said: str
) -> None:
    assert said in refused(post(tei, body, "/embed"), status, kind)


def test_fewer_dimensions_are_given(tei: ASGIApp) -> None:
    vectors = np.array(post(tei, {"inputs": "x", "dimensions": 3}, "/embed").json, np.float32)
    np.testing.assert_array_equal(vectors[0], vector_of("x", 3))


def test_a_model_that_is_not_served_is_404(tei: ASGIApp) -> None:
    assert "`nobody`" in refused(post(tei, {"inputs": "x"}, "/nobody/embed"), 404, "Validation")


def test_without_a_default_the_address_names_the_model(small: Small) -> None:
    reply = post(tei_of(small, default="gone"), {"inputs": "x"}, "/embed")
    assert "/MODEL/embed" in refused(reply, 422, "Validation")


def test_overload_says_when_to_come_back(small: Small, tei: ASGIApp) -> None:
    small.embedder.error = Overloaded("Too much work is queued.", 3)
    reply = post(tei, {"inputs": "x"}, "/embed")
    refused(reply, 503, "Overloaded")
    assert reply.headers["retry-after"] == "3"


@pytest.mark.parametrize("path", ["/embed_all", "/embed_sparse", "/predict", "/similarity"])
def test_what_of_tei_is_not_here_is_404_and_says_so(tei: ASGIApp, path: str) -> None:
    assert f"Emblem has no {path}" in refused(post(tei, {"inputs": "x"}, path), 404, "Validation")


def test_nobody_comes_in_without_a_key(tei: ASGIApp) -> None:
    for path in ("/embed", "/tokenize", "/"):
        assert post(tei, {"inputs": "x"}, path, key=None).status == 401
    assert get(tei, "/info", key=None).status == 401


def test_a_model_describes_itself(tei: ASGIApp) -> None:
    told = get(tei, "/info").json
    assert told["model_id"] == "tiny"
    assert told["model_type"] == {"embedding": {"pooling": "mean"}}
    assert told["max_input_length"] == TINY.max_length
    assert told["max_client_batch_size"] == 2048
    assert told["auto_truncate"] is False
    assert get(tei, "/mine/info").json["served_model_name"] == "mine"


def test_a_request_is_observed_under_its_address_and_model(small: Small, tei: ASGIApp) -> None:
    post(tei, {"inputs": ["a", "b c"]}, "/tiny/embed", headers={"x-emblem-tag": "blue"})
    one = small.seen[-1]
    assert (one.route, one.model, one.inputs, one.tokens) == ("/{model:path}/embed", "tiny", 2, 7)
    assert one.tags == ("blue",)


def test_the_tokens_of_a_text_are_told_with_their_bytes(small: Small, minilm_folder: Path) -> None:
    tokens = Tokens({"tiny": Tokenization(minilm_folder / "tokenizer.json", 256)})
    app = tei_of(small, tokens)
    found = post(app, {"inputs": [" Größe naïve", "b"]}, "/tokenize").json
    first, *middle, last = found[0]
    assert (first["text"], first["special"], first["start"]) == ("[CLS]", True, None)
    assert last["text"] == "[SEP]"
    raw = " Größe naïve".encode()
    for one in middle:
        assert raw[one["start"] : one["stop"]].decode() == one["text"]
    assert "".join(one["text"] for one in middle) == "Größenaïve"
    bare = post(app, {"inputs": "b", "add_special_tokens": False}, "/tokenize").json
    assert bare == [[one for one in found[1] if not one["special"]]]


def test_a_tokenizer_that_is_not_here_is_said_to_be_so(tei: ASGIApp) -> None:
    said = refused(post(tei, {"inputs": "x"}, "/tokenize"), 422, "Validation")
    assert "tokenizer of `tiny` is not here" in said


def test_no_more_is_tokenised_than_anybody_looks_at(tei: ASGIApp) -> None:
    body = {"inputs": ["x" * 600_000, "y" * 600_000]}
    assert "1200000 characters" in refused(post(tei, body, "/tokenize"), 413, "Validation")
