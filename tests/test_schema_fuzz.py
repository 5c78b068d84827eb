"""Requests that schemathesis makes up from our own /openapi.json: no 5xx, nothing undocumented."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from chat_upstream import chat_upstream
from emblem.api.openapi import document
from server import RunningServer, linked_home, running_server

MODELS = ["all-MiniLM-L6-v2", "text-embedding-3-small", "all-MiniLM-L6-v2@53aa5117"]
LAST_CL100K_ID = 100_255
ADMIN = "/admin/"  # which takes what it can mean: a date that is one, a team that there is


def bounded(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def narrowed(description: Any) -> Any:
    """Give the description with what only the served model decides, so that nothing is refused."""
    narrow = copy.deepcopy(description)
    fields = narrow["components"]["schemas"]["EmbeddingsRequest"]["properties"]
    fields["model"] = {"type": "string", "enum": MODELS}
    fields["dimensions"] |= {"maximum": 384, "multipleOf": 8}  # binary packs eight into a byte
    fields["overflow"]["enum"].remove("error")
    del fields["input_type"]
    for choice in fields["input"]["anyOf"]:
        ids = choice.get("items", {}).get("items", choice.get("items", {}))
        if ids.get("type") == "integer":
            ids |= {"minimum": 0, "maximum": LAST_CL100K_ID}
    for path, name in (("/v1/chat/completions", "talker"), ("/v1/rerank", "ranker")):
        _fields(narrow, path)["model"] = {"type": "string", "enum": [name]}
    embed = _fields(narrow, "/embed")
    embed["dimensions"]["maximum"] = 384
    embed["normalize"] = {"type": "boolean", "enum": [True]}
    for path in ("/embed", "/tokenize"):
        del _fields(narrow, path)["prompt_name"]
    for path, operations in narrow["paths"].items():
        for operation in operations.values() if not path.startswith(ADMIN) else ():
            for parameter in operation.get("parameters", []):
                parameter["schema"] = {"type": "string", "enum": MODELS[:1]}
    return narrow


def _fields(description: Any, path: str) -> Any:
    """Give the fields of a request to an address."""
    content = description["paths"][path]["post"]["requestBody"]["content"]
    return content["application/json"]["schema"]["properties"]


# Other addresses of what is asked at its first one.
OTHERS = (
    "/",
    "/rerank",
    "/{model}/v1/chat/completions",
    "/{model}/embed",
    "/{model}/tokenize",
    "/{model}/info",
)
ELSEWHERE = """
[upstreams.theirs]
preset = "openai-compatible"
base_url = "{base_url}"
[chat.talker]
upstream = "theirs"
[rerank.ranker]
upstream = "theirs"
"""

DOCUMENT = json.loads(document())
NARROWED = narrowed(DOCUMENT)
OPERATIONS = [
    (path, method)
    for path in DOCUMENT["paths"]
    if path not in OTHERS
    for method in DOCUMENT["paths"][path]
]
SUITABLE = [(path, method) for path, method in OPERATIONS if not path.startswith(ADMIN)]
REFUSABLE = [
    (path, method)
    for path, method in OPERATIONS
    if {"parameters", "requestBody"} & {k for k, v in DOCUMENT["paths"][path][method].items() if v}
]


def named(operations: list[tuple[str, str]]) -> Any:
    names = [f"{method} {path}" for path, method in operations]
    return pytest.mark.parametrize(("path", "method"), operations, ids=names)


@pytest.fixture(scope="module")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("fuzz") / "home", model_home)
    with chat_upstream() as upstream:
        (home / "emblem.toml").write_text(ELSEWHERE.format(base_url=upstream.base_url))
        with running_server(home) as running:
            yield running


def operation_of(description: Any, server: RunningServer, path: str, method: str) -> Any:
    schema = schemathesis.openapi.from_dict(description)
    schema.config.update(base_url=server.root)
    return schema[path][method]


def test_the_description_is_served_to_anybody(server: RunningServer) -> None:
    answer = server.session.get(f"{server.root}/openapi.json", timeout=30)
    assert answer.status_code == 200
    assert answer.json() == DOCUMENT


@named(OPERATIONS)
def test_every_answer_is_one_that_the_description_promises(
    server: RunningServer, path: str, method: str
) -> None:
    operation = operation_of(DOCUMENT, server, path, method)

    @bounded(30)
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        # Only a model can say which names, widths and token ids it has; the next test gives them.
        answer = case.call(session=server.session, headers=server.headers, timeout=60)
        case.validate_response(
            answer, headers=server.headers, excluded_checks=[positive_data_acceptance]
        )

    check()


@named(SUITABLE)
def test_every_request_that_suits_the_model_is_answered_as_the_description_promises(
    server: RunningServer, path: str, method: str
) -> None:
    operation = operation_of(NARROWED, server, path, method)

    @bounded(50)
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        answer = case.call_and_validate(session=server.session, headers=server.headers, timeout=60)
        assert answer.status_code == 200, answer.text

    check()


@named(REFUSABLE)
def test_every_request_that_breaks_the_description_is_refused_and_never_a_server_error(
    server: RunningServer, path: str, method: str
) -> None:
    operation = operation_of(NARROWED, server, path, method)

    wrong = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

    @bounded(60)
    @given(case=wrong.filter(_is_wrong))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(session=server.session, headers=server.headers, timeout=60)

    check()


def _is_wrong(case: schemathesis.Case) -> bool:
    """Tell whether the server hears of what is wrong, and is to mind it.

    Of an empty list no parameter is made. An empty model is none, and the path may name one.
    """
    body = case.body if isinstance(case.body, dict) else {}
    in_path = "model" in (case.path_parameters or {})
    return not (in_path and body.get("model") == "") and all(
        value not in ([], {}) for value in (case.query or {}).values()
    )


@named(OPERATIONS)
def test_nobody_without_a_key_gets_anything_but_401_where_one_is_asked_for(
    server: RunningServer, path: str, method: str
) -> None:
    operation = operation_of(NARROWED, server, path, method)
    expected = 401 if DOCUMENT["paths"][path][method].get("security") != [] else 200

    @bounded(5)
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        answer = case.call(session=server.session, timeout=60)
        assert answer.status_code == expected

    check()
