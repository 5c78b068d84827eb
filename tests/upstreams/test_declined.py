"""Refusals of what was passed on: in whichever form, and where a provider's other APIs are."""

import json

import pytest

from emblem.errors import DeploymentFailed, EmblemError, Overloaded, RefusedElsewhere
from emblem.upstreams.declined import declined, error_status, said
from emblem.upstreams.passing import CHAT, RERANK, at_root, beside
from emblem.upstreams.presets import preset
from emblem.upstreams.provider import Provider

KEY = "sk-theirs-0123456789-abcdefghij"


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "too long", "type": null, "param": null, "code": 400}}',
        b'{"message": "too long"}',
        b'{"detail": "too long"}',
        b'{"error": "too long", "error_type": "Validation"}',
    ],
)
def test_the_words_of_a_refusal_are_found(body: bytes) -> None:
    assert said(body).message == "too long"


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (b'{"error": {"message": "no", "code": 400}}', 400),
        (b'{"error": {"message": "no", "code": "503"}}', 503),
        (b'{"error": {"message": "no", "code": "busy"}}', 500),
        (b'{"error": {"message": "no", "code": 200}}', 500),
        (b'{"error": {}}', 500),
        (b'{"error": null, "choices": []}', None),
        (b'{"error": {"message": "no"}, "choices": [{}]}', None),
        (b'{"choices": [{"delta": {"content": "error"}}]}', None),
        (b"[DONE]", None),
        (b"", None),
    ],
)
def test_an_event_that_is_an_error_has_the_status_that_it_names(
    event: bytes, status: int | None
) -> None:
    assert error_status(event) == status


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"detail": [{"loc": 1}]}', b'"\xff"'])
def test_a_refusal_without_words_is_one_all_the_same(body: bytes) -> None:
    error = declined("theirs", 422, body, (), None)
    assert isinstance(error, RefusedElsewhere)
    assert str(error) == "theirs refused the request: it does not say why"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(status, DeploymentFailed) for status in (301, 401, 403, 404, 408, 418, 500, 502, 504)]
    + [(status, Overloaded) for status in (429, 503, 529)],
)
def test_what_is_about_the_server_never_repeats_its_words(
    status: int, kind: type[EmblemError]
) -> None:
    body = f'{{"error": {{"message": "the key {KEY[:6]}…{KEY[-4:]} of acme"}}}}'.encode()
    error = declined("theirs", status, body, (KEY,), 3.0)
    assert type(error) is kind
    assert KEY[-4:] not in str(error)
    assert "acme" not in str(error)


def test_a_key_is_in_no_part_of_a_refusal_that_is_passed_on() -> None:
    words = dict.fromkeys(("message", "type", "param", "code"), f"{KEY} of org-abcdefgh\n")
    error = declined("theirs", 400, json.dumps({"error": words}).encode(), (KEY,), None)
    assert isinstance(error, RefusedElsewhere)
    for part in (str(error), error.param, error.kind, error.code):
        assert part is not None
        assert part.endswith("**** of …\\n")


def test_control_characters_of_a_refusal_do_not_reach_a_log() -> None:
    error = declined("theirs", 400, b'{"message": "a\\u001b[2J\\nb"}', (), None)
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("name", "base_url", "chat", "rerank"),
    [
        ("openai", "", "https://api.openai.com/v1/chat/completions", None),
        ("cohere", "", None, "https://api.cohere.com/v2/rerank"),
        ("jina", "", None, "https://api.jina.ai/v1/rerank"),
        (
            "azure",
            "https://a.openai.azure.com/openai/v1",
            "https://a.openai.azure.com/openai/v1/chat/completions",
            None,
        ),
        (
            "openai-compatible",
            "http://127.0.0.1:1/v1/",
            "http://127.0.0.1:1/v1/chat/completions",
            "http://127.0.0.1:1/v1/rerank",
        ),
    ],
)
def test_a_provider_s_other_addresses_are_beside_that_for_vectors(
    name: str, base_url: str, chat: str | None, rerank: str | None
) -> None:
    provider = Provider("p", preset(name), base_url)
    for path, wanted in ((CHAT, chat), (RERANK, rerank)):
        if wanted is not None:
            assert beside(provider, "m", path) == wanted


def test_an_azure_deployment_keeps_its_version_in_the_query() -> None:
    provider = Provider("p", preset("azure-deployments"), "https://a.openai.azure.com")
    address = beside(provider, "my model", CHAT)
    assert "/deployments/my%20model/chat/completions?api-version=" in address


def test_tei_ranks_at_its_root() -> None:
    provider = Provider("p", preset("tei"), "http://127.0.0.1:8080/v1")
    assert at_root(provider, RERANK) == "http://127.0.0.1:8080/rerank"
