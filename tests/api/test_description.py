"""/openapi.json and /docs: the API described truly, and shown without a network."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from starlette.routing import Route

from api.asking import get, post
from api.small_app import Small
from emblem.api.app import _models, _operations
from emblem.api.openapi import document
from emblem.api.tei import INFO, TOKENIZE
from emblem.api.wire import EmbeddingsBody
from emblem.api.working import RECORDED

DOCUMENT = json.loads(document())
METHODS = {"get", "post", "patch", "delete"}
OWN = {"/openapi.json", "/docs"}  # the description and its page do not describe themselves


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)


def test_the_document_is_openapi_3_0() -> None:
    assert DOCUMENT["openapi"] == "3.0.3"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    for path, method, operation in operations():
        assert method in METHODS
        in_path = set(re.findall(r"\{(\w+)\}", path))
        parameters = operation.get("parameters", [])
        assert {one["name"] for one in parameters if one["in"] == "path"} == in_path
        assert all(one["required"] == (one["in"] == "path") for one in parameters)
        assert all(one["schema"] for one in parameters)
        assert all(re.fullmatch(r"[1-5]\d\d", status) for status in operation["responses"])
        assert all(one["description"] for one in operation["responses"].values())


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]


def test_no_schema_uses_what_openapi_3_0_lacks() -> None:
    text = json.dumps(DOCUMENT)
    for unknown in ('"type": "null"', '"const"', '"prefixItems"', '"$defs"', '"type": ['):
        assert unknown not in text


def test_every_route_is_described(small: Small) -> None:
    routes = [
        one.path.replace(":path", "")
        for one in [*_operations(small.service), *_models(small.service)]
        if isinstance(one, Route)
    ]
    embeddings = ["/v1/embeddings", "/{model}/v1/embeddings"]
    embeddings += [path.replace(":path", "") for path in (*RECORDED, *TOKENIZE, *INFO)]
    described = {path for path in DOCUMENT["paths"] if not path.startswith("/admin/")}
    assert (
        described == {*routes, *embeddings, "/v1/usage", "/metrics"} - OWN
    )  # see tests/admin, too


def test_every_field_of_a_request_is_described() -> None:
    described = DOCUMENT["components"]["schemas"]["EmbeddingsRequest"]["properties"]
    assert set(described) == {field.name for field in msgspec.structs.fields(EmbeddingsBody)}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/tiny", "/tiny/v1/models"])
def test_what_is_answered_has_the_fields_that_are_described(small: Small, path: str) -> None:
    answer = get(small.app, path).json
    item = answer["data"][0] if "data" in answer else answer
    schema = DOCUMENT["components"]["schemas"]["ModelItem"]
    assert set(item) == set(schema["properties"])


def test_an_embedding_has_the_fields_that_are_described(small: Small) -> None:
    answer = post(small.app, {"model": "tiny", "input": "x"}).json
    schema = DOCUMENT["components"]["schemas"]["EmbeddingsResponse"]
    assert set(answer) == set(schema["required"]) == set(schema["properties"])
    item = schema["properties"]["data"]["items"]
    assert set(answer["data"][0]) == set(item["properties"])


def test_only_probes_are_open(small: Small) -> None:
    for path, method, operation in operations():
        open_to_all = operation.get("security") == []
        assert ("401" in operation["responses"]) is not open_to_all
        if method == "get":
            address = path.replace("{model}", "tiny").replace("{id}", "tiny")
            expected = 200 if open_to_all else 401
            assert get(small.app, address, key=None).status == expected


def test_the_document_is_served(small: Small) -> None:
    assert get(small.app, "/openapi.json", key=None).json == DOCUMENT


def test_the_page_and_all_that_it_loads_come_from_here(small: Small) -> None:
    page = get(small.app, "/docs", key=None)
    assert page.headers["content-type"].startswith("text/html")
    text = page.body.decode()
    links = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(links) >= 3
    assert "//" not in "".join(links)
    for link in links:
        asset = get(small.app, f"/{link}", key=None)
        assert asset.status == 200
        assert len(asset.body) > 100
    assert 'url: "openapi.json"' in text
    assert "validatorUrl: null" in text


@pytest.mark.parametrize(
    "path",
    [
        "/docs/assets",
        "/docs/assets/",
        "/docs/assets/none.js",
        "/docs/assets/../../../pyproject.toml",
        "/docs/assets/..%2f..%2f__init__.py",
        "/docs/assets/%2fetc%2fpasswd",
        "/docs/assets/%00",
        "/docs/assets/" + "x" * 5000,
    ],
)
def test_nothing_but_the_page_s_own_files_is_given(small: Small, path: str) -> None:
    reply = get(small.app, path)
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")
    assert get(small.app, path, key=None).status in (401, 404)
