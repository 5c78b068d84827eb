"""Addresses: models in the path, what is listed, and what is not there."""

from dataclasses import replace
from typing import Any

import pytest

from api.asking import ask, get, post
from api.small_app import CREATED, DIGEST, SERVED, Small
from emblem.api import models

NAMES = [one.name for one in SERVED]


def item(name: str, alias_of: str | None = "tiny", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": "emblem",
        "dimensions": 8,
        "allowed_dimensions": {"min": 1, "max": 8},
        "max_model_len": 12,
        "overflow": "mean",
        "space": f"tiny@{DIGEST}/8",
        "languages": ["en"],
        "prompts": {},
        "alias_of": alias_of,
        "task": "embedding",
    } | more


# -- a model in the path ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/tiny/v1/embeddings",
        "/tiny/v1/embeddings/",
        "//tiny//v1///embeddings",
        f"/tiny@{DIGEST}/v1/embeddings",
        "/acme/four/v1/embeddings",
        "/acme%2Ffour/v1/embeddings",
        "/acme%2ffour/v1/embeddings",
    ],
)
def test_a_model_in_the_path_needs_none_in_the_body(small: Small, path: str) -> None:
    for body in ({"input": "x"}, {"input": "x", "model": None}, {"input": "x", "model": ""}):
        reply = post(small.app, body, path)
        assert reply.status == 200
        assert reply.json["model"] == "tiny"
    assert small.asked.dimensions == (4 if "four" in path else None)


@pytest.mark.parametrize(
    ("in_path", "in_body", "status"),
    [
        ("tiny", "tiny", 200),
        ("tiny", "mine", 200),
        ("mine", f"tiny@{DIGEST}", 200),
        ("acme/four", "acme/four", 200),
        ("tiny", "acme/four", 400),
        ("tiny", "native", 400),
        ("tiny", "asking", 400),
        ("asking", "asking-query", 400),
        ("tiny", "nobody", 404),
        ("nobody", "tiny", 404),
    ],
)
def test_path_and_body_must_mean_the_same(
    small: Small, in_path: str, in_body: str, status: int
) -> None:
    reply = post(small.app, {"input": "x", "model": in_body}, f"/{in_path}/v1/embeddings")
    assert reply.status == status


@pytest.mark.parametrize("path", ["/v1/embeddings/", "//v1/embeddings", "/v1//embeddings"])
def test_more_slashes_than_needed_change_nothing(small: Small, path: str) -> None:
    assert post(small.app, {"input": "x", "model": "tiny"}, path).status == 200


# -- what is served -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/", "//v1/models"])
def test_every_name_is_listed_in_the_order_of_the_configuration(small: Small, path: str) -> None:
    reply = get(small.app, path)
    assert reply.json["object"] == "list"
    assert [one["id"] for one in reply.json["data"]] == NAMES
    assert reply.json["data"][0] == item("tiny", None)


def test_a_model_that_may_not_be_shortened_says_so() -> None:
    whole = replace(SERVED[0], model=replace(SERVED[0].model, shortening=False))
    assert models.item(whole).allowed_dimensions == models.AllowedDimensions(8, 8)


def test_an_alias_says_what_it_fixes(small: Small) -> None:
    listed = {one["id"]: one for one in get(small.app, "/v1/models").json["data"]}
    assert listed["mine"] == item("mine")
    assert listed["acme/four"] == item(
        "acme/four",
        dimensions=4,
        allowed_dimensions={"min": 4, "max": 4},
        space=f"tiny@{DIGEST}/4",
    )
    assert listed["cut"] == item("cut", overflow="truncate", space=f"tiny@{DIGEST}/8+truncate")
    assert listed["small"] == item("small", space=f"tiny@{DIGEST}/8+int8")
    assert listed["asking"]["prompts"] == {"query": "ask: ", "document": "say: "}


@pytest.mark.parametrize("name", [*NAMES, f"tiny@{DIGEST}", f"acme/four@{DIGEST}"])
def test_the_space_that_is_listed_is_the_one_that_is_answered(small: Small, name: str) -> None:
    said = get(small.app, f"/v1/models/{name}").json["space"]
    given = post(small.app, {"model": name, "input": "x"}).headers["x-embedding-space"]
    assert given == said


@pytest.mark.parametrize("path", ["acme/four", "acme%2Ffour", "acme%2ffour", "acme//four"])
def test_a_model_is_described_by_its_id_however_it_is_encoded(small: Small, path: str) -> None:
    assert get(small.app, f"/v1/models/{path}").json["id"] == "acme/four"
    assert get(small.app, f"/{path}/v1/models/{path}").json["id"] == "acme/four"


def test_a_pinned_name_is_described_under_the_name_that_was_asked_for(small: Small) -> None:
    assert get(small.app, f"/v1/models/tiny@{DIGEST}").json == item(f"tiny@{DIGEST}", None)


def test_under_a_model_s_path_only_that_model_is_served(small: Small) -> None:
    listed = get(small.app, "/mine/v1/models").json
    assert listed == {"object": "list", "data": [item("mine")]}
    assert get(small.app, "/mine/v1/models/tiny").json == item("tiny", None)
    reply = get(small.app, "/mine/v1/models/asking")
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert "This address serves `mine` only." in reply.error["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/gpt-9",
        "/gpt-9/v1/models",
        "/gpt-9/v1/models/tiny",
        "/tiny/v1/models/gpt-9",
        "/v1/models/tiny@00000000",
        "/v1/models/%ff%00",
    ],
)
def test_a_model_that_is_not_served_is_404(small: Small, path: str) -> None:
    error = get(small.app, path).error
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        "model",
        "model_not_found",
    )


# -- what is not there --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/x", "/embeddings", "/v1/embeddings/x", "/v2/models", "/docs/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_address_is_404_in_openai_s_words(small: Small, method: str, path: str) -> None:
    reply = ask(small.app, method, path)
    assert reply.status == 404
    assert reply.error == {
        "message": f"Invalid URL ({method} {path})",
        "type": "invalid_request_error",
        "param": None,
        "code": "unknown_url",
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/embeddings", {"POST"}),
        ("HEAD", "/v1/embeddings", {"POST"}),
        ("OPTIONS", "/v1/embeddings", {"POST"}),
        ("PUT", "/tiny/v1/embeddings", {"POST"}),
        ("POST", "/v1/models", {"GET", "HEAD"}),
        ("DELETE", "/v1/models/tiny", {"GET", "HEAD"}),
        ("POST", "/tiny/v1/models", {"GET", "HEAD"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("PUT", "/docs", {"GET", "HEAD"}),
        ("POST", "/docs/assets/swagger-ui.css", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_405_naming_the_right_one(
    small: Small, method: str, path: str, allowed: set[str]
) -> None:
    reply = ask(small.app, method, path)
    assert reply.status == 405
    assert set(reply.headers["allow"].split(", ")) == allowed
    error = reply.error
    assert error["message"].startswith(f"Not allowed to {method} on {path}")
    assert (error["type"], error["code"]) == ("invalid_request_error", "method_not_supported")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/tiny", "/health", "/ready", "/docs"])
def test_head_is_answered_as_get_is(small: Small, path: str) -> None:
    head, whole = ask(small.app, "HEAD", path), get(small.app, path)
    assert head.status == whole.status == 200
    assert head.headers["content-length"] == whole.headers["content-length"]


def test_a_long_address_is_not_repeated_whole(small: Small) -> None:
    assert len(get(small.app, "/" + "x" * 10_000).body) < 500
